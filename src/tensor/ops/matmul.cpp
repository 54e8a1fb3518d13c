// Products of matrices, with leading dimensions that broadcast.
#include <algorithm>

#include "base/fail.h"
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

// The innermost dimensions of a batch that both factors run through at an even pace.
struct Run {
  int outer = 0;  // dimensions before it
  int64_t count = 1, a_step = 0, b_step = 0;
};

Run even_run(const Shape& batch, const Shape& a_steps, const Shape& b_steps) {
  Run run{.outer = batch.rank()};
  while (run.outer > 0) {
    const int i = run.outer - 1;
    if (run.count == 1) {
      run.a_step = a_steps[i];
      run.b_step = b_steps[i];
    } else if (batch[i] != 1 &&
               (a_steps[i] != run.count * run.a_step || b_steps[i] != run.count * run.b_step)) {
      break;
    }
    run.count *= batch[i];
    --run.outer;
  }
  return run;
}

// y [batch..., M, N] = a [..., M,K] b [..., K,N] for f32 tensors of any strides: transposed factors
// need no copies.
Tensor product(const Tensor& a, const Tensor& b, const Shape& batch) {
  const int64_t m = a.dim(-2), k = a.dim(-1), n = b.dim(-1);
  Shape shape = batch;
  shape.push_back(m);
  shape.push_back(n);
  Tensor y = Tensor::empty(shape);
  if (y.size() == 0) return y;
  const Shape a_steps = batch_strides(a, batch), b_steps = batch_strides(b, batch);
  const float* a_data = a.data_as<float>();
  const float* b_data = b.data_as<float>();
  float* to = y.data();
  const Run run = even_run(batch, a_steps, b_steps);
  for (int64_t i = 0; i < batch.elements(); i += run.count)
    kernels::gemm_batched(
        run.count, m, k, n,
        {a_data + offset_of(i, batch, a_steps), run.a_step, a.strides()[-2], a.strides()[-1]},
        {b_data + offset_of(i, batch, b_steps), run.b_step, b.strides()[-2], b.strides()[-1]}, {},
        0, to + i * m * n, m * n, n);
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
  if (b.rank() == 2 && a.rank() > 2) {
    const int64_t rows = leading(a).elements() * a.dim(-2);
    return matmul(a.reshape({rows, a.dim(-1)}), b).reshape(a.shape().with(-1, b.dim(1)));
  }
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
