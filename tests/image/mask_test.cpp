#include "beckon/mask.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "image/sample_masks.h"
#include "support/check.h"

namespace beckon {
namespace {

using test::drawn;
using test::expect_error;

TEST(Mask, LogitsAreCutAtTheThreshold) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> logits{-1, 0, 1e-9f, 2, nan, -0.0f};
  EXPECT_EQ(Mask::from_logits(logits, 3, 2), drawn({"..#", "#.."}));
  EXPECT_EQ(Mask::from_logits(logits, 3, 2, 1.5f), drawn({"...", "#.."}));
  expect_error(Kind::usage, "6 logits", [&] { Mask::from_logits(logits, 2, 2); });
}

TEST(Mask, AreaAndBox) {
  const Mask mask = drawn({".....", "..#..", ".#...", "....."});
  EXPECT_EQ(mask.area(), 2);
  EXPECT_EQ(mask.bounding_box(), (PixelBox{1, 1, 2, 2}));
  EXPECT_EQ(Mask(5, 4).bounding_box(), PixelBox{});
  EXPECT_EQ((~Mask(5, 4)).bounding_box(), (PixelBox{0, 0, 5, 4}));
  EXPECT_EQ((~Mask(300, 200)).area(), 60000);
}

TEST(Mask, BoxesAreCutOff) {
  EXPECT_EQ(Mask::from_box({-1, 1, 3, 5}, {4, 3}), drawn({"....", "##..", "##.."}));
  EXPECT_EQ(Mask::from_box({4, 0, 3, 5}, {4, 3}).area(), 0);
  EXPECT_EQ(Mask::from_box({1, 1, -3, 5}, {4, 3}).area(), 0);
  EXPECT_EQ(Mask::from_box({1, 1, INT32_MAX, INT32_MAX}, {4, 3}).area(), 6);
}

TEST(Mask, SetsAndOverlap) {
  const Mask a = drawn({"##.", "##."}), b = drawn({".##", ".##"});
  EXPECT_EQ(a & b, drawn({".#.", ".#."}));
  EXPECT_EQ(a | b, drawn({"###", "###"}));
  EXPECT_EQ(a - b, drawn({"#..", "#.."}));
  EXPECT_EQ(~a, drawn({"..#", "..#"}));
  EXPECT_DOUBLE_EQ(iou(a, b), 2.0 / 6);
  EXPECT_DOUBLE_EQ(iou(a, a), 1);
  EXPECT_DOUBLE_EQ(iou(a - a, b - b), 0);
  expect_error(Kind::usage, "same size", [&] { iou(a, Mask(2, 2)); });
  expect_error(Kind::usage, "same size", [&] { a | Mask(2, 2); });
}

TEST(Mask, GrowsByADisc) {
  EXPECT_EQ(grown(drawn({".....", ".....", "..#..", ".....", "....."}), 1),
            drawn({".....", "..#..", ".###.", "..#..", "....."}));
  EXPECT_EQ(grown(drawn({"#....", ".....", "....."}), 2), drawn({"###..", "##...", "#...."}));
  const Mask mask = test::random_mask(40, 30, 5, 2);
  for (const int radius : {1, 3, 7}) {
    const Mask result = grown(mask, radius);
    for (int y = 0; y < 30; ++y) {
      for (int x = 0; x < 40; ++x) {
        bool near = false;
        for (int v = 0; v < 30; ++v) {
          for (int u = 0; u < 40; ++u)
            near |= mask.at(u, v) && (u - x) * (u - x) + (v - y) * (v - y) <= radius * radius;
        }
        ASSERT_EQ(result.at(x, y), near);
      }
    }
  }
  EXPECT_EQ(grown(mask, 0), mask);
  EXPECT_EQ(grown(Mask(4, 4), 9).area(), 0);
}

TEST(Components, CornersConnect) {
  const auto parts = components(drawn({"#..##", ".#...", "....#"}));
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].area, 2);
  EXPECT_EQ(parts[0].box, (PixelBox{0, 0, 2, 2}));
  EXPECT_EQ(parts[1].box, (PixelBox{3, 0, 2, 1}));
  EXPECT_EQ(parts[2].box, (PixelBox{4, 2, 1, 1}));
}

TEST(Components, ArmsThatMeetLowerDownAreOne) {
  const auto parts = components(drawn({"#.#.#", "#.#.#", "#.###", "###.."}));
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].area, 13);
  EXPECT_EQ(parts[0].box, (PixelBox{0, 0, 5, 4}));
}

// A flood fill as a second opinion.
TEST(Components, AgreeWithAFloodFill) {
  for (uint32_t seed = 1; seed <= 30; ++seed) {
    const Mask mask = test::random_mask(31, 17, seed, 1 + static_cast<int>(seed % 4));
    Mask left = mask;
    std::vector<int64_t> areas;
    for (int y = 0; y < 17; ++y) {
      for (int x = 0; x < 31; ++x) {
        if (!left.at(x, y)) continue;
        int64_t area = 0;
        std::vector<std::pair<int, int>> open{{x, y}};
        left.set(x, y, false);
        while (!open.empty()) {
          const auto [u, v] = open.back();
          open.pop_back();
          ++area;
          for (int dv = -1; dv <= 1; ++dv) {
            for (int du = -1; du <= 1; ++du) {
              const int p = u + du, q = v + dv;
              if (p < 0 || q < 0 || p >= 31 || q >= 17 || !left.at(p, q)) continue;
              left.set(p, q, false);
              open.emplace_back(p, q);
            }
          }
        }
        areas.push_back(area);
      }
    }
    std::vector<int64_t> found;
    for (const auto& part : components(mask)) found.push_back(part.area);
    EXPECT_EQ(found, areas) << "seed " << seed;
  }
}

TEST(Components, SmallHolesAreFilled) {
  const Mask mask = drawn({"#####", "#.###", "###..", "####."});
  const auto [one, changed] = fill_small_holes(mask, 2);
  EXPECT_TRUE(changed);
  EXPECT_EQ(one, drawn({"#####", "#####", "###..", "####."}));
  // A bay at the border counts as a hole too: the reference makes no difference.
  EXPECT_EQ(fill_small_holes(mask, 4).first, ~Mask(5, 4));
  EXPECT_FALSE(fill_small_holes(mask, 1).second);
  EXPECT_EQ(fill_small_holes(mask, 1).first, mask);
}

TEST(Components, SmallIslandsAreRemovedButNotAll) {
  const Mask mask = drawn({"##..#", "##...", "....."});
  EXPECT_EQ(remove_small_islands(mask, 2).first, drawn({"##...", "##...", "....."}));
  EXPECT_TRUE(remove_small_islands(mask, 2).second);
  EXPECT_EQ(remove_small_islands(mask, 100).first, drawn({"##...", "##...", "....."}));
  EXPECT_TRUE(remove_small_islands(mask, 100).second);
  EXPECT_FALSE(remove_small_islands(mask, 1).second);
  EXPECT_EQ(remove_small_islands(Mask(3, 3), 5).first, Mask(3, 3));
  EXPECT_FALSE(remove_small_islands(Mask(3, 3), 5).second);
}

}  // namespace
}  // namespace beckon
