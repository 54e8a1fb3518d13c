// The tape: gradients reach the leaves, whoever holds them and however long the way.
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "beckon/ops.h"
#include "support/check.h"
#include "tensor/tape.h"

namespace beckon::test {
namespace {

using Floats = std::vector<float>;

Floats elements(const Tensor& x) {
  const Tensor flat = x.contiguous();
  return {flat.values().begin(), flat.values().end()};
}

Tensor leaf(std::initializer_list<float> values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())}).set_requires_grad();
}

TEST(Autograd, AddsUpOverAllUsesOfALeaf) {
  const Tensor x = leaf({2, 3});
  const Tensor y = sum(x * x + x * 4.0f + x);
  y.backward();
  EXPECT_EQ(elements(x.grad()), (Floats{9, 11}));  // 2x + 5
}

TEST(Autograd, AddsUpOverCallsUntilZeroGrad) {
  Tensor x = leaf({2, 3});
  sum(x * 3.0f).backward();
  const Tensor first = x.grad();
  sum(x * 4.0f).backward();
  EXPECT_EQ(elements(x.grad()), (Floats{7, 7}));
  EXPECT_EQ(elements(first), (Floats{3, 3}));  // a handle taken before keeps its numbers
  x.zero_grad();
  EXPECT_FALSE(x.grad().defined());
}

TEST(Autograd, OfALeafItselfIsTheGivenGradient) {
  const Tensor x = leaf({2, 3});
  x.backward(Tensor::from({5, 6}, {2}));
  EXPECT_EQ(elements(x.grad()), (Floats{5, 6}));
}

// add() hands one buffer to both inputs, and the caller's own to a leaf.
TEST(Autograd, GradientsDoNotShareMemory) {
  const Tensor a = leaf({1, 2}), b = leaf({3, 4});
  Tensor dy = Tensor::from({1, 1}, {2});
  (a + b).backward(dy);
  a.grad().data()[0] = 100;
  dy.data()[1] = 50;
  EXPECT_EQ(elements(a.grad()), (Floats{100, 1}));
  EXPECT_EQ(elements(b.grad()), (Floats{1, 1}));
}

TEST(Autograd, DiamondsAreWalkedOnce) {
  // Forty times doubled: 2^40 paths, 40 operations.
  const Tensor x = leaf({1});
  Tensor y = x;
  for (int i = 0; i < 40; ++i) y = y + y;
  y.backward();
  EXPECT_EQ(x.grad().item(), 0x1p40f);
}

TEST(Autograd, NoGradLeavesNoTrace) {
  const Tensor x = leaf({1, 2});
  EXPECT_TRUE(grad_enabled());
  {
    NoGrad outer;
    {
      NoGrad inner;
      EXPECT_FALSE(grad_enabled());
    }
    EXPECT_FALSE(grad_enabled());
    EXPECT_FALSE((x * 2.0f).requires_grad());
    EXPECT_FALSE(x.reshape({2, 1}).requires_grad());
  }
  EXPECT_TRUE(grad_enabled());
  EXPECT_TRUE((x * 2.0f).requires_grad());
}

TEST(Autograd, NoGradIsOfOneThread) {
  NoGrad no_grad;
  bool elsewhere = false;
  std::thread([&] { elsewhere = grad_enabled(); }).join();
  EXPECT_TRUE(elsewhere);
}

TEST(Autograd, DetachCutsTheTape) {
  const Tensor x = leaf({3});
  const Tensor y = (x * x).detach();
  EXPECT_FALSE(y.requires_grad());
  sum(y * x).backward();
  EXPECT_EQ(x.grad().item(), 9.0f);
}

TEST(Autograd, SecondWalkOverAUsedTapeIsAnError) {
  const Tensor x = leaf({3});
  const Tensor y = x * x;
  sum(y).backward();
  expect_error(Kind::usage, "second time", [&] { sum(y).backward(); });
  EXPECT_EQ(x.grad().item(), 6.0f);
}

