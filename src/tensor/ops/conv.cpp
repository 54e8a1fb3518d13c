// Convolutions of [B,H,W,C] maps and their transposes. Weights [O, C/groups, kh, kw]; transposed
// [C, O/groups, kh, kw].
#include <vector>

#include "base/fail.h"
#include "beckon/ops.h"
#include "kernels/depthwise.h"
#include "tensor/ops/common.h"
#include "tensor/ops/conv_products.h"
#include "tensor/ops/packed.h"
#include "tensor/ops/product.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::floats;
using detail::Tail;
using kernels::ConvShape;

void check(const char* operation, const Tensor& x, const Tensor& weight, const Conv& conv) {
  if (x.rank() != 4 || weight.rank() != 4)
    fail(Kind::usage, "{}: x {} with weight {}; both must have rank 4", operation, x.shape().str(),
         weight.shape().str());
  // Sums and products of these stay far from overflow.
  constexpr int64_t kMost = int64_t{1} << 24;
  for (const int64_t number :
       {conv.stride_h, conv.stride_w, conv.dilation_h, conv.dilation_w, conv.pad_top, conv.pad_left,
        conv.pad_bottom, conv.pad_right, weight.dim(2), weight.dim(3)})
    if (number > kMost)
      fail(Kind::usage, "{}: a stride, dilation, padding or kernel size of {}, at most {} is taken",
           operation, number, kMost);
  if (conv.stride_h < 1 || conv.stride_w < 1 || conv.dilation_h < 1 || conv.dilation_w < 1 ||
      conv.groups < 1 || conv.pad_top < 0 || conv.pad_left < 0 || conv.pad_bottom < 0 ||
      conv.pad_right < 0 || weight.dim(2) < 1 || weight.dim(3) < 1)
    fail(Kind::usage,
         "{}: stride {}x{}, dilation {}x{}, groups {}, padding {},{},{},{}, kernel {}x{}: strides, "
         "dilations, groups and kernel must be positive, padding not negative",
         operation, conv.stride_h, conv.stride_w, conv.dilation_h, conv.dilation_w, conv.groups,
         conv.pad_top, conv.pad_left, conv.pad_bottom, conv.pad_right, weight.dim(2),
         weight.dim(3));
}

// The gathering convolution of a weight [O, C/groups, kh, kw].
ConvShape with_kernel(ConvShape s, const Tensor& weight, const Conv& conv) {
  s.in_channels = weight.dim(1) * conv.groups;
  s.out_channels = weight.dim(0);
  s.kernel_h = weight.dim(2), s.kernel_w = weight.dim(3);
  s.stride_h = conv.stride_h, s.stride_w = conv.stride_w;
  s.pad_h = conv.pad_top, s.pad_w = conv.pad_left;
  s.end_pad_h = conv.pad_bottom - conv.pad_top, s.end_pad_w = conv.pad_right - conv.pad_left;
  s.dilation_h = conv.dilation_h, s.dilation_w = conv.dilation_w;
  s.groups = conv.groups;
  return s;
}

ConvShape shape_of_conv(const Tensor& x, const Tensor& weight, const Conv& conv) {
  check("conv2d", x, weight, conv);
  if (weight.dim(1) * conv.groups != x.dim(3) || weight.dim(0) % conv.groups != 0)
    fail(Kind::usage,
         "conv2d: x {} with weight {} and {} groups; expected [B,H,W,C] and [O,C/groups,kh,kw]",
         x.shape().str(), weight.shape().str(), conv.groups);
  const int64_t reach_h = conv.dilation_h * (weight.dim(2) - 1) + 1;
  const int64_t reach_w = conv.dilation_w * (weight.dim(3) - 1) + 1;
  const int64_t padded_h = x.dim(1) + conv.pad_top + conv.pad_bottom;
  const int64_t padded_w = x.dim(2) + conv.pad_left + conv.pad_right;
  if (padded_h < reach_h || padded_w < reach_w)
    fail(Kind::usage,
         "conv2d: a kernel that reaches over {}x{} in a map of {}x{}, padding included", reach_h,
         reach_w, padded_h, padded_w);
  return with_kernel({.batch = x.dim(0), .height = x.dim(1), .width = x.dim(2)}, weight, conv);
}

// Of the convolution that goes the other way, from the result to x.
ConvShape shape_of_transpose(const Tensor& x, const Tensor& weight, const Conv& conv,
                             int64_t output_pad) {
  check("conv_transpose2d", x, weight, conv);
  if (weight.dim(0) != x.dim(3) || weight.dim(0) % conv.groups != 0)
    fail(Kind::usage,
         "conv_transpose2d: x {} with weight {} and {} groups; expected [B,H,W,C] and "
         "[C,O/groups,kh,kw]",
         x.shape().str(), weight.shape().str(), conv.groups);
  const int64_t h = (x.dim(1) - 1) * conv.stride_h + conv.dilation_h * (weight.dim(2) - 1) + 1 -
                    conv.pad_top - conv.pad_bottom + output_pad;
  const int64_t w = (x.dim(2) - 1) * conv.stride_w + conv.dilation_w * (weight.dim(3) - 1) + 1 -
                    conv.pad_left - conv.pad_right + output_pad;
  if (h < 1 || w < 1 || output_pad < 0)
    fail(Kind::usage, "conv_transpose2d: a result of {}x{} from x {} with output_pad {}", h, w,
         x.shape().str(), output_pad);
  ConvShape s = with_kernel({.batch = x.dim(0), .height = h, .width = w}, weight, conv);
  s.end_pad_h -= output_pad;
  s.end_pad_w -= output_pad;
  return s;
}

