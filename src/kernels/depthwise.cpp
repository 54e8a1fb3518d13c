#include "kernels/depthwise.h"

#include <algorithm>
#include <cassert>

#include "base/threads.h"
#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/depthwise.cpp"
#include "hwy/foreach_target.h"
#include "kernels/lanes-inl.h"
#include "kernels/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

// kPixels neighbouring outputs at once, all channels, all taps inside the columns. `left` is the
// column of the first tap. The inputs of one row (kPixels + 2 of them for stride 1) are loaded once
// and used by up to three taps, a weight by all pixels: with 4 pixels 27 loads for 36
// multiply-adds, in 4 + 6 + 1 registers (stride 2: 4 + 9 + 1). Bodies are unrolled by the compiler:
// all bounds are constants.
template <Activation activation, int kPixels, int kStride>
HWY_INLINE void InnerPixels(const DepthwiseRow& row, int64_t left, float* out) {
  const F f;
  constexpr int kColumns = (kPixels - 1) * kStride + 3;
  const int64_t channels = row.channels;
  const float* first[3];
  for (int r = 0; r < 3; ++r)
    first[r] = row.rows[r] ? row.rows[r] + (left - row.in_begin) * channels : nullptr;
  ForEachVector(channels, [&](int64_t c, auto access) HWY_ATTR {
    const VF bias = row.bias ? access.load(row.bias + c) : hn::Zero(f);
    VF sum[kPixels];
    for (int p = 0; p < kPixels; ++p) sum[p] = bias;
    for (int r = 0; r < 3; ++r) {
      if (!first[r]) continue;
      const float* from = first[r] + c;
      VF in[kColumns];
      for (int k = 0; k < kColumns; ++k) in[k] = access.load(from + k * channels);
      for (int k = 0; k < 3; ++k) {
        const VF w = access.load(row.weights + (r * 3 + k) * channels + c);
        for (int p = 0; p < kPixels; ++p) sum[p] = hn::MulAdd(in[p * kStride + k], w, sum[p]);
      }
    }
    for (int p = 0; p < kPixels; ++p)
      access.store(Activate<activation>(f, sum[p]), out + p * channels + c);
  });
}

// One output at the left or right border.
template <Activation activation>
void BorderPixel(const DepthwiseRow& row, int64_t left, float* out) {
  const F f;
  ForEachVector(row.channels, [&](int64_t c, auto access) HWY_ATTR {
    VF sum = row.bias ? access.load(row.bias + c) : hn::Zero(f);
    for (int r = 0; r < 3; ++r)
      for (int k = 0; k < 3; ++k) {
        const int64_t column = left + k;
        if (!row.rows[r] || column < row.in_begin || column >= row.in_end) continue;
        sum = hn::MulAdd(access.load(row.rows[r] + (column - row.in_begin) * row.channels + c),
                         access.load(row.weights + (r * 3 + k) * row.channels + c), sum);
      }
    access.store(Activate<activation>(f, sum), out + c);
  });
}

template <Activation activation, int kStride>
void Row3x3(const DepthwiseRow& row) {
  constexpr int kPixels = 4;
  int64_t o = row.out_begin;
  float* out = row.out;
  while (o < row.out_end) {
    const int64_t left = o * kStride - 1;
    if (left >= row.in_begin && o + kPixels <= row.out_end &&
        left + (kPixels - 1) * kStride + 3 <= row.in_end) {
      InnerPixels<activation, kPixels, kStride>(row, left, out);
      o += kPixels;
      out += kPixels * row.channels;
    } else {
      BorderPixel<activation>(row, left, out);
      ++o;
      out += row.channels;
    }
  }
}

void DepthwiseRow3x3(const DepthwiseRow& row) {
  WithActivation(row.activation, [&]<Activation kActivation>() {
    if (row.stride == 1) {
      Row3x3<kActivation, 1>(row);
    } else {
      Row3x3<kActivation, 2>(row);
    }
  });
}

