// The feed-forward half of a transformer block in one pass: y = x + fc2(activation(fc1(norm(x)))).
//
// Blocks of rows go through both layers while their hidden activations, four times as wide as x,
// are in the level-2 cache; they are never stored. TinyViT's local convolution, which comes right
// before, can join the pass.
#pragma once

#include <cstdint>

#include "beckon/activation.h"
#include "kernels/gemm.h"

namespace beckon::kernels {

// Letters: C channels, H hidden width.
struct Mlp {
  const float* norm_weight = nullptr;  // [C], or null
  const float* norm_bias = nullptr;    // [C], or null
  float eps = 1e-5f;
  const PackedMatrix* fc1 = nullptr;  // [C, H]
  const float* bias1 = nullptr;       // [H], or null
  Activation activation = Activation::gelu;
  const PackedMatrix* fc2 = nullptr;  // [H, C]
  const float* bias2 = nullptr;       // [C], or null
};

// x [rows, C] -> y [rows, C], which may be x. The same bits as layer_norm() and two gemm().
void mlp(const Mlp& block, int64_t rows, const float* x, float* y);

// A depth-wise 3x3 convolution, stride and padding 1, without activation.
struct LocalConv {
  int64_t n, height, width;
  const float* taps;  // [9, C], see depthwise_taps()
  const float* bias;  // [C], or null
};

// t = conv(x), y = t + fc2(activation(fc1(norm(t)))). x [n, height, width, C]; y must not overlap
// it.
void local_conv_mlp(const LocalConv& conv, const Mlp& block, const float* x, float* y);

}  // namespace beckon::kernels
