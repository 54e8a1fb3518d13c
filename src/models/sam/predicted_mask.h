// From low-resolution logits to a mask of the image's size.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "beckon/sam.h"
#include "models/sam/model.h"

namespace beckon {

struct PredictedMask::Impl {
  float score = 0;
  int token = 0;
  Tensor logits;  // [4h,4w]
  sam::Frame frame;

  std::once_flag once;
  Mask mask;
  int64_t area = 0;
  PixelBox box;
  double stability = 0;  // for an offset of 1

  // mask, area, box and stability, in one walk over the rows of the image.
  void complete();
};

}  // namespace beckon
