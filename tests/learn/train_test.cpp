#include "beckon/train.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "beckon/ops.h"
#include "support/check.h"

namespace beckon::test {
namespace {

// Leaves the gradient g in a tensor: that of sum(g x).
void give_gradient(const Tensor& x, std::initializer_list<float> g) {
  sum(mul(x, Tensor::from(g, x.shape()))).backward();
}

TEST(Optimizer, SgdWithNesterovFollowsItsFormula) {
  const Tensor p = Tensor::from({1.0f}, {1});
  Optimizer optimizer({.kind = OptimizerKind::sgd, .momentum = 0.5f, .nesterov = true},
                      {{.name = "p", .tensor = p, .weight_decay = 0.1f}});
  give_gradient(p, {2});
  optimizer.step(0.1);
  // g = 2 + 0.1 * 1 = 2.1, m = 2.1, p = 1 - 0.1 * (2.1 + 0.5 * 2.1)
  EXPECT_NEAR(p.item(), 0.685, 1e-6);
  optimizer.zero_grad();
  give_gradient(p, {-1});
  optimizer.step(0.1);
  // g = -1 + 0.0685 = -0.9315, m = 0.5 * 2.1 - 0.9315 = 0.1185, p -= 0.1 * (g + 0.05925)
  EXPECT_NEAR(p.item(), 0.685 + 0.0872250, 1e-6);
}

TEST(Optimizer, AdamsFirstStepIsTheLearningRate) {
  for (const OptimizerKind kind : {OptimizerKind::adam, OptimizerKind::adamw}) {
    const Tensor p = Tensor::from({1, 1}, {2});
    Optimizer optimizer({.kind = kind}, {{.name = "p", .tensor = p}});
    give_gradient(p, {3, -0.5f});
    optimizer.step(0.25);
    EXPECT_NEAR(p.values()[0], 0.75, 1e-4) << name_of(kind);
    EXPECT_NEAR(p.values()[1], 1.25, 1e-4) << name_of(kind);
  }
}

TEST(Optimizer, ScalesTheRateByTensorAndSkipsThoseWithoutGradient) {
  const Tensor a = Tensor::from({1.0f}, {1}), b = Tensor::from({1.0f}, {1}),
               none = Tensor::from({1.0f}, {1});
  Optimizer optimizer({.momentum = 0}, {{.name = "a", .tensor = a},
                                        {.name = "b", .tensor = b, .learning_rate_scale = 10},
                                        {.name = "none", .tensor = none, .weight_decay = 1}});
  give_gradient(a, {1});
  give_gradient(b, {1});
  optimizer.step(0.01);
  EXPECT_NEAR(a.item(), 0.99, 1e-6);
  EXPECT_NEAR(b.item(), 0.9, 1e-6);
  EXPECT_EQ(none.item(), 1);
}

// Ten steps on a quadratic; the optimiser is saved after `pause` and another one goes on.
std::vector<float> run(OptimizerKind kind, int pause) {
  std::vector<float> start;
  for (int i = 0; i < 40000; ++i) start.push_back(std::sin(static_cast<float>(i)));
  Tensor p = Tensor::from(std::span<const float>(start), {200, 200});
  Optimizer optimizer({.kind = kind}, {{.name = "p", .tensor = p, .weight_decay = 0.01f}});
  for (int step = 0; step < 10; ++step) {
    if (step == pause) {
      const auto state = optimizer.state();
      p = p.detach().clone();
      optimizer = Optimizer({.kind = kind}, {{.name = "p", .tensor = p, .weight_decay = 0.01f}});
      optimizer.load(state);
    }
    optimizer.zero_grad();
    sum(p * p * p).backward();
    optimizer.step(0.01);
  }
  const Tensor end = p.detach();
  return {end.values().begin(), end.values().end()};
}

TEST(Optimizer, GoesOnFromItsStateBitForBit) {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::adamw}) {
    const std::vector<float> whole = run(kind, -1);
    for (const int pause : {0, 1, 7}) EXPECT_EQ(run(kind, pause), whole) << name_of(kind);
    set_threads(1);
    EXPECT_EQ(run(kind, -1), whole) << name_of(kind);
    set_threads(0);
  }
}

