#include "learn/methods/vit_learner.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "beckon/ops.h"
#include "models/backbone/network.h"

namespace beckon::learn {
namespace {

using Location = VitOptions::Location;
using Pool = VitOptions::Pool;

std::string layer_of(size_t i) { return fmt::format("enc.transformer.encoder.layer.{}.", i); }

}  // namespace

VitLearner::VitLearner(const Backbone& backbone, const VitOptions& o, Random& random)
    : Learner(backbone), options_(o), model_(backbone.network().as_vit()) {
  if (!model_)
    fail(Kind::usage, "{}: this method is for a ViT, not for {}", backbone.path(), backbone.name());
  const vit::VitConfig& c = model_->config();
  const int64_t d = o.project > 0 ? o.project : c.dim;
  const double width = static_cast<double>(c.dim);
  const bool prompted = o.location != Location::none;
  if (prompted && (o.tokens < 1 || o.tokens > 4096))
    fail(Kind::usage, "{} prompt tokens, expected 1 to 4096", o.tokens);
  if (o.project < 0 || o.project > 1 << 14 || !(o.dropout >= 0 && o.dropout < 1))
    fail(Kind::usage, "prompts of width {} with dropout {}, expected at most {} and less than 1",
         o.project, o.dropout, 1 << 14);
  if (o.location == Location::pad && (o.deep || o.project > 0))
    fail(Kind::usage, "a border of pixels is there once: it is neither deep nor projected");
  if (o.location == Location::pad && side() < 1)
    fail(Kind::usage, "a border of {} pixels leaves nothing of the {} that {} sees", o.tokens,
         c.image, backbone.name());
  if (o.project > 0 && o.location != Location::prepend)
    fail(Kind::usage, "prompts are projected where they are tokens of their own only");
  const bool of_prompts = o.pool == Pool::prompts || o.pool == Pool::prompts_and_patches;
  if (of_prompts && o.location != Location::prepend)
    fail(Kind::usage, "the mean over prompts needs prompts among the tokens");

  const std::string transformer = "enc.transformer.";
  // Xavier's bound for a patch on one side and a prompt on the other.
  const double v = std::sqrt(6.0 / static_cast<double>(3 * c.patch * c.patch + d));
  if (o.location == Location::pad) {
    const auto from_0_to_1 = [&](const Shape& shape) { return uniform(shape, 0.5, random) + 0.5f; };
    border_rows_ =
        own(transformer + "prompt_embeddings_tb", from_0_to_1({1, 3, 2 * o.tokens, c.image}));
    border_columns_ =
        own(transformer + "prompt_embeddings_lr", from_0_to_1({1, 3, side(), 2 * o.tokens}));
  } else if (prompted) {
    const int64_t count = o.location == Location::prepend ? o.tokens
                          : o.location == Location::add   ? c.tokens()
                                                          : 1;
    prompts_ = own(transformer + "prompt_embeddings", uniform({1, count, d}, v, random));
    if (o.deep && c.depth > 1)
      deep_prompts_ =
          own(transformer + "deep_prompt_embeddings", uniform({c.depth - 1, count, d}, v, random));
    if (o.project > 0) {
      projection_ =
          own(transformer + "prompt_proj.weight", normal({c.dim, d}, std::sqrt(2 / width), random));
      projection_bias_ = own(transformer + "prompt_proj.bias",
                             uniform({c.dim}, 1 / std::sqrt(static_cast<double>(d)), random));
    }
  }

  const auto depth = static_cast<size_t>(c.depth);
  if (o.adapter_reduction > 0) {
    const int64_t narrow = c.dim / o.adapter_reduction;
    if (narrow < 1) fail(Kind::usage, "adapters of {} / {} channels", c.dim, o.adapter_reduction);
    for (size_t i = 0; i < depth; ++i) {
      const std::string at = layer_of(i) + "adapter_";
      const Shape shape = {narrow, c.dim};
      Adapter& a = adapters_.emplace_back();
      a.down = own(at + "downsample.weight",
                   o.adapter_zeros ? Tensor::zeros(shape) : normal(shape, 0.02, random));
      a.down_bias = own(at + "downsample.bias", Tensor::zeros({narrow}));
      a.up = own(at + "upsample.weight", Tensor::zeros({c.dim, narrow}));
      a.up_bias = own(at + "upsample.bias", Tensor::zeros({c.dim}));
    }
  }
  if (o.lora_rank < 0 || o.lora_rank > c.dim)
    fail(Kind::usage, "LoRA of rank {}, expected 1 to {}", o.lora_rank, c.dim);
  for (size_t i = 0; o.lora_rank > 0 && i < depth; ++i) {
    vit::LowRank& r = low_rank_.emplace_back();
    r.scale = o.lora_alpha > 0 ? o.lora_alpha / static_cast<float>(o.lora_rank) : 1;
    const auto down = [&](const char* name) {
      return own(layer_of(i) + "attn." + name + ".lora_down.weight",
                 uniform({o.lora_rank, c.dim}, 1 / std::sqrt(width), random));
    };
    const auto up = [&](const char* name) {
      return own(layer_of(i) + "attn." + name + ".lora_up.weight",
                 Tensor::zeros({c.dim, o.lora_rank}));
    };
    r.query_down = down("query");
    r.query_up = up("query");
    r.value_down = down("value");
    r.value_up = up("value");
  }
  head_.emplace(c.dim, o.classes, o.hidden, random,
                [this](const std::string& name, Tensor tensor, bool trainable) {
                  return own(name, std::move(tensor), trainable);
                });
}

Preprocessing VitLearner::preprocessing() const {
  const Preprocessing& seen = backbone_.preprocessing();
  if (options_.location != Location::pad) return seen;
  return scaled(seen, std::max<int64_t>(seen.input - 2 * options_.tokens, 0));
}

// The border is in units of 0 to 1 and normalised like a picture. The first p columns go to the
// left, the last p to the right; then the rows likewise.
Tensor VitLearner::with_border(const Tensor& images) const {
  const int64_t b = images.dim(0), s = images.dim(1), p = options_.tokens;
  const auto border = [&](const Tensor& pixels) {
    return backbone_.normalise(pixels.permute({0, 2, 3, 1}))
        .expand({b, pixels.dim(2), pixels.dim(3), 3});
  };
  const Tensor columns = border(border_columns_), rows = border(border_rows_);
  const Tensor wide = concat({columns.slice(2, 0, p), images, columns.slice(2, p, 2 * p)}, 2);
  if (s != side()) fail(Kind::usage, "pictures of {} pixels a side, expected {}", s, side());
  return concat({rows.slice(1, 0, p), wide, rows.slice(1, p, 2 * p)}, 1);
}

Tensor VitLearner::inserted(const Tensor& prompts, int64_t batch, Pass& pass) const {
  Tensor x = prompts;
  if (projection_.defined()) x = linear(x, projection_, projection_bias_);
  // Every picture loses other numbers: the copies are made first.
  return dropout(x.expand({batch, x.dim(1), x.dim(2)}), options_.dropout, pass);
}

bool VitLearner::embedding_learns() const {
  for (const nn::Parameter& p : parameters_)
    if (p.tensor.requires_grad() && p.name.starts_with("enc.transformer.embeddings.")) return true;
  return false;
}

size_t VitLearner::first_learning_block() const {
  if (options_.location != Location::none && options_.location != Location::pad) return 0;
  for (size_t i = 0; i < model_->layers().size(); ++i)
    for (const nn::Parameter& p : parameters_)
      if (p.tensor.requires_grad() && p.name.starts_with(layer_of(i))) return i;
  return model_->layers().size();
}

bool VitLearner::has_prefix() const {
  return options_.location != Location::pad && !embedding_learns();
}

Tensor VitLearner::block(size_t i, const Tensor& x, int64_t rows) const {
  const vit::VitBlock& b = model_->layers()[i];
  const Tensor y =
      b.attn.add_to(x, b.attention_norm, rows, low_rank_.empty() ? nullptr : &low_rank_[i]);
  if (adapters_.empty()) return b.ffn.add_to(y, b.ffn_norm);
  const Adapter& a = adapters_[i];
  const Tensor z = b.ffn(b.ffn_norm(y));
  return y + z + linear(linear(z, a.down, a.down_bias, {Activation::gelu}), a.up, a.up_bias);
}

Tensor VitLearner::prefix(const Tensor& images) const {
  if (!has_prefix()) return images;
  Tensor x = model_->embed(images);
  tell("embeddings", x);
  for (size_t i = 0; i < std::min(first_learning_block(), model_->layers().size()); ++i) {
    x = block(i, x, 0);
    tell("block" + std::to_string(i), x);
  }
  return x;
}

Tensor VitLearner::logits(const Tensor& prefix, Pass& pass) const {
  const size_t depth = model_->layers().size();
  size_t first = first_learning_block();
  Tensor x = prefix;
  if (!has_prefix()) {
    x = model_->embed(options_.location == Location::pad ? with_border(prefix) : prefix);
    tell("embeddings", x);
    first = 0;
  }
  const int64_t batch = x.dim(0), p = options_.tokens;
  const bool tokens_of_their_own = options_.location == Location::prepend;
  const bool added = options_.location == Location::add || options_.location == Location::add_one;
  if (tokens_of_their_own)
    x = concat({x.slice(1, 0, 1), inserted(prompts_, batch, pass), x.slice(1, 1, x.dim(1))}, 1);
  if (added) x = x + inserted(prompts_, batch, pass);

  const bool class_only = options_.pool == Pool::original && !watch;
  for (size_t i = first; i < depth; ++i) {
    if (i > 0 && deep_prompts_.defined()) {
      const auto at = static_cast<int64_t>(i) - 1;
      const Tensor prompts = inserted(deep_prompts_.slice(0, at, at + 1), batch, pass);
      // What the block before made of its prompts is thrown away.
      x = added ? x + prompts : concat({x.slice(1, 0, 1), prompts, x.slice(1, 1 + p, x.dim(1))}, 1);
    }
    x = block(i, x, class_only && i + 1 == depth ? 1 : 0);
    tell("block" + std::to_string(i), x);
  }
  x = model_->encoder_norm()(x);
  tell("encoder_norm", x);
  switch (options_.pool) {
    case Pool::original:
      x = x.select(1, 0);
      break;
    case Pool::prompts_and_patches:
      x = mean(x.slice(1, 1, x.dim(1)), {1});
      break;
    case Pool::patches:
      x = mean(x.slice(1, tokens_of_their_own ? 1 + p : 1, x.dim(1)), {1});
      break;
    case Pool::prompts:
      x = mean(x.slice(1, 1, 1 + p), {1});
      break;
  }
  tell("feature", x);
  return (*head_)(x, pass);
}

}  // namespace beckon::learn
