// Products of matrices, with leading dimensions that broadcast.
#include "base/fail.h"
#include "base/threads.h"
#include "beckon/ops.h"
#include "kernels/gemm.h"
#include "tensor/ops/common.h"
#include "tensor/sum_to.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

// Strides of x [..., R, C] along the leading dimensions of `batch`: 0 where x is repeated.
Shape batch_strides(const Tensor& x, const Shape& batch) {
  Shape steps = batch;
  const int extra = batch.rank() - (x.rank() - 2);
  for (int i = 0; i < batch.rank(); ++i)
    steps[i] = i < extra || x.dim(i - extra) == 1 ? 0 : x.strides()[i - extra];
  return steps;
}

Shape leading(const Tensor& x) {
  Shape shape;
  for (int i = 0; i < x.rank() - 2; ++i) shape.push_back(x.dim(i));
  return shape;
}

int64_t offset_of(int64_t index, const Shape& batch, const Shape& steps) {
  int64_t offset = 0;
  for (int i = batch.rank() - 1; i >= 0; --i) {
    offset += index % batch[i] * steps[i];
    index /= batch[i];
  }
  return offset;
}

// y [batch..., M, N] = a [..., M,K] b [..., K,N] for f32 tensors of any strides: transposed factors
// need no copies.
Tensor product(const Tensor& a, const Tensor& b, const Shape& batch) {
  const int64_t m = a.dim(-2), k = a.dim(-1), n = b.dim(-1);
  Shape shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  Tensor y = Tensor::empty(shape);
  const Shape a_steps = batch_strides(a, batch), b_steps = batch_strides(b, batch);
  const float* a_data = a.data_as<float>();
  const float* b_data = b.data_as<float>();
  float* to = y.data();
  // One right-hand side for all matrices of the batch is packed once.
  bool shared = true;
  for (int64_t step : b_steps) shared = shared && step == 0;
  const kernels::PackedMatrix common =
      shared ? kernels::pack(b_data, k, n, b.strides()[-2], b.strides()[-1])
             : kernels::PackedMatrix();
  const auto body = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const kernels::Rows rows{.data = a_data + offset_of(i, batch, a_steps),
                               .stride = a.strides()[-2],
                               .col_stride = a.strides()[-1]};
      if (shared) {
        kernels::gemm(m, rows, common, {}, to + i * m * n, n);
      } else {
        kernels::gemm(m, rows,
                      kernels::pack(b_data + offset_of(i, batch, b_steps), k, n, b.strides()[-2],
                                    b.strides()[-1]),
                      {}, to + i * m * n, n);
      }
    }
  };
  // Many matrices: one each thread. Few: all threads on each.
  const int64_t count = batch.elements();
  if (count >= 4 * threads()) {
    parallel_for(count, 1, body);
  } else {
    body(0, count);
  }
  return y;
}

Tensor as_f32(const char* operation, const Tensor& x) {
  return x.dtype() == DType::f32 ? x.detach() : detail::floats(operation, x.detach());
}

}  // namespace

Tensor matmul(const Tensor& a, const Tensor& b) {
  if (a.rank() < 2 || b.rank() < 2 || a.dim(-1) != b.dim(-2))
    fail(Kind::usage, "matmul: {} times {}; expected [...,M,K] and [...,K,N]", a.shape().str(),
         b.shape().str());
  // One matrix on the right: the batch is so many more rows.
  if (b.rank() == 2 && a.rank() > 2)
    return matmul(a.reshape({a.size() / std::max<int64_t>(a.dim(-1), 1), a.dim(-1)}), b)
        .reshape(a.shape().with(-1, b.dim(1)));
  const Shape batch = detail::broadcast_shape("matmul", leading(a), leading(b));
  return record("matmul", product(as_f32("matmul", a), as_f32("matmul", b), batch), {a, b},
                [a, b, batch](const Tensor& dy) -> Grads {
                  Grads grads(2);
                  if (a.requires_grad())
                    grads[0] = detail::sum_to(
                        product(dy, as_f32("matmul", b).transpose(-2, -1), batch), a.shape());
                  if (b.requires_grad())
                    grads[1] = detail::sum_to(
                        product(as_f32("matmul", a).transpose(-2, -1), dy, batch), b.shape());
                  return grads;
                });
}

}  // namespace beckon
