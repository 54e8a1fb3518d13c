// Every row of the table of operations: values, gradients, and what must not depend on threads,
// strides or who wants a gradient.
#include <cmath>
#include <cstring>
#include <random>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "support/check.h"
#include "tensor/op_cases.h"
#include "tensor/tape.h"

namespace beckon::test {
namespace {

class Ops : public ::testing::TestWithParam<OpCase> {
 protected:
  void TearDown() override { set_threads(0); }
};

std::string name_of_case(const ::testing::TestParamInfo<OpCase>& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name;
}

bool differentiable(const OpCase& c) {
  for (const Input& input : c.inputs)
    if (input.differentiable && input.shape.elements() > 0) return true;
  return false;
}

// The inputs, the differentiable ones as leaves that want a gradient.
std::vector<Tensor> make_leaves(const OpCase& c) {
  std::vector<Tensor> inputs = make_inputs(c);
  for (size_t i = 0; i < inputs.size(); ++i)
    if (c.inputs[i].differentiable) inputs[i].set_requires_grad();
  return inputs;
}

// A gradient of the result with no symmetry that an error could hide behind.
Tensor some_dy(const Tensor& y) {
  std::mt19937_64 random(7);
  Tensor dy = Tensor::empty(y.shape());
  for (int64_t i = 0; i < dy.size(); ++i)
    dy.data()[i] = static_cast<float>(static_cast<double>(random() >> 11) * 0x1p-52 - 1.0);
  return dy;
}

struct Outcome {
  Tensor y;
  std::vector<Tensor> grads;  // empty where an input wants none
};

Outcome run_with_gradients(const std::function<Tensor(const std::vector<Tensor>&)>& run,
                           const std::vector<Tensor>& inputs) {
  Outcome outcome;
  const Tensor y = run(inputs);
  if (y.requires_grad()) y.backward(some_dy(y));
  outcome.y = y.detach().contiguous();
  for (const Tensor& x : inputs) outcome.grads.push_back(x.grad());
  return outcome;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  if (a.defined() != b.defined()) return false;
  if (!a.defined()) return true;
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         (a.size() == 0 ||
          std::memcmp(
              a.impl()->storage->data + static_cast<size_t>(a.impl()->offset) * size_of(a.dtype()),
              b.impl()->storage->data + static_cast<size_t>(b.impl()->offset) * size_of(b.dtype()),
              static_cast<size_t>(a.size()) * size_of(a.dtype())) == 0);
}

// |actual - expected| <= tolerance * max(1, |expected|, scale) everywhere.
void expect_close(const Doubles& actual, const Doubles& expected, double tolerance, double scale,
                  const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (actual[i] == expected[i] || (std::isnan(actual[i]) && std::isnan(expected[i]))) continue;
    const double bound = tolerance * std::max({1.0, std::abs(expected[i]), scale});
    ASSERT_LE(std::abs(actual[i] - expected[i]), bound)
        << what << ", element " << i << ": " << actual[i] << ", expected " << expected[i];
  }
}

double largest(const Doubles& values) {
  double most = 0;
  for (double value : values) most = std::max(most, std::abs(value));
  return most;
}

// Parts of the table.
class OpsWithReference : public Ops {};
class DifferentiableOps : public Ops {};
class SmallDifferentiableOps : public Ops {};
class SmallOps : public Ops {};
class FusedOps : public Ops {};

TEST_P(OpsWithReference, GiveItsValues) {
  const OpCase& c = GetParam();
  const std::vector<Tensor> inputs = make_inputs(c);
  std::vector<Doubles> values;
  for (const Tensor& x : inputs) values.push_back(to_doubles(x));
  expect_close(to_doubles(c.run(inputs)), c.reference(values), c.tolerance, 0.0, c.name);
}

TEST_P(SmallDifferentiableOps, HaveTheDerivativeAsGradient) {
  const OpCase& c = GetParam();
  const std::vector<Tensor> inputs = make_leaves(c);
  std::vector<Doubles> values;
  for (const Tensor& x : inputs) values.push_back(to_doubles(x));
  const Outcome outcome = run_with_gradients(c.run, inputs);
  const Doubles dy = to_doubles(some_dy(outcome.y));

  // The derivative of sum(dy * y) by one element of one input, by central differences: of the
  // reference in double where there is one, else of the operation itself, with a step that balances
  // rounding against curvature.
  const auto result_at = [&](size_t input, size_t element, double offset) {
    Doubles y;
    if (c.reference) {
      std::vector<Doubles> moved = values;
      moved[input][element] += offset;
      y = c.reference(moved);
    } else {
      NoGrad no_grad;
      std::vector<Tensor> moved = inputs;
      moved[input] = inputs[input].clone();
      moved[input].data()[element] += static_cast<float>(offset);
      y = to_doubles(c.run(moved));
    }
    double total = 0;
    for (size_t i = 0; i < y.size(); ++i) total += dy[i] * y[i];
    return total;
  };
  const double step = c.reference ? 1e-5 : 1e-2;
  for (size_t k = 0; k < inputs.size(); ++k) {
    if (!c.inputs[k].differentiable || inputs[k].size() == 0) continue;
    ASSERT_TRUE(outcome.grads[k].defined()) << c.name << ": no gradient of input " << k;
    const Doubles gradient = to_doubles(outcome.grads[k]);
    // All elements of a small input, a spread of some of a larger one.
    const size_t n = gradient.size();
    const size_t stride = n <= 64 ? 1 : n / 61 | 1;
    Doubles actual, expected;
    for (size_t i = 0; i < n; i += stride) {
      actual.push_back(gradient[i]);
      expected.push_back((result_at(k, i, step) - result_at(k, i, -step)) / (2 * step));
    }
    const double tolerance =
        c.reference ? c.gradient_tolerance : std::max(5e-3, c.gradient_tolerance);
    expect_close(actual, expected, tolerance, largest(gradient),
                 c.name + ": gradient of input " + std::to_string(k));
  }
}

TEST_P(Ops, LeavesNoTraceUnlessAGradientIsWanted) {
  const OpCase& c = GetParam();
  EXPECT_FALSE(c.run(make_inputs(c)).requires_grad());
  if (!differentiable(c)) return;
  const std::vector<Tensor> leaves = make_leaves(c);
  {
    NoGrad no_grad;
    EXPECT_FALSE(c.run(leaves).requires_grad());
  }
  EXPECT_TRUE(c.run(leaves).requires_grad());
}

TEST_P(DifferentiableOps, GiveGradientsOnlyToThoseThatWantThem) {
  const OpCase& c = GetParam();
  const Outcome all = run_with_gradients(c.run, make_leaves(c));
  for (size_t k = 0; k < c.inputs.size(); ++k) {
    if (!c.inputs[k].differentiable) continue;
    std::vector<Tensor> inputs = make_inputs(c);
    inputs[k].set_requires_grad();
    const Tensor y = c.run(inputs);
    ASSERT_TRUE(y.requires_grad()) << c.name << ", input " << k;
    // The last operation hands out nothing for frozen inputs: no time is spent on them.
    const Tensor dy = some_dy(y);
    if (y.impl()->node) {
      NoGrad no_grad;
      const Grads grads = y.impl()->node->backward(dy);
      for (size_t i = 0; i < grads.size(); ++i) {
        const Tensor& x = y.impl()->node->inputs[i];
        EXPECT_EQ(grads[i].defined(), x.defined() && x.requires_grad())
            << c.name << ": gradient " << i << " with only input " << k << " wanted";
      }
    }
    y.backward(dy);
    EXPECT_TRUE(y.detach().shape() == all.y.shape());
    ASSERT_TRUE(inputs[k].grad().defined()) << c.name << ": no gradient of input " << k;
    const Doubles expected = to_doubles(all.grads[k]);
    expect_close(to_doubles(inputs[k].grad()), expected, 1e-5, largest(expected),
                 c.name + ": gradient of input " + std::to_string(k) + " alone");
  }
}

// The same numbers with gaps between them: a slice out of a larger tensor, and, for matrices and
// more, the first two dimensions stored the other way round.
Tensor strided_copy(const Tensor& x) {
  if (x.rank() == 0) return x;
  Shape larger = x.shape();
  for (int i = 0; i < x.rank(); ++i) larger[i] += i == x.rank() - 1 ? 3 : 1;
  if (x.rank() >= 3) std::swap(larger[0], larger[1]);
  Tensor view = Tensor::zeros(larger, x.dtype());
  if (x.rank() >= 3) view = view.transpose(0, 1);
  for (int i = 0; i < x.rank(); ++i) view = view.slice(i, 1, 1 + x.dim(i));
  view.copy_from(x);
  return view;
}

TEST_P(SmallOps, ReadStridedInputs) {
  const OpCase& c = GetParam();
  const Outcome straight = run_with_gradients(c.run, make_leaves(c));
  std::vector<Tensor> inputs = make_inputs(c);
  for (size_t i = 0; i < inputs.size(); ++i) {
    inputs[i] = strided_copy(inputs[i]);
    if (c.inputs[i].differentiable) inputs[i].set_requires_grad();
  }
  const Outcome strided = run_with_gradients(c.run, inputs);
  const Doubles expected = to_doubles(straight.y);
  expect_close(to_doubles(strided.y), expected, c.tolerance, largest(expected), c.name);
  for (size_t i = 0; i < inputs.size(); ++i) {
    ASSERT_EQ(strided.grads[i].defined(), straight.grads[i].defined()) << c.name << ", input " << i;
    if (!strided.grads[i].defined()) continue;
    const Doubles gradient = to_doubles(straight.grads[i]);
    expect_close(to_doubles(strided.grads[i]), gradient, c.tolerance, largest(gradient),
                 c.name + ": gradient of input " + std::to_string(i));
  }
}

TEST_P(Ops, DoesNotDependOnTheNumberOfThreads) {
  const OpCase& c = GetParam();
  set_threads(1);
  const Outcome one = run_with_gradients(c.run, make_leaves(c));
  Tensor plain_one;
  {
    NoGrad no_grad;  // without a trace other kernels may run
    plain_one = c.run(make_inputs(c)).contiguous();
  }
  for (int count : {2, 4}) {
    set_threads(count);
    const Outcome many = run_with_gradients(c.run, make_leaves(c));
    EXPECT_TRUE(same_bits(many.y, one.y)) << c.name << " with " << count << " threads";
    for (size_t i = 0; i < one.grads.size(); ++i)
      EXPECT_TRUE(same_bits(many.grads[i], one.grads[i]))
          << c.name << ": gradient of input " << i << " with " << count << " threads";
    NoGrad no_grad;
    EXPECT_TRUE(same_bits(c.run(make_inputs(c)).contiguous(), plain_one))
        << c.name << " without a trace, with " << count << " threads";
  }
}

TEST_P(Ops, GivesTheSameWithAndWithoutATrace) {
  const OpCase& c = GetParam();
  const Doubles traced = to_doubles(c.run(make_leaves(c)));
  const Doubles untraced = to_doubles(c.run(make_inputs(c)));
  expect_close(untraced, traced, c.tolerance, largest(traced), c.name);
}

TEST_P(FusedOps, EqualThePlainOperationsTheyStandFor) {
  const OpCase& c = GetParam();
  const Outcome fused = run_with_gradients(c.run, make_leaves(c));
  const Outcome plain = run_with_gradients(c.plain, make_leaves(c));
  const Doubles expected = to_doubles(plain.y);
  expect_close(to_doubles(fused.y), expected, c.tolerance, largest(expected), c.name);
  for (size_t i = 0; i < c.inputs.size(); ++i) {
    ASSERT_EQ(fused.grads[i].defined(), plain.grads[i].defined()) << c.name << ", input " << i;
    if (!fused.grads[i].defined()) continue;
    const Doubles gradient = to_doubles(plain.grads[i]);
    expect_close(to_doubles(fused.grads[i]), gradient, c.gradient_tolerance, largest(gradient),
                 c.name + ": gradient of input " + std::to_string(i));
  }
}

std::vector<OpCase> cases_that(bool (*fit)(const OpCase&)) {
  std::vector<OpCase> cases = op_cases();
  std::erase_if(cases, [fit](const OpCase& c) { return !fit(c); });
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Table, Ops, ::testing::ValuesIn(op_cases()), name_of_case);
INSTANTIATE_TEST_SUITE_P(Table, OpsWithReference,
                         ::testing::ValuesIn(cases_that([](const OpCase& c) {
                           return bool(c.reference);
                         })),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Table, DifferentiableOps, ::testing::ValuesIn(cases_that(differentiable)),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Table, SmallDifferentiableOps,
                         ::testing::ValuesIn(cases_that([](const OpCase& c) {
                           return differentiable(c) && !c.large;
                         })),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Table, SmallOps,
                         ::testing::ValuesIn(cases_that([](const OpCase& c) { return !c.large; })),
                         name_of_case);
INSTANTIATE_TEST_SUITE_P(Table, FusedOps, ::testing::ValuesIn(cases_that([](const OpCase& c) {
                           return bool(c.plain);
                         })),
                         name_of_case);

}  // namespace

// Keeps the failure message short: the case by its name instead of its bytes.
void PrintTo(const OpCase& c, std::ostream* out) { *out << c.name; }

}  // namespace beckon::test
