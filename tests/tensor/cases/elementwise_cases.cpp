#include <algorithm>
#include <cmath>

#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

using Function = double (*)(double);
using Pair = double (*)(double, double);

double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }

void add_unary(std::vector<OpCase>& cases, const std::string& name,
               Input (*input)(const Shape& shape), Tensor (*run)(const Tensor&), Function f) {
  const auto reference = [f](const std::vector<Doubles>& in) {
    Doubles y;
    for (double v : in[0]) y.push_back(f(v));
    return y;
  };
  const auto op = [run](const std::vector<Tensor>& in) { return run(in[0]); };
  cases.push_back({name + "/tail", {input({3, 37})}, op, reference});
  cases.push_back({name + "/scalar", {input({})}, op, reference});
  cases.push_back({name + "/empty", {input({4, 0, 3})}, op, reference});
  OpCase large{name + "/large", {input({512, 513})}, op, reference};
  large.large = true;
  // Hundreds of thousands of values reach the worst of f32; the small cases are held tighter.
  large.tolerance = 1e-4;
  if (input != static_cast<Input (*)(const Shape&)>(apart)) cases.push_back(std::move(large));
}

// The element of an operand that meets element i of the result.
size_t broadcast_index(size_t i, const Shape& result, const Shape& operand) {
  auto rest = static_cast<int64_t>(i);
  int64_t index = 0, step = 1;
  for (int d = result.rank() - 1, e = operand.rank() - 1; d >= 0; --d, --e) {
    const int64_t position = rest % result[d];
    rest /= result[d];
    if (e < 0) continue;
    if (operand[e] != 1) index += position * step;
    step *= operand[e];
  }
  return static_cast<size_t>(index);
}

OpCase binary_case(const std::string& name, Input a, Input b, const Shape& result,
                   Tensor (*run)(const Tensor&, const Tensor&), Pair f) {
  const auto reference = [=](const std::vector<Doubles>& in) {
    Doubles y;
    for (size_t i = 0; i < static_cast<size_t>(result.elements()); ++i)
      y.push_back(f(in[0][broadcast_index(i, result, a.shape)],
                    in[1][broadcast_index(i, result, b.shape)]));
    return y;
  };
  return {
      name, {a, b}, [run](const std::vector<Tensor>& in) { return run(in[0], in[1]); }, reference};
}

// Every way in which two shapes can meet.
void add_binary(std::vector<OpCase>& cases, const std::string& name,
                Input (*input)(const Shape& shape), Tensor (*run)(const Tensor&, const Tensor&),
                Pair f) {
  const auto add_case = [&](const std::string& what, const Shape& a, const Shape& b,
                            const Shape& result) {
    cases.push_back(binary_case(name + "/" + what, input(a), input(b), result, run, f));
  };
  add_case("same", {3, 19}, {3, 19}, {3, 19});
  add_case("row", {2, 3, 5}, {5}, {2, 3, 5});
  add_case("row_left", {5}, {2, 3, 5}, {2, 3, 5});
  add_case("column", {4, 7}, {4, 1}, {4, 7});
  add_case("column_left", {4, 1}, {4, 7}, {4, 7});
  add_case("scalar", {4, 7}, {}, {4, 7});
  add_case("scalar_left", {1, 1}, {4, 7}, {4, 7});
  add_case("two_scalars", {}, {1}, {1});
  add_case("outer", {6, 1}, {1, 9}, {6, 9});
  add_case("middle", {3, 1, 5}, {3, 4, 5}, {3, 4, 5});
  add_case("middle_left", {3, 4, 5}, {3, 1, 5}, {3, 4, 5});
  add_case("crossed", {2, 1, 3, 1}, {1, 4, 1, 5}, {2, 4, 3, 5});
  add_case("batch", {3, 1, 2}, {4, 1}, {3, 4, 2});
  add_case("empty", {3, 0}, {3, 1}, {3, 0});
}

void add_large_binary(std::vector<OpCase>& cases) {
  const auto add_case = [&](OpCase c) {
    c.large = true;
    c.gradient_tolerance = c.tolerance = 1e-4;
    cases.push_back(std::move(c));
  };
  const Pair sum = [](double x, double y) { return x + y; };
  const Pair product = [](double x, double y) { return x * y; };
  const Shape map{3, 100, 513};
  add_case(binary_case("add/large", normal(map), normal(map), map, add, sum));
  add_case(binary_case("add/large_row", normal(map), normal({513}), map, add, sum));
  add_case(binary_case("mul/large_column", normal(map), normal({3, 100, 1}), map, mul, product));
  add_case(binary_case("mul/large_middle", normal(map), normal({3, 1, 513}), map, mul, product));
  add_case(binary_case("mul/large_scalar", normal(map), normal({}), map, mul, product));
}

