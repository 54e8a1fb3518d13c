#include "kernels/depthwise.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "every_target.h"

namespace beckon::kernels {
namespace {

using beckon::test::expect_same_for_any_threads;
using beckon::test::on_every_target;
using beckon::test::random_floats;

size_t index(int64_t i) { return static_cast<size_t>(i); }

// Calls body(output pixel, input pixel, tap) for every product of the convolution.
template <typename Body>
void each_product(const DepthwiseConv& c, const Body& body) {
  const int64_t oh = c.out_height(), ow = c.out_width();
  for (int64_t i = 0; i < c.n; ++i)
    for (int64_t oy = 0; oy < oh; ++oy)
      for (int64_t ox = 0; ox < ow; ++ox)
        for (int64_t ky = 0; ky < c.kernel_h; ++ky)
          for (int64_t kx = 0; kx < c.kernel_w; ++kx) {
            const int64_t y = oy * c.stride_h - c.pad_h + ky * c.dilation_h;
            const int64_t x = ox * c.stride_w - c.pad_w + kx * c.dilation_w;
            if (y < 0 || y >= c.height || x < 0 || x >= c.width) continue;
            body((i * oh + oy) * ow + ox, (i * c.height + y) * c.width + x, ky * c.kernel_w + kx);
          }
}

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }

std::vector<DepthwiseConv> cases() {
  std::vector<DepthwiseConv> list;
  for (const int64_t stride : {1, 2})
    for (const auto& [h, w] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {1, 9}, {2, 2}, {3, 3}, {4, 5}, {7, 8}, {8, 7}, {9, 17}})
      for (const int64_t channels : {1, 5, 16, 33})
        list.push_back({.n = 2,
                        .height = h,
                        .width = w,
                        .channels = channels,
                        .stride_h = stride,
                        .stride_w = stride});
  list.push_back({.n = 1,
                  .height = 9,
                  .width = 11,
                  .channels = 19,
                  .kernel_h = 5,
                  .kernel_w = 7,
                  .stride_h = 2,
                  .stride_w = 3,
                  .pad_h = 2,
                  .pad_w = 4});
  list.push_back({.n = 2,
                  .height = 12,
                  .width = 9,
                  .channels = 8,
                  .pad_h = 2,
                  .pad_w = 2,
                  .dilation_h = 2,
                  .dilation_w = 2});
  list.push_back({.n = 1, .height = 5, .width = 6, .channels = 40, .pad_h = 0, .pad_w = 0});
  list.push_back({.n = 1,
                  .height = 6,
                  .width = 6,
                  .channels = 3,
                  .kernel_h = 2,
                  .kernel_w = 1,
                  .stride_h = 1,
                  .stride_w = 2,
                  .pad_h = 0,
                  .pad_w = 0});
  list.push_back({.n = 0, .height = 6, .width = 6, .channels = 3});
  return list;
}

TEST(Depthwise, ValuesAndGradientsMatchDouble) {
  on_every_target([] {
    for (const DepthwiseConv& c : cases()) {
      SCOPED_TRACE(testing::Message()
                   << c.height << "x" << c.width << "x" << c.channels << " stride " << c.stride_h);
      const int64_t ch = c.channels, ins = c.n * c.height * c.width;
      const int64_t outs = c.n * c.out_height() * c.out_width();
      const std::vector<float> x = random_floats(ins * ch, 1), w = random_floats(c.taps() * ch, 2);
      const std::vector<float> b = random_floats(ch, 3), dy = random_floats(outs * ch, 4);
      std::vector<double> y(index(outs * ch)), dx(index(ins * ch)), dw(index(c.taps() * ch));
      each_product(c, [&](int64_t out, int64_t in, int64_t tap) {
        for (int64_t k = 0; k < ch; ++k) {
          y[index(out * ch + k)] += double(x[index(in * ch + k)]) * w[index(tap * ch + k)];
          dx[index(in * ch + k)] += double(dy[index(out * ch + k)]) * w[index(tap * ch + k)];
          dw[index(tap * ch + k)] += double(dy[index(out * ch + k)]) * x[index(in * ch + k)];
        }
      });
      std::vector<float> plain(index(outs * ch)), fused(plain), gx(index(ins * ch)),
          gw(index(c.taps() * ch));
      depthwise_conv(c, x.data(), w.data(), nullptr, Activation::none, plain.data());
      depthwise_conv(c, x.data(), w.data(), b.data(), Activation::gelu, fused.data());
      depthwise_conv_grad_input(c, dy.data(), w.data(), gx.data());
      depthwise_conv_grad_weights(c, x.data(), dy.data(), gw.data());
      for (int64_t i = 0; i < outs * ch; ++i) {
        ASSERT_NEAR(plain[index(i)], y[index(i)], 4e-6);
        ASSERT_NEAR(fused[index(i)], gelu(y[index(i)] + b[index(i % ch)]), 4e-6);
      }
      for (int64_t i = 0; i < ins * ch; ++i) ASSERT_NEAR(gx[index(i)], dx[index(i)], 4e-6);
      for (size_t i = 0; i < gw.size(); ++i) ASSERT_NEAR(gw[i], dw[i], 4e-5);
    }
  });
}

