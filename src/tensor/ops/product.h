// What linear, the convolutions and matmul share: rows, packed weights, and the things that happen
// to a product in passing.
#pragma once

#include <cstdint>

#include "beckon/ops.h"
#include "kernels/gemm.h"
#include "tensor/tape.h"

namespace beckon::detail {

// The first element, or null for "none".
inline const float* data_or_null(const Tensor& x) { return x.defined() ? x.data() : nullptr; }

// A bias [channels] or none, as contiguous f32.
Tensor checked_bias(const char* operation, const Tensor& bias, int64_t channels);

// x [..., C] in f32 as rows of C floats at equal distances: in place where the strides allow it (a
// slice of a wider projection), else a copy.
struct RowView {
  Tensor keep;  // owns the floats
  const float* data;
  int64_t count, cols, stride;
  kernels::Rows source() const { return {.data = data, .stride = stride}; }
};
RowView rows_of(const char* operation, const Tensor& x);

// dw [N,K] = sum over rows m of dz[m, n] * x[m, k]; rows of dz are dz_stride floats apart. Added to
// what dw [N, K] (rows dw_stride apart) holds if `accumulate`.
void weight_gradient(int64_t rows, const float* dz, int64_t dz_stride, int64_t n, const float* x,
                     int64_t x_stride, int64_t k, bool accumulate, float* dw, int64_t dw_stride);

// The sum over the rows of dz [..., N].
Tensor bias_gradient(const Tensor& dz);

// Bias, activation and residual of one call. Without a trace the kernel does all of it while the
// product is in registers. With one the kernel stops before the activation, and what it wrote is
// saved for the backward pass.
class Tail {
 public:
  // Checks the residual against the shape of the result.
  Tail(const char* operation, const Tensor& bias, const Fused& fused, const Shape& result,
       bool traced);

  // For the columns from `column` on of a result with rows of `row` floats.
  kernels::Epilogue epilogue(int64_t column, int64_t row) const;
  // z is what came out of the kernel; the result of the operation.
  Tensor finish(const Tensor& z);
  // For kernels without an epilogue of their own: all that epilogue() and finish() do together.
  Tensor apply(Tensor product);

  // dy -> the gradient of the product (and of the bias, summed over rows).
  Tensor product_gradient(const Tensor& dy) const;
  // dz is product_gradient(dy).
  Tensor residual_gradient(const Tensor& dy, const Tensor& dz) const {
    return fused_.activation_after_residual ? dz : dy;
  }

 private:
  bool activate_later() const { return traced_ && fused_.activation != Activation::none; }

  Tensor bias_, residual_;  // contiguous f32, or empty
  Fused fused_;
  bool traced_;
  Tensor saved_;  // what the activation was applied to
};

}  // namespace beckon::detail
