// Attention between tensors whose heads are a dimension of their own, with what attention() and
// window_attention() add to the scores.
#pragma once

#include <cstdint>

#include "beckon/tensor.h"

namespace beckon::detail {

// What is added to scale * q k^T. Empty tensors add nothing.
struct ScoreTerms {
  // f32, contiguous, [1 or B, 1 or H, N, M].
  Tensor bias;
  // SAM's decomposed relative positions, for queries and keys that are the cells of one grid, row
  // by row: query (i,j) and key (k,l) get q . rel_h[i - k + grid_h - 1] + q . rel_w[j - l + grid_w
  // - 1] with q before scaling. [2 grid_h - 1, D], [2 grid_w - 1, D]; both or neither.
  Tensor rel_h, rel_w;
  int64_t grid_h = 0, grid_w = 0;
};

// q [B,N,H,D], k [B,M,H,D], v [B,M,H,E] -> [B,N,H,E]; f32 of any strides but 1 along the last
// dimension. Saved: the arguments and nothing of the size N x M, which the backward pass computes
// again, some rows at a time.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, float scale,
              const ScoreTerms& terms);

// The same for the parts of one tensor, with one gradient for all three: qkv [B,N,3,H,D] with axis
// 2, or [B,N,H,3,D] with axis 3.
Tensor attend(const Tensor& qkv, int axis, float scale, const ScoreTerms& terms);

}  // namespace beckon::detail
