// TinyViT, the image encoder of MobileSAM: a convolutional stage, then three stages of windowed
// attention with a depth-wise convolution in every block.
// Wu et al., "TinyViT"; Zhang et al., "Faster Segment Anything".
#pragma once

#include <array>
#include <vector>

#include "models/sam/image_encoder.h"

namespace beckon::sam {

// gelu(x + project(gelu(depthwise(gelu(expand(x))))))
struct MBConv {
  nn::ConvBN conv1, conv2, conv3;

  MBConv(const nn::Params& p, int64_t dim, int64_t hidden);
  Tensor forward(const Tensor& x) const;
};

// The same chain between stages, without a residual, perhaps with a stride in the middle.
struct Downsample {
  nn::ConvBN conv1, conv2, conv3;

  Downsample(const nn::Params& p, int64_t in, int64_t out, int64_t stride);
  Tensor forward(const Tensor& x) const;
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

 private:
  nn::ConvBN patch1_, patch2_;
  std::vector<MBConv> stage0_;
  std::array<std::vector<TinyVitBlock>, 3> stages_;  // 1, 2, 3
  std::vector<Downsample> downsample_;               // after stages 0, 1, 2
  Neck neck_;
};

}  // namespace beckon::sam
