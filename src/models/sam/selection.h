// Which of several masks to believe: plain functions on plain numbers.
#pragma once

#include <cstdint>
#include <span>

namespace beckon::sam {

// #(logit > offset) / #(logit > -offset): how little a mask changes with its threshold. NaN if
// nothing is above -offset.
double stability_score(std::span<const float> logits, float offset = 1.0f);

// The mask that SAM's exported single-file decoder returns: of few prompts the best of masks 1, 2,
// ..., of 3 or more mask 0. `entries` counts points, corners of boxes and the padding point. Scores
// are predicted IoUs or stability scores, one for each mask; the first of equal ones wins.
int64_t exported_choice(std::span<const float> scores, int64_t entries);

}  // namespace beckon::sam
