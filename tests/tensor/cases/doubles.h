// Plain loops over doubles that the references of several families share.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "tensor/op_cases.h"

namespace beckon::test {

inline size_t at(int64_t i) { return static_cast<size_t>(i); }

inline double activated(double x, Activation activation) {
  switch (activation) {
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::quick_gelu:
      return x / (1.0 + std::exp(-1.702 * x));
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::none:
      break;
  }
  return x;
}

// What Fused does to a product: residual may be empty.
inline void finish(Doubles& y, Activation activation, const Doubles& residual, bool after) {
  for (size_t i = 0; i < y.size(); ++i) {
    const double r = residual.empty() ? 0.0 : residual[i];
    y[i] = after ? activated(y[i] + r, activation) : activated(y[i], activation) + r;
  }
}

// x [rows, K], weight [N,K], bias [N] or empty -> [rows, N]
inline Doubles linear_reference(const Doubles& x, const Doubles& weight, const Doubles& bias,
                                int64_t rows, int64_t k, int64_t n) {
  Doubles y(at(rows * n));
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t o = 0; o < n; ++o) {
      double sum = bias.empty() ? 0.0 : bias[at(o)];
      for (int64_t i = 0; i < k; ++i) sum += x[at(r * k + i)] * weight[at(o * k + i)];
      y[at(r * n + o)] = sum;
    }
  return y;
}

// Rows of C normalised by their own mean and variance; gamma and beta may be empty.
inline Doubles layer_norm_reference(const Doubles& x, const Doubles& gamma, const Doubles& beta,
                                    int64_t c, double eps) {
  Doubles y(x.size());
  for (size_t r = 0; r + at(c) <= x.size(); r += at(c)) {
    double mean = 0, variance = 0;
    for (size_t i = 0; i < at(c); ++i) mean += x[r + i] / static_cast<double>(c);
    for (size_t i = 0; i < at(c); ++i)
      variance += (x[r + i] - mean) * (x[r + i] - mean) / static_cast<double>(c);
    for (size_t i = 0; i < at(c); ++i)
      y[r + i] = (x[r + i] - mean) / std::sqrt(variance + eps) * (gamma.empty() ? 1 : gamma[i]) +
                 (beta.empty() ? 0 : beta[i]);
  }
  return y;
}

// In place: rows of n become their softmax.
inline void softmax_rows(Doubles& x, int64_t n) {
  for (size_t r = 0; r + at(n) <= x.size(); r += at(n)) {
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < at(n); ++i) most = std::max(most, x[r + i]);
    for (size_t i = 0; i < at(n); ++i) sum += x[r + i] = std::exp(x[r + i] - most);
    for (size_t i = 0; i < at(n); ++i) x[r + i] /= sum;
  }
}

}  // namespace beckon::test
