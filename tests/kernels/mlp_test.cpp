#include "kernels/mlp.h"

#include <vector>

#include <gtest/gtest.h>

#include "every_target.h"
#include "kernels/depthwise.h"
#include "kernels/norm.h"

namespace beckon::kernels {
namespace {

using beckon::test::expect_same_for_any_threads;
using beckon::test::on_every_target;
using beckon::test::random_floats;

size_t index(int64_t i) { return static_cast<size_t>(i); }

struct Weights {
  std::vector<float> norm_w, norm_b, w1, b1, w2, b2, taps;
  PackedMatrix fc1, fc2;
  int64_t c, h;

  Weights(int64_t channels, int64_t hidden)
      : norm_w(random_floats(channels, 1)),
        norm_b(random_floats(channels, 2)),
        w1(random_floats(channels * hidden, 3)),
        b1(random_floats(hidden, 4)),
        w2(random_floats(hidden * channels, 5)),
        b2(random_floats(channels, 6)),
        taps(random_floats(9 * channels, 7)),
        fc1(pack(w1.data(), channels, hidden, hidden, 1)),
        fc2(pack(w2.data(), hidden, channels, channels, 1)),
        c(channels),
        h(hidden) {}
  Mlp mlp() const {
    return {.norm_weight = norm_w.data(),
            .norm_bias = norm_b.data(),
            .eps = 1e-5f,
            .fc1 = &fc1,
            .bias1 = b1.data(),
            .fc2 = &fc2,
            .bias2 = b2.data()};
  }
};

// The definition, step by step.
std::vector<float> plain(const Weights& w, const std::vector<float>& x) {
  const int64_t rows = static_cast<int64_t>(x.size()) / w.c;
  std::vector<float> normalized(x.size()), hidden(index(rows * w.h)), y(x.size());
  layer_norm(x.data(), rows, w.c, w.norm_w.data(), w.norm_b.data(), 1e-5f, normalized.data());
  gemm(rows, {.data = normalized.data(), .stride = w.c}, w.fc1,
       {.bias = w.b1.data(), .activation = Activation::gelu}, hidden.data(), w.h);
  gemm(rows, {.data = hidden.data(), .stride = w.h}, w.fc2,
       {.bias = w.b2.data(), .residual = x.data(), .residual_stride = w.c}, y.data(), w.c);
  return y;
}

TEST(Mlp, EqualsItsStepsBitForBit) {
  on_every_target([] {
    for (const int64_t rows : {0, 1, 5, 400}) {
      const Weights w(21, 70);
      const std::vector<float> x = random_floats(rows * w.c, 9);
      std::vector<float> y(x.size()), in_place = x;
      mlp(w.mlp(), rows, x.data(), y.data());
      mlp(w.mlp(), rows, in_place.data(), in_place.data());
      const std::vector<float> want = plain(w, x);
      ASSERT_EQ(y, want) << rows;
      ASSERT_EQ(in_place, want) << rows;
    }
  });
}

TEST(Mlp, WithLocalConvolutionEqualsItsStepsBitForBit) {
  on_every_target([] {
    for (const auto& [height, width] :
         std::vector<std::pair<int64_t, int64_t>>{{0, 4}, {1, 1}, {2, 9}, {13, 7}, {40, 31}}) {
      const Weights w(21, 70);
      const DepthwiseConv conv = {.n = 2, .height = height, .width = width, .channels = w.c};
      const std::vector<float> x = random_floats(2 * height * width * w.c, 9);
      std::vector<float> t(x.size()), y(x.size());
      depthwise_conv(conv, x.data(), w.taps.data(), w.b2.data(), Activation::none, t.data());
      local_conv_mlp({2, height, width, w.taps.data(), w.b2.data()}, w.mlp(), x.data(), y.data());
      ASSERT_EQ(y, plain(w, t)) << height << "x" << width;
    }
  });
}

// 1100 x 1100 x 2 weights are 9.7 MB: the form that stores the hidden activations.
TEST(Mlp, LargeWeightsTakeTheOtherForm) {
  const Weights w(1100, 1100);
  const std::vector<float> x = random_floats(6 * w.c, 9);
  std::vector<float> t(x.size()), y(x.size());
  mlp(w.mlp(), 6, x.data(), y.data());
  ASSERT_EQ(y, plain(w, x));
  depthwise_conv({.n = 1, .height = 2, .width = 3, .channels = w.c}, x.data(), w.taps.data(),
                 nullptr, Activation::none, t.data());
  local_conv_mlp({1, 2, 3, w.taps.data(), nullptr}, w.mlp(), x.data(), y.data());
  ASSERT_EQ(y, plain(w, t));
}

TEST(Mlp, ThreadsChangeNothing) {
  const Weights w(40, 160);
  const std::vector<float> x = random_floats(61 * 53 * w.c, 9);
  expect_same_for_any_threads([&] {
    std::vector<float> y(2 * x.size());
    mlp(w.mlp(), 61 * 53, x.data(), y.data());
    local_conv_mlp({1, 61, 53, w.taps.data(), w.b2.data()}, w.mlp(), x.data(), y.data() + x.size());
    return y;
  });
}

}  // namespace
}  // namespace beckon::kernels
