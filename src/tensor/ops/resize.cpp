// Resampling of maps [B,H,W,C]: resize to another size, and sampling at given places.
//
// A resize is separable: an output row is a mix of a few input rows, then an output pixel a mix of
// a few pixels of that row. Tables hold which and how much, once per axis.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/ops/common.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::floats;
using detail::for_rows;

// output[i] = sum over k of weight[i * count + k] * input[index[i * count + k]]
struct Taps {
  int64_t in = 0, out = 0;
  int count = 1;
  std::vector<int64_t> index;
  std::vector<float> weight;
};

// The place in the input, in pixels, of the centre of output pixel i. In float, as the reference
// computes it: rounding decides which pixels are read.
float source_place(int64_t i, int64_t in, int64_t out, bool align_corners) {
  if (align_corners) {
    const float scale = out > 1 ? static_cast<float>(in - 1) / static_cast<float>(out - 1) : 0.0f;
    return scale * static_cast<float>(i);
  }
  const float scale = static_cast<float>(in) / static_cast<float>(out);
  return scale * (static_cast<float>(i) + 0.5f) - 0.5f;
}

// Keys' cubic with a = -0.75, at distances 1+t, t, 1-t, 2-t.
void cubic_weights(float t, float* weight) {
  constexpr float a = -0.75f;
  const auto near = [](float x) { return ((a + 2) * x - (a + 3)) * x * x + 1; };
  const auto far = [](float x) { return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a; };
  weight[0] = far(t + 1);
  weight[1] = near(t);
  weight[2] = near(1 - t);
  weight[3] = far(2 - t);
}

Taps make_taps(int64_t in, int64_t out, Interpolation mode, bool align_corners) {
  Taps taps;
  taps.in = in;
  taps.out = out;
  taps.count = mode == Interpolation::nearest ? 1 : mode == Interpolation::bilinear ? 2 : 4;
  taps.index.resize(static_cast<size_t>(out * taps.count));
  taps.weight.resize(taps.index.size());
  for (int64_t i = 0; i < out; ++i) {
    int64_t* index = taps.index.data() + i * taps.count;
    float* weight = taps.weight.data() + i * taps.count;
    if (mode == Interpolation::nearest) {
      const float scale = static_cast<float>(in) / static_cast<float>(out);
      index[0] = std::min(static_cast<int64_t>(static_cast<float>(i) * scale), in - 1);
      weight[0] = 1.0f;
    } else if (mode == Interpolation::bilinear) {
      const float place = std::max(source_place(i, in, out, align_corners), 0.0f);
      index[0] = std::min(static_cast<int64_t>(place), in - 1);
      index[1] = std::min(index[0] + 1, in - 1);
      weight[1] = std::clamp(place - static_cast<float>(index[0]), 0.0f, 1.0f);
      weight[0] = 1.0f - weight[1];
    } else {
      const float place = source_place(i, in, out, align_corners);
      const float whole = std::floor(place);
      for (int k = 0; k < 4; ++k)
        index[k] = std::clamp<int64_t>(static_cast<int64_t>(whole) - 1 + k, 0, in - 1);
      cubic_weights(place - whole, weight);
    }
  }
  return taps;
}

// The taps seen from the input: entries begin[i] to begin[i + 1] are the outputs that read input i,
// in rising order.
struct ReversedTaps {
  std::vector<int64_t> begin, output;
  std::vector<float> weight;
};

ReversedTaps reversed(const Taps& taps) {
  ReversedTaps result;
  result.begin.assign(static_cast<size_t>(taps.in + 1), 0);
  for (int64_t index : taps.index) ++result.begin[static_cast<size_t>(index + 1)];
  for (size_t i = 1; i < result.begin.size(); ++i) result.begin[i] += result.begin[i - 1];
  result.output.resize(taps.index.size());
  result.weight.resize(taps.index.size());
  std::vector<int64_t> next(result.begin.begin(), result.begin.end() - 1);
  for (size_t k = 0; k < taps.index.size(); ++k) {
    const auto at = static_cast<size_t>(next[static_cast<size_t>(taps.index[k])]++);
    result.output[at] = static_cast<int64_t>(k) / taps.count;
    result.weight[at] = taps.weight[k];
  }
  return result;
}

// to (+)= weight * from
void mix(const float* from, float weight, bool first, float* to, int64_t n) {
  if (first) {
    for (int64_t i = 0; i < n; ++i) to[i] = weight * from[i];
  } else {
    for (int64_t i = 0; i < n; ++i) to[i] += weight * from[i];
  }
}

// One row, taps across its pixels. kTaps and kChannels known at compile time keep a pixel in
// registers; kChannels 0 stands for any number.
template <int kTaps, int64_t kChannels>
void resample_row(const float* from, float* to, const Taps& taps, int64_t channels) {
  const int64_t c_count = kChannels > 0 ? kChannels : channels;
  const int64_t* index = taps.index.data();
  const float* weight = taps.weight.data();
  for (int64_t x = 0; x < taps.out; ++x, index += kTaps, weight += kTaps, to += c_count)
    for (int64_t c = 0; c < c_count; ++c) {
      float sum = weight[0] * from[index[0] * c_count + c];
      for (int k = 1; k < kTaps; ++k) sum += weight[k] * from[index[k] * c_count + c];
      to[c] = sum;
    }
}

