// Convolutions of [B,H,W,C] maps and their transposes. Weights [O, C/groups, kh, kw]; transposed
// [C, O/groups, kh, kw].
#include <vector>

#include "base/fail.h"
#include "beckon/ops.h"
#include "kernels/depthwise.h"
#include "tensor/ops/common.h"
#include "tensor/ops/product.h"
#include "tensor/ops/taps.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::floats;
using detail::Tail;
using detail::Taps;

void check(const char* operation, const Tensor& x, const Tensor& weight, const Conv& conv) {
  if (x.rank() != 4 || weight.rank() != 4)
    fail(Kind::usage, "{}: x {} with weight {}; both must have rank 4", operation, x.shape().str(),
         weight.shape().str());
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

Taps conv_taps(const Tensor& x, const Tensor& weight, const Conv& conv) {
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
  return {.batch = x.dim(0),
          .big_h = x.dim(1),
          .big_w = x.dim(2),
          .big_channels = x.dim(3),
          .small_h = (padded_h - reach_h) / conv.stride_h + 1,
          .small_w = (padded_w - reach_w) / conv.stride_w + 1,
          .small_channels = weight.dim(0),
          .kernel_h = weight.dim(2),
          .kernel_w = weight.dim(3),
          .conv = conv};
}

Taps transposed_taps(const Tensor& x, const Tensor& weight, const Conv& conv, int64_t output_pad) {
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
  return {.batch = x.dim(0),
          .big_h = h,
          .big_w = w,
          .big_channels = weight.dim(1) * conv.groups,
          .small_h = x.dim(1),
          .small_w = x.dim(2),
          .small_channels = x.dim(3),
          .kernel_h = weight.dim(2),
          .kernel_w = weight.dim(3),
          .conv = conv};
}

// ---- Depth-wise: a kernel of its own, which wants the same padding on opposite sides. ----

bool is_depthwise(const Taps& t) {
  return t.big_group() == 1 && t.small_group() == 1 && t.conv.groups > 1;
}

kernels::DepthwiseConv depthwise_shape(const Taps& t) {
  return {.n = t.batch,
          .height = t.big_h,
          .width = t.big_w,
          .channels = t.big_channels,
          .kernel_h = t.kernel_h,
          .kernel_w = t.kernel_w,
          .stride_h = t.conv.stride_h,
          .stride_w = t.conv.stride_w,
          .pad_h = t.conv.pad_top,
          .pad_w = t.conv.pad_left,
          .dilation_h = t.conv.dilation_h,
          .dilation_w = t.conv.dilation_w};
}

std::shared_ptr<const std::vector<float>> depthwise_taps(const Tensor& weight) {
  static const char key = 0;
  return derived<std::vector<float>>(weight, &key, [&] {
    const Tensor w = weight.detach().to(DType::f32).contiguous();
    return kernels::depthwise_taps(std::as_const(w).data(), w.dim(0), w.dim(2) * w.dim(3));
  });
}

Tensor depthwise(const Tensor& x, const Tensor& weight, const Taps& t, Tail& tail) {
  Tensor z = Tensor::empty({t.batch, t.small_h, t.small_w, t.small_channels});
  const kernels::Epilogue e = tail.epilogue(0, t.small_channels);
  if (e.residual) {
    kernels::depthwise_conv(depthwise_shape(t), x.data(), depthwise_taps(weight)->data(), nullptr,
                            Activation::none, z.data());
    return tail.apply(z);
  }
  kernels::depthwise_conv(depthwise_shape(t), x.data(), depthwise_taps(weight)->data(), e.bias,
                          e.activation, z.data());
  return tail.finish(z);
}

Tensor depthwise_input_gradient(const Taps& t, const Tensor& dz, const Tensor& weight) {
  Tensor dx = Tensor::empty({t.batch, t.big_h, t.big_w, t.big_channels});
  kernels::depthwise_conv_grad_input(depthwise_shape(t), dz.data(), depthwise_taps(weight)->data(),
                                     dx.data());
  return dx;
}

Tensor depthwise_weight_gradient(const Taps& t, const Tensor& x, const Tensor& dz) {
  Tensor dtaps = Tensor::empty({1, t.kernel_h, t.kernel_w, t.big_channels});
  kernels::depthwise_conv_grad_weights(depthwise_shape(t), x.data(), dz.data(), dtaps.data());
  return dtaps.permute({3, 0, 1, 2}).contiguous();
}

}  // namespace

