#include "tensor/ops/conv_products.h"

#include <algorithm>
#include <vector>

#include "kernels/elementwise.h"
#include "kernels/scratch.h"
#include "tensor/ops/common.h"
#include "tensor/ops/product.h"
#include "tensor/tape.h"

namespace beckon::detail {
namespace {

using kernels::ConvShape;
using kernels::ConvWeights;
using kernels::PackedMatrix;
using kernels::PatchRows;
using kernels::ScratchLease;

// Floats of patches that are in memory at a time: they are read back at once, from cache.
constexpr int64_t kBlockFloats = int64_t{1} << 19;

// Packed weights of as many groups as the shape has. They are kept with the weight, which alone
// does not say how many that are: the same numbers may have been used with another number before.
template <typename Make>
std::shared_ptr<const ConvWeights> for_groups(const ConvShape& s, const Tensor& weight,
                                              const void* key, Make&& make) {
  const auto kept = derived<ConvWeights>(weight, key, make);
  if (static_cast<int64_t>(kept->groups.size()) == s.groups) return kept;
  return std::make_shared<const ConvWeights>(make());
}

// The weight as [out_channels, kernel_h, kernel_w, in_channels / groups], the order of a patch.
Tensor in_patch_order(const Tensor& weight) {
  return weight.detach().to(DType::f32).permute({0, 2, 3, 1}).contiguous();
}

// One right-hand side [out_group, patch] for each group.
std::shared_ptr<const ConvWeights> packed_scatter(const ConvShape& s, const Tensor& weight) {
  static const char key = 0;
  return for_groups(s, weight, &key, [&] {
    const Tensor w = in_patch_order(weight);
    ConvWeights packed;
    for (int64_t g = 0; g < s.groups; ++g)
      packed.groups.push_back(kernels::pack(w.data() + g * s.out_group() * s.patch(), s.out_group(),
                                            s.patch(), s.patch(), 1, kernels::Life::model));
    return packed;
  });
}

// Patches that tile the input without overlap or gap.
bool tiles(const ConvShape& s) {
  return s.groups == 1 && s.stride_h == s.kernel_h && s.stride_w == s.kernel_w &&
         s.dilation_h == 1 && s.dilation_w == 1 && s.pad_h == 0 && s.pad_w == 0 &&
         s.height == s.out_height() * s.kernel_h && s.width == s.out_width() * s.kernel_w;
}

// For tiles: one right-hand side [out_channels, kernel_w * in_channels] for each kernel row.
std::shared_ptr<const std::vector<PackedMatrix>> packed_tiles(const ConvShape& s,
                                                              const Tensor& weight) {
  static const char key = 0;
  return derived<std::vector<PackedMatrix>>(weight, &key, [&] {
    const Tensor w = in_patch_order(weight);
    const int64_t width = s.kernel_w * s.in_channels;
    std::vector<PackedMatrix> rows;
    for (int64_t ky = 0; ky < s.kernel_h; ++ky)
      rows.push_back(kernels::pack(w.data() + ky * width, s.out_channels, width, s.patch(), 1));
    return rows;
  });
}

// The products of a line of `out` with a kernel row are a line of `in`, in order.
void scatter_tiles(const ConvShape& s, const float* out, const Tensor& weight, const float* bias,
                   float* in) {
  const auto packed = packed_tiles(s, weight);
  const int64_t out_line = s.out_width() * s.out_channels, in_line = s.width * s.in_channels;
  std::vector<float> repeated;  // the bias, once for each column of the kernel
  if (bias)
    for (int64_t kx = 0; kx < s.kernel_w; ++kx)
      repeated.insert(repeated.end(), bias, bias + s.in_channels);
  // All lines of `in` in turn, those of one line of `out` together.
  parallel_for(s.batch * s.out_height(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; ++line)
      for (int64_t ky = 0; ky < s.kernel_h; ++ky)
        kernels::gemm_serial(
            s.out_width(), {.data = out + line * out_line, .stride = s.out_channels},
            (*packed)[static_cast<size_t>(ky)], {.bias = bias ? repeated.data() : nullptr},
            in + (line * s.kernel_h + ky) * in_line, s.kernel_w * s.in_channels);
  });
}

// Adds patches to an image of the input; `patches` are those of lines [line_begin, line_end) of the
// output. Every line of the input is summed by one thread, in a fixed order.
void add_patches(const ConvShape& s, const float* patches, int64_t line_begin, int64_t line_end,
                 float* image) {
  const int64_t channels = s.in_group(), patch = s.patch(), out_width = s.out_width();
  const int64_t first = std::max<int64_t>(0, line_begin * s.stride_h - s.pad_h);
  const int64_t last = std::min(
      s.height, (line_end - 1) * s.stride_h - s.pad_h + (s.kernel_h - 1) * s.dilation_h + 1);
  for_rows(last - first, out_width * s.kernel_w * channels, [&](int64_t begin, int64_t end) {
    for (int64_t y = first + begin; y < first + end; ++y) {
      float* to = image + y * s.width * s.in_channels;
      for (int64_t ky = 0; ky < s.kernel_h; ++ky) {
        const int64_t above = y + s.pad_h - ky * s.dilation_h;
        if (above < 0 || above % s.stride_h != 0) continue;
        const int64_t line = above / s.stride_h;
        if (line < line_begin || line >= line_end) continue;
        const float* from =
            patches + (line - line_begin) * out_width * patch + ky * s.kernel_w * channels;
        for (int64_t out_x = 0; out_x < out_width; ++out_x, from += patch)
          for (int64_t kx = 0; kx < s.kernel_w; ++kx) {
            const int64_t x = out_x * s.stride_w - s.pad_w + kx * s.dilation_w;
            if (x < 0 || x >= s.width) continue;
            for (int64_t c = 0; c < channels; ++c)
              to[x * s.in_channels + c] += from[kx * channels + c];
          }
      }
    }
  });
}

}  // namespace

