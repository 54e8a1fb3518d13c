// The plain vision transformer for classification.
// Dosovitskiy et al., "An Image Is Worth 16x16 Words".
//
// Letters: B images, T tokens (1 for the class, one for each patch), C channels.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/layers.h"

namespace beckon::vit {

struct VitConfig {
  int64_t image = 224, patch = 16;
  int64_t dim = 768, depth = 12, heads = 12, mlp = 3072;
  float norm_eps = 1e-6f;
  int64_t representation = 0;  // width of the tanh layer before the head, 0: there is none
  int64_t classes = 0;         // 0: there is no head

  int64_t grid() const { return image / patch; }
  int64_t tokens() const { return 1 + grid() * grid(); }
};

// What LoRA adds to a projection: up(down(x)) times `scale`. Hu et al., "LoRA: Low-Rank Adaptation
// of Large Language Models", who add it to queries and values.
struct LowRank {
  Tensor query_down, query_up, value_down, value_up;  // [r,C], [C,r]
  float scale = 1;
};

// Attention with separate projections in the file; they are computed as one product.
class VitAttention {
 public:
  VitAttention(const nn::Params& p, int64_t dim, int64_t heads);
  // x + out(attention(norm(x))), for the first `rows` tokens of each image (0: for all).
  Tensor add_to(const Tensor& x, const nn::LayerNorm& norm, int64_t rows,
                const LowRank* low_rank = nullptr) const;

 private:
  nn::Linear query_, key_, value_, out_;
  int64_t heads_;
  nn::Derived<Tensor> weight_, bias_;  // of query, key and value, one below the other
};

struct VitBlock {
  nn::LayerNorm attention_norm;
  VitAttention attn;
  nn::LayerNorm ffn_norm;
  nn::Mlp ffn;

  VitBlock(const nn::Params& p, const VitConfig& c);
  // `rows`: how many tokens of each image are wanted, from the first; 0 for all.
  Tensor forward(const Tensor& x, int64_t rows = 0) const;
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
  // The class token's feature [B,C]. Nothing is computed of the last block that this token does
  // not need, unless someone watches.
  Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const;
  // Feature [B,C] -> [B,classes]; Error(usage) if there is no head.
  Tensor logits(const Tensor& feature) const;

  const VitConfig& config() const { return config_; }
  // For methods that put something between the blocks.
  const std::vector<VitBlock>& layers() const { return layers_; }
  const nn::LayerNorm& encoder_norm() const { return encoder_norm_; }

 private:
  VitConfig config_;
  Tensor cls_token_;  // [1,1,C]
  nn::Conv2d patch_embeddings_;
  Tensor position_embeddings_;  // [1,T,C]
  std::vector<VitBlock> layers_;
  nn::LayerNorm encoder_norm_;
  std::optional<nn::Linear> pre_logits_, head_;
};

// The weights as Google published them (npz: "embedding/kernel", "Transformer/encoderblock_0/...",
// perhaps with "opt/target/" or "params/" in front) under the names and in the layouts that Vit
// takes. A position table for another square grid is resized linearly with aligned corners, as the
// reference's spline zoom of order 1 does. Error(model) if a tensor is missing or does not fit.
nn::Params from_google(const nn::Params& npz, const VitConfig& config);

// The sizes in such a file, for images of `image` pixels a side (0: as many as its position table
// is made for).
VitConfig detect_google(const nn::Params& npz, int64_t image);

// A file in any published form: Google's npz, timm (also MAE, DeiT, MoCo v3), Hugging Face's
// ViTModel and ViTForImageClassification, torchvision, and the names Vit takes itself. Position
// tables are resized as each of the libraries does it. Error(model) if it is none of these or a
// tensor is missing or does not fit, Error(unsupported) for variants with other parts (layer scale,
// distillation and register tokens).
struct Opened {
  nn::Params params;
  VitConfig config;
  bool hugging_face = false;  // whose files were trained on other colours
};
Opened open(const nn::Params& file, int64_t image = 0);
// Whether the names are those of a plain ViT in one of these forms.
bool holds_vit(const nn::Params& file);

enum class PositionResize : uint8_t {
  linear_corners,    // corners on corners, linear: the reference's spline zoom of order 1
  cubic_corners,     // corners on corners, cubic: torchvision
  cubic,             // half-pixel centres, cubic: Hugging Face
  cubic_antialiased  // the same, smoothed where the grid shrinks: timm
};
// A table [1,1+n*n,C] for a grid of `grid` x `grid` patches; the class token's row is kept.
// Error(model) with `origin` if it is not 1 + a square.
Tensor resized_positions(const std::string& origin, const Tensor& table, int64_t grid,
                         PositionResize how);

}  // namespace beckon::vit