template <int kTaps>
void resample_row(const float* from, float* to, const Taps& taps, int64_t channels) {
  switch (channels) {
    case 1:
      return resample_row<kTaps, 1>(from, to, taps, channels);
    case 3:
      return resample_row<kTaps, 3>(from, to, taps, channels);
    case 4:
      return resample_row<kTaps, 4>(from, to, taps, channels);
    default:
      return resample_row<kTaps, 0>(from, to, taps, channels);
  }
}

void resample_row(const float* from, float* to, const Taps& taps, int64_t channels) {
  switch (taps.count) {
    case 1:
      return resample_row<1>(from, to, taps, channels);
    case 2:
      return resample_row<2>(from, to, taps, channels);
    default:
      return resample_row<4>(from, to, taps, channels);
  }
}

void resize_forward(const Tensor& x, Tensor& y, const Taps& rows, const Taps& columns) {
  const int64_t channels = x.dim(3), in_row = x.dim(2) * channels, out_row = y.dim(2) * channels;
  const float* from = x.data();
  float* to = y.data();
  for_rows(x.dim(0) * rows.out, in_row + out_row, [&](int64_t begin, int64_t end) {
    std::vector<float> mixed(static_cast<size_t>(in_row));
    for (int64_t row = begin; row < end; ++row) {
      const float* map = from + row / rows.out * rows.in * in_row;
      const auto tap = static_cast<size_t>(row % rows.out * rows.count);
      const float* source = mixed.data();
      if (rows.count == 1) {
        source = map + rows.index[tap] * in_row;
      } else {
        for (int k = 0; k < rows.count; ++k)
          mix(map + rows.index[tap + static_cast<size_t>(k)] * in_row,
              rows.weight[tap + static_cast<size_t>(k)], k == 0, mixed.data(), in_row);
      }
      resample_row(source, to + row * out_row, columns, channels);
    }
  });
}

// The transpose of the above: every input row gathers from the output rows that read it, then its
// pixels from that row's pixels.
void resize_backward(const Tensor& dy, Tensor& dx, const Taps& rows, const Taps& columns) {
  const int64_t channels = dx.dim(3), in_row = dx.dim(2) * channels, out_row = dy.dim(2) * channels;
  const ReversedTaps readers = reversed(rows);
  const float* from = dy.data();
  float* to = dx.data();
  for_rows(dx.dim(0) * rows.in, in_row + out_row, [&](int64_t begin, int64_t end) {
    std::vector<float> mixed(static_cast<size_t>(out_row));
    for (int64_t row = begin; row < end; ++row) {
      const float* map = from + row / rows.in * rows.out * out_row;
      const auto i = static_cast<size_t>(row % rows.in);
      float* target = to + row * in_row;
      std::memset(target, 0, static_cast<size_t>(in_row) * sizeof(float));
      if (readers.begin[i] == readers.begin[i + 1]) continue;
      for (int64_t k = readers.begin[i]; k < readers.begin[i + 1]; ++k)
        mix(map + readers.output[static_cast<size_t>(k)] * out_row,
            readers.weight[static_cast<size_t>(k)], k == readers.begin[i], mixed.data(), out_row);
      for (int64_t x = 0; x < columns.out; ++x)
        for (int k = 0; k < columns.count; ++k) {
          const auto tap = static_cast<size_t>(x * columns.count + k);
          mix(mixed.data() + x * channels, columns.weight[tap], false,
              target + columns.index[tap] * channels, channels);
        }
    }
  });
}

// ---- Sampling at given places ----

// The four pixels around a place: offsets of those inside the map, -1 for the others, and how much
// each counts. tx, ty: how far the place is from the left and upper ones.
struct Corners {
  int64_t offset[4] = {-1, -1, -1, -1};
  float weight[4] = {0, 0, 0, 0};
  float tx = 0, ty = 0;
};

Corners corners_at(float x, float y, int64_t height, int64_t width, int64_t channels) {
  Corners corners;
  // Also false for NaN, which like all places beyond the map reads nothing.
  if (!(x > -1.0f && x < static_cast<float>(width) && y > -1.0f && y < static_cast<float>(height)))
    return corners;
  const float left = std::floor(x), top = std::floor(y);
  corners.tx = x - left;
  corners.ty = y - top;
  for (int k = 0; k < 4; ++k) {
    const int64_t column = static_cast<int64_t>(left) + k % 2,
                  row = static_cast<int64_t>(top) + k / 2;
    corners.weight[k] =
        (k % 2 ? corners.tx : 1 - corners.tx) * (k / 2 ? corners.ty : 1 - corners.ty);
    if (column >= 0 && column < width && row >= 0 && row < height)
      corners.offset[k] = (row * width + column) * channels;
  }
  return corners;
}