TEST(Autograd, KeptTapeCanBeWalkedAgain) {
  const Tensor x = leaf({3});
  const Tensor y = x * x * x;
  y.backward({}, true);
  y.backward({}, true);
  y.backward();
  EXPECT_EQ(x.grad().item(), 81.0f);  // three times 3 x^2
  expect_error(Kind::usage, "second time", [&] { y.backward(); });
}

TEST(Autograd, WrongUseIsAnError) {
  const Tensor x = leaf({3, 4});
  expect_error(Kind::usage, "depends on nothing", [] { Tensor::zeros({1}).backward(); });
  expect_error(Kind::usage, "one element", [&] { (x * 2.0f).backward(); });
  expect_error(Kind::usage, "gradient of shape [3]",
               [&] { (x * 2.0f).backward(Tensor::zeros({3})); });
  Tensor y = x * 2.0f;
  expect_error(Kind::usage, "only leaves", [&] { y.set_requires_grad(); });
  expect_error(Kind::usage, "i64", [] { Tensor::empty({1}, DType::i64).set_requires_grad(); });
}

TEST(Autograd, LeafMayBeHeldByTheTapeAlone) {
  Tensor y;
  std::weak_ptr<detail::TensorImpl> watch;
  {
    const Tensor x = leaf({2}), other = leaf({5});
    watch = x.impl();
    y = x * x + x * other;
  }
  EXPECT_FALSE(watch.expired());
  y.backward();
  EXPECT_TRUE(watch.expired());
}

TEST(Autograd, UsedTapeLetsGoOfItsTensors) {
  const Tensor x = leaf({2});
  Tensor y;
  std::weak_ptr<detail::TensorImpl> watch;
  {
    const Tensor middle = x * 3.0f;
    watch = middle.impl();
    y = middle * middle;
  }
  y.backward();
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(x.grad().item(), 36.0f);
}

TEST(Autograd, DroppedResultsDropTheirTape) {
  const Tensor x = leaf({2});
  std::weak_ptr<detail::TensorImpl> watch;
  {
    const Tensor middle = exp(x), y = middle / x;
    watch = middle.impl();
  }
  EXPECT_TRUE(watch.expired());
}

TEST(Autograd, VeryLongChainsNeedNoStack) {
  constexpr int kSteps = 100'000;
  const Tensor x = leaf({1});
  {
    Tensor y = x;
    for (int i = 0; i < kSteps; ++i) y = y + 1.0f;
    y.backward();
    EXPECT_EQ(x.grad().item(), 1.0f);
  }
  // Dropped without a walk; with captures in every step; and walked with the tape kept.
  {
    Tensor y = x;
    for (int i = 0; i < kSteps; ++i) y = y + 1.0f;
  }
  {
    Tensor y = x;
    for (int i = 0; i < kSteps; ++i) y = tanh(y) * x;
  }
  {
    Tensor y = x;
    for (int i = 0; i < kSteps; ++i) y = y.unsqueeze(0).squeeze(0);
    y.backward({}, true);
    EXPECT_EQ(x.grad().item(), 2.0f);
  }
}

TEST(Autograd, GradientsOfViewsLandWhereTheViewLooked) {
  const Tensor x = Tensor::zeros({2, 3}).set_requires_grad();
  const Tensor weights = Tensor::from({1, 2, 3, 4, 5, 6}, {3, 2});
  sum(x.transpose(0, 1) * weights).backward();
  EXPECT_EQ(elements(x.grad()), (Floats{1, 3, 5, 2, 4, 6}));

  const Tensor s = Tensor::zeros({5}).set_requires_grad();
  (s.slice(0, 1, 5, 2)).backward(Tensor::from({7, 8}, {2}));
  EXPECT_EQ(elements(s.grad()), (Floats{0, 7, 0, 8, 0}));

  const Tensor e = Tensor::zeros({2, 1}).set_requires_grad();
  e.expand({3, 2, 2}).backward(Tensor::full({3, 2, 2}, 1.0f));
  EXPECT_EQ(elements(e.grad()), (Floats{6, 6}));
  EXPECT_TRUE(e.grad().shape() == e.shape());

  // Overlapping slices add up.
  const Tensor o = Tensor::zeros({4}).set_requires_grad();
  sum(o.slice(0, 0, 3) + o.slice(0, 1, 4)).backward();
  EXPECT_EQ(elements(o.grad()), (Floats{1, 2, 2, 1}));
}

