// Loops over arrays of floats: activations, arithmetic, sums. Parallel above some ten thousand
// elements.
//
// Unless said otherwise arrays are contiguous, an output may be the same array as an input, and n
// or rows or cols may be 0. Sums have a fixed order that depends on the sizes alone, not on threads
// or vector length.
#pragma once

#include <cstdint>

#include "beckon/activation.h"

namespace beckon::kernels {

// Functions of one variable; their accuracy is in vmath-inl.h. gelu is the erf form. abs' is 0 at
// 0, relu' is 0 at 0.
enum class Unary : uint8_t {
  identity,
  exp,
  log,
  tanh,
  sigmoid,
  erf,
  gelu,
  quick_gelu,
  silu,
  relu,
  abs,
  negate,
  square,
  sqrt,
  rsqrt,
  reciprocal
};

constexpr Unary unary_of(Activation a) {
  switch (a) {
    case Activation::gelu:
      return Unary::gelu;
    case Activation::quick_gelu:
      return Unary::quick_gelu;
    case Activation::relu:
      return Unary::relu;
    case Activation::silu:
      return Unary::silu;
    case Activation::none:
      break;
  }
  return Unary::identity;
}

// y[i] = f(x[i])
void unary(Unary f, const float* x, float* y, int64_t n);
// dx[i] = dy[i] f'(x[i]). dx may be dy or x.
void unary_grad(Unary f, const float* x, const float* dy, float* dx, int64_t n);

// reverse_sub is b - a, reverse_div is b / a: for a broadcast on the left.
enum class Binary : uint8_t { add, sub, reverse_sub, mul, div, reverse_div, max, min };

// What b is beside a matrix a [rows, cols].
enum class Spread : uint8_t {
  same,    // b [rows, cols]
  scalar,  // b [1]
  row,     // b [cols], the same for every row
  column   // b [rows], the same along a row
};

// y[r,c] = a[r,c] op b
void binary(Binary op, const float* a, const float* b, float* y, int64_t rows, int64_t cols,
            Spread spread);

void fill(float value, float* y, int64_t n);
// y = alpha x + beta
void scale_shift(float alpha, float beta, const float* x, float* y, int64_t n);
// y += alpha x
void axpy(float alpha, const float* x, float* y, int64_t n);
// y = alpha a + beta b
void scaled_add(float alpha, const float* a, float beta, const float* b, float* y, int64_t n);

// Storage types to float and back, rounding to nearest even. No overlap of x and y.
void half_to_float(const uint16_t* x, float* y, int64_t n);
void float_to_half(const float* x, uint16_t* y, int64_t n);
void bfloat16_to_float(const uint16_t* x, float* y, int64_t n);
void float_to_bfloat16(const float* x, uint16_t* y, int64_t n);

// The sum of all elements: runs of 4096 in float, the runs in double.
double sum(const float* x, int64_t n);
// y[r] = sum over c of x[r,c]
void row_sum(const float* x, float* y, int64_t rows, int64_t cols);
// y[r] = max over c of x[r,c]; cols >= 1; not defined for NaN
void row_max(const float* x, float* y, int64_t rows, int64_t cols);
// y[c] = sum over r of x[r,c]: runs of 256 rows, then the runs one after the other. y must not be
// x.
void column_sum(const float* x, float* y, int64_t rows, int64_t cols);

}  // namespace beckon::kernels
