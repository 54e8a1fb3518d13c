// Row-wise parts of the attention between a few prompt tokens and many image tokens (SAM's two-way
// transformer), for use on tiles of image tokens that stay in cache. All run on the calling thread.
//
// Letters: R rows (image tokens of a tile), T prompt tokens, H heads, C channels. Scores are
// [R, T*H]: column t * H + h belongs to token t and head h, so that heads are neighbours and sums
// over tokens need no shuffles.
#pragma once

#include <cstdint>

#include "beckon/activation.h"
#include "kernels/gemm.h"

namespace beckon::kernels {

// In place: softmax over the T tokens of each row and head. Rows are `stride` floats apart.
void softmax_over_tokens(int64_t rows, int64_t tokens, int64_t heads, float* scores,
                         int64_t stride);

// One step of a softmax over image tokens that arrive tile by tile, for each column on its own.
// max [columns] and sum [columns] are running (start with -infinity and 0); scores become
// exp(score - new max), and factor [columns] = exp(old max - new max) is what earlier sums must be
// multiplied with. `sum` is updated already.
void softmax_step(int64_t rows, int64_t columns, float* scores, int64_t stride, float* max,
                  float* sum, float* factor);

// x[i, :] *= factor[i] for rows of n floats.
void scale_rows(int64_t rows, int64_t n, float* x, int64_t stride, const float* factor);

// out[t * H + h, :] = scale * sum over i < e of q[t, h * e + i] * w[h * e + i, :], with w [H*e, C]
// and out [T*H, C]: each head's query taken through the transpose of that head's key projection.
void project_heads(int64_t tokens, int64_t heads, int64_t e, int64_t channels, const float* q,
                   int64_t q_stride, const float* w, float scale, float* out);

// In place: activation(layer_norm(row)) for rows of C floats that are `stride` apart.
void norm_rows(int64_t rows, int64_t channels, float* x, int64_t stride, const float* gamma,
               const float* beta, float eps, Activation activation);

// One pass of the three steps that follow an image-to-token attention: x becomes layer_norm(x)
// (contiguous rows of C), sum = x + y, and x also goes into the panels of `packed` (k = rows, n =
// C). The same bits as norm_rows() and add_and_pack().
void norm_add_pack(int64_t rows, int64_t channels, float* x, const float* gamma, const float* beta,
                   float eps, const float* y, float* sum, PackedMatrix* packed);

// The last step of the mask decoder: features of an up-scaled map against one vector a mask. A
// place of the map has become 2x2 and each of these 2x2 again: features [places, 4, 4, width] in
// that order, vectors [masks, width]. The places are `first`, first + 1, ... of rows of
// `map_width`; the dot products go to their pixels of out, planes of `plane` floats, 4 * map_width
// a row.
void place_logits(int64_t places, int64_t width, int64_t masks, const float* features,
                  const float* vectors, int64_t first, int64_t map_width, float* out,
                  int64_t plane);

// sum[r, :] = x[r, :] + y[r, :], all contiguous rows of n floats; and x copied into the panels of
// `packed` (k = rows, n = n) so that it can be the right side of a product. Null `sum` leaves the
// addition out.
void add_and_pack(int64_t rows, int64_t n, const float* x, const float* y, float* sum,
                  PackedMatrix* packed);

}  // namespace beckon::kernels