// The outputs of one row for any kernel, one pixel at a time.
template <Activation activation>
void GeneralRowLoop(const DepthwiseConv& conv, const float* image, const float* weights,
                    const float* bias, int64_t oy, float* out) {
  const F f;
  const int64_t channels = conv.channels, out_width = conv.out_width();
  for (int64_t ox = 0; ox < out_width; ++ox, out += channels) {
    const int64_t top = oy * conv.stride_h - conv.pad_h, left = ox * conv.stride_w - conv.pad_w;
    float* to = out;
    ForEachVector(channels, [&](int64_t c, auto access) HWY_ATTR {
      VF sum = bias ? access.load(bias + c) : hn::Zero(f);
      for (int64_t r = 0; r < conv.kernel_h; ++r) {
        const int64_t y = top + r * conv.dilation_h;
        if (y < 0 || y >= conv.height) continue;
        for (int64_t k = 0; k < conv.kernel_w; ++k) {
          const int64_t x = left + k * conv.dilation_w;
          if (x < 0 || x >= conv.width) continue;
          sum = hn::MulAdd(access.load(image + (y * conv.width + x) * channels + c),
                           access.load(weights + (r * conv.kernel_w + k) * channels + c), sum);
        }
      }
      access.store(Activate<activation>(f, sum), to + c);
    });
  }
}
void GeneralRow(const DepthwiseConv& conv, const float* image, const float* weights,
                const float* bias, Activation activation, int64_t oy, float* out) {
  WithActivation(activation, [&]<Activation kActivation>() {
    GeneralRowLoop<kActivation>(conv, image, weights, bias, oy, out);
  });
}

// One row of dx: every output that reads the pixel, in the order of the taps.
void GradInputRow(const DepthwiseConv& conv, const float* dy, const float* weights, int64_t iy,
                  float* dx) {
  const F f;
  const int64_t channels = conv.channels;
  const int64_t out_height = conv.out_height(), out_width = conv.out_width();
  for (int64_t ix = 0; ix < conv.width; ++ix, dx += channels) {
    float* to = dx;
    ForEachVector(channels, [&](int64_t c, auto access) HWY_ATTR {
      VF sum = hn::Zero(f);
      for (int64_t r = 0; r < conv.kernel_h; ++r) {
        const int64_t y = iy + conv.pad_h - r * conv.dilation_h;
        if (y < 0 || y % conv.stride_h != 0 || y / conv.stride_h >= out_height) continue;
        for (int64_t k = 0; k < conv.kernel_w; ++k) {
          const int64_t x = ix + conv.pad_w - k * conv.dilation_w;
          if (x < 0 || x % conv.stride_w != 0 || x / conv.stride_w >= out_width) continue;
          const float* g = dy + (y / conv.stride_h * out_width + x / conv.stride_w) * channels;
          sum = hn::MulAdd(access.load(g + c),
                           access.load(weights + (r * conv.kernel_w + k) * channels + c), sum);
        }
      }
      access.store(sum, to + c);
    });
  }
}

