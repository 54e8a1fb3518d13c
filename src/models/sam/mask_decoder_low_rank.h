// The mask decoder for many prompts about one image: image tokens are never made. The same
// mathematics as mask_decoder.h, its readable definition, up to float rounding; a test holds the
// two together.
//
// What a block does to the image is of low rank: image tokens get the values of T prompt tokens,
// mixed by the attention of H heads, so N x C tokens change by A B with A [N,J], B [J,C], J = T H
// (56 for one click). With centred vectors (their mean over the channels taken off) layer norm is
// linear but for a factor each token:
//
//   X1 = r1 (x + A0 B0) g1 + b1          x, B0 centred; r1 = 1 / sqrt(|x + A0 B0|^2 / C + eps)
//   X2 = r2 (r1 (x' + A0 D0) + beta + A1 B1) g2 + b2      x' = centred(x g1), D0 = centred(B0 g1)
//
// where x are the image tokens before the first block. So every projection X W that the decoder
// asks for is r1 (x g1 W + A0 (B0 g1 W)) + b1 W: the projections of x are the same for all prompts
// of an image and made once (prepare()), B0 W has J rows, and what is left for each image token is
// J wide, not C. The squares of the norms are sums of |x|^2, of projections of x, and of A0 (B0
// B0^T) A0^T. The first up-scaling convolution is linear in X2 too.
//
// Image tokens lie in the lanes of vectors (kernels/token_panels.h). A prompt needs 1.0 GFLOP
// instead of the 1.7 of mask_decoder_fast.h and the 3.6 of the definition; what is made once an
// image takes 3.5 GFLOP and 29 MB, so this form is for calls with several prompts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "models/sam/mask_decoder_fast.h"
#include "nn/derived.h"

namespace beckon::sam {

class LowRankMaskDecoder {
 public:
  // Reads the decoder's weights, which must outlive this. Should they be trained or written to,
  // what is kept of them is made again; no gradient flows through this form.
  explicit LowRankMaskDecoder(const MaskDecoder& decoder);
  ~LowRankMaskDecoder();

  // What depends on the image alone: made once, read by any number of threads.
  struct Image;
  std::shared_ptr<const Image> prepare(const FastMaskDecoder::Image& image) const;
  // The decoder's weights that go into what prepare() makes.
  std::vector<const Tensor*> read_by_prepare() const;

  // True for decoders of two blocks, and for prompts with few enough tokens (T = 1 + masks +
  // sparse) that J is well below C.
  bool suits(int64_t tokens) const;

  // sparse [P,S,C], or none for one prompt without points or box. The masks of prompts as
  // FastMaskDecoder::forward() says. Bit for bit the same for a prompt alone or in a batch, and for
  // any number of threads.
  FastMaskDecoder::Output forward(const Image& image, const Tensor& sparse,
                                  const FastMaskDecoder::Choose& choose) const;

 private:
  struct Weights;
  struct Group;
  std::shared_ptr<const Weights> weights() const;
  std::vector<const Tensor*> read() const;

  const MaskDecoder& decoder_;
  nn::Derived<Weights> weights_;
};

}  // namespace beckon::sam
