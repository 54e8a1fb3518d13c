// From a person's prompts to what the prompt encoder takes.
#pragma once

#include <cstdint>
#include <vector>

#include "beckon/prompt.h"
#include "beckon/sam.h"
#include "models/sam/model.h"

namespace beckon::sam {

// One object's prompts in the frame.
struct FramePrompt {
  std::vector<float> xy;           // x, y of each point; then of the two corners of a box
  std::vector<TokenLabel> labels;  // of each of these, with the padding point where it belongs
  std::vector<float> mask;         // low-res logits, or empty
  bool one_point = false;          // nothing but one point: an ambiguous click
  int64_t sparse() const { return static_cast<int64_t>(labels.size()); }
};

// Throws as Embedding::segment() says; `name` begins messages about one object of several
// ("object 3: ").
FramePrompt to_frame(const ObjectQuery& query, const Frame& frame,
                     const PromptEncoderConfig& config, const std::string& name);

// A mask of the image's size as the logits of an earlier prediction would look: brought into the
// frame like the image, padded with background, averaged over the pixels of each low-res one, and 0
// to 1 stretched to -10 to 10. SAM's own logits reach about that far within an object and well
// beyond outside; what matters is the sign and a margin like that of a confident prediction.
std::vector<float> mask_logits(const Mask& mask, const Frame& frame,
                               const PromptEncoderConfig& config);

}  // namespace beckon::sam
