// Products, convolutions, normalisation and attention: what the table of operations does not say.
#include <cmath>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "beckon/ops.h"
#include "support/check.h"

namespace beckon::test {
namespace {

Tensor ramp(const Shape& shape, float step = 0.37f) {
  Tensor x = Tensor::empty(shape);
  for (int64_t i = 0; i < x.size(); ++i)
    x.data()[i] = static_cast<float>(i * 7 % 23) * step / 10.0f - 0.4f;
  return x;
}

void expect_same(const Tensor& actual, const Tensor& expected) {
  ASSERT_TRUE(actual.shape() == expected.shape());
  expect_near(actual.values(), expected.values(), 0.0, "result");
}

// Weights stored in 16 bits give what the numbers they hold give in 32.
TEST(HalfWeights, CountAsTheNumbersTheyHold) {
  for (const DType type : {DType::f16, DType::bf16}) {
    const auto both = [&](const Shape& shape, const std::function<Tensor(const Tensor&)>& run) {
      const Tensor half = ramp(shape).to(type);
      expect_same(run(half), run(half.to(DType::f32)));
    };
    const Tensor map = ramp({1, 4, 4, 6}), rows = ramp({5, 6});
    both({7, 6}, [&](const Tensor& w) { return linear(rows, w); });
    both({7}, [&](const Tensor& b) { return linear(rows, ramp({7, 6}), b); });
    both({7, 6}, [&](const Tensor& w) { return norm_linear(rows, {}, w); });
    both({6, 2}, [&](const Tensor& w) { return matmul(rows, w); });
    both({3, 6, 3, 3}, [&](const Tensor& w) { return conv2d(map, w); });
    both({6, 1, 3, 3}, [&](const Tensor& w) { return conv2d(map, w, {}, Conv().group(6)); });
    both({6, 3, 2, 2},
         [&](const Tensor& w) { return conv_transpose2d(map, w, {}, Conv().stride(2)); });
    both({6, 3, 3, 3}, [&](const Tensor& w) { return conv_transpose2d(map, w); });
    both({6}, [&](const Tensor& g) { return layer_norm(rows, g, {}, 1e-5f); });
    both({2, 5, 5}, [&](const Tensor& bias) {
      const Tensor x = ramp({1, 5, 6});
      return attention(x, x, x, {.heads = 2}, bias);
    });
  }
}

// Repeated rows lie no distance apart: that is not the distance of the next dimension's.
TEST(Linear, ReadsExpandedRows) {
  const Tensor w = ramp({5, 4}), gamma = ramp({4}), beta = ramp({4});
  for (const Tensor& x :
       {ramp({3, 1, 4}).expand({3, 2, 4}), ramp({1, 3, 4}).expand({2, 3, 4}),
        ramp({2, 1, 3, 4}).expand({2, 5, 3, 4}), ramp({4}).expand({2, 3, 4}),
        ramp({3, 2, 1}).expand({3, 2, 4}), ramp({3, 1, 8}).slice(2, 4, 8).expand({3, 2, 4})}) {
    SCOPED_TRACE(x.strides().str());
    expect_same(linear(x, w), linear(x.clone(), w));
    expect_same(norm_linear(x, {gamma, beta}, w), norm_linear(x.clone(), {gamma, beta}, w));
  }
}

TEST(FrozenWeights, ArePackedAgainAfterTheyWereWritten) {
  const Tensor x = ramp({3, 4}), map = ramp({1, 3, 3, 4});
  Tensor w = ramp({5, 4}), kernel = ramp({2, 4, 2, 2}), taps = ramp({4, 1, 3, 3});
  linear(x, w);
  conv2d(map, kernel);
  conv2d(map, taps, {}, Conv().group(4));
  for (Tensor* weight : {&w, &kernel, &taps})
    for (int64_t i = 0; i < weight->size(); ++i) weight->data()[i] += 1.0f;
  expect_same(linear(x, w), linear(x, w.clone()));
  expect_same(conv2d(map, kernel), conv2d(map, kernel.clone()));
  expect_same(conv2d(map, taps, {}, Conv().group(4)),
              conv2d(map, taps.clone(), {}, Conv().group(4)));
}

TEST(FrozenWeights, MayBeViewsOfOneTensor) {
  const Tensor x = ramp({3, 4}), all = ramp({9, 4});
  expect_same(linear(x, all.slice(0, 0, 4)), linear(x, all.slice(0, 0, 4).clone()));
  expect_same(linear(x, all.slice(0, 4, 9)), linear(x, all.slice(0, 4, 9).clone()));
  expect_same(linear(x, all.slice(0, 0, 4).transpose(0, 1)),
              linear(x, all.slice(0, 0, 4).transpose(0, 1).clone()));
}

// One weight [4,3,2,2] is a convolution of 3 channels, and of 6 in two groups.
TEST(FrozenWeights, MayServeWithAnotherNumberOfGroups) {
  const Tensor w = ramp({4, 3, 2, 2}), three = ramp({1, 3, 3, 3}), six = ramp({1, 3, 3, 6});
  const Tensor one = conv2d(three, w.clone()), two = conv2d(six, w.clone(), {}, Conv().group(2));
  expect_same(conv2d(three, w), one);
  expect_same(conv2d(six, w, {}, Conv().group(2)), two);
  expect_same(conv2d(three, w), one);
}

TEST(Linear, TakesTheRowsOfASliceWhereTheyAre) {
  const Tensor wide = ramp({2, 3, 12}), w = ramp({5, 4});
  const Tensor part = wide.slice(2, 4, 8);
  expect_same(linear(part, w), linear(part.clone(), w));
  const Tensor swapped = wide.transpose(0, 1).slice(2, 4, 8);
  expect_same(linear(swapped, w), linear(swapped.clone(), w));
}

TEST(Attention, OfRowsWithEveryKeyMaskedIsNotANumber) {
  const Tensor x = ramp({1, 2, 4});
  Tensor bias = Tensor::zeros({1, 2, 2});
  bias.data()[0] = bias.data()[1] = -INFINITY;
  const Tensor y = attention(x, x, x, {}, bias);
  for (int64_t c = 0; c < 4; ++c) {
    EXPECT_TRUE(std::isnan(y.data()[c]));
    EXPECT_FALSE(std::isnan(y.data()[4 + c]));
  }
}

TEST(BatchNormTrain, NeedsTwoValuesAChannel) {
  expect_error(Kind::usage, "[1,3]", [] { batch_norm_train(ramp({1, 3}), {}, {}, 1e-5f); });
}

// Every message names the operation and the shapes that do not fit.
TEST(WrongShapes, AreErrorsWithTheShapes) {
  const auto refused = [](const std::string& part, const std::function<Tensor()>& run) {
    expect_error(Kind::usage, part, [&] { run(); });
  };
  const Tensor x = ramp({2, 3, 4}), map = ramp({1, 5, 5, 4});
  refused("matmul: [2,3,4] times [3,4]", [&] { return matmul(x, ramp({3, 4})); });
  refused("matmul: [4] times", [&] { return matmul(ramp({4}), ramp({4, 2})); });
  refused("[2] and [3]", [&] { return matmul(x, ramp({3, 4, 5})); });
  refused("linear: x [2,3,4] with weight [5,3]", [&] { return linear(x, ramp({5, 3})); });
  refused("linear: bias [4]", [&] { return linear(x, ramp({5, 4}), ramp({4})); });
  refused("linear: residual [2,3,4]", [&] { return linear(x, ramp({5, 4}), {}, {.residual = x}); });
  refused("linear: a tensor of i64", [&] {
    return linear(Tensor::zeros({2, 4}, DType::i64), ramp({5, 4}));
  });
  refused("norm_linear: gamma [3]", [&] {
    return norm_linear(x, {ramp({3}), {}, 1e-5f}, ramp({5, 4}));
  });
  refused("conv2d: x [2,3,4]", [&] { return conv2d(x, ramp({1, 4, 1, 1})); });
  refused("conv2d: x [1,5,5,4] with weight [2,3,3,3] and 1 groups", [&] {
    return conv2d(map, ramp({2, 3, 3, 3}));
  });
  refused("3 groups", [&] { return conv2d(map, ramp({2, 2, 3, 3}), {}, Conv().group(3)); });
  refused("over 7x7 in a map of 5x5", [&] { return conv2d(map, ramp({2, 4, 7, 7})); });
  refused("stride 0x0", [&] { return conv2d(map, ramp({2, 4, 1, 1}), {}, Conv().stride(0)); });
  refused("padding -1", [&] { return conv2d(map, ramp({2, 4, 1, 1}), {}, Conv().padding(-1)); });
  refused("conv_transpose2d: x [1,5,5,4] with weight [3,2,2,2]", [&] {
    return conv_transpose2d(map, ramp({3, 2, 2, 2}));
  });
  refused("conv_transpose2d: a result of -1x-1", [&] {
    return conv_transpose2d(map, ramp({4, 2, 1, 1}), {}, Conv().padding(3));
  });
  refused("layer_norm: gamma [3] for x [2,3,4]",
          [&] { return layer_norm(x, ramp({3}), {}, 1e-5f); });
  refused("group_norm: x [2,3,4] with 3 groups", [&] { return group_norm(x, 3, {}, {}, 1e-5f); });
  refused("batch_norm: mean and variance", [&] { return batch_norm(x, {}, {}, {}, {}, 1e-5f); });
  refused("attention: q [2,3,4], k [2,5,4], v [2,6,4]", [&] {
    return attention(x, ramp({2, 5, 4}), ramp({2, 6, 4}), {});
  });
  refused("3 heads", [&] { return attention(x, x, x, {.heads = 3}); });
  refused("bias [2,3,4] for scores of [2,1,3,3]", [&] { return attention(x, x, x, {}, x); });
  refused("scale -1", [&] { return attention(x, x, x, {.scale = -1.0f}); });
  const Tensor qkv = ramp({1, 4, 4, 12});
  refused("window_attention: qkv [1,4,4,12] with 5 heads",
          [&] { return window_attention(qkv, {.heads = 5, .window = 2}); });
  refused("window_attention: pad_row [4], expected [12]",
          [&] { return window_attention(qkv, {.window = 3}, ramp({4})); });
  refused("window_attention: rel_h [4,4], expected [3,4]", [&] {
    return window_attention(qkv, {.window = 2, .rel_h = ramp({4, 4}), .rel_w = ramp({3, 4})});
  });
  refused("together", [&] { return window_attention(qkv, {.window = 2, .rel_h = ramp({3, 4})}); });
}

}  // namespace
}  // namespace beckon::test
