// Swin for classification: windows of tokens, shifted in every other block, merged between stages.
// Liu et al., "Swin Transformer: Hierarchical Vision Transformer using Shifted Windows".
//
// Letters: B images, H and W of a stage's map, C channels, w side of a window.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nn/layers.h"

namespace beckon::swin {

struct SwinStage {
  int64_t depth = 2, heads = 3, window = 7;
};

struct SwinConfig {
  int64_t image = 224, patch = 4, dim = 96, mlp_ratio = 4;
  std::vector<SwinStage> stages;
  int64_t classes = 0;  // 0: there is no head
  // timm's later files: a stage begins with the merging that others end with, the head is
  // "head.fc".
  bool timm = false;

  int64_t side(size_t stage) const { return image / patch >> stage; }
  int64_t width(size_t stage) const { return dim << stage; }
  int64_t features() const { return width(stages.size() - 1); }
};

// The sizes in a file with the official names or timm's; image 0: as the file says, by its masks if
// it has them. Error(model) that names the tensor if there are none.
SwinConfig detect(const nn::Params& file, int64_t image = 0);
bool holds_swin(const nn::Params& file);

// Attention within windows, which lie `shift` further down and right than the map: what they then
// hold of opposite edges does not see each other.
class WindowedAttention {
 public:
  WindowedAttention(const nn::Params& p, int64_t dim, int64_t heads, int64_t window, int64_t shift);
  // x [B,H,W,C] + attention(norm(x))
  Tensor add_to(const Tensor& x, const nn::LayerNorm& norm) const;

 private:
  struct Biases {
    Tensor inside, bottom, right, corner;  // [heads,w*w,w*w]; the last three if shifted
  };
  Biases biases() const;

  nn::Linear qkv_, proj_;
  Tensor table_;  // [(2w-1)^2, heads]
  int64_t heads_, window_, shift_;
  nn::Derived<Biases> biases_;
};

struct SwinBlock {
  nn::LayerNorm norm1;
  WindowedAttention attn;
  nn::LayerNorm norm2;
  nn::Mlp mlp;

  SwinBlock(const nn::Params& p, int64_t dim, const SwinStage& stage, int64_t shift,
            int64_t hidden);
  Tensor forward(const Tensor& x) const { return mlp.add_to(attn.add_to(x, norm1), norm2); }
};

// Four neighbours become one token of twice the width.
struct PatchMerging {
  nn::LayerNorm norm;
  Tensor reduction;  // [2C,4C]

  PatchMerging(const nn::Params& p, int64_t dim);
  Tensor forward(const Tensor& x) const;
};

class Swin {
 public:
  Swin(const nn::Params& p, const SwinConfig& config);

  // image [B,S,S,3], normalised -> tokens of the first stage [B,S/patch,S/patch,C]
  Tensor embed(const Tensor& image) const;
  // The mean of the last stage's tokens [B,features()].
  Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const;
  // Error(usage) if there is no head.
  Tensor logits(const Tensor& feature) const;

  const SwinConfig& config() const { return config_; }

 private:
  struct Stage {
    std::vector<SwinBlock> blocks;
    std::optional<PatchMerging> downsample;
  };
  SwinConfig config_;
  nn::Conv2d patch_embed_;
  nn::LayerNorm patch_norm_;
  std::vector<Stage> stages_;
  nn::LayerNorm norm_;
  std::optional<nn::Linear> head_;
};

}  // namespace beckon::swin
