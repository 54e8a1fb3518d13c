// From low-resolution logits to what the mask generator wants to know at the image's size, for many
// masks of one frame: only the part of the image where something can be is looked at.
#pragma once

#include <cstdint>
#include <span>

#include "beckon/mask.h"
#include "beckon/resize.h"
#include "models/sam/model.h"

namespace beckon::sam {

// Low-res logits over the whole square -> the square -> the image's part of it -> the image's size,
// as one bilinear step a side. low: rows and columns of the logits.
struct FullAxes {
  LinearAxis x, y;
  FullAxes(const Frame& frame, ImageSize low);
};

struct FullMask {
  double stability = 0;  // #(logit > offset) / #(logit > -offset); NaN for 0/0
  // A part of the image that holds all of the object, and where it lies. 0 x 0 if there is none.
  Mask part;
  int x = 0, y = 0;
  PixelBox box;  // of the object in the image; zeros if there is none
};

// The same numbers as PredictedMask gives, bit for bit. On the calling thread.
FullMask full_mask(std::span<const float> logits, const FullAxes& axes, float offset);

}  // namespace beckon::sam