TEST(Autograd, GradientsArriveContiguous) {
  const Tensor x = Tensor::zeros({2, 3}).set_requires_grad();
  x.transpose(0, 1).backward(Tensor::from({1, 2, 3, 4, 5, 6}, {3, 2}));
  EXPECT_TRUE(x.grad().is_contiguous());
  // Every node sees a contiguous dy, whatever the one above handed down.
  const Tensor marked = record("probe", x.detach().clone(), {x}, [](const Tensor& dy) -> Grads {
    EXPECT_TRUE(dy.is_contiguous());
    return {dy};
  });
  sum(marked.transpose(0, 1).contiguous()).backward();
}

TEST(Autograd, PassesThroughHalfPrecision) {
  const Tensor x = leaf({1.5f, -2.0f});
  const Tensor h = x.to(DType::f16);
  EXPECT_TRUE(h.requires_grad());
  // Used twice, so that gradients of a half tensor add up; they are f32 themselves.
  const Tensor y = h.to(DType::f32) * 2.0f + h.slice(0, 0, 2).to(DType::f32) * 1.0001f;
  sum(y).backward();
  EXPECT_EQ(x.grad().dtype(), DType::f32);
  EXPECT_EQ(elements(x.grad()), (Floats{2.0f + 1.0001f, 2.0f + 1.0001f}));
  EXPECT_FALSE(x.to(DType::i64).requires_grad());
}

TEST(Autograd, RankZeroAndEmptyTensorsHaveGradients) {
  const Tensor scalar = Tensor::full({}, 3.0f).set_requires_grad();
  (scalar * scalar).backward();
  EXPECT_EQ(scalar.grad().item(), 6.0f);
  EXPECT_EQ(scalar.grad().rank(), 0);

  const Tensor nothing = Tensor::zeros({0, 4}).set_requires_grad();
  sum(nothing * 2.0f).backward();
  EXPECT_EQ(nothing.grad().shape().str(), "[0,4]");
}

TEST(Autograd, DefectiveOperationIsNamed) {
  const Tensor x = leaf({1, 2});
  const Tensor wrong = record("bent", x.detach().clone(), {x},
                              [](const Tensor&) -> Grads { return {Tensor::zeros({3})}; });
  expect_error(Kind::internal, "bent: gradient 0 has shape [3], expected [2]",
               [&] { sum(wrong).backward(); });
  const Tensor many = record("many", x.detach().clone(), {x}, [](const Tensor& dy) -> Grads {
    return {dy, dy};
  });
  expect_error(Kind::internal, "many", [&] { sum(many).backward(); });
}

TEST(Autograd, TwoThreadsWalkTheirOwnTapes) {
  const Tensor shared = Tensor::full({1000}, 2.0f);
  const auto work = [&](float factor) {
    const Tensor x = Tensor::full({1000}, factor).set_requires_grad();
    for (int i = 0; i < 20; ++i) sum(x * shared).backward();
    return x.grad().data()[999];
  };
  float first = 0, second = 0;
  std::thread a([&] { first = work(1); }), b([&] { second = work(2); });
  a.join();
  b.join();
  EXPECT_EQ(first, 40.0f);
  EXPECT_EQ(second, 40.0f);
}

}  // namespace
}  // namespace beckon::test
