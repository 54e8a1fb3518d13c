// What the table of operations cannot say: wrong arguments, ties, NaN, nothing to average.
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "beckon/ops.h"
#include "support/check.h"

namespace beckon::test {
namespace {

Tensor whole(std::initializer_list<int64_t> values) {
  const std::vector<int64_t> list(values);
  return Tensor::from(std::span<const int64_t>(list), {static_cast<int64_t>(list.size())});
}

TEST(OpArguments, WrongShapesAreNamed) {
  const Tensor m = Tensor::zeros({2, 3}), map = Tensor::zeros({1, 4, 4, 2});
  expect_error(Kind::usage, "add: shapes [2,3] and [2]", [&] { m + Tensor::zeros({2}); });
  expect_error(Kind::usage, "where: shapes", [&] { where(m, m, Tensor::zeros({4})); });
  expect_error(Kind::usage, "mul: an argument is an empty", [&] { mul(m, Tensor()); });
  expect_error(Kind::usage, "a tensor of i64", [&] { exp(whole({1})); });
  expect_error(Kind::usage, "sum: dimension 1 of shape [2,3] is named twice", [&] {
    sum(m, {1, -1});
  });
  expect_error(Kind::usage, "dimension 2", [&] { sum(m, {2}); });
  expect_error(Kind::usage, "no elements", [] { max(Tensor::zeros({2, 0}), 1); });
  expect_error(Kind::usage, "topk: 4 of dimension 1", [&] { topk(m, 4, 1); });
  expect_error(Kind::usage, "concat of no", [] { concat(std::span<const Tensor>(), 0); });
  expect_error(Kind::usage, "[2,3] and [1,2]", [&] { concat({m, Tensor::zeros({1, 2})}, 0); });
  expect_error(Kind::usage, "f32 and of i64", [&] {
    concat({m, Tensor::zeros({1, 3}, DType::i64)}, 0);
  });
  expect_error(Kind::usage, "do not add up to 3", [&] { split(m, {1, 1}, 1); });
  expect_error(Kind::usage, "do not add up to 3", [&] { split(m, {4, -1}, 1); });
  expect_error(Kind::usage, "pad:", [&] { pad(m, {0, -1}, {0, 0}); });
  expect_error(Kind::usage, "roll: 1 shifts", [&] { roll(m, {1}, {0, 1}); });
  expect_error(Kind::usage, "named twice", [&] { flip(m, {0, -2}); });
  expect_error(Kind::usage, "resize: a tensor of shape [2,3]",
               [&] { resize(m, 2, 2, Interpolation::bilinear); });
  expect_error(Kind::usage, "to 0 x 2", [&] { resize(map, 0, 2, Interpolation::bilinear); });
  expect_error(Kind::usage, "corners", [&] { resize(map, 2, 2, Interpolation::nearest, true); });
  expect_error(Kind::usage, "grid of shape [1,2,2,3]", [&] {
    grid_sample(map, Tensor::zeros({1, 2, 2, 3}));
  });
  expect_error(Kind::usage, "padding 2", [&] { max_pool2d(map, {3, 1, 2}); });
  expect_error(Kind::usage, "kernel of 5", [&] { avg_pool2d(map, {5, 1, 0}); });
  expect_error(Kind::usage, "clamp: from 1 to 0", [&] { clamp(m, 1, 0); });
  expect_error(Kind::usage, "cannot expand [1,3] to [-1,3]", [] {
    Tensor::zeros({1, 3}).expand({-1, 3});
  });
}

TEST(OpArguments, ConvolutionsTakeNoNumberThatCouldOverflow) {
  const Tensor x = Tensor::zeros({1, 4, 4, 2}), w = Tensor::zeros({2, 2, 5, 5});
  constexpr int64_t kHuge = int64_t{1} << 62;  // four of them are none
  for (const Conv& conv :
       {Conv().dilation(kHuge), Conv().padding(kHuge), Conv().padding(2).stride(kHuge)}) {
    expect_error(Kind::usage, "conv2d: a stride, dilation", [&] { conv2d(x, w, {}, conv); });
    expect_error(Kind::usage, "conv_transpose2d: a stride",
                 [&] { conv_transpose2d(x, w, {}, conv); });
  }
}

TEST(OpArguments, FusedBlocksCheckAllOfTheirWeights) {
  const Tensor x = Tensor::zeros({1, 4, 4, 2});
  const MbConv good{Tensor::zeros({6, 2, 1, 1}), Tensor::full({6}, 1.0f),
                    Tensor::zeros({6, 1, 3, 3}), Tensor::full({6}, 2.0f),
                    Tensor::zeros({3, 6, 1, 1}), Tensor::full({3}, 3.0f)};
  const auto run = [&](const MbConv& m) { return mbconv(x, m, 1, Activation::gelu, false); };
  for (Tensor MbConv::*bias :
       {&MbConv::expand_bias, &MbConv::depthwise_bias, &MbConv::project_bias}) {
    MbConv bad = good, half = good;
    bad.*bias = Tensor::zeros({2});
    expect_error(Kind::usage, "bias [2], expected", [&] { run(bad); });
    half.*bias = (good.*bias).to(DType::bf16);
    expect_near(run(half).values(), run(good).values(), 0.0, "a bias in 16 bits");
  }
  expect_near(mbconv(x.to(DType::f16), good, 1, Activation::gelu, false).values(),
              run(good).values(), 0.0, "a map in 16 bits");
  expect_error(Kind::usage, "feed_forward: x [1,4,4,2] with weights [0,2], [2,0]", [&] {
    feed_forward(x, {.fc1 = Tensor::zeros({0, 2}), .fc2 = Tensor::zeros({2, 0})});
  });
}

TEST(OpArguments, IndicesAreChecked) {
  const Tensor m = Tensor::zeros({2, 3});
  expect_error(Kind::usage, "index 2 at place 1, expected 0 to 1", [&] {
    embedding(m, whole({0, 2}));
  });
  expect_error(Kind::usage, "index -1", [&] { index_select(m, 0, whole({-1})); });
  expect_error(Kind::usage, "must be i64", [&] { embedding(m, Tensor::zeros({1})); });
  expect_error(Kind::usage, "index of shape [2]", [&] { gather(m, 0, whole({0, 1})); });
  expect_error(Kind::usage, "class 3 in row 1", [&] { cross_entropy(m, whole({0, 3})); });
  expect_error(Kind::usage, "classes of shape [1]", [&] { cross_entropy(m, whole({0})); });
  expect_error(Kind::usage, "label smoothing", [&] { cross_entropy(m, whole({0, 1}), 1.5f); });
  expect_error(Kind::usage, "target of shape [3]", [&] { l2_loss(m, Tensor::zeros({3})); });
}

TEST(OpArguments, EqualOnesShareTheGradientOfMaximum) {
  const Tensor a = Tensor::from({1, 2, 3}, {3}).set_requires_grad();
  const Tensor b = Tensor::from({1, 5, 0}, {3}).set_requires_grad();
  sum(maximum(a, b)).backward();
  expect_near(a.grad().values(), std::vector<float>{0.5f, 0, 1}, 0, "a");
  expect_near(b.grad().values(), std::vector<float>{0.5f, 1, 0}, 0, "b");
}

TEST(OpArguments, FirstOfEqualOnesGetsTheGradientOfMax) {
  const Tensor x = Tensor::from({1, 3, 3, 2, 3}, {5}).set_requires_grad();
  max(x, 0).backward();
  expect_near(x.grad().values(), std::vector<float>{0, 1, 0, 0, 0}, 0, "x");
}

TEST(OpArguments, NanIsTheLargest) {
  const Tensor x = Tensor::from({1, NAN, 7, NAN}, {4});
  EXPECT_TRUE(std::isnan(max(x, 0).item()));
  EXPECT_EQ(argmax(x, 0).item(), 1.0f);
  const Tensor order = topk(x, 4, 0).second.to(DType::f32);
  expect_near(order.values(), std::vector<float>{1, 3, 2, 0}, 0, "order");
}

TEST(OpArguments, MeansOfNothingAreNotNumbers) {
  EXPECT_TRUE(std::isnan(mean(Tensor::zeros({0})).item()));
  EXPECT_TRUE(std::isnan(cross_entropy(Tensor::zeros({2, 3}), whole({-100, -100})).item()));
}

TEST(OpArguments, RowsLeftOutGetNoGradient) {
  const Tensor x = Tensor::from({1, 2, 3, 4}, {2, 2}).set_requires_grad();
  cross_entropy(x, whole({-100, 0})).backward();
  EXPECT_EQ(x.grad().data()[0], 0.0f);
  EXPECT_EQ(x.grad().data()[1], 0.0f);
  EXPECT_LT(x.grad().data()[2], 0.0f);
}

TEST(OpArguments, PlacesBeyondTheMapReadNothing) {
  const Tensor x = Tensor::full({1, 2, 2, 1}, 1.0f);
  const Tensor grid = Tensor::from({NAN, 0, 1e30f, -1e30f, INFINITY, 0, 0, 0}, {1, 1, 4, 2});
  expect_near(grid_sample(x, grid).values(), std::vector<float>{0, 0, 0, 1}, 0, "samples");
}

TEST(OpArguments, ASumOverNothingIsACopy) {
  const Tensor x = Tensor::from({1, 2}, {2, 1});
  Tensor y = sum(x, {1});
  y.data()[0] = 9;
  EXPECT_EQ(x.data()[0], 1.0f);
}

}  // namespace
}  // namespace beckon::test
