#include "models/sam/selection.h"

#include <algorithm>

namespace beckon::sam {

double stability_score(std::span<const float> logits, float offset) {
  int64_t above = 0, below = 0;
  for (const float v : logits) {
    above += v > offset;
    below += v > -offset;
  }
  return static_cast<double>(above) / static_cast<double>(below);
}

int64_t exported_choice(std::span<const float> scores, int64_t entries) {
  // The export adds (entries - 2.5) * 1000 to the score of mask 0 and takes the largest.
  if (entries > 2) return 0;
  return std::max_element(scores.begin() + 1, scores.end()) - scores.begin();
}

}  // namespace beckon::sam
