#include "models/vit/vit.h"

#include "base/fail.h"

namespace beckon::vit {

VitAttention::VitAttention(const nn::Params& p, int64_t dim, int64_t heads)
    : query_(p / "query", dim, dim),
      key_(p / "key", dim, dim),
      value_(p / "value", dim, dim),
      out_(p / "out", dim, dim),
      heads_(heads) {}

Tensor VitAttention::add_to(const Tensor& x, const nn::LayerNorm& norm, int64_t rows,
                            const LowRank* low_rank) const {
  const auto weight = weight_.get({&query_.weight, &key_.weight, &value_.weight}, [&] {
    return concat({query_.weight, key_.weight, value_.weight}, 0);
  });
  const auto bias = bias_.get({&query_.bias, &key_.bias, &value_.bias}, [&] {
    return concat({query_.bias, key_.bias, value_.bias}, 0);
  });
  const Tensor qkv = norm_linear(x, norm.norm, *weight, *bias);
  const int64_t c = x.dim(2);
  if (low_rank) {
    const Tensor seen = norm(x);
    const auto added = [&](int64_t at, const Tensor& down, const Tensor& up) {
      return qkv.slice(2, at, at + c) + linear(linear(seen, down), up) * low_rank->scale;
    };
    const Tensor query = added(0, low_rank->query_down, low_rank->query_up);
    const Tensor value = added(2 * c, low_rank->value_down, low_rank->value_up);
    const Tensor y = attention(rows == 0 ? query : query.slice(1, 0, rows), qkv.slice(2, c, 2 * c),
                               value, {.heads = heads_});
    return out_(y, {.residual = rows == 0 ? x : x.slice(1, 0, rows)});
  }
  if (rows == 0) {
    const Tensor y = window_attention(qkv.unsqueeze(1), {.heads = heads_}).squeeze(1);
    return out_(y, {.residual = x});
  }
  const Tensor y = attention(qkv.slice(1, 0, rows).slice(2, 0, c), qkv.slice(2, c, 2 * c),
                             qkv.slice(2, 2 * c, 3 * c), {.heads = heads_});
  return out_(y, {.residual = x.slice(1, 0, rows)});
}

VitBlock::VitBlock(const nn::Params& p, const VitConfig& c)
    : attention_norm(p / "attention_norm", c.dim, c.norm_eps),
      attn(p / "attn", c.dim, c.heads),
      ffn_norm(p / "ffn_norm", c.dim, c.norm_eps),
      ffn(p / "ffn", c.dim, c.mlp, Activation::gelu, {"fc1", "fc2"}) {}

Tensor VitBlock::forward(const Tensor& x, int64_t rows) const {
  return ffn.add_to(attn.add_to(x, attention_norm, rows), ffn_norm);
}

Vit::Vit(const nn::Params& p, const VitConfig& c)
    : config_(c),
      cls_token_((p / "embeddings").tensor("cls_token", {1, 1, c.dim}, nn::Init::zeros)),
      patch_embeddings_(p / "embeddings" / "patch_embeddings", 3, c.dim, c.patch,
                        Conv().stride(c.patch)),
      position_embeddings_(
          (p / "embeddings").tensor("position_embeddings", {1, c.tokens(), c.dim})),
      encoder_norm_(p / "encoder" / "encoder_norm", c.dim, c.norm_eps) {
  for (int64_t i = 0; i < c.depth; ++i) layers_.emplace_back(p / "encoder" / "layer" / i, c);
  if (c.classes == 0) return;
  if (c.representation > 0) pre_logits_.emplace(p / "pre_logits", c.dim, c.representation);
  head_.emplace(p / "head", c.representation > 0 ? c.representation : c.dim, c.classes);
}

Tensor Vit::embed(const Tensor& image) const {
  const int64_t batch = image.dim(0);
  const Tensor patches = patch_embeddings_(image).reshape({batch, -1, config_.dim});
  if (patches.dim(1) + 1 != config_.tokens())
    fail(Kind::usage, "ViT for {0}x{0} pixels was given {1}", config_.image, image.shape().str());
  return concat({cls_token_.expand({batch, 1, config_.dim}), patches}, 1) + position_embeddings_;
}

Tensor Vit::encode(Tensor x, const nn::Watch& watch) const {
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = layers_[i].forward(x);
    if (watch) watch("block" + std::to_string(i), x);
  }
  x = encoder_norm_(x);
  if (watch) watch("encoder_norm", x);
  return x;
}

Tensor Vit::forward(const Tensor& image, const nn::Watch& watch) const {
  Tensor x = embed(image);
  if (watch) {
    watch("embeddings", x);
    return encode(x, watch).select(1, 0);
  }
  for (size_t i = 0; i < layers_.size(); ++i) x = layers_[i].forward(x, i + 1 == layers_.size());
  return encoder_norm_(x.select(1, 0));
}

Tensor Vit::logits(const Tensor& feature) const {
  if (!head_) fail(Kind::usage, "this ViT has no head for classes");
  return (*head_)(pre_logits_ ? tanh((*pre_logits_)(feature)) : feature);
}

}  // namespace beckon::vit
