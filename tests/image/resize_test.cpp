#include "beckon/resize.h"

#include <cmath>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "support/check.h"
#include "support/pictures.h"

namespace beckon {
namespace {

using test::expect_error;
using test::noise;

const Filter kFilters[] = {Filter::nearest, Filter::box,     Filter::bilinear,
                           Filter::hamming, Filter::bicubic, Filter::lanczos};

Image row_of(const std::vector<uint8_t>& bytes) {
  return Image(static_cast<int>(bytes.size()), 1, 1, bytes);
}

TEST(Resize, SameSizeIsTheSamePicture) {
  const Image image = noise(13, 7, 3);
  for (const Filter filter : kFilters) EXPECT_EQ(resize(image, 13, 7, filter).row(0), image.row(0));
}

TEST(Resize, OneColorStaysThatColor) {
  for (const uint8_t value : {0, 1, 127, 128, 254, 255}) {
    const Image image(29, 31, 1, std::vector<uint8_t>(29 * 31, value));
    for (const Filter filter : kFilters) {
      for (const auto& [width, height] :
           {std::pair{5, 90}, std::pair{90, 5}, std::pair{1, 1}, std::pair{28, 32}}) {
        const Image resized = resize(image, width, height, filter);
        ASSERT_EQ(resized.size(), (ImageSize{width, height}));
        for (const uint8_t pixel : resized.pixels()) ASSERT_EQ(pixel, value);
      }
    }
  }
}

TEST(Resize, HandMadeRows) {
  // Box by two: means, halves up: (10 + 20) / 2, (30 + 41) / 2 = 35.5.
  EXPECT_EQ(resize(row_of({10, 20, 30, 41}), 2, 1, Filter::box), row_of({15, 36}));
  // Bilinear by two: four taps 1/8, 3/8, 3/8, 1/8; at the ends three of them, over their sum 7/8.
  // (3 * 0 + 3 * 80 + 160) / 7 = 57.1; (80 + 3 * 160 + 3 * 240) / 7 = 182.9
  EXPECT_EQ(resize(row_of({0, 80, 160, 240}), 2, 1, Filter::bilinear), row_of({57, 183}));
  // Twice as large: 0, (3 * 0 + 100) / 4, (0 + 3 * 100) / 4, 100.
  EXPECT_EQ(resize(row_of({0, 100}), 4, 1, Filter::bilinear), row_of({0, 25, 75, 100}));
  // Nearest takes pixel floor((i + 0.5) * 5 / 3): 0, 2, 4.
  EXPECT_EQ(resize(row_of({1, 2, 3, 4, 5}), 3, 1, Filter::nearest), row_of({1, 3, 5}));
  // Bicubic with a = -0.5 weighs 0.25, 0.75, 1.25 and 1.75 away by 0.8671875, 0.2265625,
  // -0.0703125, -0.0234375. The fourth value is 255 * (0.2265625 - 0.0234375) = 51.8; its
  // neighbours pass the range of a byte and are clipped.
  EXPECT_EQ(resize(row_of({0, 0, 255, 255}), 8, 1, Filter::bicubic),
            row_of({0, 0, 0, 52, 203, 255, 255, 255}));
}

TEST(Resize, PassesCommuteWithTransposingOnlyUpToRounding) {
  // The horizontal pass comes first; a picture of one row or column needs one pass and must agree
  // with its transpose.
  const Image row = noise(50, 1, 1);
  const Image column(1, 50, 1, row.pixels());
  for (const Filter filter : kFilters) {
    const Image a = resize(row, 17, 1, filter), b = resize(column, 1, 17, filter);
    EXPECT_TRUE(std::equal(a.pixels().begin(), a.pixels().end(), b.pixels().begin()));
  }
}

TEST(Resize, ChannelsDoNotMix) {
  const Image image = noise(40, 30, 3);
  for (const Filter filter : kFilters) {
    const Image together = resize(image, 23, 51, filter);
    for (int c = 0; c < 3; ++c) {
      Image alone(40, 30, 1);
      for (int y = 0; y < 30; ++y) {
        for (int x = 0; x < 40; ++x) alone.mutable_row(y)[x] = image.row(y)[3 * x + c];
      }
      const Image resized = resize(alone, 23, 51, filter);
      for (int y = 0; y < 51; ++y) {
        for (int x = 0; x < 23; ++x) ASSERT_EQ(together.row(y)[3 * x + c], resized.row(y)[x]);
      }
    }
  }
}

TEST(Resize, HiddenColorsDoNotBleed) {
  // Opaque red beside transparent green: the mixture is half transparent red.
  const Image image(2, 1, 4, std::vector<uint8_t>{200, 0, 0, 255, 0, 200, 0, 0});
  const Image mixed = resize(image, 1, 1, Filter::box);
  EXPECT_EQ(mixed.row(0)[3], 128);
  EXPECT_NEAR(mixed.row(0)[0], 200, 2);
  EXPECT_EQ(mixed.row(0)[1], 0);
}

TEST(Resize, DoesNotDependOnThreads) {
  const Image image = noise(301, 203, 3);
  set_threads(1);
  const Image one = resize(image, 77, 310, Filter::bicubic);
  set_threads(4);
  const Image four = resize(image, 77, 310, Filter::bicubic);
  set_threads(0);
  EXPECT_EQ(one, four);
}

TEST(Resize, ExtremeShapesWork) {
  EXPECT_EQ(resize(noise(3000, 1, 3), 1024, 1).size(), (ImageSize{1024, 1}));
  EXPECT_EQ(resize(noise(1, 1, 3), 500, 400, Filter::lanczos).size(), (ImageSize{500, 400}));
  EXPECT_EQ(resize(noise(2000, 3, 4), 1, 1, Filter::lanczos).size(), (ImageSize{1, 1}));
  expect_error(Kind::usage, "0x5", [] { resize(noise(4, 4, 3), 0, 5); });
  expect_error(Kind::usage, "empty", [] { resize(Image(), 4, 4); });
}

TEST(Resize, SizeRules) {
  EXPECT_EQ(long_side_size(3000, 1, 1024), (ImageSize{1024, 1}));
  EXPECT_EQ(long_side_size(1800, 1200, 1024), (ImageSize{1024, 683}));
  EXPECT_EQ(short_side_size(451, 300, 224), (ImageSize{336, 224}));  // 224 * 451 / 300 = 336.7
  EXPECT_EQ(short_side_size(224, 500, 224), (ImageSize{224, 500}));
  expect_error(Kind::usage, "at least 1", [] { long_side_size(0, 5, 1024); });
  expect_error(Kind::resource, "too long", [] { short_side_size(1, INT32_MAX, 2); });
}

TEST(Resize, CenterCropRoundsHalvesToEven) {
  // (5 - 2) / 2 = 1.5 -> 2; (3 - 2) / 2 = 0.5 -> 0.
  EXPECT_EQ(center_crop(row_of({0, 1, 2, 3, 4}), 2, 1), row_of({2, 3}));
  EXPECT_EQ(center_crop(row_of({0, 1, 2}), 2, 1), row_of({0, 1}));
  expect_error(Kind::usage, "does not fit", [] { center_crop(row_of({1, 2}), 3, 1); });
}

// ---- planes
// -----------------------------------------------------------------------------------------------------------

// The definition, in double (positions are floats as in PyTorch, so a steep slope shows their
// rounding): src = max((i + 0.5) * in / out - 0.5, 0), neighbours floor and + 1, clamped.
std::vector<double> bilinear_by_definition(const std::vector<double>& plane, ImageSize from,
                                           ImageSize to) {
  std::vector<double> result;
  const auto position = [](int i, int in, int out) {
    return std::max((i + 0.5) * in / out - 0.5, 0.0);
  };
  for (int y = 0; y < to.height; ++y) {
    const double sy = position(y, from.height, to.height);
    const int y0 = static_cast<int>(sy), y1 = std::min(y0 + 1, from.height - 1);
    for (int x = 0; x < to.width; ++x) {
      const double sx = position(x, from.width, to.width);
      const int x0 = static_cast<int>(sx), x1 = std::min(x0 + 1, from.width - 1);
      const auto at = [&](int row, int column) {
        return plane[static_cast<size_t>(row) * from.width + column];
      };
      const double top = at(y0, x0) + (at(y0, x1) - at(y0, x0)) * (sx - x0);
      const double bottom = at(y1, x0) + (at(y1, x1) - at(y1, x0)) * (sx - x0);
      result.push_back(top + (bottom - top) * (sy - y0));
    }
  }
  return result;
}

std::vector<float> random_plane(ImageSize size) {
  test::Random random(3);
  std::vector<float> plane(static_cast<size_t>(size.width) * size.height);
  for (float& value : plane) value = static_cast<float>(random.below(20001) - 10000) / 1000.0f;
  return plane;
}

TEST(ResizePlane, FollowsTheDefinition) {
  for (const auto& [from, to] : {std::pair<ImageSize, ImageSize>{{9, 7}, {40, 31}},
                                 {{40, 31}, {9, 7}},
                                 {{1, 5}, {3, 1}},
                                 {{6, 6}, {6, 6}},
                                 {{2, 1}, {1, 1}},
                                 {{5, 4}, {7, 4}}}) {
    const auto plane = random_plane(from);
    const auto expected = bilinear_by_definition({plane.begin(), plane.end()}, from, to);
    test::expect_near(resize_plane(plane, from, to),
                      std::vector<float>(expected.begin(), expected.end()), 1e-4, "plane");
  }
}

TEST(ResizePlane, TwoStepsInOneEqualOneAfterTheOther) {
  // SAM's logits: 16 -> 64, cut to 64 x 43, -> 150 x 101.
  const ImageSize low{16, 16}, square{64, 64}, inner{64, 43}, photo{150, 101};
  const auto plane = random_plane(low);
  auto middle = bilinear_by_definition({plane.begin(), plane.end()}, low, square);
  middle.resize(static_cast<size_t>(inner.width) * inner.height);
  const auto expected = bilinear_by_definition(middle, inner, photo);

  const auto x = then(bilinear_axis(16, 64), bilinear_axis(64, 150));
  const auto y = then(bilinear_axis(16, 64), bilinear_axis(43, 101));
  const PlaneRows rows(plane, x, y);
  ASSERT_EQ(rows.width(), 150);
  ASSERT_EQ(rows.height(), 101);
  std::vector<float> actual(expected.size());
  for (int i = 0; i < rows.height(); ++i) rows.row(i, actual.data() + static_cast<size_t>(i) * 150);
  test::expect_near(actual, std::vector<float>(expected.begin(), expected.end()), 2e-5,
                    "two steps");
}

TEST(ResizePlane, WeightsAddUpToOneAndStayInside) {
  for (const auto& axis :
       {bilinear_axis(7, 100), bilinear_axis(100, 7), bilinear_axis(1, 9), smooth_axis(7, 100),
        smooth_axis(100, 7), smooth_axis(1, 9), smooth_axis(9, 1), smooth_axis(3, 3),
        then(bilinear_axis(256, 1024), bilinear_axis(683, 1200)),
        then(bilinear_axis(256, 1024), bilinear_axis(1024, 31))}) {
    for (int i = 0; i < axis.out; ++i) {
      double sum = 0;
      for (int t = 0; t < axis.taps; ++t)
        sum += axis.weight[static_cast<size_t>(i) * axis.taps + t];
      EXPECT_NEAR(sum, 1, 1e-6);
      EXPECT_GE(axis.first[i], 0);
      EXPECT_LE(axis.first[i] + axis.taps, axis.in);
    }
  }
}

TEST(ResizePlane, SmoothingIsATriangleOverAllInputs) {
  // Half the size: centre 1, half width 2, so the inputs at 0.5 from it weigh 0.75 and those at 1.5
  // weigh 0.25; at the left edge the one outside is missing.
  const LinearAxis axis = smooth_axis(4, 2);
  ASSERT_EQ(axis.taps, 4);
  EXPECT_EQ(axis.first, (std::vector<int32_t>{0, 0}));
  const float sum = 0.75f + 0.75f + 0.25f;
  test::expect_near(axis.weight,
                    std::vector<float>{0.75f / sum, 0.75f / sum, 0.25f / sum, 0,  //
                                       0, 0.25f / sum, 0.75f / sum, 0.75f / sum},
                    1e-6, "weights");
  // Where nothing shrinks it is the plain rule.
  EXPECT_EQ(resize_plane(std::vector<float>{0, 1, 4, 9}, {2, 2}, {5, 3}, true).size(), 15u);
  test::expect_near(resize_plane(std::vector<float>{0, 1, 4, 9}, {2, 2}, {5, 3}, true),
                    resize_plane(std::vector<float>{0, 1, 4, 9}, {2, 2}, {5, 3}), 1e-5, "larger");
}

TEST(ResizePlane, WrongSizesAreRefused) {
  const std::vector<float> plane(6);
  expect_error(Kind::usage, "plane",
               [&] { PlaneRows(plane, bilinear_axis(2, 4), bilinear_axis(2, 4)); });
  expect_error(Kind::usage, "at least 1", [] { bilinear_axis(0, 4); });
  expect_error(Kind::usage, "second step", [] { then(bilinear_axis(4, 8), bilinear_axis(9, 3)); });
}

}  // namespace
}  // namespace beckon
