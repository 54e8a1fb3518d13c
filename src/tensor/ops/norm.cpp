// Normalisations: layer, group and batch norm.
#include "kernels/norm.h"

#include <cmath>
#include <utility>
#include <vector>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/ops/common.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

const float* floats_of(const Tensor& t) { return t.defined() ? t.data() : nullptr; }

// A parameter per channel, or none.
Tensor channel_parameter(const char* name, const char* which, const Tensor& x,
                         const Tensor& parameter) {
  if (!parameter.defined()) return parameter;
  if (!(parameter.shape() == Shape({x.dim(-1)})))
    fail(Kind::usage, "{}: {} {} for x {}; expected [{}]", name, which, parameter.shape().str(),
         x.shape().str(), x.dim(-1));
  return detail::floats(name, parameter);
}

void check_rank(const char* name, const Tensor& x, int least) {
  if (!x.defined() || x.rank() < least)
    fail(Kind::usage, "{}: x {}; expected at least {} dimensions", name,
         x.defined() ? x.shape().str() : "is empty", least);
}

}  // namespace

Tensor layer_norm(const Tensor& x_, const Tensor& gamma_, const Tensor& beta_, float eps) {
  check_rank("layer_norm", x_, 1);
  const Tensor x = detail::floats("layer_norm", x_);
  const Tensor gamma = channel_parameter("layer_norm", "gamma", x, gamma_),
               beta = channel_parameter("layer_norm", "beta", x, beta_);
  Tensor y = Tensor::empty(x.shape());
  const int64_t cols = x.dim(-1), rows = cols == 0 ? 0 : x.size() / cols;
  const bool tape = wants_grad({&x, &gamma, &beta});
  // Saved for the backward pass: mean and 1/deviation of each row.
  Tensor mean, rstd;
  if (tape) {
    mean = Tensor::empty({rows});
    rstd = Tensor::empty({rows});
  }
  if (rows > 0)
    kernels::layer_norm(x.data(), rows, cols, floats_of(gamma), floats_of(beta), eps, y.data(),
                        Activation::none, tape ? mean.data() : nullptr,
                        tape ? rstd.data() : nullptr);
  return record("layer_norm", std::move(y), {x, gamma, beta},
                [x, gamma, beta, mean, rstd, rows, cols](const Tensor& dy) -> Grads {
                  Grads grads(3);
                  if (x.requires_grad()) grads[0] = Tensor::empty(x.shape());
                  if (gamma.requires_grad()) grads[1] = Tensor::zeros(gamma.shape());
                  if (beta.requires_grad()) grads[2] = Tensor::zeros(beta.shape());
                  const auto out = [](Tensor& t) { return t.defined() ? t.data() : nullptr; };
                  if (rows > 0)
                    kernels::layer_norm_grad(x.data(), dy.data(), rows, cols, floats_of(gamma),
                                             mean.data(), rstd.data(), out(grads[0]), out(grads[1]),
                                             out(grads[2]));
                  return grads;
                });
}

