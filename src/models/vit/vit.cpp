#include "models/vit/vit.h"

#include "base/fail.h"

namespace beckon::vit {
namespace {
constexpr float kNormEps = 1e-6f;
}

VitAttention::VitAttention(const nn::Params& p, int64_t dim, int64_t heads_)
    : query(p / "query", dim, dim),
      key(p / "key", dim, dim),
      value(p / "value", dim, dim),
      out(p / "out", dim, dim),
      heads(heads_) {}

Tensor VitAttention::operator()(const Tensor& x, const Tensor& residual) const {
  return out(attention(query(x), key(x), value(x), {.heads = heads}), {.residual = residual});
}

VitBlock::VitBlock(const nn::Params& p, const VitConfig& c)
    : attention_norm(p / "attention_norm", c.dim, kNormEps),
      attn(p / "attn", c.dim, c.heads),
      ffn_norm(p / "ffn_norm", c.dim, kNormEps),
      ffn(p / "ffn", c.dim, c.mlp, Activation::gelu, {"fc1", "fc2"}) {}

Tensor VitBlock::forward(const Tensor& x) const {
  const Tensor y = attn(attention_norm(x), x);
  return ffn.add_to(y, ffn_norm);
}

Vit::Vit(const nn::Params& p, const VitConfig& c)
    : config_(c),
      cls_token_((p / "embeddings").tensor("cls_token", {1, 1, c.dim}, nn::Init::zeros)),
      patch_embeddings_(p / "embeddings" / "patch_embeddings", 3, c.dim, c.patch,
                        Conv().stride(c.patch)),
      position_embeddings_(
          (p / "embeddings").tensor("position_embeddings", {1, c.tokens(), c.dim})),
      encoder_norm_(p / "encoder" / "encoder_norm", c.dim, kNormEps) {
  for (int64_t i = 0; i < c.depth; ++i) layers_.emplace_back(p / "encoder" / "layer" / i, c);
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
  const Tensor x = embed(image);
  if (watch) watch("embeddings", x);
  return encode(x, watch).select(1, 0);
}

}  // namespace beckon::vit
