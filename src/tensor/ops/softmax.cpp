// Softmax and its logarithm over one dimension.
#include "kernels/softmax.h"

#include <utility>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/ops/common.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using Forward = void (*)(const float*, int64_t, int64_t, const kernels::SoftmaxInput&, float*);
using Backward = void (*)(const float*, const float*, int64_t, int64_t, float, float*);

Tensor over_last(const char* name, const Tensor& x_, Forward forward, Backward backward) {
  const Tensor x = detail::floats(name, x_);
  const int64_t cols = x.dim(-1), rows = cols == 0 ? 0 : x.size() / cols;
  Tensor y = Tensor::empty(x.shape());
  if (rows > 0) forward(x.data(), rows, cols, {}, y.data());
  const Tensor result = y.detach();
  return record(name, std::move(y), {x}, [result, rows, cols, backward](const Tensor& dy) -> Grads {
    Tensor dx = Tensor::empty(result.shape());
    if (rows > 0) backward(result.data(), dy.data(), rows, cols, 1.0f, dx.data());
    return {dx};
  });
}

Tensor over(const char* name, const Tensor& x, int dim, Forward forward, Backward backward) {
  if (!x.defined() || x.rank() == 0) fail(Kind::usage, "{}: x needs at least one dimension", name);
  const int axis = x.shape().axis(dim);
  if (axis == x.rank() - 1) return over_last(name, x, forward, backward);
  return over_last(name, x.transpose(axis, -1), forward, backward).transpose(axis, -1);
}

}  // namespace

Tensor softmax(const Tensor& x, int dim) {
  return over("softmax", x, dim, &kernels::softmax, &kernels::softmax_grad);
}

Tensor log_softmax(const Tensor& x, int dim) {
  return over("log_softmax", x, dim, &kernels::log_softmax, &kernels::log_softmax_grad);
}

}  // namespace beckon
