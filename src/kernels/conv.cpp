#include "kernels/conv.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/threads.h"
#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv.cpp"
#include "hwy/foreach_target.h"
#include "kernels/lanes-inl.h"
#include "kernels/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

template <Activation kActivation>
void finish_pixel(float* x, int64_t channels, const PixelNorm& norm) {
  const F f;
  const float count = static_cast<float>(channels);
  const float mean =
      SumOver(channels, [&](int64_t j, auto access) HWY_ATTR { return access.load(x + j); }) /
      count;
  const VF centre = hn::Set(f, mean);
  const float squares = SumOver(channels, [&](int64_t j, auto access) HWY_ATTR {
    const VF d = hn::Sub(access.load(x + j), centre);
    return hn::Mul(d, d);
  });
  const VF scale = hn::Set(f, 1.0f / std::sqrt(squares / count + norm.epsilon));
  ForEachVector(channels, [&](int64_t j, auto access) HWY_ATTR {
    const VF v = hn::Mul(hn::Sub(access.load(x + j), centre), scale);
    const VF y = hn::MulAdd(v, access.load(norm.weight + j), access.load(norm.bias + j));
    access.store(Activate<kActivation>(f, y), x + j);
  });
}

// Normalises and activates `pixels` pixels in place.
void finish_pixels(float* x, int64_t pixels, int64_t channels, const PixelNorm& norm,
                   Activation activation) {
  for (int64_t i = 0; i < pixels; ++i, x += channels) {
    switch (activation) {
      case Activation::none:
        finish_pixel<Activation::none>(x, channels, norm);
        break;
      case Activation::gelu:
        finish_pixel<Activation::gelu>(x, channels, norm);
        break;
      case Activation::quick_gelu:
        finish_pixel<Activation::quick_gelu>(x, channels, norm);
        break;
      case Activation::relu:
        finish_pixel<Activation::relu>(x, channels, norm);
        break;
      case Activation::silu:
        finish_pixel<Activation::silu>(x, channels, norm);
        break;
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {
namespace {

HWY_EXPORT(finish_pixels);

// Writes patches of one group.
struct Unfold {
  const ConvShape& shape;
  const float* in;  // at the group's first channel
  int64_t channels;

  void rows(int64_t begin, int64_t end, float* out, int64_t out_stride) const {
    const int64_t out_w = shape.out_width(), out_h = shape.out_height();
    int64_t x = begin % out_w, y = begin / out_w % out_h, b = begin / (out_w * out_h);
    for (int64_t p = begin; p < end; ++p, out += out_stride) {
      pixel(in + b * shape.height * shape.width * shape.in_channels,
            y * shape.stride_h - shape.pad_h, x * shape.stride_w - shape.pad_w, out);
      if (++x < out_w) continue;
      x = 0;
      if (++y < out_h) continue;
      y = 0;
      ++b;
    }
  }

  // The window whose upper left corner is (top, left), which may lie outside.
  void pixel(const float* image, int64_t top, int64_t left, float* out) const {
    const int64_t run = shape.kernel_w * channels;
    for (int64_t ky = 0; ky < shape.kernel_h; ++ky, out += run) {
      const int64_t y = top + ky * shape.dilation_h;
      if (y < 0 || y >= shape.height) {
        std::fill_n(out, run, 0.0f);
        continue;
      }
      const float* line = image + y * shape.width * shape.in_channels;
      if (shape.dilation_w == 1 && shape.groups == 1) {
        // Neighbours in the kernel are neighbours in memory.
        const int64_t first = std::clamp<int64_t>(-left, 0, shape.kernel_w);
        const int64_t last = std::clamp<int64_t>(shape.width - left, first, shape.kernel_w);
        if (first > 0) std::fill_n(out, first * channels, 0.0f);
        copy(line + (left + first) * channels, (last - first) * channels, out + first * channels);
        if (last < shape.kernel_w) std::fill_n(out + last * channels, run - last * channels, 0.0f);
        continue;
      }
      for (int64_t kx = 0; kx < shape.kernel_w; ++kx) {
        const int64_t x = left + kx * shape.dilation_w;
        if (x < 0 || x >= shape.width) {
          std::fill_n(out + kx * channels, channels, 0.0f);
        } else {
          copy(line + x * shape.in_channels, channels, out + kx * channels);
        }
      }
    }
  }

  // A call of memcpy costs more than the few floats of a picture's three channels.
  static void copy(const float* from, int64_t count, float* to) {
    if (count >= 32) {
      std::memcpy(to, from, static_cast<size_t>(count) * sizeof(float));
    } else {
      for (int64_t i = 0; i < count; ++i) to[i] = from[i];
    }
  }
};

}  // namespace

void PatchRows::fill(const void* context, int64_t begin, int64_t end, float* out,
                     int64_t out_stride) {
  const auto& self = *static_cast<const PatchRows*>(context);
  Unfold{self.shape, self.in, self.shape.in_group()}.rows(begin, end, out, out_stride);
}

ConvWeights pack_conv_weights(const float* oihw, const ConvShape& shape) {
  const int64_t in = shape.in_channels / shape.groups, out = shape.out_channels / shape.groups;
  const int64_t window = shape.kernel_h * shape.kernel_w;
  ConvWeights weights;
  std::vector<float> rows(static_cast<size_t>(window * in * out));  // [out, window, in]
  for (int64_t g = 0; g < shape.groups; ++g) {
    const float* from = oihw + g * out * in * window;
    for (int64_t o = 0; o < out; ++o)
      for (int64_t w = 0; w < window; ++w)
        for (int64_t i = 0; i < in; ++i)
          rows[static_cast<size_t>((o * window + w) * in + i)] = from[(o * in + i) * window + w];
    weights.groups.push_back(pack(rows.data(), window * in, out, 1, window * in, Life::model));
  }
  return weights;
}

void conv2d(const ConvShape& shape, const float* in, const ConvWeights& weights, const Epilogue& e,
            float* out) {
  for (int64_t g = 0; g < shape.groups; ++g) {
    const PatchRows patches{shape, in + g * shape.in_group()};
    Rows rows{.data = patches.in, .stride = shape.in_channels};
    if (!shape.pointwise()) rows = {.fill = PatchRows::fill, .context = &patches};
    Epilogue group = e;
    if (e.bias) group.bias += g * shape.out_group();
    if (e.residual) group.residual += g * shape.out_group();
    gemm(shape.out_pixels(), rows, weights.groups[static_cast<size_t>(g)], group,
         out + g * shape.out_group(), shape.out_channels);
  }
}

ConvTransposeWeights pack_conv_transpose2x2(const float* iohw, const float* bias,
                                            int64_t in_channels, int64_t out_channels) {
  ConvTransposeWeights weights;
  weights.in_channels = in_channels;
  weights.out_channels = out_channels;
  std::vector<float> rows(
      static_cast<size_t>(in_channels * 2 * out_channels));  // [in, left | right, out]
  for (const int64_t lower : {0, 1}) {
    for (int64_t i = 0; i < in_channels; ++i)
      for (int64_t right = 0; right < 2; ++right)
        for (int64_t o = 0; o < out_channels; ++o)
          rows[static_cast<size_t>((i * 2 + right) * out_channels + o)] =
              iohw[(i * out_channels + o) * 4 + lower * 2 + right];
    (lower ? weights.lower : weights.upper) =
        pack(rows.data(), in_channels, 2 * out_channels, 2 * out_channels, 1, Life::model);
  }
  if (bias) {
    weights.bias.assign(bias, bias + out_channels);
    weights.bias.insert(weights.bias.end(), bias, bias + out_channels);
  }
  return weights;
}

void conv_transpose2x2(int64_t height, int64_t width, const float* in, int64_t in_stride,
                       const ConvTransposeWeights& weights, const PixelNorm* norm,
                       Activation activation, float* out) {
  // The pixels (2y + dy, 2x) and (2y + dy, 2x + 1) are one row of 2 * out floats: for each y and dy
  // the tokens of a line make a line of the output. Lines are cut so that the results of a task
  // stay in cache.
  const int64_t channels = weights.out_channels;
  const int64_t piece = std::clamp<int64_t>(width, 1, 64);
  const int64_t pieces = (width + piece - 1) / piece;
  parallel_for(height * pieces, 1, [&](int64_t task, int64_t task_end) {
    for (; task < task_end; ++task) {
      const int64_t y = task / pieces, x = task % pieces * piece,
                    count = std::min(piece, width - x);
      const Rows rows{.data = in + (y * width + x) * in_stride, .stride = in_stride};
      for (const int64_t lower : {0, 1}) {
        float* line = out + ((2 * y + lower) * width + x) * 2 * channels;
        Epilogue e{.bias = weights.bias.empty() ? nullptr : weights.bias.data()};
        if (!norm) e.activation = activation;
        gemm_serial(count, rows, lower ? weights.lower : weights.upper, e, line, 2 * channels);
        if (norm) HWY_DYNAMIC_DISPATCH(finish_pixels)(line, 2 * count, channels, *norm, activation);
      }
    }
  });
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
