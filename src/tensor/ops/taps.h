// The geometry that a convolution and its transpose share. A position of the small map is tied to
// kernel_h x kernel_w positions (taps) of the big one: conv2d gathers from big to small,
// conv_transpose2d scatters from small to big, and each is the other's gradient. All are matrix
// products between the small map's channels and the taps.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "beckon/ops.h"
#include "kernels/gemm.h"
#include "tensor/ops/product.h"

namespace beckon::detail {

// Maps are [batch, height, width, channels]; weights [small_channels, big_channels / groups,
// kernel_h, kernel_w] both ways.
struct Taps {
  int64_t batch = 0;
  int64_t big_h = 0, big_w = 0, big_channels = 0;
  int64_t small_h = 0, small_w = 0, small_channels = 0;
  int64_t kernel_h = 1, kernel_w = 1;
  Conv conv;

  int64_t big_group() const { return big_channels / conv.groups; }
  int64_t small_group() const { return small_channels / conv.groups; }
  int64_t small_pixels() const { return batch * small_h * small_w; }
  // Numbers that one position of the small map is tied to, within a group.
  int64_t row() const { return kernel_h * kernel_w * big_group(); }
  // Every position is tied to one: the taps of a row are the row of the big map itself.
  bool pointwise() const;
  // The positions' taps tile the big map without overlap or gap.
  bool tiles() const;
};

// small = tail(gather of big): the forward pass of conv2d.
void gather_product(const Taps& taps, const float* big, const Tensor& weight, const Tail* tail,
                    float* small);
// big = scatter of small + bias [big_channels]; bias may be null.
void scatter_product(const Taps& taps, const float* small, const Tensor& weight, const float* bias,
                     float* big);
// The gradient with respect to the weight, where `small` and `big` are the map that was read and
// the gradient of the map that was written, in either role.
Tensor taps_gradient(const Taps& taps, const float* big, const float* small);

}  // namespace beckon::detail