TEST(Depthwise, EveryActivation) {
  on_every_target([] {
    const DepthwiseConv c{.n = 1, .height = 6, .width = 7, .channels = 21};
    const std::vector<float> x = random_floats(6 * 7 * 21), w = random_floats(9 * 21, 2);
    std::vector<float> plain(x.size()), y(x.size());
    depthwise_conv(c, x.data(), w.data(), nullptr, Activation::none, plain.data());
    for (const auto& [activation, f] : std::vector<std::pair<Activation, double (*)(double)>>{
             {Activation::relu, [](double v) { return std::max(v, 0.0); }},
             {Activation::silu, [](double v) { return v / (1 + std::exp(-v)); }},
             {Activation::quick_gelu, [](double v) { return v / (1 + std::exp(-1.702 * v)); }},
             {Activation::gelu, gelu}}) {
      depthwise_conv(c, x.data(), w.data(), nullptr, activation, y.data());
      for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], f(plain[i]), 1e-6);
    }
  });
}

// A row computed from a window of its columns is the same bits as in the whole map.
TEST(Depthwise, PiecesOfARowAreTheRow) {
  on_every_target([] {
    const int64_t width = 23, channels = 20;
    for (const int64_t stride : {1, 2}) {
      const DepthwiseConv c{.n = 1,
                            .height = 3,
                            .width = width,
                            .channels = channels,
                            .stride_h = stride,
                            .stride_w = stride};
      const std::vector<float> x = random_floats(3 * width * channels),
                               w = random_floats(9 * channels, 2);
      std::vector<float> whole(index(c.out_height() * c.out_width() * channels));
      depthwise_conv(c, x.data(), w.data(), w.data(), Activation::gelu, whole.data());
      // Output row 0: the row above is outside.
      for (int64_t begin = 0; begin < c.out_width(); ++begin)
        for (int64_t end = begin + 1; end <= c.out_width(); ++end) {
          const int64_t in_begin = std::max<int64_t>(0, begin * stride - 1);
          const int64_t in_end = std::min(width, (end - 1) * stride + 2);
          std::vector<float> piece(index((end - begin) * channels));
          DepthwiseRow row = {.rows = {nullptr, x.data() + in_begin * channels,
                                       x.data() + (width + in_begin) * channels},
                              .in_begin = in_begin,
                              .in_end = in_end,
                              .stride = stride,
                              .out_begin = begin,
                              .out_end = end,
                              .channels = channels,
                              .weights = w.data(),
                              .bias = w.data(),
                              .activation = Activation::gelu,
                              .out = piece.data()};
          depthwise_row(row);
          for (int64_t i = 0; i < (end - begin) * channels; ++i)
            ASSERT_EQ(piece[index(i)], whole[index(begin * channels + i)]);
        }
    }
  });
}

TEST(Depthwise, TapsAreTransposed) {
  const std::vector<float> w = {1, 2, 3, 4, 5, 6};  // 2 channels, 3 taps
  EXPECT_EQ(depthwise_taps(w.data(), 2, 3), (std::vector<float>{1, 4, 2, 5, 3, 6}));
}

TEST(Depthwise, ThreadsChangeNothing) {
  DepthwiseConv c{.n = 2, .height = 61, .width = 50, .channels = 24};
  const std::vector<float> x = random_floats(2 * 61 * 50 * 24), w = random_floats(9 * 24, 2);
  for (const int64_t stride : {1, 2}) {
    c.stride_h = c.stride_w = stride;
    const int64_t outs = 2 * c.out_height() * c.out_width() * 24, ins = 2 * 61 * 50 * 24;
    const std::vector<float> dy = random_floats(outs, 3);
    expect_same_for_any_threads([&] {
      std::vector<float> out(index(outs + ins + 9 * 24));
      depthwise_conv(c, x.data(), w.data(), w.data(), Activation::gelu, out.data());
      depthwise_conv_grad_input(c, dy.data(), w.data(), out.data() + outs);
      depthwise_conv_grad_weights(c, x.data(), dy.data(), out.data() + outs + ins);
      return out;
    });
  }
}

}  // namespace
}  // namespace beckon::kernels
