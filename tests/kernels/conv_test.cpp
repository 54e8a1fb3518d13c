// Convolutions against plain loops in double, on every instruction set.
#include "kernels/conv.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "every_target.h"
#include "support/check.h"

namespace beckon::kernels {
namespace {

using beckon::test::expect_near;
using beckon::test::expect_same_for_any_threads;
using beckon::test::on_every_target;
using beckon::test::random_floats;

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

// Bias, GELU, residual: every step of the epilogue that a group has to find its part of.
void check(const ConvShape& s) {
  const int64_t in_group = s.in_channels / s.groups, out_group = s.out_channels / s.groups;
  const int64_t out_h = s.out_height(), out_w = s.out_width();
  SCOPED_TRACE(testing::Message() << s.height << "x" << s.width << "x" << s.in_channels
                                  << " kernel " << s.kernel_h << "x" << s.kernel_w << " to "
                                  << s.out_channels);
  const std::vector<float> in = random_floats(s.batch * s.height * s.width * s.in_channels, 1);
  const std::vector<float> w =
      random_floats(s.out_channels * in_group * s.kernel_h * s.kernel_w, 2);
  const std::vector<float> bias = random_floats(s.out_channels, 3);
  const std::vector<float> residual = random_floats(s.batch * out_h * out_w * s.out_channels, 4);
  std::vector<float> want;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t y = 0; y < out_h; ++y)
      for (int64_t x = 0; x < out_w; ++x)
        for (int64_t o = 0; o < s.out_channels; ++o) {
          double sum = bias[o];
          for (int64_t i = 0; i < in_group; ++i)
            for (int64_t ky = 0; ky < s.kernel_h; ++ky)
              for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
                const int64_t iy = y * s.stride_h - s.pad_h + ky * s.dilation_h;
                const int64_t ix = x * s.stride_w - s.pad_w + kx * s.dilation_w;
                if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
                const int64_t channel = o / out_group * in_group + i;
                sum += static_cast<double>(
                           in[((b * s.height + iy) * s.width + ix) * s.in_channels + channel]) *
                       w[((o * in_group + i) * s.kernel_h + ky) * s.kernel_w + kx];
              }
          want.push_back(static_cast<float>(gelu(sum) + residual[want.size()]));
        }
  const ConvWeights weights = pack_conv_weights(w.data(), s);
  const Epilogue e{.bias = bias.data(),
                   .residual = residual.data(),
                   .residual_stride = s.out_channels,
                   .activation = Activation::gelu};
  std::vector<float> out(want.size());
  expect_same_for_any_threads([&] {
    conv2d(s, in.data(), weights, e, out.data());
    return out;
  });
  expect_near(out, want, 3e-5, "convolution");
}

TEST(Conv, MatchesPlainLoops) {
  on_every_target([] {
    check({.height = 9,
           .width = 11,
           .in_channels = 5,
           .out_channels = 7,
           .kernel_h = 3,
           .kernel_w = 3,
           .pad_h = 1,
           .pad_w = 1});
    check({.batch = 2,
           .height = 16,
           .width = 13,
           .in_channels = 3,
           .out_channels = 32,
           .kernel_h = 3,
           .kernel_w = 3,
           .stride_h = 2,
           .stride_w = 2,
           .pad_h = 1,
           .pad_w = 1});
    check({.height = 32,
           .width = 32,
           .in_channels = 3,
           .out_channels = 20,
           .kernel_h = 16,
           .kernel_w = 16,
           .stride_h = 16,
           .stride_w = 16});
    check({.batch = 2, .height = 6, .width = 5, .in_channels = 40, .out_channels = 33});
    check({.height = 12,
           .width = 10,
           .in_channels = 64,
           .out_channels = 64,
           .kernel_h = 3,
           .kernel_w = 3,
           .pad_h = 1,
           .pad_w = 1});
    check({.height = 40,
           .width = 41,
           .in_channels = 6,
           .out_channels = 8,
           .kernel_h = 7,
           .kernel_w = 7,
           .stride_h = 4,
           .stride_w = 4,
           .pad_h = 3,
           .pad_w = 3});
  });
}

