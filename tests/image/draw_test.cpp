#include "beckon/draw.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "support/check.h"
#include "support/pictures.h"

namespace beckon {
namespace {

using test::expect_error;

Color pixel(const Image& image, int x, int y) {
  const uint8_t* p = image.row(y) + x * image.channels();
  return {p[0], p[1], p[2]};
}

const Image kGrey(100, 80, 3, std::vector<uint8_t>(100 * 80 * 3, 128));

TEST(Draw, OverlayTintsTheObjectAndLeavesTheRest) {
  const Mask mask = Mask::from_box({20, 20, 40, 30}, kGrey.size());
  const Image picture = overlay(kGrey, mask, {.opacity = 0.5f, .outline = 2});
  const Color color = mask_color(0);
  // Half of each, rounded: (128 + colour) / 2.
  EXPECT_EQ(pixel(picture, 40, 35), (Color{107, 154, 181}));
  EXPECT_EQ(pixel(picture, 20, 35), color);
  EXPECT_EQ(pixel(picture, 21, 35), color);
  EXPECT_LT(pixel(picture, 19, 35).red, 128);  // the shadow
  EXPECT_EQ(pixel(picture, 10, 10), pixel(kGrey, 10, 10));
  EXPECT_EQ(pixel(overlay(kGrey, mask, {.opacity = 0, .outline = 0}), 20, 35),
            pixel(kGrey, 20, 35));
}

TEST(Draw, SmallerMasksLieAbove) {
  const Mask masks[] = {Mask::from_box({45, 35, 10, 10}, kGrey.size()), ~Mask(kGrey.size())};
  const Image picture = overlay(kGrey, masks, {.opacity = 1, .outline = 0});
  EXPECT_EQ(pixel(picture, 50, 40), mask_color(0));
  EXPECT_EQ(pixel(picture, 5, 5), mask_color(1));
}

TEST(Draw, EmptyMasksAndGreyPhotosAreFine) {
  EXPECT_EQ(overlay(kGrey, Mask(kGrey.size())), kGrey);
  EXPECT_EQ(overlay(Image(9, 9, 1), ~Mask(9, 9)).channels(), 3);
  EXPECT_EQ(overlay(Image(1, 1, 4), ~Mask(1, 1)).size(), (ImageSize{1, 1}));
}

TEST(Draw, ColorsAreDistinct) {
  std::set<std::tuple<int, int, int>> colors;
  for (int i = 0; i < 21; ++i)
    colors.insert({mask_color(i).red, mask_color(i).green, mask_color(i).blue});
  EXPECT_EQ(colors.size(), 21u);
}

TEST(Draw, CutoutForgetsTheBackground) {
  const Mask mask = Mask::from_box({20, 10, 30, 40}, kGrey.size());
  const Image whole = cutout(kGrey, mask);
  ASSERT_EQ(whole.channels(), 4);
  EXPECT_EQ(whole.size(), kGrey.size());
  EXPECT_EQ(whole.row(10)[4 * 20 + 3], 255);
  EXPECT_EQ(whole.row(10)[4 * 20], 128);
  EXPECT_EQ(whole.row(9)[4 * 20 + 3], 0);
  EXPECT_EQ(whole.row(9)[4 * 20], 0);
  EXPECT_EQ(cutout(kGrey, mask, true), whole.crop(20, 10, 30, 40));
  EXPECT_EQ(cutout(kGrey, Mask(kGrey.size()), true).size(), (ImageSize{1, 1}));
}

TEST(Draw, MarkersAreCentredAndCutOff) {
  Image image = kGrey;
  draw_point(image, 50, 40, true);
  EXPECT_EQ(pixel(image, 50, 40), (Color{255, 255, 255}));  // the plus
  EXPECT_EQ(pixel(image, 50, 39), (Color{255, 255, 255}));
  EXPECT_EQ(pixel(image, 70, 40), pixel(kGrey, 70, 40));
  for (int d = 1; d < 12; ++d) {
    EXPECT_EQ(pixel(image, 50 - d, 40), pixel(image, 50 + d, 40));
    EXPECT_EQ(pixel(image, 50, 40 - d), pixel(image, 50, 40 + d));
  }
  Image other = kGrey;
  draw_point(other, 50, 40, false);
  EXPECT_NE(pixel(other, 50, 39), (Color{255, 255, 255}));  // no upright bar in a minus
  for (const double far : {-5.0, 1e9, -1e300}) {
    Image copy = kGrey;
    draw_point(copy, far, far, true);
    draw_box(copy, {static_cast<float>(std::max(far, -1e30)), 10, 20, 30}, mask_color(1));
  }
  expect_error(Kind::usage, "numbers", [&] { draw_point(image, NAN, 0, true); });
}

TEST(Draw, BoxesAreFrames) {
  Image image = kGrey;
  draw_box(image, {20, 20, 80, 60}, mask_color(1));
  EXPECT_EQ(pixel(image, 50, 20), mask_color(1));
  EXPECT_EQ(pixel(image, 20, 40), mask_color(1));
  EXPECT_EQ(pixel(image, 79, 40), mask_color(1));
  EXPECT_EQ(pixel(image, 50, 40), pixel(kGrey, 50, 40));
  EXPECT_GT(pixel(image, 50, 18).red, 200);  // the white edge
}

TEST(Draw, WrongArgumentsAreRefused) {
  expect_error(Kind::usage, "100x80", [] { overlay(kGrey, Mask(80, 100)); });
  expect_error(Kind::usage, "100x80", [] { cutout(kGrey, Mask(80, 100)); });
  expect_error(Kind::usage, "opacity", [] { overlay(kGrey, Mask(100, 80), {.opacity = 1.5f}); });
  expect_error(Kind::usage, "outline", [] { overlay(kGrey, Mask(100, 80), {.outline = 1000}); });
  Image grey(4, 4, 1);
  expect_error(Kind::usage, "channels", [&] { draw_point(grey, 1, 1, true); });
}

}  // namespace
}  // namespace beckon
