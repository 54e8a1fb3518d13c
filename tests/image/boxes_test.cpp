#include "beckon/boxes.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "support/check.h"

namespace beckon {
namespace {

using test::expect_error;

TEST(Boxes, Overlap) {
  // 10 x 10 each, sharing 5 x 10: 50 / 150; the hull is 15 x 10, so nothing of it is uncovered.
  EXPECT_FLOAT_EQ(iou({0, 0, 10, 10}, {5, 0, 15, 10}), 1.0f / 3);
  EXPECT_FLOAT_EQ(generalized_iou({0, 0, 10, 10}, {5, 0, 15, 10}), 1.0f / 3);
  // Apart by a box's width: 0 - 10 / 30.
  EXPECT_FLOAT_EQ(generalized_iou({0, 0, 1, 10}, {2, 0, 3, 10}), -1.0f / 3);
  EXPECT_FLOAT_EQ(iou({0, 0, 1, 1}, {1, 0, 2, 1}), 0);
  EXPECT_TRUE(std::isnan(iou({1, 1, 1, 1}, {1, 1, 1, 1})));
  EXPECT_FLOAT_EQ(iou({1, 1, 1, 1}, {1, 1, 1, 1}, 1e-6f), 0);
}

TEST(Boxes, SuppressionKeepsTheBestAndTheOrderOfEquals) {
  const std::vector<Rect> boxes{{0, 0, 10, 10}, {0, 0, 10, 9}, {20, 0, 30, 10}, {0, 0, 10, 10}};
  EXPECT_EQ(nms(boxes, std::vector<float>{0.5f, 0.9f, 0.1f, 0.5f}, 0.5f),
            (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(nms(boxes, std::vector<float>{0.5f, 0.5f, 0.5f, 0.5f}, 0.95f),
            (std::vector<int64_t>{0, 1, 2}));
  // Only an IoU over the threshold suppresses: here it is 0.9.
  EXPECT_EQ(nms(std::span(boxes).first(2), std::vector<float>{1, 0}, 0.9f).size(), 2u);
  EXPECT_EQ(nms(boxes, std::vector<float>{NAN, 0.9f, 0.1f, 0.5f}, 0.5f),
            (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(class_wise_nms(boxes, std::vector<float>{0.5f, 0.9f, 0.1f, 0.4f},
                           std::vector<int64_t>{1, 2, 1, 1}, 0.5f),
            (std::vector<int64_t>{1, 0, 2}));
  EXPECT_TRUE(nms({}, {}, 0.5f).empty());
  expect_error(Kind::usage, "4 boxes and 1 scores",
               [&] { nms(boxes, std::vector<float>{1}, 0.5f); });
}

TEST(Boxes, PixelsAreCutOffTowardsZero) {
  EXPECT_EQ(pixel_box_from({1.9f, -1.9f, 10.2f, 3.99f}), (PixelBox{1, -1, 9, 4}));
  EXPECT_EQ(rect_from(pixel_box_from({3, 4, 13, 24})), (Rect{3, 4, 13, 24}));
  // What no picture has neither wraps round nor is undefined.
  EXPECT_EQ(pixel_box_from({-1e30f, NAN, INFINITY, 5}), (PixelBox{-(1 << 29), 0, 1 << 30, 5}));
}

TEST(Boxes, Conversions) {
  EXPECT_EQ(rect_from(PixelBox{2, 3, 4, 5}), (Rect{2, 3, 6, 8}));
  EXPECT_EQ(rect_from(CenterBox{4, 5, 2, 4}), (Rect{3, 3, 5, 7}));
  EXPECT_EQ(scaled({0.5f, 0.25f, 1, 1}, 100, 200), (Rect{50, 50, 100, 200}));
  EXPECT_FLOAT_EQ(area({1, 2, 4, 6}), 12);
}

}  // namespace
}  // namespace beckon
