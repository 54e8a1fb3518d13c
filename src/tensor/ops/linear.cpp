// Linear layers: x [..., K], weight [N,K] -> [..., N].
#include "base/fail.h"
#include "beckon/ops.h"
#include "kernels/norm.h"
#include "tensor/ops/common.h"
#include "tensor/ops/packed.h"
#include "tensor/ops/product.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::RowView;
using detail::Tail;

void check(const char* operation, const Tensor& x, const Tensor& weight) {
  if (weight.rank() != 2 || x.rank() < 1 || x.dim(-1) != weight.dim(1))
    fail(Kind::usage, "{}: x {} with weight {}; expected [...,K] and [N,K]", operation,
         x.shape().str(), weight.shape().str());
}

Tensor norm_parameter(const Tensor& values, int64_t channels, const char* name) {
  if (!values.defined()) return {};
  if (!(values.shape() == Shape({channels})))
    fail(Kind::usage, "norm_linear: {} {}, expected [{}]", name, values.shape().str(), channels);
  return detail::floats("norm_linear", values);
}

}  // namespace

// With an activation and a trace, the sum before the activation is saved.
Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias, const Fused& fused) {
  check("linear", x, weight);
  const Shape shape = x.shape().with(-1, weight.dim(0));
  Tail tail("linear", bias, fused, shape, wants_grad({&x, &weight, &bias, &fused.residual}));
  const RowView rows = detail::rows_of("linear", x);
  Tensor z = Tensor::empty(shape);
  const int64_t n = weight.dim(0);
  kernels::gemm(rows.count, rows.source(), *detail::packed_transposed(weight), tail.epilogue(0, n),
                z.data(), n);
  const Tensor y = tail.finish(z);  // before the capture below: it saves z in `tail`
  return record(
      "linear", y, {x, weight, bias, fused.residual},
      [x, weight, bias, residual = fused.residual, rows, tail](const Tensor& dy) -> Grads {
        const Tensor dz = tail.product_gradient(dy);
        Grads grads(4);
        if (x.requires_grad()) {
          grads[0] = Tensor::empty(x.shape());
          kernels::gemm(rows.count, {.data = dz.data(), .stride = weight.dim(0)},
                        *detail::packed_plain(weight), {}, grads[0].data(), weight.dim(1));
        }
        if (weight.requires_grad()) {
          grads[1] = Tensor::empty(weight.shape());
          detail::weight_gradient(rows.count, dz.data(), weight.dim(0), weight.dim(0), rows.data,
                                  rows.stride, rows.cols, false, grads[1].data(), rows.cols);
        }
        if (bias.requires_grad()) grads[2] = detail::bias_gradient(dz);
        if (residual.requires_grad()) grads[3] = tail.residual_gradient(dy, dz);
        return grads;
      });
}

Tensor norm_linear(const Tensor& x, const Norm& norm, const Tensor& weight, const Tensor& bias,
                   const Fused& fused) {
  check("norm_linear", x, weight);
  if (wants_grad({&x, &norm.gamma, &norm.beta, &weight, &bias, &fused.residual}))
    return linear(layer_norm(x, norm.gamma, norm.beta, norm.eps), weight, bias, fused);
  const Shape shape = x.shape().with(-1, weight.dim(0));
  const Tail tail("norm_linear", bias, fused, shape, false);
  const RowView rows = detail::rows_of("norm_linear", x);
  const Tensor gamma = norm_parameter(norm.gamma, rows.cols, "gamma");
  const Tensor beta = norm_parameter(norm.beta, rows.cols, "beta");
  const kernels::LayerNormRows normed{.x = rows.data,
                                      .stride = rows.stride,
                                      .cols = rows.cols,
                                      .weight = detail::data_or_null(gamma),
                                      .bias = detail::data_or_null(beta),
                                      .eps = norm.eps};
  Tensor y = Tensor::empty(shape);
  const int64_t n = weight.dim(0);
  kernels::gemm(rows.count, {.fill = kernels::LayerNormRows::fill, .context = &normed},
                *detail::packed_transposed(weight), tail.epilogue(0, n), y.data(), n);
  return y;
}

}  // namespace beckon
