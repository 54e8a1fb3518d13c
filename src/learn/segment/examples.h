// The pictures a prompt is learned from or measured on.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "beckon/segment_prompt.h"
#include "learn/evaluation/mask_data.h"
#include "models/sam/seen.h"

namespace beckon::learn {

// One picture with all that is meant in it as one mask.
struct SegmentExample {
  std::string picture;
  Embedding embedding;
  Rle truth;    // may be empty: an example of where nothing is
  Rle ignored;  // pixels that nobody knows the truth about

  // Over the part of the low-resolution logits that lies on the image, row by row:
  int64_t rows = 0, columns = 0;
  Tensor cover;    // [1,rows*columns], how much of each is object, 0 to 1
  Tensor unknown;  // [1,rows*columns], 1 where mostly ignored; or none

  const sam::Seen& seen() const { return embedding.seen(); }
  // The same part of low-resolution logits [4h,4w], as a row.
  Tensor on_image(const Tensor& logits) const;
};

// The pictures of all data sets at a path, one after the other.
class SegmentExamples {
 public:
  // Errors as open_mask_data(). Error(input) if there is none.
  SegmentExamples(const std::string& data, const ExampleSelection& selection);

  size_t size() const { return places_.size(); }
  std::string path(size_t i) const;
  // Reads, selects and encodes. Throws as MaskData::load() does.
  SegmentExample load(const Sam& sam, size_t i) const;

 private:
  struct Place {
    size_t set, picture;
  };
  ExampleSelection selection_;
  std::vector<std::unique_ptr<MaskData>> sets_;
  std::vector<Place> places_;
};

// One question of training: a box in an example, and what is to be answered.
struct TrainingBox {
  size_t example;
  std::array<float, 4> box;  // in the frame; of no meaning without a prior
  Tensor cover;              // [1,rows*columns], as SegmentExample::cover
  bool empty = false;        // nothing is to be found there
};
// The parts of the prior, and a box around each connected part of the truth. A part of the prior
// means those parts of the truth that it shares a fifth of the smaller of both with, or nothing.
// Without a prior: the whole truth, once.
std::vector<TrainingBox> training_boxes(const SegmentExample& example, size_t index,
                                        const SegmentPromptTensors& prompt);

// Of the mask at the picture's size; 1 if there is nothing and nothing was found.
double iou_of(const SegmentExample& example, const Rle& found);
// At low resolution, for the way: of logits [1,rows*columns] on the image, against such a cover.
double low_iou(const SegmentExample& example, const Tensor& cover, const Tensor& logits);

}  // namespace beckon::learn
