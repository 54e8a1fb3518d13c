#include "learn/methods/feature_learner.h"

#include "base/fail.h"
#include "models/backbone/network.h"
#include "models/swin/swin.h"
#include "models/vit/vit.h"

namespace beckon::learn {

FeatureLearner::FeatureLearner(const Backbone& backbone, const FeatureOptions& options,
                               Random& random)
    : Learner(backbone) {
  const auto add = [this](const std::string& name, Tensor tensor, bool trainable) {
    return own(name, std::move(tensor), trainable);
  };
  if (options.side) side_.emplace(options.side_widths, backbone.feature_dim(), random, add);
  head_.emplace(backbone.feature_dim(), options.classes, options.hidden, random, add);
}

bool FeatureLearner::has_prefix() const {
  for (const nn::Parameter& p : parameters_)
    if (p.trainable && p.tensor.requires_grad() && !p.name.starts_with("head.")) return false;
  return true;
}

Tensor FeatureLearner::feature(const Tensor& images) const {
  if (!watch) return backbone_.features(images);
  if (const vit::Vit* model = backbone_.network().as_vit()) return model->forward(images, watch);
  if (const swin::Swin* model = backbone_.network().as_swin()) return model->forward(images, watch);
  return backbone_.features(images);
}

Tensor FeatureLearner::prefix(const Tensor& images) const {
  if (!has_prefix()) return images;
  const Tensor x = feature(images);
  tell("feature", x);
  return x;
}

Tensor FeatureLearner::logits(const Tensor& prefix, Pass& pass) const {
  Tensor x = prefix;
  if (!has_prefix()) {
    x = feature(prefix);
    tell("feature", x);
    if (side_) x = side_->mix(x, prefix);
  }
  return (*head_)(x, pass);
}

}  // namespace beckon::learn