Tensor group_norm(const Tensor& x_, int64_t groups, const Tensor& gamma_, const Tensor& beta_,
                  float eps) {
  check_rank("group_norm", x_, 2);
  const Tensor x = detail::floats("group_norm", x_);
  const int64_t batch = x.dim(0), channels = x.dim(-1);
  if (groups < 1 || channels % groups != 0)
    fail(Kind::usage, "group_norm: x {} with {} groups; expected [B,...,C], C a multiple of them",
         x.shape().str(), groups);
  const Tensor gamma = channel_parameter("group_norm", "gamma", x, gamma_),
               beta = channel_parameter("group_norm", "beta", x, beta_);
  const int64_t pixels = x.size() == 0 ? 0 : x.size() / (batch * channels);
  Tensor y = Tensor::empty(x.shape());
  const bool tape = wants_grad({&x, &gamma, &beta});
  Tensor mean, rstd;
  if (tape) {
    mean = Tensor::empty({batch, groups});
    rstd = Tensor::empty({batch, groups});
  }
  if (x.size() > 0)
    kernels::group_norm(x.data(), batch, pixels, channels, groups, floats_of(gamma),
                        floats_of(beta), eps, y.data(), Activation::none,
                        tape ? mean.data() : nullptr, tape ? rstd.data() : nullptr);
  return record("group_norm", std::move(y), {x, gamma, beta}, [=](const Tensor& dy) -> Grads {
    Grads grads(3);
    if (x.requires_grad()) grads[0] = Tensor::empty(x.shape());
    if (gamma.requires_grad()) grads[1] = Tensor::zeros(gamma.shape());
    if (beta.requires_grad()) grads[2] = Tensor::zeros(beta.shape());
    const auto out = [](Tensor& t) { return t.defined() ? t.data() : nullptr; };
    if (x.size() > 0)
      kernels::group_norm_grad(x.data(), dy.data(), batch, pixels, channels, groups,
                               floats_of(gamma), mean.data(), rstd.data(), out(grads[0]),
                               out(grads[1]), out(grads[2]));
    return grads;
  });
}

Tensor batch_norm(const Tensor& x_, const Tensor& mean_, const Tensor& variance_,
                  const Tensor& gamma_, const Tensor& beta_, float eps) {
  check_rank("batch_norm", x_, 1);
  if (!mean_.defined() || !variance_.defined())
    fail(Kind::usage, "batch_norm: mean and variance must be given");
  const Tensor x = detail::floats("batch_norm", x_);
  const Tensor mean = channel_parameter("batch_norm", "mean", x, mean_);
  const Tensor variance = channel_parameter("batch_norm", "variance", x, variance_);
  const Tensor gamma = channel_parameter("batch_norm", "gamma", x, gamma_),
               beta = channel_parameter("batch_norm", "beta", x, beta_);
  if (wants_grad({&x, &mean, &variance, &gamma, &beta})) {
    Tensor y = (x - mean) * pow(variance + eps, -0.5f);
    if (gamma.defined()) y = y * gamma;
    return beta.defined() ? y + beta : y;
  }
  const int64_t c = x.dim(-1);
  Tensor scale = Tensor::empty({c}), shift = Tensor::empty({c}), y = Tensor::empty(x.shape());
  float *s = scale.data(), *t = shift.data();
  for (int64_t i = 0; i < c; ++i) {
    s[i] = (gamma.defined() ? gamma.data()[i] : 1.0f) / std::sqrt(variance.data()[i] + eps);
    t[i] = (beta.defined() ? beta.data()[i] : 0.0f) - mean.data()[i] * s[i];
  }
  if (x.size() > 0) kernels::scale_shift_channels(x.data(), x.size() / c, c, s, t, y.data());
  return y;
}

BatchNormed batch_norm_train(const Tensor& x_, const Tensor& gamma_, const Tensor& beta_,
                             float eps) {
  check_rank("batch_norm_train", x_, 2);
  const Tensor x = detail::floats("batch_norm_train", x_);
  const int64_t c = x.dim(-1), rows = c == 0 ? 0 : x.size() / c;
  if (rows < 2)
    fail(Kind::usage, "batch_norm_train: x {} has {} values a channel; a variance needs 2 or more",
         x.shape().str(), rows);
  const Tensor gamma = channel_parameter("batch_norm_train", "gamma", x, gamma_);
  const Tensor beta = channel_parameter("batch_norm_train", "beta", x, beta_);
  // One group a channel, over all rows at once.
  const Tensor y = group_norm(x.reshape({1, rows, c}), c, gamma, beta, eps).reshape(x.shape());
  NoGrad no_grad;
  const Tensor flat = x.detach().reshape({rows, c});
  const Tensor average = mean(flat, {0});
  const Tensor centred = flat - average;
  const Tensor variance = sum(centred * centred, {0}) / static_cast<float>(rows - 1);
  return {y, average, variance};
}

}  // namespace beckon
