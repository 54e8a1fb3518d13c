// An image as SAM has seen it: what stands behind an Embedding.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/sam/model.h"
#include "models/sam/query.h"
#include "nn/derived.h"

namespace beckon::sam {

// Which form of the decoder answers prompts without masks. Their numbers differ by rounding.
enum class DecoderForm : uint8_t {
  by_count,  // `many` for calls with enough prompts of a kind that it pays, else `few`
  few,       // mask_decoder_fast.h
  many,  // mask_decoder_low_rank.h, however few they are: answers do not depend on how prompts are
         // divided among calls
};

struct Seen {
  std::shared_ptr<const SamModel> model;
  Frame frame;
  Tensor embedding;    // [1,h,w,C]
  std::string pixels;  // pixel_hash() of the image, where it is known

  std::vector<Masks> segment(std::span<const ObjectQuery> queries, const SegmentOptions& options,
                             DecoderForm form = DecoderForm::by_count) const;
  // The same for prompts that are in the frame already, such as those of the reference's
  // predict_torch().
  std::vector<Masks> segment(std::span<const FramePrompt> prompts, const SegmentOptions& options,
                             DecoderForm form = DecoderForm::by_count) const;

 private:
  struct Batch;
  void decode(const Batch& batch, const SegmentOptions& options, DecoderForm form,
              std::vector<Masks>& answers) const;

  // The decoder's share that is the same for all prompts, made when the first one comes and again
  // after the decoder was trained.
  std::shared_ptr<const FastMaskDecoder::Image> prepared() const;
  nn::Derived<std::shared_ptr<const FastMaskDecoder::Image>> prepared_;
  // The same for the form that answers many, 29 MB; made by the first call that asks for it.
  std::shared_ptr<const LowRankMaskDecoder::Image> prepared_for_many() const;
  nn::Derived<std::shared_ptr<const LowRankMaskDecoder::Image>> prepared_for_many_;
};

}  // namespace beckon::sam
