#include "kernels/mbconv.h"

#include <vector>

#include <gtest/gtest.h>

#include "every_target.h"
#include "kernels/depthwise.h"
#include "kernels/elementwise.h"

namespace beckon::kernels {
namespace {

using beckon::test::expect_same_for_any_threads;
using beckon::test::on_every_target;
using beckon::test::random_floats;

size_t index(int64_t i) { return static_cast<size_t>(i); }

struct Weights {
  int64_t c, e, o;
  std::vector<float> w1, b1, taps, b2, w3, b3;

  Weights(int64_t in, int64_t expanded, int64_t out)
      : c(in),
        e(expanded),
        o(out),
        w1(random_floats(in * expanded, 11)),
        b1(random_floats(expanded, 12)),
        taps(random_floats(9 * expanded, 13)),
        b2(random_floats(expanded, 14)),
        w3(random_floats(expanded * out, 15)),
        b3(random_floats(out, 16)) {}
};

std::vector<float> fused(const Weights& w, int64_t n, int64_t height, int64_t width, int64_t stride,
                         bool residual, const std::vector<float>& x) {
  const PackedMatrix expand = pack(w.w1.data(), w.c, w.e, w.e, 1);
  const PackedMatrix project = pack(w.w3.data(), w.e, w.o, w.o, 1);
  const MbConv block = {.n = n,
                        .height = height,
                        .width = width,
                        .stride = stride,
                        .expand = &expand,
                        .expand_bias = w.b1.data(),
                        .taps = w.taps.data(),
                        .depthwise_bias = w.b2.data(),
                        .project = &project,
                        .project_bias = w.b3.data(),
                        .residual = residual};
  std::vector<float> y(index(n * block.out_height() * block.out_width() * w.o));
  mbconv(block, x.data(), y.data());
  return y;
}

// The definition: three convolutions, one after the other.
std::vector<float> plain(const Weights& w, int64_t n, int64_t height, int64_t width, int64_t stride,
                         bool residual, const std::vector<float>& x) {
  const PackedMatrix expand = pack(w.w1.data(), w.c, w.e, w.e, 1);
  const PackedMatrix project = pack(w.w3.data(), w.e, w.o, w.o, 1);
  const DepthwiseConv conv = {.n = n,
                              .height = height,
                              .width = width,
                              .channels = w.e,
                              .stride_h = stride,
                              .stride_w = stride};
  const int64_t pixels = n * height * width, outs = n * conv.out_height() * conv.out_width();
  std::vector<float> expanded(index(pixels * w.e)), filtered(index(outs * w.e)),
      y(index(outs * w.o));
  gemm(pixels, {.data = x.data(), .stride = w.c}, expand,
       {.bias = w.b1.data(), .activation = Activation::gelu}, expanded.data(), w.e);
  depthwise_conv(conv, expanded.data(), w.taps.data(), w.b2.data(), Activation::gelu,
                 filtered.data());
  gemm(outs, {.data = filtered.data(), .stride = w.e}, project, {.bias = w.b3.data()}, y.data(),
       w.o);
  if (residual) {
    binary(Binary::add, y.data(), x.data(), y.data(), outs, w.o, Spread::same);
    unary(Unary::gelu, y.data(), y.data(), outs * w.o);
  }
  return y;
}

TEST(MbConv, EqualsThreeConvolutionsBitForBit) {
  on_every_target([] {
    for (const auto& [height, width] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {1, 7}, {2, 2}, {5, 4}, {17, 19}, {40, 33}, {3, 300}})
      for (const int64_t stride : {1, 2})
        for (const bool residual : {false, true}) {
          if (residual && stride == 2) continue;
          SCOPED_TRACE(testing::Message() << height << "x" << width << " stride " << stride
                                          << (residual ? " residual" : ""));
          const Weights w(6, 21, residual ? 6 : 11);
          const std::vector<float> x = random_floats(2 * height * width * 6, 5);
          ASSERT_EQ(fused(w, 2, height, width, stride, residual, x),
                    plain(w, 2, height, width, stride, residual, x));
        }
  });
}

TEST(MbConv, EmptyBatch) {
  const Weights w(3, 4, 5);
  EXPECT_TRUE(fused(w, 0, 4, 4, 1, false, {}).empty());
}

// With several tiles across: 400 columns of 300 channels are more than a tile.
TEST(MbConv, ThreadsChangeNothing) {
  const Weights w(4, 300, 4);
  const std::vector<float> x = random_floats(70 * 400 * 4);
  for (const int64_t stride : {1, 2})
    expect_same_for_any_threads([&] { return fused(w, 1, 70, 400, stride, stride == 1, x); });
}

}  // namespace
}  // namespace beckon::kernels
