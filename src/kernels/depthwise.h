// Depth-wise convolution, channels last: every channel has its own small kernel.
#pragma once

#include <cstdint>
#include <vector>

#include "beckon/activation.h"

namespace beckon::kernels {

// x [n, height, width, channels], weights [kernel_h * kernel_w, channels] (tap by tap), y [n,
// out_height(), out_width(), channels]. Outside the map x counts as zero.
struct DepthwiseConv {
  int64_t n, height, width, channels;
  int64_t kernel_h = 3, kernel_w = 3;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 1, pad_w = 1;
  int64_t dilation_h = 1, dilation_w = 1;

  int64_t out_height() const {
    return (height + 2 * pad_h - dilation_h * (kernel_h - 1) - 1) / stride_h + 1;
  }
  int64_t out_width() const {
    return (width + 2 * pad_w - dilation_w * (kernel_w - 1) - 1) / stride_w + 1;
  }
  int64_t taps() const { return kernel_h * kernel_w; }
};

// Checkpoint weights [channels, 1, kernel_h, kernel_w] to taps [kernel_h * kernel_w, channels].
std::vector<float> depthwise_taps(const float* weights, int64_t channels, int64_t taps);

// y = activation(conv(x, weights) + bias); bias [channels] may be null. y must not overlap x.
void depthwise_conv(const DepthwiseConv& conv, const float* x, const float* weights,
                    const float* bias, Activation activation, float* y);

// The gradient with respect to x, of the convolution alone. dx [n, height, width, channels].
void depthwise_conv_grad_input(const DepthwiseConv& conv, const float* dy, const float* weights,
                               float* dx);
// The gradient with respect to the taps. dweights [kernel_h * kernel_w, channels]. (That of the
// bias is column_sum(dy).)
void depthwise_conv_grad_weights(const DepthwiseConv& conv, const float* x, const float* dy,
                                 float* dweights);

// One output row of a 3x3 kernel with padding 1, for callers that hold the input in pieces
// (mbconv.h).
struct DepthwiseRow {
  // The input rows above, at and below the centre, each pointing at the pixel of column in_begin;
  // null for a row outside the map.
  const float* rows[3];
  // Columns that exist in the rows; taps that fall beside them count as zero.
  int64_t in_begin, in_end;
  int64_t stride;  // 1 or 2; output column o is centred on input column o * stride
  int64_t out_begin, out_end;
  int64_t channels;
  const float* weights;  // [9, channels]
  const float* bias;     // [channels], or null
  Activation activation;
  float* out;  // the pixel of column out_begin
};
// On the calling thread.
void depthwise_row(const DepthwiseRow& row);

}  // namespace beckon::kernels
