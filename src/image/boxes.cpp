#include "beckon/boxes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/fail.h"

namespace beckon {
namespace {

struct Overlap {
  float shared, joined;
};

Overlap overlap(const Rect& a, const Rect& b) {
  const float width = std::max(std::min(a.x1, b.x1) - std::max(a.x0, b.x0), 0.0f);
  const float height = std::max(std::min(a.y1, b.y1) - std::max(a.y0, b.y0), 0.0f);
  const float shared = width * height;
  return {shared, area(a) + area(b) - shared};
}

std::vector<int64_t> by_descending_score(std::span<const float> scores) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const auto key = [&](int64_t i) { return std::isnan(scores[i]) ? -INFINITY : scores[i]; };
  std::stable_sort(order.begin(), order.end(),
                   [&](int64_t a, int64_t b) { return key(a) > key(b); });
  return order;
}

// may_suppress(kept, other): whether the two compete at all.
template <typename MaySuppress>
std::vector<int64_t> greedy(std::span<const Rect> boxes, std::span<const float> scores,
                            float threshold, MaySuppress&& may_suppress) {
  if (boxes.size() != scores.size())
    fail(Kind::usage, "nms: {} boxes and {} scores", boxes.size(), scores.size());
  std::vector<int64_t> kept;
  for (const int64_t candidate : by_descending_score(scores)) {
    const bool covered = std::any_of(kept.begin(), kept.end(), [&](int64_t better) {
      return may_suppress(better, candidate) && iou(boxes[better], boxes[candidate]) > threshold;
    });
    if (!covered) kept.push_back(candidate);
  }
  return kept;
}

}  // namespace

Rect rect_from(const CenterBox& box) {
  return {box.cx - 0.5f * box.width, box.cy - 0.5f * box.height, box.cx + 0.5f * box.width,
          box.cy + 0.5f * box.height};
}

Rect rect_from(const PixelBox& box) {
  return {static_cast<float>(box.x), static_cast<float>(box.y),
          static_cast<float>(box.x + box.width), static_cast<float>(box.y + box.height)};
}

PixelBox pixel_box_from(const Rect& rect) {
  const auto whole = [](float v) {
    constexpr float kMost = 1 << 29;
    return std::isnan(v) ? 0 : static_cast<int>(std::clamp(v, -kMost, kMost));
  };
  const int x0 = whole(rect.x0), y0 = whole(rect.y0);
  return {x0, y0, whole(rect.x1) - x0, whole(rect.y1) - y0};
}

CenterBox center_box_from(const Rect& rect) {
  return {(rect.x0 + rect.x1) / 2, (rect.y0 + rect.y1) / 2, rect.x1 - rect.x0, rect.y1 - rect.y0};
}

Rect scaled(const Rect& rect, float width, float height) {
  return {rect.x0 * width, rect.y0 * height, rect.x1 * width, rect.y1 * height};
}

float area(const Rect& rect) { return (rect.x1 - rect.x0) * (rect.y1 - rect.y0); }

float iou(const Rect& a, const Rect& b, float epsilon) {
  const Overlap pair = overlap(a, b);
  return pair.shared / (pair.joined + epsilon);
}

float generalized_iou(const Rect& a, const Rect& b, float epsilon) {
  const Overlap pair = overlap(a, b);
  const Rect hull{std::min(a.x0, b.x0), std::min(a.y0, b.y0), std::max(a.x1, b.x1),
                  std::max(a.y1, b.y1)};
  const float hull_area = area(hull);
  return pair.shared / (pair.joined + epsilon) - (hull_area - pair.joined) / (hull_area + epsilon);
}

std::vector<int64_t> nms(std::span<const Rect> boxes, std::span<const float> scores,
                         float iou_threshold) {
  return greedy(boxes, scores, iou_threshold, [](int64_t, int64_t) { return true; });
}

std::vector<int64_t> class_wise_nms(std::span<const Rect> boxes, std::span<const float> scores,
                                    std::span<const int64_t> classes, float iou_threshold) {
  if (boxes.size() != classes.size())
    fail(Kind::usage, "nms: {} boxes and {} classes", boxes.size(), classes.size());
  return greedy(boxes, scores, iou_threshold,
                [&](int64_t a, int64_t b) { return classes[a] == classes[b]; });
}

}  // namespace beckon
