#include "learn/methods/swin_learner.h"

#include <cmath>

#include "base/fail.h"
#include "beckon/ops.h"
#include "models/backbone/network.h"

namespace beckon::learn {

SwinLearner::SwinLearner(const Backbone& backbone, const SwinOptions& o, Random& random)
    : Learner(backbone), options_(o), model_(backbone.network().as_swin()) {
  if (!model_)
    fail(Kind::usage, "{}: this method is for a Swin, not for {}", backbone.path(),
         backbone.name());
  if (o.tokens < 1 || o.tokens > 4096 || !(o.dropout >= 0 && o.dropout < 1))
    fail(Kind::usage, "{} prompt tokens with dropout {}, expected 1 to 4096 and less than 1",
         o.tokens, o.dropout);
  const swin::SwinConfig& c = model_->config();
  // The first stage's width everywhere, as in the reference.
  const double v = std::sqrt(6.0 / static_cast<double>(3 * c.patch * c.patch + c.dim));
  prompts_ = own("enc.prompt_embeddings", uniform({1, o.tokens, c.dim}, v, random));
  for (size_t s = 0; o.deep && s < c.stages.size(); ++s) {
    const int64_t blocks = c.stages[s].depth - (s == 0 ? 1 : 0);
    deep_prompts_.push_back(blocks == 0 ? Tensor()
                                        : own(fmt::format("enc.deep_prompt_embeddings_{}", s),
                                              uniform({blocks, o.tokens, c.width(s)}, v, random)));
  }
  head_.emplace(c.features(), o.classes, o.hidden, random,
                [this](const std::string& name, Tensor tensor, bool trainable) {
                  return own(name, std::move(tensor), trainable);
                });
}

bool SwinLearner::has_prefix() const {
  for (const nn::Parameter& p : parameters_)
    if (p.tensor.requires_grad() && p.name.starts_with("enc.patch_embed.")) return false;
  return true;
}

Tensor SwinLearner::prefix(const Tensor& images) const {
  return has_prefix() ? model_->embed(images) : images;
}

Tensor SwinLearner::logits(const Tensor& prefix, Pass& pass) const {
  const Tensor patches = has_prefix() ? prefix : model_->embed(prefix);
  const int64_t batch = patches.dim(0);
  // Prompts and patches as one sequence, for whoever watches and for the last norm.
  const auto joined = [&](const swin::WindowedAttention::Prompted& t) {
    return concat({t.prompts, t.x.reshape({batch, -1, t.x.dim(3)})}, 1);
  };
  tell("patch_embed", patches);
  swin::WindowedAttention::Prompted x = {
      dropout(prompts_.expand({batch, prompts_.dim(1), prompts_.dim(2)}), options_.dropout, pass),
      patches};
  for (size_t s = 0; s < model_->stages().size(); ++s) {
    const swin::Swin::Stage& stage = model_->stages()[s];
    for (size_t i = 0; i < stage.blocks.size(); ++i) {
      if (options_.deep && s + i > 0) {
        const auto at = static_cast<int64_t>(s == 0 ? i - 1 : i);
        // One mask for the whole batch: the reference drops before it copies.
        const Tensor prompts =
            dropout(deep_prompts_[s].slice(0, at, at + 1), options_.dropout, pass);
        x.prompts = prompts.expand({batch, prompts.dim(1), prompts.dim(2)});
      }
      x = stage.blocks[i].forward(x, options_.reference_batch_mixing);
      if (watch) tell(fmt::format("layer{}.block{}", s, i), joined(x));
    }
    if (!stage.downsample) continue;
    x = {stage.downsample->merge_prompts(x.prompts), stage.downsample->forward(x.x)};
    if (watch) tell(fmt::format("layer{}.downsample", s), joined(x));
  }
  const Tensor tokens = model_->norm()(joined(x));
  tell("norm", tokens);
  const Tensor feature = mean(tokens, {1});
  tell("feature", feature);
  return (*head_)(feature, pass);
}

}  // namespace beckon::learn
