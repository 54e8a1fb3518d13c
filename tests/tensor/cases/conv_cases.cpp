#include "tensor/cases/doubles.h"

namespace beckon::test {
namespace {

struct Options {
  Conv conv = {};
  bool bias = true;
  Activation activation = Activation::none;
  bool residual = false;
  bool after = false;
  bool large = false;
};

// x [B,H,W,C], weight [O, C/groups, kh, kw]: the seven loops.
Doubles conv_reference(const Doubles& x, const Doubles& w, const Doubles& bias, const Shape& xs,
                       const Shape& ws, const Conv& v, const Shape& ys) {
  Doubles y;
  const int64_t out_group = ws[0] / v.groups;
  for (int64_t b = 0; b < ys[0]; ++b)
    for (int64_t i = 0; i < ys[1]; ++i)
      for (int64_t j = 0; j < ys[2]; ++j)
        for (int64_t o = 0; o < ys[3]; ++o) {
          double sum = bias.empty() ? 0 : bias[at(o)];
          for (int64_t p = 0; p < ws[2]; ++p)
            for (int64_t q = 0; q < ws[3]; ++q) {
              const int64_t row = i * v.stride_h - v.pad_top + p * v.dilation_h;
              const int64_t col = j * v.stride_w - v.pad_left + q * v.dilation_w;
              if (row < 0 || row >= xs[1] || col < 0 || col >= xs[2]) continue;
              for (int64_t c = 0; c < ws[1]; ++c)
                sum +=
                    x[at(((b * xs[1] + row) * xs[2] + col) * xs[3] + o / out_group * ws[1] + c)] *
                    w[at(((o * ws[1] + c) * ws[2] + p) * ws[3] + q)];
            }
          y.push_back(sum);
        }
  return y;
}

Shape conv_shape(const Shape& x, const Shape& w, const Conv& v) {
  return {x[0], (x[1] + v.pad_top + v.pad_bottom - v.dilation_h * (w[2] - 1) - 1) / v.stride_h + 1,
          (x[2] + v.pad_left + v.pad_right - v.dilation_w * (w[3] - 1) - 1) / v.stride_w + 1, w[0]};
}

void add_conv(std::vector<OpCase>& cases, const std::string& what, const Shape& x, const Shape& w,
              const Options& o) {
  const Shape y = conv_shape(x, w, o.conv);
  OpCase c;
  c.name = "conv2d/" + what;
  c.inputs = {normal(x), normal(w)};
  if (o.bias) c.inputs.push_back(normal({w[0]}));
  if (o.residual) c.inputs.push_back(normal(y));
  c.run = [o](const std::vector<Tensor>& in) {
    return conv2d(in[0], in[1], o.bias ? in[2] : Tensor(), o.conv,
                  {o.activation, o.residual ? in.back() : Tensor(), o.after});
  };
  c.plain = [o](const std::vector<Tensor>& in) {
    Tensor z = conv2d(in[0], in[1], {}, o.conv);
    if (o.bias) z = z + in[2];
    if (o.after) return activate(z + in.back(), o.activation);
    z = activate(z, o.activation);
    return o.residual ? z + in.back() : z;
  };
  c.reference = [=](const std::vector<Doubles>& in) {
    Doubles z = conv_reference(in[0], in[1], o.bias ? in[2] : Doubles(), x, w, o.conv, y);
    finish(z, o.activation, o.residual ? in.back() : Doubles(), o.after);
    return z;
  };
  c.large = o.large;
  if (o.large) c.tolerance = 1e-4;
  cases.push_back(c);
}

// x [B,H,W,C], weight [C, O/groups, kh, kw]: every input is spread over its kernel.
void add_transpose(std::vector<OpCase>& cases, const std::string& what, const Shape& x,
                   const Shape& w, const Conv& v, int64_t output_pad = 0, bool bias = true,
                   bool large = false) {
  OpCase c;
  c.name = "conv_transpose2d/" + what;
  c.inputs = {normal(x), normal(w)};
  const int64_t out = w[1] * v.groups;
  if (bias) c.inputs.push_back(normal({out}));
  c.run = [=](const std::vector<Tensor>& in) {
    return conv_transpose2d(in[0], in[1], bias ? in[2] : Tensor(), v, output_pad);
  };
  c.reference = [=](const std::vector<Doubles>& in) {
    const int64_t h = (x[1] - 1) * v.stride_h - v.pad_top - v.pad_bottom +
                      v.dilation_h * (w[2] - 1) + 1 + output_pad;
    const int64_t wide = (x[2] - 1) * v.stride_w - v.pad_left - v.pad_right +
                         v.dilation_w * (w[3] - 1) + 1 + output_pad;
    const int64_t in_group = x[3] / v.groups;
    Doubles y(at(x[0] * h * wide * out));
    if (bias)
      for (size_t i = 0; i < y.size(); ++i) y[i] = in[2][i % at(out)];
    for (int64_t b = 0; b < x[0]; ++b)
      for (int64_t i = 0; i < x[1]; ++i)
        for (int64_t j = 0; j < x[2]; ++j)
          for (int64_t ch = 0; ch < x[3]; ++ch)
            for (int64_t p = 0; p < w[2]; ++p)
              for (int64_t q = 0; q < w[3]; ++q) {
                const int64_t row = i * v.stride_h - v.pad_top + p * v.dilation_h;
                const int64_t col = j * v.stride_w - v.pad_left + q * v.dilation_w;
                if (row < 0 || row >= h || col < 0 || col >= wide) continue;
                for (int64_t k = 0; k < w[1]; ++k)
                  y[at(((b * h + row) * wide + col) * out + ch / in_group * w[1] + k)] +=
                      in[0][at(((b * x[1] + i) * x[2] + j) * x[3] + ch)] *
                      in[1][at(((ch * w[1] + k) * w[2] + p) * w[3] + q)];
              }
    return y;
  };
  c.large = large;
  if (large) c.tolerance = 1e-4;
  cases.push_back(c);
}

}  // namespace

void add_conv_cases(std::vector<OpCase>& cases) {
  add_conv(cases, "pointwise", {2, 3, 4, 5}, {7, 5, 1, 1}, {});
  add_conv(cases, "pointwise_stride_2", {1, 5, 4, 3}, {4, 3, 1, 1}, {.conv = Conv().stride(2)});
  add_conv(cases, "pointwise_groups", {1, 3, 2, 6}, {4, 3, 1, 1}, {.conv = Conv().group(2)});
  add_conv(cases, "3x3", {2, 4, 5, 3}, {4, 3, 3, 3}, {.conv = Conv().padding(1)});
  add_conv(cases, "3x3_no_bias", {1, 5, 4, 2}, {3, 2, 3, 3}, {.bias = false});
  add_conv(cases, "3x3_stride_2", {1, 7, 6, 3}, {5, 3, 3, 3},
           {.conv = Conv().stride(2).padding(1), .activation = Activation::gelu});
  add_conv(cases, "one_pixel", {1, 1, 1, 3}, {2, 3, 3, 3}, {.conv = Conv().padding(1)});
  add_conv(cases, "no_images", {0, 4, 4, 3}, {2, 3, 3, 3}, {.conv = Conv().padding(1)});
  add_conv(cases, "dilated", {1, 8, 7, 2}, {3, 2, 3, 3}, {.conv = Conv().dilation(2).padding(2)});
  add_conv(cases, "groups", {1, 4, 5, 6}, {4, 3, 3, 3}, {.conv = Conv().padding(1).group(2)});
  add_conv(cases, "patches", {1, 8, 12, 3}, {5, 3, 4, 4}, {.conv = Conv().stride(4)});
  add_conv(cases, "patches_with_a_rest", {2, 9, 7, 3}, {5, 3, 2, 2}, {.conv = Conv().stride(2)});
  add_conv(cases, "uneven_kernel", {1, 6, 5, 2}, {3, 2, 1, 4},
           {.conv = {.stride_w = 2, .pad_left = 1, .pad_right = 2}});
  add_conv(cases, "uneven_padding", {1, 5, 6, 3}, {2, 3, 3, 3},
           {.conv = {.stride_h = 2, .stride_w = 2, .pad_bottom = 1, .pad_right = 1}});
  add_conv(cases, "relu_residual", {1, 4, 3, 5}, {5, 5, 1, 1},
           {.activation = Activation::relu, .residual = true, .after = true});
  add_conv(cases, "3x3_silu_residual", {1, 4, 4, 3}, {3, 3, 3, 3},
           {.conv = Conv().padding(1), .activation = Activation::silu, .residual = true});
  add_conv(cases, "depthwise", {2, 5, 4, 6}, {6, 1, 3, 3}, {.conv = Conv().padding(1).group(6)});
  add_conv(cases, "depthwise_gelu", {1, 5, 4, 17}, {17, 1, 3, 3},
           {.conv = Conv().padding(1).group(17), .activation = Activation::gelu});
  add_conv(cases, "depthwise_residual", {1, 4, 4, 5}, {5, 1, 3, 3},
           {.conv = Conv().padding(1).group(5),
            .activation = Activation::silu,
            .residual = true,
            .after = true});
  add_conv(cases, "depthwise_stride_2", {1, 6, 7, 4}, {4, 1, 3, 3},
           {.conv = Conv().stride(2).padding(1).group(4)});
  add_conv(cases, "depthwise_7x7", {1, 8, 9, 3}, {3, 1, 7, 7},
           {.conv = Conv().padding(3).group(3)});
  add_conv(cases, "depthwise_uneven_padding", {1, 5, 5, 4}, {4, 1, 3, 3},
           {.conv = {.stride_h = 2, .stride_w = 2, .pad_bottom = 1, .pad_right = 1, .groups = 4}});
  add_conv(cases, "depthwise_times_two", {1, 4, 4, 3}, {6, 1, 3, 3},
           {.conv = Conv().padding(1).group(3)});
  add_conv(cases, "sam_neck", {1, 32, 32, 64}, {64, 64, 3, 3},
           {.conv = Conv().padding(1), .large = true});

  add_transpose(cases, "doubling", {2, 3, 4, 5}, {5, 3, 2, 2}, Conv().stride(2));
  add_transpose(cases, "doubling_no_bias", {1, 3, 2, 4}, {4, 2, 2, 2}, Conv().stride(2), 0, false);
  add_transpose(cases, "doubling_with_output_pad", {1, 3, 2, 4}, {4, 2, 2, 2}, Conv().stride(2), 1);
  add_transpose(cases, "3x3", {1, 4, 5, 3}, {3, 2, 3, 3}, Conv().padding(1));
  add_transpose(cases, "3x3_stride_2", {2, 3, 4, 3}, {3, 4, 3, 3}, Conv().stride(2).padding(1), 1);
  add_transpose(cases, "4x4_stride_2", {1, 3, 4, 3}, {3, 2, 4, 4}, Conv().stride(2).padding(1));
  add_transpose(cases, "dilated", {1, 3, 4, 2}, {2, 3, 3, 3}, Conv().dilation(2).padding(1));
  add_transpose(cases, "groups", {1, 3, 4, 6}, {6, 2, 3, 3}, Conv().stride(2).group(3), 1);
  add_transpose(cases, "pointwise", {1, 3, 4, 5}, {5, 2, 1, 1}, {});
  add_transpose(cases, "sam_upscaling", {1, 32, 32, 64}, {64, 32, 2, 2}, Conv().stride(2), 0, true,
                true);
}

}  // namespace beckon::test
