// SAM's prompt encoder: points and boxes become tokens, a mask becomes a map.
//
// Letters: P prompts (rows of a batch), S sparse tokens, C channels, h and w the embedding's grid.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/sam/config.h"
#include "nn/layers.h"

namespace beckon::sam {

// What a sparse token stands for. The numbers are those of the reference.
enum class TokenLabel : int64_t {
  padding = -1,
  background = 0,
  foreground = 1,
  top_left = 2,
  bottom_right = 3,
};

class PromptEncoder {
 public:
  PromptEncoder(const nn::Params& p, const PromptEncoderConfig& config);

  // The sparse tokens of a batch [P,S,C]. xy [P,S,2] are positions in the resized frame, labels
  // (i64 [P,S]) TokenLabels: box corners are tokens like points.
  Tensor tokens(const Tensor& xy, const Tensor& labels) const;

  // Tokens in the reference's order: points; a padding point if there are points but no boxes; the
  // two corners of the box. points [P,N,2] with labels i64 [P,N] and boxes [P,4] may be empty.
  // Empty if there is neither.
  Tensor sparse(const Tensor& points, const Tensor& labels, const Tensor& boxes) const;

  // masks [P,4h,4w,1], logits of an earlier prediction -> [P,h,w,C]
  Tensor dense(const Tensor& masks) const;
  // Stands for "no mask": [1,1,1,C], the same at every place.
  Tensor no_mask() const;
  // The token that fills up a list of points: [1,C].
  const Tensor& not_a_point() const { return not_a_point_; }

  // The code of the grid's places, for the decoder: [1,h,w,C].
  const Tensor& grid_code() const { return grid_code_; }

  const PromptEncoderConfig& config() const { return config_; }

 private:
  // uv [...,2] in 0..1 -> [...,C]
  Tensor position_code(const Tensor& uv) const;

  PromptEncoderConfig config_;
  Tensor gaussian_;  // [2,C/2]
  Tensor not_a_point_;
  std::vector<Tensor> point_embeddings_;  // background, foreground, top left, bottom right
  nn::Conv2d mask1_;
  nn::LayerNorm mask_norm1_;
  nn::Conv2d mask2_;
  nn::LayerNorm mask_norm2_;
  nn::Conv2d mask3_;
  Tensor no_mask_;
  Tensor grid_code_;
};

}  // namespace beckon::sam
