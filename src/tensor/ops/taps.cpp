#include "tensor/ops/taps.h"

#include <algorithm>
#include <cstring>

#include "base/threads.h"
#include "kernels/elementwise.h"
#include "kernels/scratch.h"
#include "tensor/ops/common.h"

namespace beckon::detail {
namespace {

using kernels::PackedMatrix;
using kernels::ScratchLease;

// Floats of unfolded rows that are in memory at a time; they are read back at once, from cache.
constexpr int64_t kBlockFloats = int64_t{1} << 19;

// The weight as [small_channels, kernel_h, kernel_w, big_group]: taps in the order of the map.
Tensor in_map_order(const Tensor& weight) {
  return weight.detach().to(DType::f32).permute({0, 2, 3, 1}).contiguous();
}

// One right-hand side [row(), small_group] for each group.
std::shared_ptr<const std::vector<PackedMatrix>> packed_gather(const Taps& t,
                                                               const Tensor& weight) {
  static const char key = 0;
  return derived<std::vector<PackedMatrix>>(weight, &key, [&] {
    const Tensor w = in_map_order(weight);
    std::vector<PackedMatrix> groups;
    for (int64_t g = 0; g < t.conv.groups; ++g)
      groups.push_back(kernels::pack(std::as_const(w).data() + g * t.small_group() * t.row(),
                                     t.row(), t.small_group(), 1, t.row()));
    return groups;
  });
}

// One right-hand side [small_group, row()] for each group.
std::shared_ptr<const std::vector<PackedMatrix>> packed_scatter(const Taps& t,
                                                                const Tensor& weight) {
  static const char key = 0;
  return derived<std::vector<PackedMatrix>>(weight, &key, [&] {
    const Tensor w = in_map_order(weight);
    std::vector<PackedMatrix> groups;
    for (int64_t g = 0; g < t.conv.groups; ++g)
      groups.push_back(kernels::pack(std::as_const(w).data() + g * t.small_group() * t.row(),
                                     t.small_group(), t.row(), t.row(), 1));
    return groups;
  });
}

// Where taps tile the big map: one right-hand side [small_channels, kernel_w * big_channels] for
// each kernel row.
std::shared_ptr<const std::vector<PackedMatrix>> packed_tiles(const Taps& t, const Tensor& weight) {
  static const char key = 0;
  return derived<std::vector<PackedMatrix>>(weight, &key, [&] {
    const Tensor w = in_map_order(weight);
    const int64_t width = t.kernel_w * t.big_channels;
    std::vector<PackedMatrix> rows;
    for (int64_t ky = 0; ky < t.kernel_h; ++ky)
      rows.push_back(
          kernels::pack(std::as_const(w).data() + ky * width, t.small_channels, width, t.row(), 1));
    return rows;
  });
}

// Rows of taps, as gemm() asks for them: row i holds what position i of the small map is tied to.
struct Unfold {
  const Taps& t;
  const float* big;  // the first channel of the group

  static void fill(const void* context, int64_t begin, int64_t end, float* out,
                   int64_t out_stride) {
    const auto& self = *static_cast<const Unfold*>(context);
    for (int64_t i = begin; i < end; ++i, out += out_stride) self.write_row(i, out);
  }

  void write_row(int64_t i, float* out) const {
    const int64_t sx = i % t.small_w, sy = i / t.small_w % t.small_h;
    const int64_t image = i / (t.small_w * t.small_h);
    const int64_t x = sx * t.conv.stride_w - t.conv.pad_left;
    const int64_t channels = t.big_group(), line = t.kernel_w * channels;
    for (int64_t ky = 0; ky < t.kernel_h; ++ky, out += line) {
      const int64_t y = sy * t.conv.stride_h - t.conv.pad_top + ky * t.conv.dilation_h;
      if (y < 0 || y >= t.big_h) {
        std::fill_n(out, line, 0.0f);
        continue;
      }
      const float* from = big + (image * t.big_h + y) * t.big_w * t.big_channels;
      if (t.conv.groups == 1 && t.conv.dilation_w == 1) {
        copy_line(from, x, channels, out);
      } else {
        for (int64_t kx = 0; kx < t.kernel_w; ++kx) {
          const int64_t at = x + kx * t.conv.dilation_w;
          if (at < 0 || at >= t.big_w) {
            std::fill_n(out + kx * channels, channels, 0.0f);
          } else {
            std::copy_n(from + at * t.big_channels, channels, out + kx * channels);
          }
        }
      }
    }
  }

