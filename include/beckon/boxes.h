// Boxes as four numbers: conversions, overlap, non-maximum suppression.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "beckon/export.h"

namespace beckon {

// The pixels x to x + width - 1, y to y + height - 1: COCO's bounding box. All zero if there are
// none.
struct PixelBox {
  int x = 0;
  int y = 0;
  int width = 0;
  int height = 0;
  friend bool operator==(const PixelBox&, const PixelBox&) = default;
};

// Two corners in pixels or fractions; x0 <= x1 and y0 <= y1 for a box that contains something.
struct Rect {
  float x0 = 0;
  float y0 = 0;
  float x1 = 0;
  float y1 = 0;
  friend bool operator==(const Rect&, const Rect&) = default;
};

// [centre x, centre y, width, height], as detectors predict them.
struct CenterBox {
  float cx = 0;
  float cy = 0;
  float width = 0;
  float height = 0;
};

BECKON_API Rect rect_from(const CenterBox& box);
BECKON_API Rect rect_from(const PixelBox& box);
BECKON_API CenterBox center_box_from(const Rect& rect);
// Corners cut off towards zero, as programs do before they draw or crop; they stay within 2^29
// either way, NaN becomes 0. Width and height are negative for sides turned round.
BECKON_API PixelBox pixel_box_from(const Rect& rect);
// All four numbers times the sides: fractions to pixels.
BECKON_API Rect scaled(const Rect& rect, float width, float height);

// Width times height, without Pascal VOC's + 1; negative if one side is turned round.
BECKON_API float area(const Rect& rect);

// Intersection over union, 0 to 1; sides turned round count as empty. `epsilon` is added to the
// divisor, as Grounding DINO's tools do with 1e-6; without it two boxes of area 0 give NaN, as in
// torchvision.
BECKON_API float iou(const Rect& a, const Rect& b, float epsilon = 0);
// IoU minus the share of the smallest enclosing box that neither covers; -1 to 1.
BECKON_API float generalized_iou(const Rect& a, const Rect& b, float epsilon = 0);

// Greedy suppression: by descending score (equal ones keep their order, NaN comes last) a box is
// kept unless its IoU with one kept before is over the threshold. Returns the indices that stay, in
// that order. Kind::usage if the lengths differ.
BECKON_API std::vector<int64_t> nms(std::span<const Rect> boxes, std::span<const float> scores,
                                    float iou_threshold);
// The same, where only boxes of the same class suppress each other.
BECKON_API std::vector<int64_t> class_wise_nms(std::span<const Rect> boxes,
                                               std::span<const float> scores,
                                               std::span<const int64_t> classes,
                                               float iou_threshold);

}  // namespace beckon
