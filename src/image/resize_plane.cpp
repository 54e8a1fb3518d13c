// Bilinear resize of one plane of floats, a row at a time.
#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "base/threads.h"
#include "beckon/resize.h"

namespace beckon {

LinearAxis bilinear_axis(int in, int out) {
  if (in < 1 || out < 1) fail(Kind::usage, "bilinear: from {} to {}, expected at least 1", in, out);
  LinearAxis axis{in, out, std::min(in, 2), {}, {}};
  axis.first.resize(static_cast<size_t>(out));
  axis.weight.assign(static_cast<size_t>(out) * axis.taps, 0.0f);
  const float step = static_cast<float>(in) / static_cast<float>(out);
  for (int i = 0; i < out; ++i) {
    const float position = std::max((static_cast<float>(i) + 0.5f) * step - 0.5f, 0.0f);
    const int before = std::min(static_cast<int>(position), in - 1);
    const float rest =
        before == in - 1 ? 0.0f : std::clamp(position - static_cast<float>(before), 0.0f, 1.0f);
    // Both taps stay inside: at the far end the pair moves one back and the last input gets all the
    // weight.
    const int first = std::min(before, in - axis.taps);
    float* weight = axis.weight.data() + static_cast<size_t>(i) * axis.taps;
    weight[before - first] += 1.0f - rest;
    if (rest > 0) weight[before - first + 1] += rest;
    axis.first[i] = first;
  }
  return axis;
}

LinearAxis smooth_axis(int in, int out) {
  if (in < 1 || out < 1) fail(Kind::usage, "bilinear: from {} to {}, expected at least 1", in, out);
  const double scale = static_cast<double>(in) / out;
  const double support = std::max(scale, 1.0);  // of the triangle, to either side
  const int taps = std::min(static_cast<int>(std::ceil(support)) * 2 + 1, in);
  LinearAxis axis{in, out, taps, {}, {}};
  axis.first.resize(static_cast<size_t>(out));
  axis.weight.assign(static_cast<size_t>(out) * static_cast<size_t>(taps), 0.0f);
  std::vector<double> exact(static_cast<size_t>(taps));
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int begin = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), in) - begin;
    double sum = 0;
    for (int t = 0; t < count; ++t) {
      exact[t] = std::max(1.0 - std::abs((begin + t + 0.5 - center) / support), 0.0);
      sum += exact[t];
    }
    const int first = std::min(begin, in - taps);  // all taps stay inside
    float* weight = axis.weight.data() + static_cast<size_t>(i) * taps + (begin - first);
    for (int t = 0; t < count; ++t) weight[t] = static_cast<float>(exact[t] / sum);
    axis.first[i] = first;
  }
  return axis;
}

LinearAxis then(const LinearAxis& a, const LinearAxis& b) {
  if (b.in > a.out)
    fail(Kind::usage, "resize: the second step reads {} values, the first makes {}", b.in, a.out);
  const auto tap = [](const LinearAxis& axis, int i, int t) {
    return axis.weight[static_cast<size_t>(i) * axis.taps + t];
  };
  // The span of inputs behind each output decides how many taps are needed.
  int taps = 1;
  for (int i = 0; i < b.out; ++i)
    taps = std::max(taps, a.first[b.first[i] + b.taps - 1] + a.taps - a.first[b.first[i]]);
  taps = std::min(taps, a.in);
  LinearAxis axis{a.in, b.out, taps, {}, {}};
  axis.first.resize(static_cast<size_t>(b.out));
  axis.weight.assign(static_cast<size_t>(b.out) * taps, 0.0f);
  for (int i = 0; i < b.out; ++i) {
    const int first = std::min(a.first[b.first[i]], a.in - taps);
    axis.first[i] = first;
    for (int t = 0; t < b.taps; ++t) {
      const int middle = b.first[i] + t;
      for (int s = 0; s < a.taps; ++s) {
        axis.weight[static_cast<size_t>(i) * taps + (a.first[middle] + s - first)] +=
            tap(b, i, t) * tap(a, middle, s);
      }
    }
  }
  return axis;
}

PlaneRows::PlaneRows(std::span<const float> plane, const LinearAxis& x, const LinearAxis& y)
    : x_out_(x.out), y_(y) {
  if (static_cast<int64_t>(plane.size()) != int64_t{x.in} * y.in)
    fail(Kind::usage, "resize: a plane of {} values, expected {} rows of {}", plane.size(), y.in,
         x.in);
  wide_.resize(static_cast<size_t>(y.in) * x.out);
  parallel_for(y.in, 16, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line) {
      const float* from = plane.data() + static_cast<size_t>(line) * x.in;
      float* to = wide_.data() + static_cast<size_t>(line) * x.out;
      if (x.taps == 2) {  // enlarging, the usual case, without a loop over taps
        const float* weight = x.weight.data();
        for (int i = 0; i < x.out; ++i) {
          const float* pair = from + x.first[static_cast<size_t>(i)];
          to[i] = weight[2 * i] * pair[0] + weight[2 * i + 1] * pair[1];
        }
        continue;
      }
      for (int i = 0; i < x.out; ++i) {
        const float* weight = x.weight.data() + static_cast<size_t>(i) * x.taps;
        float sum = 0;
        for (int t = 0; t < x.taps; ++t) sum += weight[t] * from[x.first[i] + t];
        to[i] = sum;
      }
    }
  });
}

void PlaneRows::row(int i, float* out) const {
  const float* weight = y_.weight.data() + static_cast<size_t>(i) * y_.taps;
  const float* line = wide_.data() + static_cast<size_t>(y_.first[i]) * x_out_;
  const auto width = static_cast<size_t>(x_out_);
  if (y_.taps == 2 && weight[1] != 0.0f) {
    const float a = weight[0], b = weight[1];
    const float* below = line + width;
    for (size_t x = 0; x < width; ++x) out[x] = a * line[x] + b * below[x];
    return;
  }
  for (size_t x = 0; x < width; ++x) out[x] = weight[0] * line[x];
  for (int t = 1; t < y_.taps; ++t) {
    if (weight[t] == 0.0f) continue;
    const float* next = line + static_cast<size_t>(t) * width;
    for (size_t x = 0; x < width; ++x) out[x] += weight[t] * next[x];
  }
}

std::vector<float> resize_plane(std::span<const float> plane, ImageSize from, ImageSize to,
                                bool smooth) {
  const auto axis = smooth ? smooth_axis : bilinear_axis;
  const PlaneRows rows(plane, axis(from.width, to.width), axis(from.height, to.height));
  std::vector<float> result(static_cast<size_t>(to.width) * static_cast<size_t>(to.height));
  parallel_for(to.height, 32, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y)
      rows.row(static_cast<int>(y),
               result.data() + static_cast<size_t>(y) * static_cast<size_t>(to.width));
  });
  return result;
}

}  // namespace beckon
