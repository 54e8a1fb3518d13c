// Softmax over rows.
#pragma once

#include <cstdint>

namespace beckon::kernels {

// What is exponentiated: t[r,c] = scale x[r,c] + bias[r % bias_rows, c]. bias [bias_rows, cols] may
// be null.
struct SoftmaxInput {
  float scale = 1.0f;
  const float* bias = nullptr;
  int64_t bias_rows = 1;
};

// y[r,:] = exp(t[r,:]) / sum. Entries more than 87.3 below the row's maximum, and those at -inf,
// become exact zeros; a row of nothing but -inf, and one with a NaN, becomes NaN. y may be x.
void softmax(const float* x, int64_t rows, int64_t cols, const SoftmaxInput& input, float* y);
// y[r,:] = t[r,:] - log(sum of exp(t[r,:])). y may be x.
void log_softmax(const float* x, int64_t rows, int64_t cols, const SoftmaxInput& input, float* y);

// The gradient with respect to x (that of the bias is the same without scale), from the result y:
// dx may be dy or y.
void softmax_grad(const float* y, const float* dy, int64_t rows, int64_t cols, float scale,
                  float* dx);
void log_softmax_grad(const float* y, const float* dy, int64_t rows, int64_t cols, float scale,
                      float* dx);

}  // namespace beckon::kernels
