#include "beckon/polygon.h"

#include <limits>

#include <gtest/gtest.h>

#include "image/sample_masks.h"
#include "support/check.h"

namespace beckon {
namespace {

using test::blocky_mask;
using test::drawn;
using test::expect_error;
using test::random_mask;

TEST(Polygon, APixelIsASquareClockwise) {
  const auto polygons = polygons_of(drawn({"...", ".#.", "..."}));
  ASSERT_EQ(polygons.size(), 1u);
  EXPECT_EQ(polygons[0].outer, (Ring{{2, 1}, {2, 2}, {1, 2}, {1, 1}}));
  EXPECT_TRUE(polygons[0].holes.empty());
}

TEST(Polygon, HolesBelongToTheirPartAndIslandsAreTheirOwn) {
  const auto polygons = polygons_of(drawn({
      "#######.#",
      "#.....#..",
      "#.###.#..",
      "#.#.#.#..",
      "#.###.#..",
      "#.....#..",
      "#######..",
  }));
  ASSERT_EQ(polygons.size(), 3u);
  EXPECT_EQ(polygons[0].outer.size(), 4u);
  ASSERT_EQ(polygons[0].holes.size(), 1u);
  EXPECT_EQ(polygons[0].holes[0].size(), 4u);
  EXPECT_TRUE(polygons[1].holes.empty());
  ASSERT_EQ(polygons[2].holes.size(), 1u);
}

TEST(Polygon, PartsThatTouchByACornerAreOne) {
  const auto polygons = polygons_of(drawn({"#.", ".#"}));
  ASSERT_EQ(polygons.size(), 1u);
  EXPECT_EQ(polygons[0].outer.size(), 8u);
}

TEST(Polygon, RoundTripIsExact) {
  for (uint32_t seed = 1; seed <= 60; ++seed) {
    const int width = 1 + static_cast<int>(seed * 7 % 50),
              height = 1 + static_cast<int>(seed * 13 % 40);
    for (const Mask& mask : {random_mask(width, height, seed, 1 + static_cast<int>(seed % 4)),
                             blocky_mask(width, height, seed)}) {
      const auto polygons = polygons_of(mask);
      EXPECT_EQ(mask_from_polygons(polygons, mask.size()), mask) << "seed " << seed;
      EXPECT_EQ(polygons.size(), components(mask).size());
      for (const Polygon& polygon : polygons) EXPECT_GE(polygon.outer.size(), 4u);
    }
  }
  EXPECT_TRUE(polygons_of(Mask(5, 5)).empty());
  EXPECT_TRUE(polygons_of(Mask()).empty());
}

TEST(Polygon, PixelsAreInByTheirCentre) {
  // A triangle over the lower left half of 4 x 4: the centres on the diagonal itself are not left
  // of it.
  const Ring triangle{{0, 0}, {4, 4}, {0, 4}};
  EXPECT_EQ(mask_from_rings(std::span(&triangle, 1), {4, 4}),
            drawn({"....", "#...", "##..", "###."}));
  const Ring half{{0.6, 0.6}, {3.4, 0.6}, {3.4, 2.4}, {0.6, 2.4}};
  EXPECT_EQ(mask_from_rings(std::span(&half, 1), {4, 3}), drawn({"....", ".##.", "...."}));
}

TEST(Polygon, WhatLiesOutsideIsCutOff) {
  const Ring large{{-1e300, -1e300}, {1e300, -1e300}, {1e300, 1e300}, {-1e300, 1e300}};
  EXPECT_EQ(mask_from_rings(std::span(&large, 1), {5, 4}), ~Mask(5, 4));
  const Ring away{{10, 10}, {20, 10}, {20, 20}};
  EXPECT_EQ(mask_from_rings(std::span(&away, 1), {5, 4}).area(), 0);
}

TEST(Polygon, TwiceTheSameRingIsNothing) {
  const Ring square{{1, 1}, {3, 1}, {3, 3}, {1, 3}};
  const Ring both[] = {square, square};
  EXPECT_EQ(mask_from_rings(both, {4, 4}).area(), 0);
  const Ring empty[] = {{}, {{1, 1}}, {{1, 1}, {3, 3}}};
  EXPECT_EQ(mask_from_rings(empty, {4, 4}).area(), 0);
}

TEST(Polygon, CoordinatesThatAreNoNumbersAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const Ring ring{{0, 0}, {nan, 1}, {1, 1}};
  expect_error(Kind::input, "vertex 1", [&] { mask_from_rings(std::span(&ring, 1), {4, 4}); });
  expect_error(Kind::input, "vertex 1", [&] { coco_rle_from_ring(ring, {4, 4}); });
  const Ring far{{0, 0}, {1e9, 0}, {0, 5}};
  expect_error(Kind::input, "vertex 1", [&] { coco_rle_from_ring(far, {4, 4}); });
  Ring long_way;
  for (int i = 0; i < 100; ++i) long_way.push_back({i % 2 ? 1e7 : -1e7, 0});
  expect_error(Kind::input, "longer", [&] { coco_rle_from_ring(long_way, {4, 4}); });
}

TEST(Polygon, CocoFillsWholePixelsWholly) {
  const Ring square{{1, 1}, {3, 1}, {3, 4}, {1, 4}};
  EXPECT_EQ(Mask::from_rle(coco_rle_from_ring(square, {5, 5})),
            Mask::from_box({1, 1, 2, 3}, {5, 5}));
  EXPECT_EQ(Mask::from_rle(coco_rle_from_box(1, 1, 2, 3, {5, 5})),
            Mask::from_box({1, 1, 2, 3}, {5, 5}));
  EXPECT_EQ(coco_rle_from_ring({}, {5, 5}).area(), 0);
  EXPECT_EQ(coco_rle_from_box(-3, -3, 100, 100, {5, 4}).area(), 20);
}

}  // namespace
}  // namespace beckon
