// The three products that convolutions and their gradients are made of.
//
// A pixel of the output is tied to a patch of kernel_h x kernel_w pixels of the input. Gathering
// patches is conv2d and, from the output to the input, the gradient of conv_transpose2d; scattering
// them is conv_transpose2d and the gradient of conv2d. So "in" and "out" below are always those of
// the gathering direction, and weights are [out_channels, in_channels / groups, kernel_h, kernel_w]
// both ways: for conv_transpose2d the map that it reads is "out".
#pragma once

#include <memory>

#include "beckon/tensor.h"
#include "kernels/conv.h"

namespace beckon::detail {

// Weights for kernels::conv2d, kept with the tensor while it is frozen.
std::shared_ptr<const kernels::ConvWeights> packed_conv(const kernels::ConvShape& shape,
                                                        const Tensor& weight);

// in = sum of the patches that the pixels of `out` stand for, + bias [in_channels], which may be
// null.
void scatter_patches(const kernels::ConvShape& shape, const float* out, const Tensor& weight,
                     const float* bias, float* in);

// The gradient with respect to the weight. One of `in` and `out` is a map that was read, the other
// the gradient of the map that was written.
Tensor conv_weight_gradient(const kernels::ConvShape& shape, const float* in, const float* out);

}  // namespace beckon::detail
