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

// Outputs begin..end of a row, counted from the first that is looked at. sign 1: surely above every
// threshold; 0: to be interpolated. What is surely below has no span.
struct Span {
  int begin, end, sign;
};

// The spans of all output rows that are made of the low-resolution rows from `low_row` on. Where
// all that an output is made of lies on one side of the thresholds, so does the output: weights are
// not negative and sum to one. At the sizes of photos that is nearly everywhere.
void find_spans(std::span<const float> logits, const FullAxes& axes, Range xs, int low_row,
                float floor, float ceiling, std::vector<Span>& spans) {
  const LinearAxis &ax = axes.x, &ay = axes.y;
  const auto range_of = [&](int low_column) {
    float least = INFINITY, most = -INFINITY;
    bool number = true;
    for (int r = 0; r < ay.taps; ++r) {
      const float* row =
          logits.data() + static_cast<ptrdiff_t>(std::min(low_row + r, ay.in - 1)) * ax.in;
      for (int t = 0; t < ax.taps; ++t) {
        const float v = row[std::min(low_column + t, ax.in - 1)];
        number = number && !std::isnan(v);
        least = std::min(least, v), most = std::max(most, v);
      }
    }
    return number ? std::pair(least, most) : std::pair(-INFINITY, INFINITY);
  };
  spans.clear();
  for (int x = xs.begin; x < xs.end;) {
    const int column = ax.first[static_cast<size_t>(x)];
    int end = x + 1;
    while (end < xs.end && ax.first[static_cast<size_t>(end)] == column) ++end;
    const auto [least, most] = range_of(column);
    // Rounding grows with the values.
    const float slack = 1e-5f * std::max(std::abs(least), std::abs(most));
    const int sign = least > ceiling + slack ? 1 : most < floor - slack ? -1 : 0;
    const int from = x - xs.begin, to = end - xs.begin;
    if (sign >= 0) {
      if (!spans.empty() && spans.back().end == from && spans.back().sign == sign)
        spans.back().end = to;
      else
        spans.push_back({from, to, sign});
    }
    x = end;
  }
}

// Rows before columns, in the order of PlaneRows: the bits are the same.
void widen(std::span<const float> logits, const FullAxes& axes, int first_column, int low_row,
           const std::vector<Span>& spans, std::vector<float>& wide) {
  const LinearAxis &ax = axes.x, &ay = axes.y;
  const size_t width = wide.size() / static_cast<size_t>(ay.taps);
  for (int r = 0; r < ay.taps && low_row + r < ay.in; ++r) {
    const float* from = logits.data() + static_cast<ptrdiff_t>(low_row + r) * ax.in;
    float* to = wide.data() + static_cast<size_t>(r) * width;
    for (const Span& span : spans) {
      if (span.sign > 0) continue;
      for (int i = span.begin; i < span.end; ++i) {
        const auto out = static_cast<size_t>(first_column + i);
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
  }
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

  const int width = xs.end - xs.begin;
  full.part = Mask(width, ys.end - ys.begin);
  full.x = xs.begin;
  full.y = ys.begin;
  const float ceiling = std::max({offset, -offset, 0.0f}) + 1e-2f;
  int64_t above = 0, below = 0;
  int left = width, right = -1, top = -1, bottom = -1;
  std::vector<float> line(static_cast<size_t>(width));
  // The low-resolution rows that outputs are made of, as wide as the image; filled where needed.
  std::vector<float> wide(static_cast<size_t>(ay.taps) * static_cast<size_t>(width));
  std::vector<Span> spans;
  int spans_of = -1;
  for (int y = ys.begin; y < ys.end; ++y) {
    const auto out = static_cast<size_t>(y);
    if (ay.first[out] != spans_of) {
      spans_of = ay.first[out];
      find_spans(logits, axes, xs, spans_of, floor, ceiling, spans);
      widen(logits, axes, xs.begin, spans_of, spans, wide);
    }
    const float* weight = ay.weight.data() + out * static_cast<size_t>(ay.taps);
    const float* low = wide.data();
    uint8_t* to = full.part.mutable_row(y - ys.begin);
    int first = width, last = -1;
    for (const Span& span : spans) {
      if (span.sign > 0) {
        std::fill(to + span.begin, to + span.end, uint8_t{1});
        above += span.end - span.begin;
        below += span.end - span.begin;
        first = std::min(first, span.begin);
        last = span.end - 1;
        continue;
      }
      for (int i = span.begin; i < span.end; ++i) line[static_cast<size_t>(i)] = weight[0] * low[i];
      for (int t = 1; t < ay.taps; ++t) {
        const float w = weight[t];
        if (w == 0.0f) continue;
        const float* tap = low + static_cast<ptrdiff_t>(t) * width;
        for (int i = span.begin; i < span.end; ++i) line[static_cast<size_t>(i)] += w * tap[i];
      }
      int over = 0, under = 0, object = 0;
      for (int i = span.begin; i < span.end; ++i) {
        const float v = line[static_cast<size_t>(i)];
        over += v > offset;
        under += v > -offset;
        object += v > 0;
      }
      // By itself: with a store of bytes the loop above is not made one of vectors.
      for (int i = span.begin; i < span.end; ++i) to[i] = line[static_cast<size_t>(i)] > 0;
      above += over;
      below += under;
      if (object == 0) continue;
      int begin = span.begin, end = span.end;
      while (!to[begin]) ++begin;
      while (!to[end - 1]) --end;
      first = std::min(first, begin);
      last = end - 1;
    }
    if (last < 0) continue;
    if (top < 0) top = y;
    bottom = y;
    left = std::min(left, first);
    right = std::max(right, last);
  }
  full.stability = static_cast<double>(above) / static_cast<double>(below);
  if (top >= 0) full.box = {xs.begin + left, top, right - left + 1, bottom - top + 1};
  return full;
}

}  // namespace beckon::sam