// Pixels per unit of the grid, and the place of grid coordinate 0.
struct GridAxis {
  float scale, origin;
  GridAxis(int64_t size, bool align_corners)
      : scale(static_cast<float>(align_corners ? size - 1 : size) / 2),
        origin(static_cast<float>(size - 1) / 2) {}
  float place(float g) const { return g * scale + origin; }
};

void check_map(const char* name, const Tensor& x) {
  if (x.rank() != 4)
    fail(Kind::usage, "{}: a tensor of shape {}, expected [B,H,W,C]", name, x.shape().str());
}

}  // namespace

Tensor resize(const Tensor& input, int64_t height, int64_t width, Interpolation mode,
              bool align_corners) {
  const Tensor x = floats("resize", input);
  check_map("resize", x);
  if (height < 1 || width < 1 || x.dim(1) < 1 || x.dim(2) < 1)
    fail(Kind::usage, "resize of shape {} to {} x {}", x.shape().str(), height, width);
  if (align_corners && mode == Interpolation::nearest)
    fail(Kind::usage, "resize: nearest has no corners to align");
  Tensor y = Tensor::empty({x.dim(0), height, width, x.dim(3)});
  const Taps rows = make_taps(x.dim(1), height, mode, align_corners);
  const Taps columns = make_taps(x.dim(2), width, mode, align_corners);
  if (y.size() > 0) resize_forward(x, y, rows, columns);
  return record("resize", y, {x}, [rows, columns, shape = x.shape()](const Tensor& dy) -> Grads {
    Tensor dx = Tensor::empty(shape);
    if (dx.size() > 0) resize_backward(dy, dx, rows, columns);
    return {dx};
  });
}

Tensor grid_sample(const Tensor& input, const Tensor& grid_in, bool align_corners) {
  const Tensor x = floats("grid_sample", input), grid = floats("grid_sample", grid_in);
  check_map("grid_sample", x);
  if (grid.rank() != 4 || grid.dim(3) != 2 || grid.dim(0) != x.dim(0))
    fail(Kind::usage, "grid_sample: a grid of shape {} for a map of shape {}, expected [{},h,w,2]",
         grid.shape().str(), x.shape().str(), x.dim(0));
  const int64_t height = x.dim(1), width = x.dim(2), channels = x.dim(3);
  const int64_t points = grid.dim(1) * grid.dim(2), map = height * width * channels;
  const GridAxis across(width, align_corners), down(height, align_corners);
  // The corners of point p, counted through the batch.
  const auto corners = [=](const float* places, int64_t p) {
    return corners_at(across.place(places[2 * p]), down.place(places[2 * p + 1]), height, width,
                      channels);
  };
  Tensor y = Tensor::empty({x.dim(0), grid.dim(1), grid.dim(2), channels});
  {
    const float *from = x.data(), *places = grid.data();
    float* to = y.data();
    for_rows(x.dim(0) * points, 4 * channels, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const Corners near = corners(places, p);
        const float* pixels = from + p / points * map;
        float* result = to + p * channels;
        std::fill_n(result, channels, 0.0f);
        for (int k = 0; k < 4; ++k)
          if (near.offset[k] >= 0)
            mix(pixels + near.offset[k], near.weight[k], false, result, channels);
      }
    });
  }
  return record("grid_sample", y, {x, grid}, [=](const Tensor& dy) -> Grads {
    const float *dy0 = dy.data(), *places = grid.data(), *from = x.data();
    Grads grads(2);
    if (x.requires_grad()) {
      grads[0] = Tensor::zeros(x.shape());
      float* dx = grads[0].data();
      // Points of one map may meet in a pixel: maps are shared out, not points.
      for_rows(x.dim(0), 4 * points * channels, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin * points; p < end * points; ++p) {
          const Corners near = corners(places, p);
          for (int k = 0; k < 4; ++k)
            if (near.offset[k] >= 0)
              mix(dy0 + p * channels, near.weight[k], false, dx + p / points * map + near.offset[k],
                  channels);
        }
      });
    }
    if (grid.requires_grad()) {
      grads[1] = Tensor::empty(grid.shape());
      float* dgrid = grads[1].data();
      for_rows(x.dim(0) * points, 4 * channels, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
          const Corners near = corners(places, p);
          float dot[4] = {0, 0, 0, 0};  // of dy with the pixel at each corner
          for (int k = 0; k < 4; ++k)
            if (near.offset[k] >= 0)
              for (int64_t c = 0; c < channels; ++c)
                dot[k] += dy0[p * channels + c] * from[p / points * map + near.offset[k] + c];
          dgrid[2 * p] =
              across.scale * ((1 - near.ty) * (dot[1] - dot[0]) + near.ty * (dot[3] - dot[2]));
          dgrid[2 * p + 1] =
              down.scale * ((1 - near.tx) * (dot[2] - dot[0]) + near.tx * (dot[3] - dot[1]));
        }
      });
    }
    return grads;
  });
}

}  // namespace beckon
