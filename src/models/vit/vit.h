// The plain vision transformer for classification.
// Dosovitskiy et al., "An Image Is Worth 16x16 Words".
//
// Letters: B images, T tokens (1 for the class, one for each patch), C channels.
#pragma once

#include <cstdint>
#include <vector>

#include "nn/layers.h"

namespace beckon::vit {

struct VitConfig {
  int64_t image = 224, patch = 16;
  int64_t dim = 768, depth = 12, heads = 12, mlp = 3072;

  int64_t grid() const { return image / patch; }
  int64_t tokens() const { return 1 + grid() * grid(); }
};

// Attention with separate projections.
struct VitAttention {
  nn::Linear query, key, value, out;
  int64_t heads;

  VitAttention(const nn::Params& p, int64_t dim, int64_t heads);
  Tensor operator()(const Tensor& x, const Tensor& residual) const;
};

struct VitBlock {
  nn::LayerNorm attention_norm;
  VitAttention attn;
  nn::LayerNorm ffn_norm;
  nn::Mlp ffn;

  VitBlock(const nn::Params& p, const VitConfig& c);
  Tensor forward(const Tensor& x) const;
};

// Parameters are named as in the PyTorch form of the published weights: "embeddings.cls_token",
// "encoder.layer.0.attn.query.weight", "encoder.encoder_norm.bias".
class Vit {
 public:
  Vit(const nn::Params& p, const VitConfig& config);

  // image [B,S,S,3], normalised -> [B,T,C]: patches, class token in front, positions added.
  Tensor embed(const Tensor& image) const;
  // tokens [B,N,C] through all blocks and the last norm.
  Tensor encode(Tensor tokens, const nn::Watch& watch = {}) const;
  // The class token's feature [B,C].
  Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const;

  const VitConfig& config() const { return config_; }

 private:
  VitConfig config_;
  Tensor cls_token_;  // [1,1,C]
  nn::Conv2d patch_embeddings_;
  Tensor position_embeddings_;  // [1,T,C]
  std::vector<VitBlock> layers_;
  nn::LayerNorm encoder_norm_;
};

// The weights as Google published them (npz: "embedding/kernel", "Transformer/encoderblock_0/...",
// perhaps with "opt/target/" or "params/" in front) under the names and in the layouts that Vit
// takes. A position table for another square grid is resized linearly with aligned corners, as the
// reference's spline zoom of order 1 does. Error(model) if a tensor is missing or does not fit.
nn::Params from_google(const nn::Params& npz, const VitConfig& config);

// The sizes in such a file, for images of `image` pixels a side.
VitConfig detect_google(const nn::Params& npz, int64_t image);

}  // namespace beckon::vit