TEST(Optimizer, RefusesStatesThatDoNotFit) {
  const Tensor p = Tensor::from({1, 2}, {2});
  Optimizer optimizer({.kind = OptimizerKind::adam}, {{.name = "p", .tensor = p}});
  give_gradient(p, {1, 1});
  optimizer.step(0.1);
  const auto good = optimizer.state();
  const auto refuse = [&](const std::string& name, const Tensor& value, const std::string& part) {
    auto state = good;
    if (value.defined()) {
      state[name] = value;
    } else {
      state.erase(name);
    }
    expect_error(Kind::input, part, [&] { optimizer.load(state); });
  };
  refuse("p.steps", {}, "no 'p.steps'");
  refuse("p.first", {}, "no 'p.first'");
  refuse("p.second", Tensor::zeros({3}), "'p.second' is f32 [3], expected f32 [2]");
  refuse("p.steps", Tensor::zeros({1}), "expected i64 [1]");
  const int64_t negative = -1;
  refuse("p.steps", Tensor::from(std::span(&negative, 1), {1}), "is -1");
  optimizer.load(good);
}

TEST(Optimizer, RefusesOptionsThatMakeNoSense) {
  const Tensor p = Tensor::zeros({2});
  expect_error(Kind::usage, "momentum 1", [&] { Optimizer({.momentum = 1}, {}); });
  expect_error(Kind::usage, "Nesterov", [&] { Optimizer({.momentum = 0, .nesterov = true}, {}); });
  expect_error(Kind::usage, "two tensors are called 'p'", [&] {
    Optimizer({}, {{.name = "p", .tensor = p}, {.name = "p", .tensor = p}});
  });
  expect_error(Kind::usage, "'p' is no contiguous f32", [&] { Optimizer({}, {{.name = "p"}}); });
  expect_error(Kind::usage, "weight decay -1",
               [&] { Optimizer({}, {{.name = "p", .tensor = p, .weight_decay = -1}}); });
  expect_error(Kind::usage, "optimiser 'lion'", [&] { optimizer_kind("lion"); });
}

TEST(Schedule, WarmsUpAndFallsToZero) {
  EXPECT_EQ(warmup_cosine_by_epoch(0, 10, 100), 0);
  EXPECT_DOUBLE_EQ(warmup_cosine_by_epoch(5, 10, 100), 0.5);
  EXPECT_DOUBLE_EQ(warmup_cosine_by_epoch(10, 10, 100), 1);
  EXPECT_NEAR(warmup_cosine_by_epoch(55, 10, 100), 0.5, 1e-12);
  EXPECT_EQ(warmup_cosine_by_epoch(100, 10, 100), 0);
  EXPECT_DOUBLE_EQ(warmup_cosine(0, 4, 10), 0.25);
  EXPECT_DOUBLE_EQ(warmup_cosine(3, 4, 10), 1);
  EXPECT_DOUBLE_EQ(warmup_cosine(4, 4, 10), 1);
  EXPECT_EQ(warmup_cosine(12, 4, 10), 0);
  EXPECT_DOUBLE_EQ(warmup_cosine(0, 0, 10), 1);
  EXPECT_EQ(warmup_cosine(0, 0, 0), 0);
}

TEST(RandomNumbers, AreThoseOfSplitMix64) {
  beckon::Random random(1234567);
  // The test values that go with the published generator.
  EXPECT_EQ(random.next(), 6457827717110365317u);
  EXPECT_EQ(random.next(), 3203168211198807973u);
  EXPECT_EQ(random.next(), 9817491932198370423u);
}

TEST(RandomNumbers, GoOnFromTheirState) {
  beckon::Random a(7);
  (void)a.normal();
  beckon::Random b(0);
  b.state = a.state;
  EXPECT_EQ(a.permutation(50), b.permutation(50));
  EXPECT_EQ(a.next(), b.next());
}

TEST(RandomNumbers, AreSpreadAsPromised) {
  beckon::Random random(3);
  double sum = 0, squares = 0;
  constexpr int kCount = 20000;
  for (int i = 0; i < kCount; ++i) {
    const double x = random.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / kCount, 0, 0.03);
  EXPECT_NEAR(squares / kCount, 1, 0.05);
  std::vector<int> hits(7);
  for (int i = 0; i < kCount; ++i) ++hits[static_cast<size_t>(random.below(7))];
  for (const int n : hits) EXPECT_NEAR(n, kCount / 7.0, 250);
  const auto order = random.permutation(100);
  EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 100u);
  EXPECT_FALSE(std::is_sorted(order.begin(), order.end()));
  expect_error(Kind::usage, "below 0", [&] { random.below(0); });
}

}  // namespace
}  // namespace beckon::test
