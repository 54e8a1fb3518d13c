// Softmax attention, many heads, without the matrix of scores in memory: a block of query rows
// meets a block of keys, its scores stay in cache, and longer rows of keys are merged with a
// running maximum.
#pragma once

#include <cstdint>

namespace beckon::kernels {

// q, k or v inside wider rows: channel c of head h of row i of batch b is
// data[b * batch_stride + i * row_stride + h * head_stride + c].
struct HeadRows {
  const float* data = nullptr;
  int64_t batch_stride = 0;
  int64_t row_stride = 0;
  int64_t head_stride = 0;
};
struct HeadRowsOut {
  float* data = nullptr;
  int64_t batch_stride = 0;
  int64_t row_stride = 0;
  int64_t head_stride = 0;
};

struct AttentionShape {
  int64_t batch = 1, heads = 1, queries = 0, keys = 0;
  int64_t dim = 0;        // of a query and a key
  int64_t value_dim = 0;  // of a value; 0: like dim
};

// Added to the scores: `keys` floats for every (batch, head, query). A stride of 0 shares them.
// -inf masks a key; a row in which every key is masked gives NaN.
struct ScoreBias {
  const float* data = nullptr;
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
  int64_t row_stride = 0;
};

// Decomposed relative positions: queries and keys are the cells of one grid, row by row, and the
// score of query (i, j) and key (k, l) gets q . table_h[i - k + grid_h - 1] + q . table_w[j - l +
// grid_w - 1], with q before scaling. Tables: [2 grid_h - 1, dim] and [2 grid_w - 1, dim], shared
// by all heads.
struct RelativePositions {
  const float* table_h = nullptr;
  const float* table_w = nullptr;
  int64_t grid_h = 0, grid_w = 0;
};

// out = softmax(scale * q k^T + bias + relative positions) v. Parallel over batch, heads and query
// rows. scale > 0. No keys: zeros.
void attention(const AttentionShape& shape, const HeadRows& q, const HeadRows& k, const HeadRows& v,
               float scale, const ScoreBias& bias, const RelativePositions& relative,
               const HeadRowsOut& out);

// How the 3 * heads * dim columns of a row of q, k and v are ordered.
enum class QkvOrder {
  parts,  // [q | k | v], each [heads, dim] (SAM's ViT)
  heads,  // for each head [q | k | v] (TinyViT)
};

// A map of tokens, cut into square windows from the top left.
struct WindowShape {
  int64_t batch = 1, height = 0, width = 0;
  int64_t window = 0;
  int64_t heads = 1, dim = 0;
};

// Attention inside each window. qkv: rows [batch, height, width, 3 * heads * dim] in image order;
// out: rows [batch, height, width, heads * dim]. Windows that reach over the bottom or right edge
// are filled up with tokens that all have the row `pad` [3 * heads * dim]; they are keys like any
// other (the references pad without a mask), and no queries. pad may be null if the windows fit.
// bias: [heads, window^2, window^2] (query, key) or null. relative: grid_h = grid_w = window, or no
// tables.
void window_attention(const WindowShape& shape, const float* qkv, QkvOrder order, const float* pad,
                      float scale, const float* bias, const RelativePositions& relative,
                      float* out);

}  // namespace beckon::kernels
