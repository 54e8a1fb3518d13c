#include "nn/layers.h"

namespace beckon::nn {

Linear::Linear(const Params& p, int64_t in, int64_t out)
    : weight(p.tensor("weight", {out, in})), bias(p.tensor("bias", {out}, Init::zeros)) {}

LayerNorm::LayerNorm(const Params& p, int64_t channels, float eps)
    : norm{p.tensor("weight", {channels}, Init::ones), p.tensor("bias", {channels}, Init::zeros),
           eps} {}

Mlp::Mlp(const Params& p, int64_t channels, int64_t hidden, Activation activation_, Names names)
    : first(p / names.first, channels, hidden),
      second(p / names.second, hidden, channels),
      activation(activation_) {}

Conv2d::Conv2d(const Params& p, int64_t in, int64_t out, int64_t kernel, const Conv& conv_,
               bool with_bias)
    : weight(p.tensor("weight", {out, in / conv_.groups, kernel, kernel})),
      bias(with_bias ? p.tensor("bias", {out}, Init::zeros) : Tensor()),
      conv(conv_) {}

ConvBN::ConvBN(const Params& p, int64_t in, int64_t out, int64_t kernel, const Conv& conv,
               float eps)
    : ConvBN(p / "c", p / "bn", in, out, kernel, conv, eps) {}

ConvBN::ConvBN(const Params& conv_params, const Params& norm, int64_t in, int64_t out,
               int64_t kernel, const Conv& conv, float eps)
    : weight_(conv_params.tensor("weight", {out, in / conv.groups, kernel, kernel})),
      gamma_(norm.tensor("weight", {out}, Init::ones)),
      beta_(norm.tensor("bias", {out}, Init::zeros)),
      mean_(norm.buffer("running_mean", {out}, Init::zeros)),
      variance_(norm.buffer("running_var", {out}, Init::ones)),
      conv_(conv),
      eps_(eps) {}

std::shared_ptr<const ConvBN::Folded> ConvBN::folded() const {
  return folded_.get({&weight_, &gamma_, &beta_, &mean_, &variance_}, [&]() -> Folded {
    const Tensor scale = gamma_ / sqrt(variance_ + eps_);
    return {weight_ * scale.reshape({-1, 1, 1, 1}), beta_ - mean_ * scale};
  });
}

Tensor ConvBN::operator()(const Tensor& x, const Fused& fused) const {
  const auto form = folded();
  return conv2d(x, form->weight, form->bias, conv_, fused);
}

}  // namespace beckon::nn
