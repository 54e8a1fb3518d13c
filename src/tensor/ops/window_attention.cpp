// Attention within the windows of a map: the definition by plain operations, which carries
// gradients, and the kernel that reads and writes the map where it is.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

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

// Where rows of the map and rows of the windows meet. Windows come row by row, and so do the
// positions in them.
struct RowMap {
  std::vector<int64_t> to_windows;  // for each row of the windows, the map's, or -1 beyond the map
  std::vector<int64_t> to_map;      // for each row of the map, the windows'
};

RowMap row_map(const Layout& l) {
  RowMap rows;
  rows.to_windows.assign(static_cast<size_t>(l.batch * l.padded_h() * l.padded_w()), -1);
  for (int64_t b = 0; b < l.batch; ++b)
    for (int64_t y = 0; y < l.height; ++y)
      for (int64_t x = 0; x < l.width; ++x) {
        const int64_t window = (b * l.down + y / l.window_h) * l.across + x / l.window_w;
        const int64_t row = window * l.positions() + y % l.window_h * l.window_w + x % l.window_w;
        rows.to_windows[static_cast<size_t>(row)] = static_cast<int64_t>(rows.to_map.size());
        rows.to_map.push_back(row);
      }
  return rows;
}

// y [n,C]: row i is row index[i] of x [R,C], or pad_row (zeros if none) where that is negative. No
// row of x is taken twice.
Tensor gather_rows(const Tensor& x, const Tensor& pad_row, std::vector<int64_t> index) {
  const int64_t c = x.dim(1), n = static_cast<int64_t>(index.size());
  Tensor y = Tensor::empty({n, c});
  const Tensor pad_values =
      pad_row.defined() ? detail::floats("window_attention", pad_row.detach()) : Tensor();
  const float* beyond = detail::data_or_null(pad_values);
  float* to = y.data();
  detail::for_rows(n, c, [&, from = x.data()](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = index[static_cast<size_t>(i)];
      if (row >= 0) {
        std::copy_n(from + row * c, c, to + i * c);
      } else if (beyond) {
        std::copy_n(beyond, c, to + i * c);
      } else {
        std::fill_n(to + i * c, c, 0.0f);
      }
    }
  });
  return record("gather_rows", y, {x, pad_row},
                [x, pad_row, index = std::move(index), n, c](const Tensor& dy) -> Grads {
                  Grads grads(2);
                  if (x.requires_grad()) {
                    grads[0] = n < x.dim(0) ? Tensor::zeros(x.shape()) : Tensor::empty(x.shape());
                    float* dx = grads[0].data();
                    detail::for_rows(n, c, [&](int64_t begin, int64_t end) {
                      for (int64_t i = begin; i < end; ++i)
                        if (const int64_t row = index[static_cast<size_t>(i)]; row >= 0)
                          std::copy_n(dy.data() + i * c, c, dx + row * c);
                    });
                  }
                  if (pad_row.requires_grad()) {
                    grads[1] = Tensor::zeros({c});
                    float* sum = grads[1].data();
                    for (int64_t i = 0; i < n; ++i)
                      if (index[static_cast<size_t>(i)] < 0)
                        for (int64_t j = 0; j < c; ++j) sum[j] += dy.data()[i * c + j];
                  }
                  return grads;
                });
}

// What window_attention means: the map is cut into windows, each attends to itself, and the map is
// put together again.
Tensor by_plain_operations(const Tensor& qkv, const WindowAttention& options, const Tensor& pad_row,
                           const Layout& l) {
  const int64_t windows = l.batch * l.down * l.across;
  const Shape map{l.batch, l.height, l.width, l.channels};
  const bool one = options.window == 0;  // each image is one window already
  RowMap rows = one ? RowMap() : row_map(l);
  Tensor parts = qkv.reshape({l.batch * l.height * l.width, 3 * l.channels});
  if (!one) parts = gather_rows(parts, pad_row, std::move(rows.to_windows));
  const Shape split = options.per_head ? Shape{windows, l.positions(), l.heads, 3, l.dim}
                                       : Shape{windows, l.positions(), 3, l.heads, l.dim};
  const Tensor y = detail::attend(parts.reshape(split), options.per_head ? 3 : 2, l.scale(),
                                  terms_of(options, l));
  if (one) return y.reshape(map);
  return gather_rows(y.reshape({windows * l.positions(), l.channels}), {}, std::move(rows.to_map))
      .reshape(map);
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
