// Dense convolution over channels-last maps, as a matrix product whose rows are unfolded when they
// are needed, and the transposed 2x2 convolution that doubles a map. (Depth-wise convolution:
// depthwise.h.)
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gemm.h"

namespace beckon::kernels {

struct ConvShape {
  int64_t batch = 1, height = 0, width = 0;
  int64_t in_channels = 0, out_channels = 0;
  int64_t kernel_h = 1, kernel_w = 1;
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_h = 0, pad_w = 0;  // zeros on each side
  // So many zeros more at the bottom and at the right; fewer if negative.
  int64_t end_pad_h = 0, end_pad_w = 0;
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;  // divides both numbers of channels

  int64_t out_height() const {
    return (height + 2 * pad_h + end_pad_h - dilation_h * (kernel_h - 1) - 1) / stride_h + 1;
  }
  int64_t out_width() const {
    return (width + 2 * pad_w + end_pad_w - dilation_w * (kernel_w - 1) - 1) / stride_w + 1;
  }
  int64_t out_pixels() const { return batch * out_height() * out_width(); }
  int64_t in_group() const { return in_channels / groups; }
  int64_t out_group() const { return out_channels / groups; }
  // Numbers of the input that a pixel of the output is made of, within a group.
  int64_t patch() const { return kernel_h * kernel_w * in_group(); }
  // Each pixel of the output is made of the same pixel of the input alone.
  bool pointwise() const {
    return kernel_h == 1 && kernel_w == 1 && stride_h == 1 && stride_w == 1 && pad_h == 0 &&
           pad_w == 0 && end_pad_h == 0 && end_pad_w == 0;
  }
};

// The input of one group unfolded: row p is the patch [kernel_h, kernel_w, in_group()] that pixel p
// of the output is made of. A source of rows for gemm().
struct PatchRows {
  const ConvShape& shape;
  const float* in;  // the group's first channel of the first pixel

  static void fill(const void* context, int64_t begin, int64_t end, float* out, int64_t out_stride);
};

// Weights of a convolution, one matrix [patch(), out_group()] a group.
struct ConvWeights {
  std::vector<PackedMatrix> groups;
};

// From the checkpoint's layout [out_channels, in_channels / groups, kernel_h, kernel_w]. Only the
// channels, the kernel and the groups of the shape are read.
ConvWeights pack_conv_weights(const float* oihw, const ConvShape& shape);

// out [batch, out_height, out_width, out_channels] = epilogue(convolution of in [batch, height,
// width, in_channels]). The pixels of the output are the rows that the epilogue speaks of.
// Parallel.
void conv2d(const ConvShape& shape, const float* in, const ConvWeights& weights, const Epilogue& e,
            float* out);

// The normalisation of SAM's maps: over the channels of each pixel.
struct PixelNorm {
  const float* weight = nullptr;
  const float* bias = nullptr;
  float epsilon = 1e-6f;
};

// Weights of a transposed 2x2 convolution of stride 2: a matrix [in, 2 * out] for the upper and one
// for the lower pixels.
struct ConvTransposeWeights {
  int64_t in_channels = 0, out_channels = 0;
  PackedMatrix upper, lower;
  std::vector<float> bias;  // [2 * out], the bias twice; empty: none
};

// From the checkpoint's layout [in, out, 2, 2]; bias [out] or null.
ConvTransposeWeights pack_conv_transpose2x2(const float* iohw, const float* bias,
                                            int64_t in_channels, int64_t out_channels);

// out [2 height, 2 width, out_channels] = activation(norm(transposed convolution of in)), finished
// block by block while the pixels are in cache. in: height * width rows of in_channels floats,
// in_stride apart. norm may be null. Parallel.
void conv_transpose2x2(int64_t height, int64_t width, const float* in, int64_t in_stride,
                       const ConvTransposeWeights& weights, const PixelNorm* norm,
                       Activation activation, float* out);

}  // namespace beckon::kernels
