// What a learned prompt does inside the model: one forward for learning and for use.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "beckon/mask.h"
#include "beckon/segment_prompt.h"
#include "models/sam/seen.h"

namespace beckon::learn {

// The part of a grid over the frame that lies on the image: the rest is padding.
struct OnImage {
  int64_t rows = 0, columns = 0;
};
// The places of a grid of `rows` x `columns` over the whole square that hold any pixel of it.
OnImage on_image(const sam::Frame& frame, int64_t rows, int64_t columns);

// Logits of the prior, [1,h,w,1]; at padding they are those of clear background.
Tensor prior_logits(const sam::Seen& seen, const SegmentPromptTensors& prompt);

// A part of the image where the prior says "object": the pixels of low-resolution logits, within
// those that lie on the image, and the box around them as SAM takes it.
struct PriorPart {
  Mask pixels;
  std::array<float, 4> box{};  // x0, y0, x1, y1 in the frame
};
// Largest first, kMostParts at most; none without a prior.
constexpr size_t kMostParts = 100;
std::vector<PriorPart> parts_of_prior(const sam::Seen& seen, const SegmentPromptTensors& prompt);
// The box around such pixels.
std::array<float, 4> frame_box(const sam::Seen& seen, const PixelBox& low);

// The answers to some boxes, with a tape. No box at all: one answer, to the tokens alone.
// logits [P,4h,4w], P at least 1.
Tensor forward(const sam::Seen& seen, const SegmentPromptTensors& prompt,
               std::span<const std::array<float, 4>> boxes);

struct PromptedMask {
  Tensor logits;  // [4h,4w]
  float score = 0;
};
// One for each part of the prior (one in all without a prior), in that order, by the fast form of
// the decoder.
std::vector<PromptedMask> answers(const sam::Seen& seen, const SegmentPromptTensors& prompt);
// All answers as one mask: the highest logit of each place. Clear background without any answer;
// the score is the mean of theirs, each as large as it is.
PromptedMask together(const sam::Seen& seen, std::span<const PromptedMask> answers);

}  // namespace beckon::learn
