#include "models/sam/full_mask.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace beckon::sam {
namespace {

struct Range {
  int begin = 0, end = 0;
  bool empty() const { return begin >= end; }
};

// Outputs that read any of the inputs in `active`.
Range outputs_of(const LinearAxis& axis, const Range& active) {
  const auto& first = axis.first;  // ascending
  const auto begin = std::partition_point(first.begin(), first.end(),
                                          [&](int f) { return f + axis.taps <= active.begin; });
  const auto end = std::partition_point(begin, first.end(), [&](int f) { return f < active.end; });
  return {static_cast<int>(begin - first.begin()), static_cast<int>(end - first.begin())};
}

// Rows and columns that hold a value above `floor`.
struct Active {
  Range rows, columns;
};
Active active_part(std::span<const float> logits, int width, int height, float floor) {
  Active a{{height, 0}, {width, 0}};
  for (int y = 0; y < height; ++y) {
    const float* row = logits.data() + static_cast<ptrdiff_t>(y) * width;
    int left = 0, right = width;
    while (left < width && !(row[left] > floor)) ++left;
    if (left == width) continue;
    while (!(row[right - 1] > floor)) --right;
    a.rows = {std::min(a.rows.begin, y), y + 1};
    a.columns = {std::min(a.columns.begin, left), std::max(a.columns.end, right)};
  }
  return a;
}

}  // namespace

FullAxes::FullAxes(const Frame& f, ImageSize low)
    : x(then(bilinear_axis(low.width, f.side), bilinear_axis(f.resized.width, f.image.width))),
      y(then(bilinear_axis(low.height, f.side), bilinear_axis(f.resized.height, f.image.height))) {}

FullMask full_mask(std::span<const float> logits, const FullAxes& axes, float offset) {
  const LinearAxis &ax = axes.x, &ay = axes.y;
  // An interpolated value is at most the largest it is made of, and a little for rounding.
  const float floor = std::min({-offset, offset, 0.0f}) - 1e-2f;
  const Active active = active_part(logits, ax.in, ay.in, floor);
  FullMask full;
  const Range xs = outputs_of(ax, active.columns), ys = outputs_of(ay, active.rows);
  if (active.rows.empty() || xs.empty() || ys.empty()) {
    full.stability = std::numeric_limits<double>::quiet_NaN();
    return full;
  }

  // Rows first, then columns, in the order of PlaneRows: the bits are the same.
  const int width = xs.end - xs.begin;
  const int low_begin = ay.first[static_cast<size_t>(ys.begin)];
  const int low_end = ay.first[static_cast<size_t>(ys.end) - 1] + ay.taps;
  std::vector<float> wide(static_cast<size_t>(low_end - low_begin) * static_cast<size_t>(width));
  for (int r = low_begin; r < low_end; ++r) {
    const float* from = logits.data() + static_cast<ptrdiff_t>(r) * ax.in;
    float* to = wide.data() + static_cast<ptrdiff_t>(r - low_begin) * width;
    for (int i = 0; i < width; ++i) {
      const auto out = static_cast<size_t>(xs.begin + i);
      const float* weight = ax.weight.data() + out * static_cast<size_t>(ax.taps);
      const float* taps = from + ax.first[out];
      if (ax.taps == 2) {
        to[i] = weight[0] * taps[0] + weight[1] * taps[1];
        continue;
      }
      float sum = 0;
      for (int t = 0; t < ax.taps; ++t) sum += weight[t] * taps[t];
      to[i] = sum;
    }
  }

  full.part = Mask(width, ys.end - ys.begin);
  full.x = xs.begin;
  full.y = ys.begin;
  int64_t above = 0, below = 0;
  int left = width, right = -1, top = -1, bottom = -1;
  std::vector<float> line(static_cast<size_t>(width));
  for (int y = ys.begin; y < ys.end; ++y) {
    const auto out = static_cast<size_t>(y);
    const float* weight = ay.weight.data() + out * static_cast<size_t>(ay.taps);
    const float* low = wide.data() + static_cast<ptrdiff_t>(ay.first[out] - low_begin) * width;
    for (int i = 0; i < width; ++i) line[static_cast<size_t>(i)] = weight[0] * low[i];
    for (int t = 1; t < ay.taps; ++t) {
      const float w = weight[t];
      if (w == 0.0f) continue;
      const float* tap = low + static_cast<ptrdiff_t>(t) * width;
      for (int i = 0; i < width; ++i) line[static_cast<size_t>(i)] += w * tap[i];
    }
    uint8_t* to = full.part.mutable_row(y - ys.begin);
    int over = 0, under = 0, object = 0;
    for (int i = 0; i < width; ++i) {
      const float v = line[static_cast<size_t>(i)];
      over += v > offset;
      under += v > -offset;
      to[i] = v > 0;
      object += v > 0;
    }
    above += over;
    below += under;
    if (object == 0) continue;
    if (top < 0) top = y;
    bottom = y;
    int first = 0, last = width - 1;
    while (!to[first]) ++first;
    while (!to[last]) --last;
    left = std::min(left, first);
    right = std::max(right, last);
  }
  full.stability = static_cast<double>(above) / static_cast<double>(below);
  if (top >= 0) full.box = {xs.begin + left, top, right - left + 1, bottom - top + 1};
  return full;
}

}  // namespace beckon::sam
