// All that learning a classifier needs to go on where it was.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "beckon/classifier_prompt.h"

namespace beckon::learn {

struct ClassifierState {
  int64_t epoch = 0, step = 0;  // the next one, and the step in it
  double loss_sum = 0;          // of the epoch so far
  int64_t right = 0, seen = 0;
  std::vector<LearnedClassifier::Epoch> epochs;
  int64_t best_epoch = -1;
  std::map<std::string, Tensor> now, best, optimizer;
};

// `settings`: a digest of everything the rest of the run depends on.
void save_state(const std::string& path, const ClassifierState& state, const std::string& settings);
// Nothing if there is no such file. Error(input) if it is broken or of other settings.
std::optional<ClassifierState> load_classifier_state(const std::string& path,
                                                     const std::string& settings);

}  // namespace beckon::learn