  // Neighbouring taps are neighbours in memory: zeros, one run, zeros.
  void copy_line(const float* from, int64_t x, int64_t channels, float* out) const {
    const int64_t begin = std::clamp<int64_t>(-x, 0, t.kernel_w);
    const int64_t end = std::clamp<int64_t>(t.big_w - x, begin, t.kernel_w);
    std::fill_n(out, begin * channels, 0.0f);
    std::copy_n(from + (x + begin) * channels, (end - begin) * channels, out + begin * channels);
    std::fill_n(out + end * channels, (t.kernel_w - end) * channels, 0.0f);
  }
};

// Adds rows of taps to the big map they belong to. `rows` holds those of the positions in rows
// [row_begin, row_end) of one image of the small map. Every row of the big map is summed by one
// thread, in a fixed order.
void fold(const Taps& t, const float* rows, int64_t row_begin, int64_t row_end, float* image) {
  const int64_t channels = t.big_group(), length = t.row();
  const int64_t first = std::max<int64_t>(0, row_begin * t.conv.stride_h - t.conv.pad_top);
  const int64_t last = std::min(t.big_h, (row_end - 1) * t.conv.stride_h - t.conv.pad_top +
                                             (t.kernel_h - 1) * t.conv.dilation_h + 1);
  for_rows(last - first, t.small_w * t.kernel_w * channels, [&](int64_t begin, int64_t end) {
    for (int64_t y = first + begin; y < first + end; ++y) {
      float* to = image + y * t.big_w * t.big_channels;
      for (int64_t ky = 0; ky < t.kernel_h; ++ky) {
        const int64_t above = y + t.conv.pad_top - ky * t.conv.dilation_h;
        if (above < 0 || above % t.conv.stride_h != 0) continue;
        const int64_t sy = above / t.conv.stride_h;
        if (sy < row_begin || sy >= row_end) continue;
        const float* from =
            rows + (sy - row_begin) * t.small_w * length + ky * t.kernel_w * channels;
        for (int64_t sx = 0; sx < t.small_w; ++sx, from += length)
          for (int64_t kx = 0; kx < t.kernel_w; ++kx) {
            const int64_t x = sx * t.conv.stride_w - t.conv.pad_left + kx * t.conv.dilation_w;
            if (x < 0 || x >= t.big_w) continue;
            for (int64_t c = 0; c < channels; ++c)
              to[x * t.big_channels + c] += from[kx * channels + c];
          }
      }
    }
  });
}

// The fast case of scatter_product: each kernel row is one product written where it belongs.
void scatter_tiles(const Taps& t, const float* small, const Tensor& weight, const float* bias,
                   float* big) {
  const int64_t width = t.kernel_w * t.big_channels, pixels = t.small_pixels();
  const auto packed = packed_tiles(t, weight);
  std::vector<float> wide_bias;
  if (bias)
    for (int64_t kx = 0; kx < t.kernel_w; ++kx)
      wide_bias.insert(wide_bias.end(), bias, bias + t.big_channels);
  std::vector<int32_t> target(static_cast<size_t>(pixels));
  for (int64_t ky = 0; ky < t.kernel_h; ++ky) {
    for (int64_t i = 0; i < pixels; ++i)
      target[static_cast<size_t>(i)] =
          static_cast<int32_t>((i / t.small_w * t.kernel_h + ky) * t.small_w + i % t.small_w);
    kernels::gemm(
        pixels, {.data = small, .stride = t.small_channels}, (*packed)[static_cast<size_t>(ky)],
        {.bias = bias ? wide_bias.data() : nullptr, .scatter = target.data()}, big, width);
  }
}

}  // namespace

bool Taps::pointwise() const {
  return kernel_h == 1 && kernel_w == 1 && conv.stride_h == 1 && conv.stride_w == 1 &&
         big_h == small_h && big_w == small_w && conv.pad_top == 0 && conv.pad_left == 0;
}

bool Taps::tiles() const {
  return conv.groups == 1 && conv.stride_h == kernel_h && conv.stride_w == kernel_w &&
         conv.dilation_h == 1 && conv.dilation_w == 1 && conv.pad_top == 0 && conv.pad_left == 0 &&
         big_h == small_h * kernel_h && big_w == small_w * kernel_w &&
         batch * big_h * small_w <= INT32_MAX;
}

void gather_product(const Taps& t, const float* big, const Tensor& weight, const Tail* tail,
                    float* small) {
  const auto packed = packed_gather(t, weight);
  for (int64_t g = 0; g < t.conv.groups; ++g) {
    const Unfold unfold{t, big + g * t.big_group()};
    const kernels::Rows rows = t.pointwise()
                                   ? kernels::Rows{.data = unfold.big, .stride = t.big_channels}
                                   : kernels::Rows{.fill = Unfold::fill, .context = &unfold};
    const int64_t column = g * t.small_group();
    kernels::gemm(t.small_pixels(), rows, (*packed)[static_cast<size_t>(g)],
                  tail ? tail->epilogue(column, t.small_channels) : kernels::Epilogue{},
                  small + column, t.small_channels);
  }
}

void scatter_product(const Taps& t, const float* small, const Tensor& weight, const float* bias,
                     float* big) {
  if (t.tiles()) return scatter_tiles(t, small, weight, bias, big);
  const auto packed = packed_scatter(t, weight);
  const int64_t image = t.big_h * t.big_w * t.big_channels;
  if (t.pointwise()) {
    for (int64_t g = 0; g < t.conv.groups; ++g)
      kernels::gemm(
          t.small_pixels(), {.data = small + g * t.small_group(), .stride = t.small_channels},
          (*packed)[static_cast<size_t>(g)], {.bias = bias ? bias + g * t.big_group() : nullptr},
          big + g * t.big_group(), t.big_channels);
    return;
  }
  kernels::fill(0.0f, big, t.batch * image);
  const int64_t line = t.small_w * t.row();
  const int64_t block = std::clamp<int64_t>(kBlockFloats / std::max<int64_t>(line, 1), 1,
                                            std::max<int64_t>(t.small_h, 1));
  const ScratchLease scratch(block * line);
  for (int64_t b = 0; b < t.batch; ++b)
    for (int64_t g = 0; g < t.conv.groups; ++g)
      for (int64_t begin = 0; begin < t.small_h; begin += block) {
        const int64_t end = std::min(begin + block, t.small_h);
        const float* from =
            small + (b * t.small_h + begin) * t.small_w * t.small_channels + g * t.small_group();
        kernels::gemm((end - begin) * t.small_w, {.data = from, .stride = t.small_channels},
                      (*packed)[static_cast<size_t>(g)], {}, scratch.data(), t.row());
        fold(t, scratch.data(), begin, end, big + b * image + g * t.big_group());
      }
  if (bias)
    kernels::binary(kernels::Binary::add, big, bias, big, t.batch * t.big_h * t.big_w,
                    t.big_channels, kernels::Spread::row);
}

Tensor taps_gradient(const Taps& t, const float* big, const float* small) {
  const int64_t length = t.row(), rows = t.small_pixels();
  Tensor dw = Tensor::zeros({t.small_channels, t.kernel_h, t.kernel_w, t.big_group()});
  float* to = dw.data();
  // The sum over all positions, a block of unfolded rows at a time.
  const int64_t block = std::clamp<int64_t>(kBlockFloats / std::max<int64_t>(length, 1), 64,
                                            std::max<int64_t>(rows, 64));
  const ScratchLease scratch(t.pointwise() ? 0 : block * length);
  for (int64_t g = 0; g < t.conv.groups; ++g) {
    const Unfold unfold{t, big + g * t.big_group()};
    for (int64_t begin = 0; begin < rows; begin += block) {
      const int64_t end = std::min(begin + block, rows);
      const float* unfolded = unfold.big + begin * t.big_channels;
      if (!t.pointwise()) {
        for_rows(end - begin, length, [&](int64_t first, int64_t last) {
          Unfold::fill(&unfold, begin + first, begin + last, scratch.data() + first * length,
                       length);
        });
        unfolded = scratch.data();
      }
      weight_gradient(end - begin, small + begin * t.small_channels + g * t.small_group(),
                      t.small_channels, t.small_group(), unfolded,
                      t.pointwise() ? t.big_channels : length, length, begin > 0,
                      to + g * t.small_group() * length, length);
    }
  }
  return dw.permute({0, 3, 1, 2}).contiguous();
}

}  // namespace beckon::detail
