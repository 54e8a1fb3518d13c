// Arithmetic on image tokens that lie side by side in the lanes of vectors, for SAM's mask decoder:
// what is summed over channels or prompt tokens then needs no shuffles, and few prompt tokens waste
// no lanes.
//
// A panel holds W = token_panel() image tokens, whatever is known of each in rows of W floats:
// [rows, W], contiguous unless a stride is given, 64-byte aligned. Letters: T prompt tokens, H
// heads of width e, J = T * H; row t * H + h of a [J, W] panel belongs to token t and head h.
// Everything runs on the calling thread.
#pragma once

#include <cstdint>

#include "beckon/activation.h"

namespace beckon::kernels {

// W: two vectors of the instruction set in use.
int64_t token_panel();

// c[r] = sum over i < k of a[r * a_stride + i] * b[i] (+ c[r] if accumulate), for panels b [k, W]
// and c [rows, W].
void panel_product(int64_t rows, int64_t k, const float* a, int64_t a_stride, const float* b,
                   bool accumulate, float* c);

// c[t * H + h] = sum over i < e of a[t * a_stride + h * e + i] * b[h * e + i] (+ c if accumulate):
// each head by itself; b [H*e, W], c [J, W].
void panel_heads_product(int64_t tokens, int64_t heads, int64_t e, const float* a, int64_t a_stride,
                         const float* b, bool accumulate, float* c);

// In place: softmax over the T rows of each head of x [J, W].
void panel_softmax(int64_t tokens, int64_t heads, float* x);

// In place: x[r] = (x[r] + add[r]) * scale, for x [rows, W], add [rows] (null: nothing), scale [W].
void panel_scale(int64_t rows, const float* add, const float* scale, float* x);

// sum += the sum over r of a[r] * b[r], all [rows, W] but sum [W].
void panel_dot(int64_t rows, const float* a, const float* b, float* sum);

// y[r] = scale * x[r] + bias[r]: x, y [rows, W], scale [W], bias [rows].
void panel_scale_bias(int64_t rows, const float* x, const float* scale, const float* bias,
                      float* y);

// In place: x[r] = activation(x[r] + bias[r]).
void panel_bias_activate(int64_t rows, const float* bias, Activation activation, float* x);

// In place: activation(layer_norm over the rows) for x [rows, W], gamma and beta [rows].
void panel_norm(int64_t rows, const float* gamma, const float* beta, float eps,
                Activation activation, float* x);

// A softmax over image tokens: x is `panels` panels [rows, W], `stride` floats apart, of which the
// first `count` tokens are real. Each becomes exp(x - max[row]) * scale (panels of W, W apart), or
// 0 if it is not real; max [rows] and sum [rows], of what is not scaled, are written.
void panels_softmax_step(int64_t panels, int64_t rows, int64_t stride, int64_t count,
                         const float* scale, float* x, float* max, float* sum);

// out[r * out_stride + c] = the sum over all tokens of all panels of a[r] * b[c]. Rows r of a are
// a_row floats apart, panels a_panel; rows of b are W apart, its panels b_panel (0: one for all).
void panels_dots(int64_t panels, int64_t rows, int64_t cols, const float* a, int64_t a_row,
                 int64_t a_panel, const float* b, int64_t b_panel, float* out, int64_t out_stride);

// Logits to their pixels. A place (image token) has become 2x2 and each of these 2x2 again: x [16,
// W] in that order. The places first, first + 1, ... (count of them) of a map with rows of
// map_width places go to `out`, 4 * map_width a row.
void panel_place(const float* x, int64_t first, int64_t count, int64_t map_width, float* out);

// out[(t * H + h) * out_stride + j] = sum over i < e of left[j * d + h * e + i] * right[t * d + h *
// e
// + i], with d = H * e: left [rows, d], right [T, d].
void couple_heads(int64_t rows, int64_t tokens, int64_t heads, int64_t e, const float* left,
                  const float* right, float* out, int64_t out_stride);

}  // namespace beckon::kernels
