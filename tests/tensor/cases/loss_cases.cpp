#include <algorithm>
#include <cmath>

#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

using Weights = std::function<double(size_t row, size_t column)>;

// Sum of -weight * log softmax over [rows, cols].
double weighted_nll(const Doubles& logits, size_t rows, size_t cols, const Weights& weight) {
  double total = 0;
  for (size_t r = 0; r < rows; ++r) {
    const auto* row = logits.data() + r * cols;
    const double most = *std::max_element(row, row + cols);
    double sum = 0;
    for (size_t c = 0; c < cols; ++c) sum += std::exp(row[c] - most);
    for (size_t c = 0; c < cols; ++c)
      if (const double w = weight(r, c); w != 0) total -= w * (row[c] - most - std::log(sum));
  }
  return total;
}

double bce(double x, double t) {
  return std::max(x, 0.0) - x * t + std::log1p(std::exp(-std::abs(x)));
}

using Pair = std::function<double(double, double)>;

std::function<Doubles(const std::vector<Doubles>&)> mean_of(const Pair& f) {
  return [f](const std::vector<Doubles>& in) {
    double sum = 0;
    for (size_t i = 0; i < in[0].size(); ++i) sum += f(in[0][i], in[1][i]);
    return Doubles{sum / static_cast<double>(in[0].size())};
  };
}

void add_cross_entropy(std::vector<OpCase>& cases) {
  for (const float smoothing : {0.0f, 0.1f}) {
    const std::string end = smoothing > 0 ? "_smooth" : "";
    const double s = smoothing;
    const auto run = [smoothing](const std::vector<Tensor>& in) {
      return cross_entropy(in[0], in[1], smoothing);
    };
    // Rows 1 and 4 are left out.
    const auto run_some = [smoothing](const std::vector<Tensor>& in) {
      Tensor target = in[1].clone();
      target.data_as<int64_t>()[1] = target.data_as<int64_t>()[4] = -100;
      return cross_entropy(in[0], target, smoothing);
    };
    const auto classes = [s](size_t rows, size_t cols, bool leave_out) {
      return [=](const std::vector<Doubles>& in) {
        const auto out = [=](size_t r) { return leave_out && (r == 1 || r == 4); };
        const double total = weighted_nll(in[0], rows, cols, [&](size_t r, size_t c) {
          if (out(r)) return 0.0;
          return s / static_cast<double>(cols) +
                 (in[1][r] == static_cast<double>(c) ? 1.0 - s : 0.0);
        });
        return Doubles{total / static_cast<double>(rows - (leave_out ? 2 : 0))};
      };
    };
    const auto shares = [s](size_t rows, size_t cols) {
      return [=](const std::vector<Doubles>& in) {
        const double total = weighted_nll(in[0], rows, cols, [&](size_t r, size_t c) {
          return (1.0 - s) * in[1][r * cols + c] + s / static_cast<double>(cols);
        });
        return Doubles{total / static_cast<double>(rows)};
      };
    };
    cases.push_back({"cross_entropy/classes" + end,
                     {normal({5, 7}), index({5}, 7)},
                     run,
                     classes(5, 7, false)});
    cases.push_back({"cross_entropy/some_left_out" + end,
                     {normal({6, 7}), index({6}, 7)},
                     run_some,
                     classes(6, 7, true)});
    cases.push_back({"cross_entropy/one_class" + end,
                     {normal({3, 1}), index({3}, 1)},
                     run,
                     classes(3, 1, false)});
    cases.push_back(
        {"cross_entropy/shares" + end, {normal({5, 7}), unit({5, 7})}, run, shares(5, 7)});
    OpCase large{"cross_entropy/large" + end,
                 {normal({256, 1000}), index({256}, 1000)},
                 run,
                 classes(256, 1000, false)};
    large.large = true;
    cases.push_back(large);
  }
}

}  // namespace

void add_loss_cases(std::vector<OpCase>& cases) {
  add_cross_entropy(cases);

  const auto bce_run = [](const std::vector<Tensor>& in) {
    return binary_cross_entropy_with_logits(in[0], in[1]);
  };
  cases.push_back({"bce/shares", {normal({4, 9}), unit({4, 9})}, bce_run, mean_of(bce)});
  cases.push_back({"bce/flags", {normal({4, 9}), flags({4, 9})}, bce_run, mean_of(bce)});
  // Logits of some hundreds: nothing may overflow.
  cases.push_back({"bce/far_out",
                   {normal({4, 9}), flags({4, 9})},
                   [bce_run](const std::vector<Tensor>& in) {
                     return bce_run({in[0] * 300.0f, in[1]});
                   },
                   mean_of([](double x, double t) { return bce(300 * x, t); })});
  OpCase large{"bce/large", {normal({300, 301}), flags({300, 301})}, bce_run, mean_of(bce)};
  large.large = true;
  cases.push_back(large);

  const auto dice = [](size_t rows) {
    return [rows](const std::vector<Doubles>& in) {
      const size_t n = in[0].size() / rows;
      double total = 0;
      for (size_t r = 0; r < rows; ++r) {
        double shared = 0, both = 0;
        for (size_t i = r * n; i < (r + 1) * n; ++i) {
          const double p = 1 / (1 + std::exp(-in[0][i]));
          shared += p * in[1][i];
          both += p + in[1][i];
        }
        total += 1 - (2 * shared + 1) / (both + 1);
      }
      return Doubles{total / static_cast<double>(rows)};
    };
  };
  const auto dice_run = [](const std::vector<Tensor>& in) { return dice_loss(in[0], in[1]); };
  cases.push_back({"dice_loss/masks", {normal({3, 4, 5}), flags({3, 4, 5})}, dice_run, dice(3)});
  cases.push_back({"dice_loss/shares", {normal({2, 7}), unit({2, 7})}, dice_run, dice(2)});

  const auto focal = [](double alpha, double gamma) {
    return mean_of([=](double x, double t) {
      const double p = 1 / (1 + std::exp(-x));
      const double right = p * t + (1 - p) * (1 - t);
      return (alpha * t + (1 - alpha) * (1 - t)) * std::pow(1 - right, gamma) * bce(x, t);
    });
  };
  cases.push_back({"focal_loss/masks",
                   {normal({3, 4, 5}), flags({3, 4, 5})},
                   [](const std::vector<Tensor>& in) { return focal_loss(in[0], in[1]); },
                   focal(0.25, 2.0)});
  cases.push_back(
      {"focal_loss/other_numbers",
       {normal({2, 9}), unit({2, 9})},
       [](const std::vector<Tensor>& in) { return focal_loss(in[0], in[1], 0.6f, 1.5f); },
       focal(0.6f, 1.5)});

  cases.push_back({"l1_loss/plain",
                   {apart({3, 7}), apart({3, 7})},
                   [](const std::vector<Tensor>& in) { return l1_loss(in[0], in[1] + 0.05f); },
                   mean_of([](double x, double t) { return std::abs(x - t - 0.05); })});
  cases.push_back({"l2_loss/plain",
                   {normal({3, 7}), normal({3, 7})},
                   [](const std::vector<Tensor>& in) { return l2_loss(in[0], in[1]); },
                   mean_of([](double x, double t) { return (x - t) * (x - t); })});
}

}  // namespace beckon::test
