// BEING WRITTEN BY THE LEAD (with src/kernels/two_way.*). Engineer "sam": leave this pair of files
// to me, wire FastMaskDecoder into Sam/Embedding as declared here (use the plain MaskDecoder until
// it links).
//
// The mask decoder with far less arithmetic, by exact re-association ("form 1"); see mask_decoder.h
// for the readable definition, which this is tested against.
#pragma once

#include <memory>
#include <vector>

#include "models/sam/mask_decoder.h"

namespace beckon::sam {

class FastMaskDecoder {
 public:
  // Keeps a reference: the decoder must outlive this.
  explicit FastMaskDecoder(const MaskDecoder& decoder);
  ~FastMaskDecoder();

  // What depends on the image alone: made once for an image, read by any number of threads.
  // image [1,h,w,C] embedding, no_mask [C] the embedding that stands for "no mask prompt",
  // image_code [1,h,w,C].
  struct Image;
  std::shared_ptr<const Image> prepare(const Tensor& image, const Tensor& no_mask,
                                       const Tensor& image_code) const;

  // Where the algebra pays: few tokens (T = 1 + masks + sparse), no mask prompt.
  bool suits(int64_t tokens) const;

  struct Choice {
    std::vector<int64_t> masks;  // which mask logits to compute, e.g. {1,2,3}; empty: none
  };
  struct Output {
    Tensor masks;  // [P, masks asked for, 4h, 4w]; empty if none
    Tensor iou;    // [P, M], all of them
  };
  // sparse [P,S,C] or none (then one prompt). `choose` may be called per prompt with its IoUs
  // before the costly part.
  Output forward(const Image& image, const Tensor& sparse, const std::vector<int64_t>& masks) const;

 private:
  const MaskDecoder& decoder_;
  struct Weights;
  std::unique_ptr<const Weights> weights_;
};

}  // namespace beckon::sam
