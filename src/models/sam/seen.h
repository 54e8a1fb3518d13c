// An image as SAM has seen it: what stands behind an Embedding.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "models/sam/model.h"
#include "models/sam/query.h"
#include "nn/derived.h"

namespace beckon::sam {

struct Seen {
  std::shared_ptr<const SamModel> model;
  Frame frame;
  Tensor embedding;  // [1,h,w,C]

  std::vector<Masks> segment(std::span<const ObjectQuery> queries,
                             const SegmentOptions& options) const;

 private:
  struct Batch;
  void decode(const Batch& batch, const SegmentOptions& options, std::vector<Masks>& answers) const;

  // The decoder's share that is the same for all prompts, made when the first one comes and again
  // after the decoder was trained.
  std::shared_ptr<const FastMaskDecoder::Image> prepared() const;
  nn::Derived<std::shared_ptr<const FastMaskDecoder::Image>> prepared_;
};

}  // namespace beckon::sam
