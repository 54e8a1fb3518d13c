// Attention within the windows of a map: the definition by plain operations, which carries
// gradients, and the kernel that reads and writes the map in place.
#include <cmath>

#include "base/fail.h"
#include "beckon/ops.h"
#include "kernels/attention.h"
#include "tensor/ops/common.h"
#include "tensor/ops/heads.h"
#include "tensor/ops/product.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

// Letters: B batch, H and W of the map, S = h * w positions of a window, D channels of a head, C =
// heads * D.
struct Layout {
  int64_t batch, height, width, channels;  // of the map
  int64_t window_h, window_w;
  int64_t down, across;  // windows
  int64_t heads, dim;

  int64_t padded_h() const { return down * window_h; }
  int64_t padded_w() const { return across * window_w; }
  int64_t positions() const { return window_h * window_w; }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(dim)); }
};

Layout layout_of(const Tensor& qkv, const WindowAttention& options, const Tensor& pad_row) {
  const int64_t heads = options.heads;
  if (qkv.rank() != 4 || heads < 1 || options.window < 0 || qkv.dim(3) == 0 ||
      qkv.dim(3) % (3 * heads) != 0)
    fail(Kind::usage,
         "window_attention: qkv {} with {} heads and windows of {}; expected [B,H,W,3*heads*D]",
         qkv.shape().str(), heads, options.window);
  Layout l{.batch = qkv.dim(0), .height = qkv.dim(1), .width = qkv.dim(2)};
  l.channels = qkv.dim(3) / 3;
  l.heads = heads;
  l.dim = l.channels / heads;
  l.window_h = options.window > 0 ? options.window : l.height;
  l.window_w = options.window > 0 ? options.window : l.width;
  if (l.window_h == 0 || l.window_w == 0)
    fail(Kind::usage, "window_attention: an empty map, qkv {}", qkv.shape().str());
  l.down = (l.height + l.window_h - 1) / l.window_h;
  l.across = (l.width + l.window_w - 1) / l.window_w;

  const auto check = [](const char* name, const Tensor& x, const Shape& expected) {
    if (x.defined() && !(x.shape() == expected))
      fail(Kind::usage, "window_attention: {} {}, expected {}", name, x.shape().str(),
           expected.str());
  };
  check("pad_row", pad_row, {3 * l.channels});
  check("bias", options.bias, {heads, l.positions(), l.positions()});
  check("rel_h", options.rel_h, {2 * l.window_h - 1, l.dim});
  check("rel_w", options.rel_w, {2 * l.window_w - 1, l.dim});
  if (options.rel_h.defined() != options.rel_w.defined())
    fail(Kind::usage, "window_attention: rel_h and rel_w must be given together");
  return l;
}

detail::ScoreTerms terms_of(const WindowAttention& options, const Layout& l) {
  const auto term = [](const Tensor& x) {
    return x.defined() ? detail::floats("window_attention", x) : Tensor();
  };
  return {.bias = options.bias.defined() ? term(options.bias.unsqueeze(0)) : Tensor(),
          .rel_h = term(options.rel_h),
          .rel_w = term(options.rel_w),
          .grid_h = l.window_h,
          .grid_w = l.window_w};
}

// [B,H,W,3C] -> [B,padded_h,padded_w,3C]: pad_row, or zeros, at the bottom and right.
Tensor padded(const Tensor& map, const Tensor& pad_row, const Layout& l) {
  const int64_t below = l.padded_h() - l.height, beside = l.padded_w() - l.width;
  if (below == 0 && beside == 0) return map;
  if (!pad_row.defined()) return pad(map, {0, 0, 0, 0}, {0, below, beside, 0});
  Tensor wide = map;
  if (beside > 0) wide = concat({map, pad_row.expand({l.batch, l.height, beside, map.dim(3)})}, 2);
  if (below == 0) return wide;
  return concat({wide, pad_row.expand({l.batch, below, l.padded_w(), map.dim(3)})}, 1);
}

// [B,padded_h,padded_w,X] -> [B * windows, S, X], windows row by row.
Tensor cut_windows(const Tensor& map, const Layout& l) {
  return map.reshape({l.batch, l.down, l.window_h, l.across, l.window_w, map.dim(3)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({l.batch * l.down * l.across, l.positions(), map.dim(3)});
}

Tensor join_windows(const Tensor& windows, const Layout& l) {
  return windows.reshape({l.batch, l.down, l.across, l.window_h, l.window_w, l.channels})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({l.batch, l.padded_h(), l.padded_w(), l.channels});
}

// [n,S,3C] -> [3,n,S,heads,D], a view.
Tensor split_qkv(const Tensor& rows, const Layout& l, bool per_head) {
  if (per_head)
    return rows.reshape({rows.dim(0), rows.dim(1), l.heads, 3, l.dim}).permute({3, 0, 1, 2, 4});
  return rows.reshape({rows.dim(0), rows.dim(1), 3, l.heads, l.dim}).permute({2, 0, 1, 3, 4});
}

// What window_attention means.
Tensor by_plain_operations(const Tensor& qkv, const WindowAttention& options, const Tensor& pad_row,
                           const Layout& l) {
  const Tensor windows = cut_windows(padded(qkv, pad_row, l), l);
  const Tensor y =
      detail::attend(split_qkv(windows, l, options.per_head), l.scale(), terms_of(options, l));
  return join_windows(y, l).slice(1, 0, l.height).slice(2, 0, l.width).contiguous();
}

Tensor in_place(const Tensor& qkv, const WindowAttention& options, const Tensor& pad_row,
                const Layout& l) {
  const detail::ScoreTerms terms = terms_of(options, l);
  const bool fits = l.padded_h() == l.height && l.padded_w() == l.width;
  const Tensor pad_values = pad_row.defined() ? detail::floats("window_attention", pad_row)
                            : fits            ? Tensor()
                                              : Tensor::zeros({3 * l.channels});
  Tensor y = Tensor::empty({l.batch, l.height, l.width, l.channels});
  kernels::window_attention(
      {.batch = l.batch,
       .height = l.height,
       .width = l.width,
       .window = l.window_h,
       .heads = l.heads,
       .dim = l.dim},
      qkv.data(), options.per_head ? kernels::QkvOrder::heads : kernels::QkvOrder::parts,
      detail::data_or_null(pad_values), l.scale(), detail::data_or_null(terms.bias),
      {detail::data_or_null(terms.rel_h), detail::data_or_null(terms.rel_w), terms.grid_h,
       terms.grid_w},
      y.data());
  return y;
}

}  // namespace

Tensor window_attention(const Tensor& qkv, const WindowAttention& options, const Tensor& pad_row) {
  const Layout l = layout_of(qkv, options, pad_row);
  const Tensor rows = detail::floats("window_attention", qkv);
  const bool trace = wants_grad({&rows, &pad_row, &options.bias, &options.rel_h, &options.rel_w});
  // One window for the whole map needs no cutting, whatever its shape.
  return trace || options.window == 0 ? by_plain_operations(rows, options, pad_row, l)
                                      : in_place(rows, options, pad_row, l);
}

}  // namespace beckon
