// SAM's ViT: windowed blocks, a few that attend to the whole map, relative positions in all of
// them. Kirillov et al., "Segment Anything"; Li et al., "Exploring Plain Vision Transformer
// Backbones for Object Detection".
#pragma once

#include <vector>

#include "models/sam/image_encoder.h"

namespace beckon::sam {

// Attention of one block over a map [B,H,W,C], with positions relative per axis.
struct VitAttention {
  nn::Linear qkv, proj;
  Tensor rel_h, rel_w;
  int64_t heads, window;  // window 0: the whole map

  // `rows_h`, `rows_w`: of the tables in the file. Tables for another size than the window's are
  // resized as they are used.
  VitAttention(const nn::Params& p, int64_t dim, int64_t heads, int64_t window, int64_t rows_h,
               int64_t rows_w);
  // attention(norm(x)) [+ residual]; without a norm, attention(x).
  Tensor forward(const Tensor& x, const nn::LayerNorm* norm, const Tensor& residual = {}) const;
};

struct VitBlock {
  nn::LayerNorm norm1;
  VitAttention attn;
  nn::LayerNorm norm2;
  nn::Mlp mlp;

  VitBlock(const nn::Params& p, const VitConfig& c, int64_t window);
  Tensor forward(const Tensor& x) const;
};

class VitEncoder : public ImageEncoder {
 public:
  VitEncoder(const nn::Params& p, const VitConfig& config);
  Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const override;

 private:
  nn::Conv2d patch_embed_;
  Tensor pos_embed_;
  std::vector<VitBlock> blocks_;
  Neck neck_;
};

}  // namespace beckon::sam
