// The inverted bottleneck of mobile networks as one pass over the map: 1x1 expansion, activation,
// depth-wise 3x3, activation, 1x1 projection, and (with a residual) addition of the input and a
// last activation.
//
// The expanded map is never stored: it is made row by row in tiles whose last three rows stay in
// the level-2 cache. At 256x256 with 256 expanded channels that saves 270 MB of traffic an image.
#pragma once

#include <cstdint>

#include "beckon/activation.h"
#include "kernels/gemm.h"

namespace beckon::kernels {

// Letters: C input channels, E expanded, O output; a map is [n, height, width, channels].
struct MbConv {
  int64_t n, height, width;
  int64_t stride = 1;                     // of the 3x3 kernel (padding 1): 1 or 2
  const PackedMatrix* expand = nullptr;   // [C, E]
  const float* expand_bias = nullptr;     // [E], or null
  const float* taps = nullptr;            // [9, E], see depthwise_taps()
  const float* depthwise_bias = nullptr;  // [E], or null
  const PackedMatrix* project = nullptr;  // [E, O]
  const float* project_bias = nullptr;    // [O], or null
  Activation activation = Activation::gelu;
  bool residual = false;  // y = activation(projection + x); needs stride 1 and O == C

  int64_t out_height() const { return (height - 1) / stride + 1; }
  int64_t out_width() const { return (width - 1) / stride + 1; }
};

// x [n, height, width, C] -> y [n, out_height(), out_width(), O], which must not overlap x. The
// same bits as gemm(), depthwise_conv() and gemm() one after the other.
void mbconv(const MbConv& block, const float* x, float* y);

}  // namespace beckon::kernels