// With an activation and a trace, the sum before the activation is saved.
Tensor conv2d(const Tensor& input, const Tensor& weight, const Tensor& bias, const Conv& conv,
              const Fused& fused) {
  const Taps t = conv_taps(input, weight, conv);
  const bool by_channel = is_depthwise(t);
  if (by_channel && (conv.pad_top != conv.pad_bottom || conv.pad_left != conv.pad_right)) {
    Conv inside = conv;
    inside.pad_top = inside.pad_left = inside.pad_bottom = inside.pad_right = 0;
    return conv2d(
        pad(input, {0, conv.pad_top, conv.pad_left, 0}, {0, conv.pad_bottom, conv.pad_right, 0}),
        weight, bias, inside, fused);
  }
  const Tensor x = floats("conv2d", input);
  const Shape shape{t.batch, t.small_h, t.small_w, t.small_channels};
  Tail tail("conv2d", bias, fused, shape, wants_grad({&x, &weight, &bias, &fused.residual}));
  Tensor y;
  if (by_channel) {
    y = depthwise(x, weight, t, tail);
  } else {
    Tensor z = Tensor::empty(shape);
    detail::gather_product(t, x.data(), weight, &tail, z.data());
    y = tail.finish(z);
  }
  return record(
      "conv2d", y, {x, weight, bias, fused.residual},
      [x, weight, bias, residual = fused.residual, t, tail, by_channel](const Tensor& dy) -> Grads {
        const Tensor dz = tail.product_gradient(dy);
        Grads grads(4);
        if (x.requires_grad()) {
          if (by_channel) {
            grads[0] = depthwise_input_gradient(t, dz, weight);
          } else {
            grads[0] = Tensor::empty(x.shape());
            detail::scatter_product(t, dz.data(), weight, nullptr, grads[0].data());
          }
        }
        if (weight.requires_grad())
          grads[1] = by_channel ? depthwise_weight_gradient(t, x, dz)
                                : detail::taps_gradient(t, x.data(), dz.data());
        if (bias.requires_grad()) grads[2] = detail::bias_gradient(dz);
        if (residual.requires_grad()) grads[3] = tail.residual_gradient(dy, dz);
        return grads;
      });
}

Tensor conv_transpose2d(const Tensor& input, const Tensor& weight, const Tensor& bias,
                        const Conv& conv, int64_t output_pad) {
  const Taps t = transposed_taps(input, weight, conv, output_pad);
  const Tensor x = floats("conv_transpose2d", input);
  const Tensor b = detail::checked_bias("conv_transpose2d", bias, t.big_channels);
  Tensor y = Tensor::empty({t.batch, t.big_h, t.big_w, t.big_channels});
  detail::scatter_product(t, x.data(), weight, detail::data_or_null(b), y.data());
  return record("conv_transpose2d", y, {x, weight, bias},
                [x, weight, bias, t](const Tensor& dy) -> Grads {
                  Grads grads(3);
                  if (x.requires_grad()) {
                    grads[0] = Tensor::empty(x.shape());
                    detail::gather_product(t, dy.data(), weight, nullptr, grads[0].data());
                  }
                  if (weight.requires_grad())
                    grads[1] = detail::taps_gradient(t, dy.data(), x.data());
                  if (bias.requires_grad()) grads[2] = detail::bias_gradient(dy);
                  return grads;
                });
}

}  // namespace beckon
