// The feed-forward half of a transformer block: one pass over the rows when no gradient is wanted,
// else the operations it stands for.
#include "base/fail.h"
#include "beckon/ops.h"
#include "kernels/mlp.h"
#include "tensor/ops/common.h"
#include "tensor/ops/packed.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

void check(const Tensor& x, const FeedForward& m) {
  if (!x.defined() || !m.fc1.defined() || !m.fc2.defined())
    fail(Kind::usage, "feed_forward: an argument is an empty tensor");
  if (x.rank() < 1 || m.fc1.rank() != 2 || m.fc1.size() == 0 || m.fc2.rank() != 2 ||
      m.fc1.dim(1) != x.dim(-1) || m.fc2.dim(1) != m.fc1.dim(0) || m.fc2.dim(0) != x.dim(-1))
    fail(Kind::usage, "feed_forward: x {} with weights {}, {}; expected [...,C], [H,C], [C,H]",
         x.shape().str(), m.fc1.shape().str(), m.fc2.shape().str());
  const auto one_per = [&](const Tensor& t, int64_t n, const char* name) {
    if (t.defined() && !(t.shape() == Shape({n})))
      fail(Kind::usage, "feed_forward: {} {}, expected [{}]", name, t.shape().str(), n);
  };
  one_per(m.norm.gamma, x.dim(-1), "gamma");
  one_per(m.norm.beta, x.dim(-1), "beta");
  one_per(m.fc1_bias, m.fc1.dim(0), "fc1 bias");
  one_per(m.fc2_bias, m.fc2.dim(0), "fc2 bias");
  one_per(m.local_bias, x.dim(-1), "local bias");
  if (m.local.defined() && (x.rank() != 4 || !(m.local.shape() == Shape({x.dim(3), 1, 3, 3}))))
    fail(Kind::usage,
         "feed_forward: x {} with a local convolution {}; expected [B,H,W,C], [C,1,3,3]",
         x.shape().str(), m.local.shape().str());
}

Tensor floats_or_none(const Tensor& t) {
  return t.defined() ? detail::floats("feed_forward", t) : t;
}
const float* data_or_null(const Tensor& t) { return t.defined() ? t.data() : nullptr; }

}  // namespace

Tensor feed_forward(const Tensor& x_, const FeedForward& m) {
  check(x_, m);
  if (wants_grad({&x_, &m.norm.gamma, &m.norm.beta, &m.fc1, &m.fc1_bias, &m.fc2, &m.fc2_bias,
                  &m.local, &m.local_bias})) {
    const Tensor y = m.local.defined()
                         ? conv2d(x_, m.local, m.local_bias, Conv().padding(1).group(x_.dim(3)))
                         : x_;
    const Tensor hidden = norm_linear(y, m.norm, m.fc1, m.fc1_bias, {.activation = m.activation});
    return linear(hidden, m.fc2, m.fc2_bias, {.residual = y});
  }
  const Tensor x = detail::floats("feed_forward", x_);
  Tensor y = Tensor::empty(x.shape());
  if (y.size() == 0) return y;
  const Tensor gamma = floats_or_none(m.norm.gamma), beta = floats_or_none(m.norm.beta);
  const Tensor bias1 = floats_or_none(m.fc1_bias), bias2 = floats_or_none(m.fc2_bias);
  const auto fc1 = detail::packed_transposed(m.fc1), fc2 = detail::packed_transposed(m.fc2);
  const kernels::Mlp block{.norm_weight = data_or_null(gamma),
                           .norm_bias = data_or_null(beta),
                           .eps = m.norm.eps,
                           .fc1 = fc1.get(),
                           .bias1 = data_or_null(bias1),
                           .activation = m.activation,
                           .fc2 = fc2.get(),
                           .bias2 = data_or_null(bias2)};
  if (!m.local.defined()) {
    kernels::mlp(block, x.size() / x.dim(-1), x.data(), y.data());
    return y;
  }
  const Tensor bias = floats_or_none(m.local_bias);
  const auto taps = detail::packed_taps(m.local);
  kernels::local_conv_mlp({x.dim(0), x.dim(1), x.dim(2), taps->data(), data_or_null(bias)}, block,
                          x.data(), y.data());
  return y;
}

}  // namespace beckon
