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

  // The same with P prompt tokens that are copied in front of every window and averaged over the
  // windows afterwards. Biases and masks are 0 for them. Jia et al., "Visual Prompt Tuning".
  struct Prompted {
    Tensor prompts, x;  // [B,P,C], [B,H,W,C]
  };
  // `mix_batch`: as the reference's code does it, window r (of all images, one image after the
  // other) gets the prompts of image r mod B and gives its result to that image, so that images of
  // one batch influence each other.
  Prompted add_to(const Prompted& in, const nn::LayerNorm& norm, bool mix_batch) const;

 private:
  // [1 or B*windows, heads, P+w*w, P+w*w] for a map of h x w
  Tensor prompted_bias(int64_t batch, int64_t prompts, int64_t h, int64_t w) const;
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
  WindowedAttention::Prompted forward(const WindowedAttention::Prompted& in, bool mix_batch) const {
    const WindowedAttention::Prompted y = attn.add_to(in, norm1, mix_batch);
    return {mlp.add_to(y.prompts, norm2), mlp.add_to(y.x, norm2)};
  }
};

// Four neighbours become one token of twice the width.
struct PatchMerging {
  nn::LayerNorm norm;
  Tensor reduction;  // [2C,4C]

  PatchMerging(const nn::Params& p, int64_t dim);
  Tensor forward(const Tensor& x) const;
  // Prompt tokens [B,P,C] -> [B,P,2C]: each stands four times where the neighbours would.
  Tensor merge_prompts(const Tensor& prompts) const;
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

  // For methods that put something between the blocks.
  struct Stage {
    std::vector<SwinBlock> blocks;
    std::optional<PatchMerging> downsample;
  };
  const std::vector<Stage>& stages() const { return stages_; }
  const nn::LayerNorm& norm() const { return norm_; }

 private:
  SwinConfig config_;
  nn::Conv2d patch_embed_;
  nn::LayerNorm patch_norm_;
  std::vector<Stage> stages_;
  nn::LayerNorm norm_;
  std::optional<nn::Linear> head_;
};

}  // namespace beckon::swin
