// The mask decoder with less than half of the arithmetic and a tenth of the memory traffic, for
// frozen weights. The numbers are those of mask_decoder.h, its readable
// definition, up to float rounding; a test holds the two together.
//
// The identities (H heads of width e, image tokens X [N,C], position code P [N,C]):
//   token to image   scores_h = (q_h Wk_h / sqrt(e)) (X+P)^T    the key bias shifts a softmax row
//   by a constant: gone
//                    output_h = (attention_h X) Wv_h^T + bv_h   rows of the attention sum to 1
//   image to token   scores_h = (X+P) (Wq_h^T k_h / sqrt(e)) + bq_h k_h / sqrt(e)
//                    output   = A B, A [N, T H] all heads' attention, B = rows v_h Wo_h
// so that 256-wide image tokens meet T*H columns (56 for one click) instead of 128-wide
// projections. In the first block X is the same for every prompt of an image, but for those
// with a mask: its projections are made once (prepare()).
//
// The order of work: what block b does to the image (image to token, norm) and what block b+1 wants
// to know of it (token to image) need only tokens that are known before, so both happen in one pass
// over tiles of image tokens that stay in cache. Only the image tokens themselves are written to
// memory between passes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "models/sam/mask_decoder.h"
#include "nn/derived.h"

namespace beckon::sam {

class FastMaskDecoder {
 public:
  // Reads the decoder's weights, which must outlive this. Should they be trained or written to,
  // what is kept of them is made again; no gradient flows through this form.
  explicit FastMaskDecoder(const MaskDecoder& decoder);
  ~FastMaskDecoder();

  // What depends on the image alone: made once, read by any number of threads.
  struct Image {
    int64_t h = 0, w = 0, places = 0;
    Tensor embedding;  // [N,C] for prompts with a mask, which do without the rest
    Tensor tokens;     // [N,C] embedding + no-mask vector
    Tensor code;       // [N,C]
    Tensor keys;       // [N,d] of block 0, token to image
    Tensor values;     // [N,d] of block 0
    Tensor queries;    // [N,d] of block 0, image to token
  };
  // image [1,h,w,C]: the embedding; no_mask [C]: what is added where no mask is given; image_code
  // [1,h,w,C].
  std::shared_ptr<const Image> prepare(const Tensor& image, const Tensor& no_mask,
                                       const Tensor& image_code) const;
  // The decoder's weights that go into what prepare() makes.
  std::vector<const Tensor*> read_by_prepare() const;

  // True if the re-association is less work than projecting, which ends at some 16 tokens
  // (T = 1 + masks + sparse).
  bool suits(int64_t tokens) const;

  // Which of the M masks of a prompt are wanted, once its predicted IoUs [M] are known: the costly
  // up-scaling is done for prompts with at least one.
  using Choose = std::function<std::vector<int64_t>(int64_t prompt, std::span<const float> iou)>;

  struct Output {
    Tensor iou;                 // predicted IoU [P,M]
    std::vector<Tensor> masks;  // per prompt: logits [K,4h,4w] of the K masks chosen, empty if none
  };
  // sparse [P,S,C], or none for prompts without points or box; dense [P,h,w,C], the mask prompts,
  // or none (one prompt then, if there is no sparse either). Bit for bit the same for a prompt
  // alone or in a batch, and for any number of threads.
  Output forward(const Image& image, const Tensor& sparse, const Tensor& dense,
                 const Choose& choose) const;

 private:
  struct Weights;
  struct Group;
  std::shared_ptr<const Weights> weights() const;

  const MaskDecoder& decoder_;
  nn::Derived<Weights> weights_;
};

}  // namespace beckon::sam
