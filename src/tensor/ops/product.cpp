#include "tensor/ops/product.h"

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "tensor/ops/common.h"

namespace beckon::detail {
namespace {

using kernels::Binary;
using kernels::PackedMatrix;
using kernels::Spread;

}  // namespace

Tensor checked_bias(const char* operation, const Tensor& bias, int64_t channels) {
  if (!bias.defined()) return {};
  if (!(bias.shape() == Shape({channels})))
    fail(Kind::usage, "{}: bias {}, expected [{}]", operation, bias.shape().str(), channels);
  return floats(operation, bias.detach());
}

RowView rows_of(const char* operation, const Tensor& x) {
  Tensor rows = x.detach();
  const int last = x.rank() - 1;
  bool in_place = rows.dtype() == DType::f32 && (rows.dim(last) == 1 || rows.strides()[last] == 1);
  // The distance between rows, as long as all dimensions agree on one.
  int64_t stride = rows.dim(last), expected = 0;
  bool found = false;  // a distance may be 0, of rows that an expanded tensor repeats
  for (int i = last - 1; i >= 0 && in_place; --i) {
    if (rows.dim(i) == 1) continue;
    if (!found) {
      stride = expected = rows.strides()[i];
      found = true;
    } else if (rows.strides()[i] != expected) {
      in_place = false;
    }
    expected *= rows.dim(i);
  }
  if (!in_place || stride < rows.dim(last)) {
    rows = floats(operation, rows);
    stride = rows.dim(last);
  }
  const int64_t cols = rows.dim(last);
  int64_t count = 1;
  for (int i = 0; i < last; ++i) count *= rows.dim(i);
  return {rows, std::as_const(rows).data_as<float>(), count, cols, stride};
}

void weight_gradient(int64_t rows, const float* dz, int64_t dz_stride, int64_t n, const float* x,
                     int64_t x_stride, int64_t k, bool accumulate, float* dw, int64_t dw_stride) {
  const PackedMatrix right = kernels::pack(x, rows, k, x_stride, 1);
  kernels::gemm(n, {.data = dz, .stride = 1, .col_stride = dz_stride}, right,
                {.accumulate = accumulate}, dw, dw_stride);
}

Tensor bias_gradient(const Tensor& dz) {
  const int64_t n = dz.dim(-1);
  Tensor db = Tensor::empty({n});
  kernels::column_sum(dz.data(), db.data(), n == 0 ? 0 : dz.size() / n, n);
  return db;
}

Tail::Tail(const char* operation, const Tensor& bias, const Fused& fused, const Shape& result,
           bool traced)
    : bias_(checked_bias(operation, bias, result[-1])), fused_(fused), traced_(traced) {
  if (!fused.residual.defined()) return;
  if (!(fused.residual.shape() == result))
    fail(Kind::usage, "{}: residual {} for a result of shape {}", operation,
         fused.residual.shape().str(), result.str());
  residual_ = floats(operation, fused.residual.detach());
}

kernels::Epilogue Tail::epilogue(int64_t column, int64_t row) const {
  kernels::Epilogue e;
  if (bias_.defined()) e.bias = bias_.data() + column;
  const bool residual_now = !activate_later() || fused_.activation_after_residual;
  if (residual_.defined() && residual_now) {
    e.residual = residual_.data() + column;
    e.residual_stride = row;
  }
  if (!activate_later()) e.activation = fused_.activation;
  e.activation_after_residual = fused_.activation_after_residual;
  return e;
}

Tensor Tail::finish(const Tensor& z) {
  if (!activate_later()) return z;
  saved_ = z;
  Tensor y = Tensor::like(z);
  const float* from = saved_.data();
  kernels::unary(kernels::unary_of(fused_.activation), from, y.data(), y.size());
  if (residual_.defined() && !fused_.activation_after_residual)
    kernels::axpy(1.0f, std::as_const(residual_).data(), y.data(), y.size());
  return y;
}

Tensor Tail::apply(Tensor z) {
  const int64_t cols = z.dim(-1), rows = cols == 0 ? 0 : z.size() / cols;
  float* values = z.data();
  const auto add_residual = [&] {
    if (residual_.defined()) kernels::axpy(1.0f, std::as_const(residual_).data(), values, z.size());
  };
  if (bias_.defined())
    kernels::binary(Binary::add, values, std::as_const(bias_).data(), values, rows, cols,
                    Spread::row);
  if (fused_.activation_after_residual) add_residual();
  if (activate_later()) return finish(z);
  if (fused_.activation != Activation::none)
    kernels::unary(kernels::unary_of(fused_.activation), values, values, z.size());
  if (!fused_.activation_after_residual) add_residual();
  return z;
}

Tensor Tail::product_gradient(const Tensor& dy) const {
  if (!saved_.defined()) return dy;
  Tensor dz = Tensor::like(dy);
  kernels::unary_grad(kernels::unary_of(fused_.activation), saved_.data(), dy.data(), dz.data(),
                      dz.size());
  return dz;
}

}  // namespace beckon::detail