TEST(Conv, RectanglesStridesDilationGroups) {
  on_every_target([] {
    check({.height = 11,
           .width = 14,
           .in_channels = 4,
           .out_channels = 6,
           .kernel_h = 1,
           .kernel_w = 5,
           .stride_h = 2,
           .stride_w = 1,
           .pad_h = 0,
           .pad_w = 2});
    check({.height = 13,
           .width = 13,
           .in_channels = 4,
           .out_channels = 6,
           .kernel_h = 3,
           .kernel_w = 3,
           .pad_h = 2,
           .pad_w = 2,
           .dilation_h = 2,
           .dilation_w = 2});
    check({.height = 8,
           .width = 9,
           .in_channels = 12,
           .out_channels = 6,
           .kernel_h = 3,
           .kernel_w = 3,
           .pad_h = 1,
           .pad_w = 1,
           .groups = 3});
    check({.height = 8, .width = 9, .in_channels = 8, .out_channels = 8, .groups = 2});
    check({.height = 7,
           .width = 7,
           .in_channels = 2,
           .out_channels = 3,
           .stride_h = 2,
           .stride_w = 2});
    // The padding is wider than the map: some windows see nothing.
    check({.height = 2,
           .width = 2,
           .in_channels = 2,
           .out_channels = 3,
           .kernel_h = 2,
           .kernel_w = 2,
           .pad_h = 3,
           .pad_w = 4});
  });
}

void check_transpose(int64_t height, int64_t width, int64_t in, int64_t out, bool with_norm,
                     bool with_bias) {
  SCOPED_TRACE(testing::Message() << height << "x" << width << "x" << in << " to " << out);
  const int64_t stride = in + 3;
  const std::vector<float> x = random_floats(height * width * stride, 1);
  const std::vector<float> w = random_floats(in * out * 4, 2), bias = random_floats(out, 3);
  const std::vector<float> scale = random_floats(out, 4), shift = random_floats(out, 5);
  std::vector<float> want(height * width * 4 * out);
  for (int64_t y = 0; y < 2 * height; ++y)
    for (int64_t column = 0; column < 2 * width; ++column) {
      std::vector<double> pixel(out);
      double mean = 0.0, variance = 0.0;
      for (int64_t o = 0; o < out; ++o) {
        pixel[o] = with_bias ? bias[o] : 0.0;
        for (int64_t i = 0; i < in; ++i)
          pixel[o] += static_cast<double>(x[(y / 2 * width + column / 2) * stride + i]) *
                      w[(i * out + o) * 4 + y % 2 * 2 + column % 2];
        mean += pixel[o] / static_cast<double>(out);
      }
      for (double v : pixel) variance += (v - mean) * (v - mean) / static_cast<double>(out);
      for (int64_t o = 0; o < out; ++o) {
        double v = pixel[o];
        if (with_norm) v = (v - mean) / std::sqrt(variance + 1e-6) * scale[o] + shift[o];
        want[(y * 2 * width + column) * out + o] = static_cast<float>(gelu(v));
      }
    }
  const ConvTransposeWeights weights =
      pack_conv_transpose2x2(w.data(), with_bias ? bias.data() : nullptr, in, out);
  const PixelNorm norm{scale.data(), shift.data(), 1e-6f};
  std::vector<float> got(want.size());
  expect_same_for_any_threads([&] {
    conv_transpose2x2(height, width, x.data(), stride, weights, with_norm ? &norm : nullptr,
                      Activation::gelu, got.data());
    return got;
  });
  expect_near(got, want, 3e-5, "transposed convolution");
}

TEST(ConvTranspose, DoublesTheMap) {
  on_every_target([] {
    check_transpose(4, 5, 32, 24, false, true);
    check_transpose(3, 70, 16, 9, true, true);
    check_transpose(8, 8, 64, 32, true, false);
    check_transpose(1, 1, 1, 1, false, true);
  });
}

}  // namespace
}  // namespace beckon::kernels
