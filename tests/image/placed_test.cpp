// Run lengths of parts of a picture.
#include "image/placed.h"

#include <gtest/gtest.h>

#include "beckon/error.h"
#include "beckon/mask.h"

namespace beckon {
namespace {

Mask noisy_mask(int width, int height, unsigned seed) {
  Mask mask(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      seed = seed * 1664525u + 1013904223u;
      mask.set(x, y, (seed >> 24) > 120);
    }
  return mask;
}

TEST(Placed, PutsAPartWhereItBelongs) {
  for (const unsigned seed : {1u, 2u, 3u}) {
    const Mask part = noisy_mask(7, 5, seed);
    Mask expected(20, 11);
    for (int y = 0; y < 5; ++y)
      for (int x = 0; x < 7; ++x) expected.set(x + 13, y + 6, part.at(x, y));
    EXPECT_EQ(runs::placed(part.rle(), 13, 6, {20, 11}), expected.rle());
    EXPECT_EQ(runs::placed(part.rle(), 0, 0, {7, 5}), part.rle());
  }
  // Full columns of a part as high as the whole join.
  EXPECT_EQ(runs::placed((~Mask(3, 4)).rle(), 2, 0, {6, 4}).counts().size(), 3u);
}

TEST(Placed, CutsOutAPart) {
  const Mask whole = noisy_mask(23, 17, 4);
  for (const PixelBox box :
       {PixelBox{0, 0, 23, 17}, {4, 3, 9, 11}, {22, 16, 1, 1}, {0, 5, 23, 1}}) {
    Mask expected(box.width, box.height);
    for (int y = 0; y < box.height; ++y)
      for (int x = 0; x < box.width; ++x) expected.set(x, y, whole.at(x + box.x, y + box.y));
    EXPECT_EQ(runs::cut_out(whole.rle(), box), expected.rle());
  }
}

TEST(Placed, RefusesWhatDoesNotFit) {
  EXPECT_THROW(runs::placed(Rle(ImageSize{5, 5}), 1, 0, {5, 5}), Error);
  EXPECT_THROW(runs::placed(Rle(ImageSize{5, 5}), -1, 0, {9, 9}), Error);
  EXPECT_THROW(runs::cut_out(Rle(ImageSize{5, 5}), {1, 1, 5, 2}), Error);
  EXPECT_THROW(runs::cut_out(Rle(ImageSize{5, 5}), {1, 1, 0, 2}), Error);
}

}  // namespace
}  // namespace beckon
