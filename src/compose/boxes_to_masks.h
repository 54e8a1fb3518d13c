// A data set with boxes becomes one with masks.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "beckon/annotation.h"
#include "beckon/error.h"
#include "beckon/sam.h"

namespace beckon::compose {

struct BoxesToMasksOptions {
  std::string photos;  // the folder they lie in, or below it
  bool again = false;  // masks that are there already are made anew from their boxes
  int64_t max_pixels = 100'000'000;
  // Images done and all of them; false ends it with Error(interrupted).
  std::function<bool(int64_t done, int64_t all)> progress;
};

struct BoxesToMasksReport {
  int64_t masks = 0;  // made
  int64_t kept = 0;   // annotations as they were: with a mask already, without a box, of failures
  int64_t without_box = 0;  // of these: neither a mask nor a box with pixels of the photo
  struct Failure {
    Kind kind;
    std::string message;
  };
  std::vector<Failure> failures;  // photos; their annotations stay as they were
};

// Each annotation with a box gets the model's mask for it, the predicted IoU and the stability
// score; the box stays as the file had it. Labels, ids, keys and order are untouched.
// Error(missing) for a folder of photos that is not there.
BoxesToMasksReport boxes_to_masks(const Sam& sam, Dataset& data,
                                  const BoxesToMasksOptions& options);

}  // namespace beckon::compose
