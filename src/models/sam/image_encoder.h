// What all image encoders of SAM share: the neck, and the interface that a model holds.
#pragma once

#include <memory>

#include "models/sam/config.h"
#include "nn/layers.h"

namespace beckon::sam {

class ImageEncoder {
 public:
  virtual ~ImageEncoder() = default;
  // image [B,S,S,3], normalised and padded -> embedding [B,S/16,S/16,out]
  virtual Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const = 0;
};

std::unique_ptr<ImageEncoder> make_image_encoder(const nn::Params& p, const SamConfig& config);

// From the encoder's width to the prompts': two convolutions without bias, a norm after each, and
// no activation.
struct Neck {
  nn::Conv2d conv1;
  nn::LayerNorm norm1;
  nn::Conv2d conv2;
  nn::LayerNorm norm2;

  Neck(const nn::Params& p, int64_t in, int64_t out);
  Tensor operator()(const Tensor& x, const nn::Watch& watch) const;
};

}  // namespace beckon::sam