void add_choices(std::vector<OpCase>& cases) {
  const auto chosen = [](const Shape& mask, const Shape& a, const Shape& b, const Shape& result) {
    return [=](const std::vector<Doubles>& in) {
      Doubles y;
      for (size_t i = 0; i < static_cast<size_t>(result.elements()); ++i)
        y.push_back(in[0][broadcast_index(i, result, mask)] != 0
                        ? in[1][broadcast_index(i, result, a)]
                        : in[2][broadcast_index(i, result, b)]);
      return y;
    };
  };
  const auto run = [](const std::vector<Tensor>& in) { return where(in[0], in[1], in[2]); };
  cases.push_back({"where/same",
                   {flags({4, 9}), normal({4, 9}), normal({4, 9})},
                   run,
                   chosen({4, 9}, {4, 9}, {4, 9}, {4, 9})});
  cases.push_back({"where/broadcast",
                   {flags({3, 1}), normal({5}), normal({2, 1, 5})},
                   run,
                   chosen({3, 1}, {5}, {2, 1, 5}, {2, 3, 5})});
  cases.push_back({"where/integers",
                   {index({3, 4}, 3), normal({3, 4}), normal({})},
                   run,
                   chosen({3, 4}, {3, 4}, {}, {3, 4})});
}

void add_with_number(std::vector<OpCase>& cases) {
  const auto add_case = [&](const std::string& name, Input input,
                            std::function<Tensor(const Tensor&)> run,
                            std::function<double(double)> f) {
    cases.push_back({name,
                     {std::move(input)},
                     [run](const std::vector<Tensor>& in) { return run(in[0]); },
                     [f](const std::vector<Doubles>& in) {
                       Doubles y;
                       for (double v : in[0]) y.push_back(f(v));
                       return y;
                     }});
  };
  add_case(
      "add/number", normal({5, 7}), [](const Tensor& x) { return x + 2.5f; },
      [](double v) { return v + 2.5; });
  add_case(
      "sub/number", normal({5, 7}), [](const Tensor& x) { return x - 2.5f; },
      [](double v) { return v - 2.5; });
  add_case(
      "mul/number", normal({5, 7}), [](const Tensor& x) { return -0.75f * x; },
      [](double v) { return -0.75 * v; });
  add_case(
      "div/number", normal({5, 7}), [](const Tensor& x) { return x / 4.0f; },
      [](double v) { return v / 4.0; });
  add_case(
      "negate", normal({5, 7}), [](const Tensor& x) { return -x; }, [](double v) { return -v; });
  add_case(
      "clamp/both", apart({5, 9}), [](const Tensor& x) { return clamp(x, -1.0f, 1.5f); },
      [](double v) { return std::clamp(v, -1.0, 1.5); });
  for (float e : {-1.0f, -0.5f, 0.0f, 0.5f, 1.0f, 2.0f, 3.0f, 1.7f})
    add_case(
        "pow/" + std::to_string(e), positive({3, 11}), [e](const Tensor& x) { return pow(x, e); },
        [e](double v) { return std::pow(v, static_cast<double>(e)); });
  add_case(
      "pow/cube_of_negative", normal({3, 11}), [](const Tensor& x) { return pow(x, 3.0f); },
      [](double v) { return v * v * v; });
  add_case(
      "activate/none", normal({6}),
      [](const Tensor& x) { return activate(x, Activation::none) * 1.0f; },
      [](double v) { return v; });
  add_case(
      "activate/silu", normal({6}), [](const Tensor& x) { return activate(x, Activation::silu); },
      [](double v) { return v * logistic(v); });
}

}  // namespace

void add_elementwise_cases(std::vector<OpCase>& cases) {
  add_unary(cases, "exp", normal, exp, [](double v) { return std::exp(v); });
  add_unary(cases, "log", positive, log, [](double v) { return std::log(v); });
  add_unary(cases, "sqrt", positive, sqrt, [](double v) { return std::sqrt(v); });
  add_unary(cases, "abs", apart, abs, [](double v) { return std::abs(v); });
  add_unary(cases, "sin", normal, sin, [](double v) { return std::sin(v); });
  add_unary(cases, "cos", normal, cos, [](double v) { return std::cos(v); });
  add_unary(cases, "tanh", normal, tanh, [](double v) { return std::tanh(v); });
  add_unary(cases, "sigmoid", normal, sigmoid, logistic);
  add_unary(cases, "relu", apart, relu, [](double v) { return std::max(v, 0.0); });
  add_unary(cases, "gelu", normal, gelu,
            [](double v) { return 0.5 * v * std::erfc(-v * M_SQRT1_2); });
  add_unary(cases, "quick_gelu", normal, quick_gelu,
            [](double v) { return v * logistic(1.702 * v); });
  add_unary(cases, "silu", normal, silu, [](double v) { return v * logistic(v); });

  add_binary(cases, "add", normal, add, [](double x, double y) { return x + y; });
  add_binary(cases, "sub", normal, sub, [](double x, double y) { return x - y; });
  add_binary(cases, "mul", normal, mul, [](double x, double y) { return x * y; });
  add_binary(cases, "div", positive, div, [](double x, double y) { return x / y; });
  // Both operands come from one grid of numbers: moved by half a step they never tie.
  add_binary(
      cases, "maximum", apart,
      [](const Tensor& x, const Tensor& y) { return maximum(x, y + 0.05f); },
      [](double x, double y) { return std::max(x, y + 0.05); });
  add_binary(
      cases, "minimum", apart,
      [](const Tensor& x, const Tensor& y) { return minimum(x, y + 0.05f); },
      [](double x, double y) { return std::min(x, y + 0.05); });
  add_large_binary(cases);
  add_choices(cases);
  add_with_number(cases);
}

}  // namespace beckon::test
