// All that learning needs to go on where it was, in a file.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "beckon/segment_prompt.h"
#include "beckon/train.h"

namespace beckon::learn {

struct LearningState {
  SegmentPromptTensors now, best;
  std::map<std::string, Tensor> optimizer;
  int64_t step = 0;       // that were made
  int64_t best_step = 0;  // after which the best prompt was measured
  double best_iou = -1;
  int64_t since_best = 0;  // measurements
};

// The tensors under these names; "tokens", "dense", "direction", "offset".
std::map<std::string, Tensor> named(const SegmentPromptTensors& prompt);

// `settings`: a digest of everything the rest of the run depends on. Error(output).
void save_state(const std::string& path, const LearningState& state, const std::string& settings);
// Nothing if there is no such file. Error(input) if it is broken or of other settings; shapes are
// those of `like`.
std::optional<LearningState> load_state(const std::string& path, const SegmentPromptTensors& like,
                                        const std::string& settings);

}  // namespace beckon::learn
