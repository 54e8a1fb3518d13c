#include "learn/methods/head.h"

#include <cmath>

#include "base/fail.h"
#include "beckon/ops.h"

namespace beckon::learn {
namespace {

constexpr float kHeadNormEps = 1e-5f, kMomentum = 0.1f;

}  // namespace

Head::Head(int64_t dim, int64_t classes, int64_t hidden, Random& random, const Own& own) {
  // Kaiming's normal by outputs for weights, PyTorch's own start for biases; the last bias says
  // that a class is rare: -ln 99, a probability of 0.01.
  for (int64_t i = 0; i < hidden; ++i) {
    const std::string linear = fmt::format("head.projection.{}.", 4 * i);
    const std::string norm = fmt::format("head.projection.{}.", 4 * i + 2);
    Layer layer;
    const double out = static_cast<double>(dim);
    layer.weight = own(linear + "weight", normal({dim, dim}, std::sqrt(2 / out), random), true);
    layer.bias = own(linear + "bias", uniform({dim}, 1 / std::sqrt(out), random), true);
    layer.gamma = own(norm + "weight", Tensor::full({dim}, 1), true);
    layer.beta = own(norm + "bias", Tensor::zeros({dim}), true);
    layer.mean = own(norm + "running_mean", Tensor::zeros({dim}), false);
    layer.variance = own(norm + "running_var", Tensor::full({dim}, 1), false);
    hidden_.push_back(layer);
  }
  weight_ =
      own("head.last_layer.weight",
          normal({classes, dim}, std::sqrt(2.0 / static_cast<double>(classes)), random), true);
  bias_ = own("head.last_layer.bias", Tensor::full({classes}, -std::log(99.0f)), true);
}

Tensor Head::operator()(const Tensor& feature, Pass& pass) const {
  Tensor x = feature;
  for (const Layer& layer : hidden_) {
    x = linear(x, layer.weight, layer.bias, {Activation::relu});
    if (pass.training) {
      if (x.dim(0) < 2)
        fail(Kind::usage,
             "an MLP head learns from batches of 2 or more: its norms need statistics");
      const BatchNormed normed = batch_norm_train(x, layer.gamma, layer.beta, kHeadNormEps);
      const NoGrad no_grad;
      Tensor mean = layer.mean, variance = layer.variance;
      mean.copy_from(mean * (1 - kMomentum) + normed.mean.detach() * kMomentum);
      variance.copy_from(variance * (1 - kMomentum) + normed.variance.detach() * kMomentum);
      x = normed.y;
    } else {
      x = batch_norm(x, layer.mean, layer.variance, layer.gamma, layer.beta, kHeadNormEps);
    }
    x = dropout(x, dropout_probability, pass);
  }
  return linear(x, weight_, bias_);
}

}  // namespace beckon::learn
