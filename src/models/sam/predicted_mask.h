// From low-resolution logits to a mask of the image's size.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
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
  std::optional<Rle> rle;
  int64_t area = 0;
  PixelBox box;
  double stability = 0;  // for an offset of 1

  // Only of masks whose pixels were asked for: a photo's worth of bytes each.
  std::once_flag mask_once;
  Mask mask;

  // rle, area, box and stability, in one walk over the rows of the image.
  void complete();
};

}  // namespace beckon
