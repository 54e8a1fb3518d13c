#include "beckon/rle.h"

#include <gtest/gtest.h>

#include "beckon/mask.h"
#include "image/sample_masks.h"
#include "support/check.h"

namespace beckon {
namespace {

using test::blocky_mask;
using test::drawn;
using test::expect_error;
using test::random_mask;

std::vector<uint32_t> counts_of(const Mask& mask) {
  const Rle rle = mask.rle();
  return {rle.counts().begin(), rle.counts().end()};
}

// Pixel by pixel down the columns.
std::vector<uint32_t> counts_by_definition(const Mask& mask) {
  std::vector<uint32_t> counts{0};
  bool object = false;
  for (int x = 0; x < mask.width(); ++x) {
    for (int y = 0; y < mask.height(); ++y) {
      if (mask.at(x, y) != object) {
        counts.push_back(0);
        object = !object;
      }
      ++counts.back();
    }
  }
  return counts;
}

std::vector<Mask> many_masks() {
  std::vector<Mask> masks{Mask(1, 1),  ~Mask(1, 1), Mask(7, 3),
                          ~Mask(7, 3), ~Mask(1, 9), ~Mask(9, 1)};
  for (uint32_t seed = 1; seed <= 40; ++seed) {
    const int width = 1 + static_cast<int>(seed * 7 % 40),
              height = 1 + static_cast<int>(seed * 11 % 30);
    masks.push_back(random_mask(width, height, seed, 1 + static_cast<int>(seed % 5)));
    masks.push_back(blocky_mask(width, height, seed));
  }
  return masks;
}

TEST(Rle, RunsGoDownTheColumns) {
  EXPECT_EQ(counts_of(drawn({".#", "##"})), (std::vector<uint32_t>{1, 3}));
  EXPECT_EQ(counts_of(drawn({"#.", ".."})), (std::vector<uint32_t>{0, 1, 3}));
  EXPECT_EQ(counts_of(drawn({"..", ".."})), (std::vector<uint32_t>{4}));
  EXPECT_EQ(counts_of(drawn({"..", "#."})), (std::vector<uint32_t>{1, 1, 2}));
}

TEST(Rle, MasksAndStringsRoundTrip) {
  for (const Mask& mask : many_masks()) {
    const Rle rle = mask.rle();
    EXPECT_EQ(std::vector<uint32_t>(rle.counts().begin(), rle.counts().end()),
              counts_by_definition(mask));
    EXPECT_EQ(Mask::from_rle(rle), mask);
    EXPECT_EQ(Rle::from_string(rle.size(), rle.string()), rle);
    EXPECT_EQ(rle.canonical(), rle);
    EXPECT_EQ(rle.area(), mask.area());
    EXPECT_EQ(rle.bounding_box(), mask.bounding_box());
  }
}

TEST(Rle, OperationsOnRunsEqualThoseOnPixels) {
  const auto masks = many_masks();
  for (size_t i = 6; i + 1 < masks.size(); i += 2) {
    const Mask &a = masks[i], &b = masks[i + 1];
    const Rle parts[] = {a.rle(), b.rle()};
    EXPECT_EQ(merge(parts), (a | b).rle());
    EXPECT_EQ(merge(parts, true), (a & b).rle());
    EXPECT_EQ(intersection_area(parts[0], parts[1]), (a & b).area());
    EXPECT_DOUBLE_EQ(iou(parts[0], parts[1]), iou(a, b));
    if (a.area() == 0) continue;
    EXPECT_DOUBLE_EQ(iou(parts[0], parts[1], true), double((a & b).area()) / double(a.area()));
  }
}

TEST(Rle, RunsOfLengthZeroAreUnderstood) {
  // Two columns of three: 1 background, 0 object, 2 background, 1 object, 0 background, 2 object.
  const Rle odd({2, 3}, {1, 0, 2, 1, 0, 2});
  const Mask mask = Mask::from_rle(odd);
  EXPECT_EQ(mask, drawn({".#", ".#", ".#"}));
  EXPECT_EQ(odd.area(), 3);
  EXPECT_EQ(odd.bounding_box(), mask.bounding_box());
  EXPECT_EQ(odd.canonical(), mask.rle());
  EXPECT_EQ(merge(std::span(&odd, 1)), mask.rle());
  EXPECT_DOUBLE_EQ(iou(odd, mask.rle()), 1);
  EXPECT_EQ(Rle::from_string({2, 3}, odd.string()), odd);
}

TEST(Rle, StringsOfLargeCounts) {
  const ImageSize size{65535, 65537};  // 2^32 - 1 pixels
  const Rle nothing(size);
  EXPECT_EQ(nothing.counts()[0], 4294967295u);
  EXPECT_EQ(Rle::from_string(size, nothing.string()), nothing);
  const Rle steps(size, {0, 4294967290u, 1, 1, 3});
  EXPECT_EQ(Rle::from_string(size, steps.string()), steps);
  EXPECT_EQ(steps.area(), 4294967291);
  expect_error(Kind::resource, "megapixels", [&] { Mask::from_rle(steps); });
}

TEST(Rle, BadStringsAreErrorsWithAPlace) {
  const ImageSize size{53, 37};
  const auto parse = [&](std::string text) { return [=] { Rle::from_string(size, text); }; };
  EXPECT_EQ(Rle::from_string(size, "Ym1").area(), 0);
  expect_error(Kind::input, "add up to 0", parse(""));
  expect_error(Kind::input, "ends within the number at character 0", parse("Ym"));
  expect_error(Kind::input, "character 1", parse("Y m1"));
  expect_error(Kind::input, "character 1", parse("Y\xff"));
  expect_error(Kind::input, "add up to", parse("Ym1Ym1"));
  expect_error(Kind::input, "count 0", parse("O"));  // -1
  expect_error(Kind::input, "too long", parse("ooooooooooooooo0"));
  expect_error(Kind::input, "expected 0 to 1961", parse("ZZZZZZ1"));
  expect_error(Kind::input, "expected 0 to 1961", parse("oooooo?"));
}

TEST(Rle, BadCountsAndSizesAreErrors) {
  const auto make = [](ImageSize size, std::vector<int64_t> counts) {
    return [=] { Rle::from_counts(size, counts); };
  };
  expect_error(Kind::input, "count 1 is -1", make({2, 2}, {4, -1}));
  expect_error(Kind::input, "count 0 is", make({2, 2}, {int64_t{1} << 40}));
  expect_error(Kind::input, "add up to 3, expected 4", make({2, 2}, {1, 2}));
  expect_error(Kind::input, "add up to 8", make({2, 2}, {4, 4}));
  expect_error(Kind::input, "add up to 0", make({2, 2}, {}));
  expect_error(Kind::input, "size 0x2", make({0, 2}, {}));
  expect_error(Kind::input, "size -1x-4", make({-1, -4}, {4}));
  expect_error(Kind::input, "2^32", make({65536, 65536}, {1}));
  // 2^32 + 4 would be 4 in 32 bits.
  expect_error(Kind::input, "add up to", [] { Rle({2, 2}, {0xFFFFFFFFu, 1, 4}); });
  expect_error(Kind::usage, "same size", [] { iou(Rle({2, 2}), Rle({4, 1})); });
  expect_error(Kind::usage, "nothing to merge", [] { merge({}); });
}

}  // namespace
}  // namespace beckon