// sums[tap, c] += dy x over one row of outputs; `image` and `dy` are the row's image and its first
// pixel.
void GradWeightsRow(const DepthwiseConv& conv, const float* image, const float* dy, int64_t oy,
                    float* sums) {
  const int64_t channels = conv.channels, out_width = conv.out_width();
  for (int64_t r = 0; r < conv.kernel_h; ++r) {
    const int64_t y = oy * conv.stride_h - conv.pad_h + r * conv.dilation_h;
    if (y < 0 || y >= conv.height) continue;
    for (int64_t k = 0; k < conv.kernel_w; ++k) {
      const int64_t shift = k * conv.dilation_w - conv.pad_w;
      float* to = sums + (r * conv.kernel_w + k) * channels;
      ForEachVector(channels, [&](int64_t c, auto access) HWY_ATTR {
        VF sum = access.load(to + c);
        for (int64_t ox = 0; ox < out_width; ++ox) {
          const int64_t x = ox * conv.stride_w + shift;
          if (x < 0 || x >= conv.width) continue;
          sum = hn::MulAdd(access.load(dy + ox * channels + c),
                           access.load(image + (y * conv.width + x) * channels + c), sum);
        }
        access.store(sum, to + c);
      });
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {

HWY_EXPORT(DepthwiseRow3x3);
HWY_EXPORT(GeneralRow);
HWY_EXPORT(GradInputRow);
HWY_EXPORT(GradWeightsRow);

namespace {

bool is_3x3_pad_1(const DepthwiseConv& c) {
  return c.kernel_h == 3 && c.kernel_w == 3 && c.pad_h == 1 && c.pad_w == 1 && c.dilation_h == 1 &&
         c.dilation_w == 1 && c.stride_h == c.stride_w && (c.stride_h == 1 || c.stride_h == 2);
}

// Rows of a few thousand floats each, so that a task is worth a thread.
int64_t rows_grain(int64_t row_floats) {
  return std::max<int64_t>(1, (int64_t{1} << 15) / std::max<int64_t>(1, row_floats));
}

}  // namespace

std::vector<float> depthwise_taps(const float* weights, int64_t channels, int64_t taps) {
  std::vector<float> packed(static_cast<size_t>(channels * taps));
  for (int64_t c = 0; c < channels; ++c)
    for (int64_t t = 0; t < taps; ++t)
      packed[static_cast<size_t>(t * channels + c)] = weights[c * taps + t];
  return packed;
}

void depthwise_row(const DepthwiseRow& row) {
  assert(row.stride == 1 || row.stride == 2);
  HWY_DYNAMIC_DISPATCH(DepthwiseRow3x3)(row);
}

void depthwise_conv(const DepthwiseConv& conv, const float* x, const float* weights,
                    const float* bias, Activation activation, float* y) {
  const int64_t out_height = conv.out_height(), out_width = conv.out_width();
  if (out_height <= 0 || out_width <= 0) return;
  const int64_t image_floats = conv.height * conv.width * conv.channels;
  const int64_t row_floats = out_width * conv.channels;
  const bool fast = is_3x3_pad_1(conv);
  parallel_for(conv.n * out_height, rows_grain(row_floats), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* image = x + i / out_height * image_floats;
      const int64_t oy = i % out_height;
      float* out = y + i * row_floats;
      if (!fast) {
        HWY_DYNAMIC_DISPATCH(GeneralRow)(conv, image, weights, bias, activation, oy, out);
        continue;
      }
      DepthwiseRow row = {.rows = {},
                          .in_begin = 0,
                          .in_end = conv.width,
                          .stride = conv.stride_h,
                          .out_begin = 0,
                          .out_end = out_width,
                          .channels = conv.channels,
                          .weights = weights,
                          .bias = bias,
                          .activation = activation,
                          .out = out};
      for (int64_t r = 0; r < 3; ++r) {
        const int64_t iy = oy * conv.stride_h - 1 + r;
        if (iy >= 0 && iy < conv.height) row.rows[r] = image + iy * conv.width * conv.channels;
      }
      depthwise_row(row);
    }
  });
}

void depthwise_conv_grad_input(const DepthwiseConv& conv, const float* dy, const float* weights,
                               float* dx) {
  if (is_3x3_pad_1(conv) && conv.stride_h == 1) {
    // The same convolution with the taps in reverse.
    std::vector<float> reversed(static_cast<size_t>(9 * conv.channels));
    for (int64_t t = 0; t < 9; ++t)
      std::copy_n(weights + (8 - t) * conv.channels, conv.channels,
                  reversed.data() + t * conv.channels);
    return depthwise_conv(conv, dy, reversed.data(), nullptr, Activation::none, dx);
  }
  const int64_t out_floats = conv.out_height() * conv.out_width() * conv.channels;
  const int64_t row_floats = conv.width * conv.channels;
  parallel_for(conv.n * conv.height, rows_grain(row_floats), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) HWY_DYNAMIC_DISPATCH(GradInputRow)
    (conv, dy + i / conv.height * out_floats, weights, i % conv.height, dx + i * row_floats);
  });
}

void depthwise_conv_grad_weights(const DepthwiseConv& conv, const float* x, const float* dy,
                                 float* dweights) {
  // Sums over runs of 8 output rows, then the runs in order.
  constexpr int64_t kRun = 8;
  const int64_t out_height = conv.out_height(), rows = conv.n * out_height;
  const int64_t runs = (rows + kRun - 1) / kRun;
  const int64_t row_floats = conv.out_width() * conv.channels;
  const int64_t size = conv.taps() * conv.channels;
  std::vector<float> partial(static_cast<size_t>(runs * size));
  parallel_for(runs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t run = begin; run < end; ++run)
      for (int64_t i = run * kRun; i < std::min(rows, (run + 1) * kRun); ++i)
        HWY_DYNAMIC_DISPATCH(GradWeightsRow)
    (conv, x + i / out_height * conv.height * conv.width * conv.channels, dy + i * row_floats,
     i % out_height, partial.data() + run * size);
  });
  for (int64_t k = 0; k < size; ++k) {
    double sum = 0.0;
    for (int64_t run = 0; run < runs; ++run) sum += partial[static_cast<size_t>(run * size + k)];
    dweights[k] = static_cast<float>(sum);
  }
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
