// SAM's mask decoder, as the paper draws it: a transformer in which prompt tokens and image look at
// each other, then an up-scaled image that every mask token is compared with.
//
// Letters: P prompts, T tokens (1 for the predicted IoU, M for masks, S sparse), N = h w places of
// the image, C channels.
#pragma once

#include <utility>
#include <vector>

#include "models/sam/config.h"
#include "nn/layers.h"

namespace beckon::sam {

// softmax(q k^T / sqrt(d)) v per head, between projections in and out.
struct DecoderAttention {
  nn::Linear q_proj, k_proj, v_proj, out_proj;
  int64_t heads;

  // The inner width is dim / downsample.
  DecoderAttention(const nn::Params& p, int64_t dim, int64_t heads, int64_t downsample);
  // q [P,A,C], k and v [P,B,C] -> [P,A,C]
  Tensor operator()(const Tensor& q, const Tensor& k, const Tensor& v) const;
};

struct Tokens {
  Tensor queries;  // [P,T,C]
  Tensor keys;     // [P,N,C], the image
};

struct TwoWayBlock {
  DecoderAttention self_attn, token_to_image, image_to_token;
  nn::LayerNorm norm1, norm2, norm3, norm4;
  nn::Mlp mlp;
  bool first;  // the first block's self attention has no position code and no residual

  TwoWayBlock(const nn::Params& p, const MaskDecoderConfig& c, bool first);
  Tokens forward(Tensor queries, Tensor keys, const Tensor& query_code,
                 const Tensor& key_code) const;
};

// Linear layers with ReLU between them: "<name>.layers.0", "<name>.layers.1", ...
struct Perceptron {
  std::vector<nn::Linear> layers;

  Perceptron(const nn::Params& p, int64_t in, int64_t hidden, int64_t out, int64_t depth);
  Tensor operator()(Tensor x) const;
};

// A transposed 2x2 convolution with stride 2.
struct UpConv {
  Tensor weight, bias;  // [in,out,2,2], [out]

  UpConv(const nn::Params& p, int64_t in, int64_t out);
  Tensor operator()(const Tensor& x) const;
};

class MaskDecoder {
 public:
  MaskDecoder(const nn::Params& p, const MaskDecoderConfig& config);

  struct Output {
    Tensor masks;  // logits [P,M,4h,4w]; mask 0 is the single answer, the others the three readings
    Tensor iou;    // predicted IoU [P,M], usually within 0..1 but not bounded
  };
  // image [1 or P,h,w,C] + dense [1 or P, h or 1, w or 1, C] is the image side; image_code
  // [1,h,w,C]; sparse [P,S,C] or none.
  Output forward(const Tensor& image, const Tensor& image_code, const Tensor& sparse,
                 const Tensor& dense, const nn::Watch& watch = {}) const;

  // The tokens a prompt starts with, [P,T,C]: IoU, masks, sparse.
  Tensor initial_tokens(const Tensor& sparse, int64_t prompts) const;

  // Read by the faster form.
  const MaskDecoderConfig config;
  const Tensor iou_token, mask_tokens;  // [1,C], [M,C]
  std::vector<TwoWayBlock> blocks;
  const DecoderAttention final_attn;
  const nn::LayerNorm norm_final;
  const UpConv upscale1;
  const nn::LayerNorm upscale_norm;
  const UpConv upscale2;
  std::vector<Perceptron> hypernetworks;  // one for each mask
  const Perceptron iou_head;
};

}  // namespace beckon::sam