std::shared_ptr<const ConvWeights> packed_conv(const ConvShape& s, const Tensor& weight) {
  static const char key = 0;
  return for_groups(s, weight, &key, [&] {
    const Tensor w = weight.detach().to(DType::f32).contiguous();
    return kernels::pack_conv_weights(w.data(), s);
  });
}

void scatter_patches(const ConvShape& s, const float* out, const Tensor& weight, const float* bias,
                     float* in) {
  if (tiles(s)) return scatter_tiles(s, out, weight, bias, in);
  const auto packed = packed_scatter(s, weight);
  const auto group_of = [&](int64_t g) -> const PackedMatrix& {
    return packed->groups[static_cast<size_t>(g)];
  };
  if (s.pointwise()) {
    for (int64_t g = 0; g < s.groups; ++g)
      kernels::gemm(s.out_pixels(), {.data = out + g * s.out_group(), .stride = s.out_channels},
                    group_of(g), {.bias = bias ? bias + g * s.in_group() : nullptr},
                    in + g * s.in_group(), s.in_channels);
    return;
  }
  // Patches of some lines of the output at a time.
  const int64_t image = s.height * s.width * s.in_channels;
  const int64_t out_height = s.out_height(), out_line = s.out_width() * s.out_channels;
  const int64_t line_patches = std::max<int64_t>(1, s.out_width() * s.patch());
  const int64_t block = std::clamp<int64_t>(kBlockFloats / line_patches, 1, out_height);
  const ScratchLease patches(block * line_patches);
  kernels::fill(0.0f, in, s.batch * image);
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t g = 0; g < s.groups; ++g)
      for (int64_t begin = 0; begin < out_height; begin += block) {
        const int64_t end = std::min(begin + block, out_height);
        const float* from = out + (b * out_height + begin) * out_line + g * s.out_group();
        kernels::gemm((end - begin) * s.out_width(), {.data = from, .stride = s.out_channels},
                      group_of(g), {}, patches.data(), s.patch());
        add_patches(s, patches.data(), begin, end, in + b * image + g * s.in_group());
      }
  if (bias)
    kernels::binary(kernels::Binary::add, in, bias, in, s.batch * s.height * s.width, s.in_channels,
                    kernels::Spread::row);
}

Tensor conv_weight_gradient(const ConvShape& s, const float* in, const float* out) {
  const int64_t patch = s.patch(), pixels = s.out_pixels();
  Tensor dw = Tensor::zeros({s.out_channels, s.kernel_h, s.kernel_w, s.in_group()});
  float* to = dw.data();
  // The sum over all pixels, a block of patches at a time.
  const int64_t block = std::max<int64_t>(64, kBlockFloats / std::max<int64_t>(patch, 1));
  const ScratchLease unfolded(s.pointwise() ? 0 : std::min(block, pixels) * patch);
  for (int64_t g = 0; g < s.groups; ++g) {
    const PatchRows rows{s, in + g * s.in_group()};
    for (int64_t begin = 0; begin < pixels; begin += block) {
      const int64_t count = std::min(block, pixels - begin);
      const float* patches = rows.in + begin * s.in_channels;
      if (!s.pointwise()) {
        for_rows(count, patch, [&](int64_t first, int64_t last) {
          PatchRows::fill(&rows, begin + first, begin + last, unfolded.data() + first * patch,
                          patch);
        });
        patches = unfolded.data();
      }
      weight_gradient(count, out + begin * s.out_channels + g * s.out_group(), s.out_channels,
                      s.out_group(), patches, s.pointwise() ? s.in_channels : patch, patch,
                      begin > 0, to + g * s.out_group() * patch, patch);
    }
  }
  return dw.permute({0, 3, 1, 2}).contiguous();
}

}  // namespace beckon::detail
