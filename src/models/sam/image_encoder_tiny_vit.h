// TinyViT, the image encoder of MobileSAM: a convolutional stage, then three stages of windowed
// attention with a depth-wise convolution in every block.
// Wu et al., "TinyViT"; Zhang et al., "Faster Segment Anything".
#pragma once

#include <array>
#include <vector>

#include "models/sam/image_encoder.h"

namespace beckon::sam {

// 1x1 convolution, gelu, depth-wise 3x3, gelu, 1x1: as a block of the first stage it ends in
// gelu(x + ...), between stages it changes width and perhaps size.
class MBConv {
 public:
  MBConv(const nn::Params& p, int64_t in, int64_t hidden, int64_t out, int64_t stride,
         bool residual);
  Tensor forward(const Tensor& x) const;

 private:
  nn::ConvBN conv1_, conv2_, conv3_;
  int64_t stride_;
  bool residual_;
};

// Attention within windows. The norm comes after the padding: a padded token is the norm's bias.
class TinyAttention {
 public:
  TinyAttention(const nn::Params& p, int64_t dim, int64_t heads, int64_t window);
  // x + attention(x)
  Tensor add_to(const Tensor& x) const;

 private:
  Tensor expanded_bias() const;

  nn::LayerNorm norm_;
  nn::Linear qkv_, proj_;
  Tensor biases_;  // [heads, window * window]: one for each |dy|, |dx|
  int64_t heads_, window_;
  nn::Derived<Tensor> bias_;     // [heads, S, S], S = window * window
  nn::Derived<Tensor> pad_row_;  // qkv of a padded token
};

struct TinyVitBlock {
  TinyAttention attn;
  nn::ConvBN local_conv;
  nn::LayerNorm mlp_norm;
  nn::Mlp mlp;

  TinyVitBlock(const nn::Params& p, int64_t dim, int64_t heads, int64_t window, int64_t hidden);
  Tensor forward(const Tensor& x) const;
};

class TinyVitEncoder : public ImageEncoder {
 public:
  TinyVitEncoder(const nn::Params& p, const TinyVitConfig& config);
  Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const override;
  // Without the neck: the last stage's map [B,S/16,S/16,dims[3]].
  Tensor body(const Tensor& image, const nn::Watch& watch = {}) const;

 private:
  nn::ConvBN patch1_, patch2_;
  std::vector<MBConv> stage0_;
  std::array<std::vector<TinyVitBlock>, 3> stages_;  // 1, 2, 3
  std::vector<MBConv> downsample_;                   // after stages 0, 1, 2
  Neck neck_;
};

}  // namespace beckon::sam
