#include "learn/methods/learner.h"

#include "base/fail.h"
#include "beckon/ops.h"
#include "models/backbone/network.h"

namespace beckon::learn {

std::string name_in_task(const Backbone& backbone, const std::string& name) {
  return (backbone.family() == "vit" ? "enc.transformer." : "enc.") + name;
}

bool takes_part(const Backbone& backbone, const std::string& name) {
  if (backbone.family() == "clip") return name.starts_with("visual.");
  if (backbone.family() == "tiny-vit") return !name.starts_with("image_encoder.neck.");
  if (backbone.family() == "ssd") return name.find(".boxes.") == name.npos;
  for (const char* head : {"head.", "pre_logits.", "fc.", "conv2d."})
    if (name.starts_with(head)) return false;
  return true;
}

Learner::Learner(Backbone backbone) : backbone_(std::move(backbone)) {
  for (const BackboneParameter& p : backbone_.parameters())
    if (takes_part(backbone_, p.name))
      parameters_.push_back({name_in_task(backbone_, p.name), p.tensor, p.trainable});
}

Tensor Learner::loss(const Tensor& logits, const Tensor& targets) const {
  return cross_entropy(logits, targets);
}

Tensor Learner::input(std::span<const Image> images, const Preprocessing& preprocessing) {
  return backbone::input_of(images, preprocessing);
}

int64_t Learner::backbone_count() const {
  int64_t count = 0;
  for (const BackboneParameter& p : backbone_.parameters())
    if (p.trainable && takes_part(backbone_, p.name)) count += p.tensor.size();
  return count;
}

Tensor Learner::own(const std::string& name, Tensor tensor, bool trainable) {
  parameters_.push_back({name, tensor, trainable});
  return tensor;
}

std::vector<nn::Parameter> Learner::learned() const {
  std::vector<nn::Parameter> result;
  for (const nn::Parameter& p : parameters_)
    if (p.trainable ? p.tensor.requires_grad() : p.name.starts_with("head.")) result.push_back(p);
  return result;
}

int64_t Learner::learned_count() const {
  int64_t count = 0;
  for (const nn::Parameter& p : parameters_)
    if (p.trainable && p.tensor.requires_grad()) count += p.tensor.size();
  return count;
}

Tensor Learner::parameter(std::string_view name) const {
  for (const nn::Parameter& p : parameters_)
    if (p.name == name) return p.tensor;
  fail(Kind::usage, "there is no tensor '{}' in this method", name);
}

void Learner::let_learn(const std::function<bool(const std::string& name)>& which) {
  for (nn::Parameter& p : parameters_) p.tensor.set_requires_grad(p.trainable && which(p.name));
}

Preprocessing scaled(const Preprocessing& preprocessing, int64_t side) {
  Preprocessing p = preprocessing;
  p.resize = static_cast<int>(int64_t{p.resize} * side / p.input);
  p.input = static_cast<int>(side);
  return p;
}

Tensor uniform(const Shape& shape, double bound, Random& random) {
  Tensor result = Tensor::empty(shape);
  float* to = result.data();
  for (int64_t i = 0; i < result.size(); ++i)
    to[i] = static_cast<float>(bound * (2 * random.uniform() - 1));
  return result;
}

Tensor normal(const Shape& shape, double deviation, Random& random) {
  Tensor result = Tensor::empty(shape);
  float* to = result.data();
  for (int64_t i = 0; i < result.size(); ++i)
    to[i] = static_cast<float>(deviation * random.normal());
  return result;
}

Tensor dropout(const Tensor& x, float p, Pass& pass) {
  if (!pass.training || p <= 0) return x;
  Tensor kept = Tensor::empty(x.shape());
  float* to = kept.data();
  const float scale = 1 / (1 - p);
  for (int64_t i = 0; i < kept.size(); ++i) to[i] = pass.random.uniform() < p ? 0 : scale;
  return x * kept;
}

}  // namespace beckon::learn
