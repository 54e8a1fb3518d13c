// Outlines with a budget of corners.
#include <gtest/gtest.h>

#include "beckon/annotation.h"
#include "support/check.h"

namespace beckon::test {
namespace {

Mask disc(int size, int radius) {
  Mask mask(size, size);
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x)
      mask.set(x, y,
               (2 * x + 1 - size) * (2 * x + 1 - size) + (2 * y + 1 - size) * (2 * y + 1 - size) <
                   4 * radius * radius);
  return mask;
}

TEST(Simplify, KeepsTheBudgetAndSaysWhatItCosts) {
  const Mask mask = disc(200, 90);
  double before = 2;
  for (const int64_t budget : {1000, 64, 24, 8, 3}) {
    const SimplifiedOutline simple = simplify(mask.rle(), budget);
    EXPECT_LE(simple.vertices, budget);
    const Mask again = mask_from_polygons(simple.outline.parts, mask.size());
    EXPECT_DOUBLE_EQ(simple.iou, iou(again, mask));
    EXPECT_LE(simple.iou, before);
    before = simple.iou;
  }
  EXPECT_EQ(simplify(mask.rle(), 1000).iou, 1) << "enough corners: nothing changes";
  EXPECT_GT(simplify(mask.rle(), 64).iou, 0.99);
  EXPECT_GT(simplify(mask.rle(), 24).iou, 0.97);
}

TEST(Simplify, LargePartsAndHolesOutliveSmallOnes) {
  Mask mask =
      Mask::from_box({10, 10, 60, 60}, {100, 100}) - Mask::from_box({20, 20, 30, 30}, {100, 100});
  mask = mask | Mask::from_box({90, 90, 2, 2}, {100, 100});
  mask = mask - Mask::from_box({60, 60, 1, 1}, {100, 100});
  const SimplifiedOutline simple = simplify(mask.rle(), 8);
  ASSERT_EQ(simple.outline.parts.size(), 1u);
  EXPECT_EQ(simple.outline.parts[0].holes.size(), 1u);
  EXPECT_GT(simple.iou, 0.99);
}

TEST(Simplify, ThinAndSingleThingsStay) {
  Mask dot(9, 9);
  dot.set(4, 4, true);
  EXPECT_EQ(simplify(dot.rle(), 3).outline.parts.size(), 1u);
  EXPECT_TRUE(simplify(Mask(5, 5).rle(), 3).outline.parts.empty());
  expect_error(Kind::usage, "at least 3", [&] { simplify(dot.rle(), 2); });
}

}  // namespace
}  // namespace beckon::test