// ---- Depth-wise: a kernel of its own, which wants the same padding on opposite sides. ----

bool is_depthwise(const ConvShape& s) {
  return s.in_group() == 1 && s.out_group() == 1 && s.groups > 1;
}

kernels::DepthwiseConv depthwise_shape(const ConvShape& s) {
  return {.n = s.batch,
          .height = s.height,
          .width = s.width,
          .channels = s.in_channels,
          .kernel_h = s.kernel_h,
          .kernel_w = s.kernel_w,
          .stride_h = s.stride_h,
          .stride_w = s.stride_w,
          .pad_h = s.pad_h,
          .pad_w = s.pad_w,
          .dilation_h = s.dilation_h,
          .dilation_w = s.dilation_w};
}

Shape shape_of_result(const ConvShape& s) {
  return {s.batch, s.out_height(), s.out_width(), s.out_channels};
}

Tensor depthwise(const Tensor& x, const Tensor& weight, const ConvShape& s, Tail& tail) {
  Tensor z = Tensor::empty(shape_of_result(s));
  const kernels::Epilogue e = tail.epilogue(0, s.out_channels);
  if (e.residual) {
    kernels::depthwise_conv(depthwise_shape(s), x.data(), detail::packed_taps(weight)->data(),
                            nullptr, Activation::none, z.data());
    return tail.apply(z);
  }
  kernels::depthwise_conv(depthwise_shape(s), x.data(), detail::packed_taps(weight)->data(), e.bias,
                          e.activation, z.data());
  return tail.finish(z);
}

Tensor depthwise_input_gradient(const ConvShape& s, const Tensor& dz, const Tensor& weight) {
  Tensor dx = Tensor::empty({s.batch, s.height, s.width, s.in_channels});
  kernels::depthwise_conv_grad_input(depthwise_shape(s), dz.data(),
                                     detail::packed_taps(weight)->data(), dx.data());
  return dx;
}

Tensor depthwise_weight_gradient(const ConvShape& s, const Tensor& x, const Tensor& dz) {
  Tensor dtaps = Tensor::empty({1, s.kernel_h, s.kernel_w, s.in_channels});
  kernels::depthwise_conv_grad_weights(depthwise_shape(s), x.data(), dz.data(), dtaps.data());
  return dtaps.permute({3, 0, 1, 2}).contiguous();
}

}  // namespace

// With an activation and a trace, the sum before the activation is saved.
Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias, const Conv& conv,
              const Fused& fused) {
  const ConvShape s = shape_of_conv(input, weight, conv);
  const bool by_channel = is_depthwise(s);
  if (by_channel && (conv.pad_top != conv.pad_bottom || conv.pad_left != conv.pad_right)) {
    Conv inside = conv;
    inside.pad_top = inside.pad_left = inside.pad_bottom = inside.pad_right = 0;
    return conv2d(
        pad(input, {0, conv.pad_top, conv.pad_left, 0}, {0, conv.pad_bottom, conv.pad_right, 0}),
        weight, bias, inside, fused);
  }
  const Tensor x = floats("conv2d", input);
  const Shape shape = shape_of_result(s);
  Tail tail("conv2d", bias, fused, shape, wants_grad({&x, &weight, &bias, &fused.residual}));
  Tensor y;
  if (by_channel) {
    y = depthwise(x, weight, s, tail);
  } else {
    Tensor z = Tensor::empty(shape);
    kernels::conv2d(s, x.data(), *detail::packed_conv(s, weight), tail.epilogue(0, s.out_channels),
                    z.data());
    y = tail.finish(z);
  }
  return record(
      "conv2d", y, {x, weight, bias, fused.residual},
      [x, weight, bias, residual = fused.residual, s, tail, by_channel](const Tensor& dy) -> Grads {
        const Tensor dz = tail.product_gradient(dy);
        Grads grads(4);
        if (x.requires_grad()) {
          if (by_channel) {
            grads[0] = depthwise_input_gradient(s, dz, weight);
          } else {
            grads[0] = Tensor::empty(x.shape());
            detail::scatter_patches(s, dz.data(), weight, nullptr, grads[0].data());
          }
        }
        if (weight.requires_grad())
          grads[1] = by_channel ? depthwise_weight_gradient(s, x, dz)
                                : detail::conv_weight_gradient(s, x.data(), dz.data());
        if (bias.requires_grad()) grads[2] = detail::bias_gradient(dz);
        if (residual.requires_grad()) grads[3] = tail.residual_gradient(dy, dz);
        return grads;
      });
}

Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                        const Conv& conv, int64_t output_pad) {
  const ConvShape s = shape_of_transpose(input, weight, conv, output_pad);
  const Tensor x = floats("conv_transpose2d", input);
  const Tensor b = detail::checked_bias("conv_transpose2d", bias, s.in_channels);
  Tensor y = Tensor::empty({s.batch, s.height, s.width, s.in_channels});
  detail::scatter_patches(s, x.data(), weight, detail::data_or_null(b), y.data());
  return record(
      "conv_transpose2d", y, {x, weight, bias}, [x, weight, bias, s](const Tensor& dy) -> Grads {
        Grads grads(3);
        if (x.requires_grad()) {
          grads[0] = Tensor::empty(x.shape());
          kernels::conv2d(s, dy.data(), *detail::packed_conv(s, weight), {}, grads[0].data());
        }
        if (weight.requires_grad()) grads[1] = detail::conv_weight_gradient(s, dy.data(), x.data());
        if (bias.requires_grad()) grads[2] = detail::bias_gradient(dy);
        return grads;
      });
}

}  // namespace beckon
