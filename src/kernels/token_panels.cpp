#include "kernels/token_panels.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/token_panels.cpp"
#include "hwy/foreach_target.h"
#include "kernels/gemm-inl.h"
#include "kernels/lanes-inl.h"
#include "kernels/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

int64_t Width() { return kPanel; }

void Product(int64_t rows, int64_t k, const float* a, int64_t a_stride, const float* b,
             bool accumulate, float* c, int64_t c_stride) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  int64_t done = 0;
  for (int64_t t = 0; t < tiles; ++t) {
    const int64_t height = (rows - done + tiles - t - 1) / (tiles - t);
    float* out = c + done * c_stride;
    const TileJob job{.a = a + done * a_stride,
                      .stride = a_stride,
                      .panel = b,
                      .k = k,
                      .start = accumulate ? out : nullptr,
                      .start_stride = c_stride,
                      .bias = nullptr,
                      .out = out,
                      .out_stride = c_stride,
                      .prefetch = b};  // the panel stays in cache, there is nothing to fetch
    tile_function(height, false)(job);
    done += height;
  }
}

void PanelProduct(int64_t rows, int64_t k, const float* a, int64_t a_stride, const float* b,
                  bool accumulate, float* c) {
  Product(rows, k, a, a_stride, b, accumulate, c, kPanel);
}

void PanelHeadsProduct(int64_t tokens, int64_t heads, int64_t e, const float* a, int64_t a_stride,
                       const float* b, bool accumulate, float* c) {
  for (int64_t h = 0; h < heads; ++h)
    Product(tokens, e, a + h * e, a_stride, b + h * e * kPanel, accumulate, c + h * kPanel,
            heads * kPanel);
}

void PanelSoftmax(int64_t tokens, int64_t heads, float* x) {
  const F f;
  for (int64_t h = 0; h < heads; ++h) {
    for (int64_t v = 0; v < kPanel; v += kLanes) {
      float* column = x + h * kPanel + v;
      const int64_t step = heads * kPanel;
      VF top = hn::Load(f, column);
      for (int64_t t = 1; t < tokens; ++t) top = hn::Max(top, hn::Load(f, column + t * step));
      VF sum = hn::Zero(f);
      for (int64_t t = 0; t < tokens; ++t) {
        const VF e = ExpNonPositive(f, hn::Sub(hn::Load(f, column + t * step), top));
        hn::Store(e, f, column + t * step);
        sum = hn::Add(sum, e);
      }
      const VF inverse = hn::Div(hn::Set(f, 1.0f), sum);
      for (int64_t t = 0; t < tokens; ++t)
        hn::Store(hn::Mul(hn::Load(f, column + t * step), inverse), f, column + t * step);
    }
  }
}

void PanelScale(int64_t rows, const float* add, const float* scale, float* x) {
  const F f;
  const VF s0 = hn::LoadU(f, scale), s1 = hn::LoadU(f, scale + kLanes);
  for (int64_t r = 0; r < rows; ++r, x += kPanel) {
    const VF more = hn::Set(f, add ? add[r] : 0.0f);
    hn::Store(hn::Mul(hn::Add(hn::Load(f, x), more), s0), f, x);
    hn::Store(hn::Mul(hn::Add(hn::Load(f, x + kLanes), more), s1), f, x + kLanes);
  }
}

void PanelDot(int64_t rows, const float* a, const float* b, float* sum) {
  const F f;
  // Two chains a vector, to hide the latency.
  VF even0 = hn::Zero(f), even1 = hn::Zero(f), odd0 = hn::Zero(f), odd1 = hn::Zero(f);
  int64_t r = 0;
  for (; r + 2 <= rows; r += 2, a += 2 * kPanel, b += 2 * kPanel) {
    even0 = hn::MulAdd(hn::Load(f, a), hn::Load(f, b), even0);
    even1 = hn::MulAdd(hn::Load(f, a + kLanes), hn::Load(f, b + kLanes), even1);
    odd0 = hn::MulAdd(hn::Load(f, a + kPanel), hn::Load(f, b + kPanel), odd0);
    odd1 = hn::MulAdd(hn::Load(f, a + kPanel + kLanes), hn::Load(f, b + kPanel + kLanes), odd1);
  }
  if (r < rows) {
    even0 = hn::MulAdd(hn::Load(f, a), hn::Load(f, b), even0);
    even1 = hn::MulAdd(hn::Load(f, a + kLanes), hn::Load(f, b + kLanes), even1);
  }
  hn::StoreU(hn::Add(hn::LoadU(f, sum), hn::Add(even0, odd0)), f, sum);
  hn::StoreU(hn::Add(hn::LoadU(f, sum + kLanes), hn::Add(even1, odd1)), f, sum + kLanes);
}

void PanelScaleBias(int64_t rows, const float* x, const float* scale, const float* bias, float* y) {
  const F f;
  const VF s0 = hn::LoadU(f, scale), s1 = hn::LoadU(f, scale + kLanes);
  for (int64_t r = 0; r < rows; ++r, x += kPanel, y += kPanel) {
    const VF b = hn::Set(f, bias[r]);
    hn::Store(hn::MulAdd(hn::Load(f, x), s0, b), f, y);
    hn::Store(hn::MulAdd(hn::Load(f, x + kLanes), s1, b), f, y + kLanes);
  }
}

template <Activation kActivation>
void BiasActivate(int64_t rows, const float* bias, float* x) {
  const F f;
  for (int64_t r = 0; r < rows; ++r, x += kPanel) {
    const VF b = hn::Set(f, bias[r]);
    for (int64_t v = 0; v < kPanel; v += kLanes)
      hn::Store(Activate<kActivation>(f, hn::Add(hn::Load(f, x + v), b)), f, x + v);
  }
}

template <Activation kActivation>
void Norm(int64_t rows, const float* gamma, const float* beta, float eps, float* x) {
  const F f;
  const VF share = hn::Set(f, 1.0f / static_cast<float>(rows));
  for (int64_t v = 0; v < kPanel; v += kLanes) {
    float* column = x + v;
    // Four chains, to hide the latency.
    VF sums[4] = {hn::Zero(f), hn::Zero(f), hn::Zero(f), hn::Zero(f)};
    int64_t r = 0;
    for (; r + 4 <= rows; r += 4)
      for (int64_t i = 0; i < 4; ++i)
        sums[i] = hn::Add(sums[i], hn::Load(f, column + (r + i) * kPanel));
    for (; r < rows; ++r) sums[0] = hn::Add(sums[0], hn::Load(f, column + r * kPanel));
    const VF mean = hn::Mul(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])), share);
    for (VF& s : sums) s = hn::Zero(f);
    for (r = 0; r + 4 <= rows; r += 4)
      for (int64_t i = 0; i < 4; ++i) {
        const VF d = hn::Sub(hn::Load(f, column + (r + i) * kPanel), mean);
        sums[i] = hn::MulAdd(d, d, sums[i]);
      }
    for (; r < rows; ++r) {
      const VF d = hn::Sub(hn::Load(f, column + r * kPanel), mean);
      sums[0] = hn::MulAdd(d, d, sums[0]);
    }
    const VF variance =
        hn::Mul(hn::Add(hn::Add(sums[0], sums[1]), hn::Add(sums[2], sums[3])), share);
    const VF scale = hn::Div(hn::Set(f, 1.0f), hn::Sqrt(hn::Add(variance, hn::Set(f, eps))));
    for (r = 0; r < rows; ++r) {
      const VF d = hn::Mul(hn::Sub(hn::Load(f, column + r * kPanel), mean), scale);
      const VF y = hn::MulAdd(d, hn::Set(f, gamma[r]), hn::Set(f, beta[r]));
      hn::Store(Activate<kActivation>(f, y), f, column + r * kPanel);
    }
  }
}

void PanelBiasActivate(int64_t rows, const float* bias, Activation activation, float* x) {
  switch (activation) {
    case Activation::none:
      return BiasActivate<Activation::none>(rows, bias, x);
    case Activation::gelu:
      return BiasActivate<Activation::gelu>(rows, bias, x);
    case Activation::quick_gelu:
      return BiasActivate<Activation::quick_gelu>(rows, bias, x);
    case Activation::relu:
      return BiasActivate<Activation::relu>(rows, bias, x);
    case Activation::silu:
      return BiasActivate<Activation::silu>(rows, bias, x);
  }
}

void PanelNorm(int64_t rows, const float* gamma, const float* beta, float eps,
               Activation activation, float* x) {
  switch (activation) {
    case Activation::none:
      return Norm<Activation::none>(rows, gamma, beta, eps, x);
    case Activation::gelu:
      return Norm<Activation::gelu>(rows, gamma, beta, eps, x);
    case Activation::quick_gelu:
      return Norm<Activation::quick_gelu>(rows, gamma, beta, eps, x);
    case Activation::relu:
      return Norm<Activation::relu>(rows, gamma, beta, eps, x);
    case Activation::silu:
      return Norm<Activation::silu>(rows, gamma, beta, eps, x);
  }
}

void PanelsSoftmaxStep(int64_t panels, int64_t rows, int64_t stride, int64_t count,
                       const float* scale, float* x, float* max, float* sum) {
  const F f;
  const auto lowest = hn::Set(f, -std::numeric_limits<float>::infinity());
  for (int64_t n = count; n < panels * kPanel; ++n)
    for (int64_t r = 0; r < rows; ++r)
      x[n / kPanel * stride + r * kPanel + n % kPanel] = -std::numeric_limits<float>::infinity();
  for (int64_t r = 0; r < rows; ++r) {
    float* row = x + r * kPanel;
    VF top0 = lowest, top1 = lowest;
    for (int64_t p = 0; p < panels; ++p) {
      top0 = hn::Max(top0, hn::Load(f, row + p * stride));
      top1 = hn::Max(top1, hn::Load(f, row + p * stride + kLanes));
    }
    HWY_ALIGN float lanes[kLanes];
    hn::Store(hn::Max(top0, top1), f, lanes);
    const float largest = *std::max_element(lanes, lanes + kLanes);
    const VF top = hn::Set(f, largest);
    VF sum0 = hn::Zero(f), sum1 = hn::Zero(f);
    for (int64_t p = 0; p < panels; ++p) {
      float* at = row + p * stride;
      const VF e0 = ExpNonPositive(f, hn::Sub(hn::Load(f, at), top));
      const VF e1 = ExpNonPositive(f, hn::Sub(hn::Load(f, at + kLanes), top));
      sum0 = hn::Add(sum0, e0);
      sum1 = hn::Add(sum1, e1);
      hn::Store(hn::Mul(e0, hn::LoadU(f, scale + p * kPanel)), f, at);
      hn::Store(hn::Mul(e1, hn::LoadU(f, scale + p * kPanel + kLanes)), f, at + kLanes);
    }
    max[r] = largest;
    sum[r] = FoldLanes(f, hn::Add(sum0, sum1));
  }
}

// Tiles of dot products: rows times columns accumulators, one vector of each column, one of a row.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
inline constexpr int kDotRows = 8;
#else
inline constexpr int kDotRows = 3;
#endif
inline constexpr int kDotCols = 3;

struct DotJob {
  int64_t panels;
  const float* a;
  int64_t a_row, a_panel;
  const float* b;
  int64_t b_panel;
  float* out;
  int64_t out_stride;
};

template <int kCols, int R>
HWY_INLINE void dot_row(VF* HWY_RESTRICT acc, const float* a, const VF* HWY_RESTRICT b) {
  const VF v = hn::Load(F(), a);
  acc[R * kCols] = hn::MulAdd(v, b[0], acc[R * kCols]);
  if constexpr (kCols > 1) acc[R * kCols + 1] = hn::MulAdd(v, b[1], acc[R * kCols + 1]);
  if constexpr (kCols > 2) acc[R * kCols + 2] = hn::MulAdd(v, b[2], acc[R * kCols + 2]);
}

// Unrolled over the rows R... for the same reason as multiply_tile().
template <int kCols, size_t... R>
HWY_INLINE void dot_tile(const DotJob& job, std::index_sequence<R...>) {
  const F f;
  VF acc[kCols * sizeof...(R)];
  for (VF& sum : acc) sum = hn::Zero(f);
  for (int64_t p = 0; p < job.panels; ++p) {
    const float* a = job.a + p * job.a_panel;
    const float* b = job.b + p * job.b_panel;
    for (int64_t v = 0; v < kPanel; v += kLanes) {
      VF columns[kCols];
      columns[0] = hn::Load(f, b + v);
      if constexpr (kCols > 1) columns[1] = hn::Load(f, b + kPanel + v);
      if constexpr (kCols > 2) columns[2] = hn::Load(f, b + 2 * kPanel + v);
      (dot_row<kCols, R>(acc, a + R * job.a_row + v, columns), ...);
    }
  }
  for (size_t r = 0; r < sizeof...(R); ++r)
    for (size_t c = 0; c < kCols; ++c)
      job.out[static_cast<int64_t>(r) * job.out_stride + static_cast<int64_t>(c)] =
          FoldLanes(f, acc[r * kCols + c]);
}

using DotFunction = void (*)(const DotJob& job);

template <int kCols, int kRows>
HWY_NOINLINE void dot_kernel(const DotJob& job) {
  dot_tile<kCols>(job, std::make_index_sequence<kRows>());
}

template <int kCols, size_t... R>
constexpr std::array<DotFunction, sizeof...(R)> make_dot_kernels(std::index_sequence<R...>) {
  return {&dot_kernel<kCols, R + 1>...};
}

inline DotFunction dot_function(int64_t rows, int64_t cols) {
  static constexpr auto kOne = make_dot_kernels<1>(std::make_index_sequence<kDotRows>());
  static constexpr auto kTwo = make_dot_kernels<2>(std::make_index_sequence<kDotRows>());
  static constexpr auto kThree = make_dot_kernels<3>(std::make_index_sequence<kDotRows>());
  return cols == 1 ? kOne[rows - 1] : cols == 2 ? kTwo[rows - 1] : kThree[rows - 1];
}

void PanelsDots(int64_t panels, int64_t rows, int64_t cols, const float* a, int64_t a_row,
                int64_t a_panel, const float* b, int64_t b_panel, float* out, int64_t out_stride) {
  const int64_t tiles = (rows + kDotRows - 1) / kDotRows;
  for (int64_t c = 0; c < cols; c += kDotCols) {
    const int64_t width = std::min<int64_t>(kDotCols, cols - c);
    int64_t done = 0;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t height = (rows - done + tiles - t - 1) / (tiles - t);
      dot_function(height, width)({.panels = panels,
                                   .a = a + done * a_row,
                                   .a_row = a_row,
                                   .a_panel = a_panel,
                                   .b = b + c * kPanel,
                                   .b_panel = b_panel,
                                   .out = out + done * out_stride + c,
                                   .out_stride = out_stride});
      done += height;
    }
  }
}

void PanelPlace(const float* x, int64_t first, int64_t count, int64_t map_width, float* out) {
  const int64_t row_pixels = 4 * map_width;
  for (int64_t v = 0; v < count; v += kLanes) {
    const int64_t place = first + v, column = place % map_width;
    float* origin = out + place / map_width * 4 * row_pixels + column * 4;
    const bool together = v + kLanes <= count && column + kLanes <= map_width;
    for (int64_t y = 0; y < 4; ++y) {
      // Pixel (y, x) of a place is number (y / 2) * 8 + (x / 2) * 4 + (y % 2) * 2 + x % 2.
      const float* from = x + ((y >> 1) * 8 + (y & 1) * 2) * kPanel + v;
      if (together) {
        const F f;
        hn::StoreInterleaved4(hn::Load(f, from), hn::Load(f, from + kPanel),
                              hn::Load(f, from + 4 * kPanel), hn::Load(f, from + 5 * kPanel), f,
                              origin + y * row_pixels);
        continue;
      }
      for (int64_t i = 0; i < std::min(kLanes, count - v); ++i) {
        const int64_t n = place + i;
        float* to = out + (n / map_width * 4 + y) * row_pixels + n % map_width * 4;
        to[0] = from[i], to[1] = from[kPanel + i];
        to[2] = from[4 * kPanel + i], to[3] = from[5 * kPanel + i];
      }
    }
  }
}

void CoupleHeads(int64_t rows, int64_t tokens, int64_t heads, int64_t e, const float* left,
                 const float* right, float* out, int64_t out_stride) {
  const int64_t d = heads * e;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t h = 0; h < heads; ++h) {
      const float* r = right + t * d + h * e;
      float* to = out + (t * heads + h) * out_stride;
      for (int64_t j = 0; j < rows; ++j) {
        const float* l = left + j * d + h * e;
        VF sum = hn::Zero(F());
        ForEachVector(e, [&](int64_t i, auto access) HWY_ATTR {
          sum = hn::MulAdd(access.load(l + i), access.load(r + i), sum);
        });
        to[j] = FoldLanes(F(), sum);
      }
    }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {

HWY_EXPORT(Width);
HWY_EXPORT(PanelProduct);
HWY_EXPORT(PanelHeadsProduct);
HWY_EXPORT(PanelSoftmax);
HWY_EXPORT(PanelScale);
HWY_EXPORT(PanelDot);
HWY_EXPORT(PanelScaleBias);
HWY_EXPORT(PanelBiasActivate);
HWY_EXPORT(PanelNorm);
HWY_EXPORT(PanelsSoftmaxStep);
HWY_EXPORT(PanelsDots);
HWY_EXPORT(PanelPlace);
HWY_EXPORT(CoupleHeads);

int64_t token_panel() { return HWY_DYNAMIC_DISPATCH(Width)(); }

void panel_product(int64_t rows, int64_t k, const float* a, int64_t a_stride, const float* b,
                   bool accumulate, float* c) {
  HWY_DYNAMIC_DISPATCH(PanelProduct)(rows, k, a, a_stride, b, accumulate, c);
}

void panel_heads_product(int64_t tokens, int64_t heads, int64_t e, const float* a, int64_t a_stride,
                         const float* b, bool accumulate, float* c) {
  HWY_DYNAMIC_DISPATCH(PanelHeadsProduct)(tokens, heads, e, a, a_stride, b, accumulate, c);
}

void panel_softmax(int64_t tokens, int64_t heads, float* x) {
  HWY_DYNAMIC_DISPATCH(PanelSoftmax)(tokens, heads, x);
}

void panel_scale(int64_t rows, const float* add, const float* scale, float* x) {
  HWY_DYNAMIC_DISPATCH(PanelScale)(rows, add, scale, x);
}

void panel_dot(int64_t rows, const float* a, const float* b, float* sum) {
  HWY_DYNAMIC_DISPATCH(PanelDot)(rows, a, b, sum);
}

void panel_scale_bias(int64_t rows, const float* x, const float* scale, const float* bias,
                      float* y) {
  HWY_DYNAMIC_DISPATCH(PanelScaleBias)(rows, x, scale, bias, y);
}

void panel_bias_activate(int64_t rows, const float* bias, Activation activation, float* x) {
  HWY_DYNAMIC_DISPATCH(PanelBiasActivate)(rows, bias, activation, x);
}

void panel_norm(int64_t rows, const float* gamma, const float* beta, float eps,
                Activation activation, float* x) {
  HWY_DYNAMIC_DISPATCH(PanelNorm)(rows, gamma, beta, eps, activation, x);
}

void panels_softmax_step(int64_t panels, int64_t rows, int64_t stride, int64_t count,
                         const float* scale, float* x, float* max, float* sum) {
  HWY_DYNAMIC_DISPATCH(PanelsSoftmaxStep)(panels, rows, stride, count, scale, x, max, sum);
}

void panels_dots(int64_t panels, int64_t rows, int64_t cols, const float* a, int64_t a_row,
                 int64_t a_panel, const float* b, int64_t b_panel, float* out, int64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(PanelsDots)
  (panels, rows, cols, a, a_row, a_panel, b, b_panel, out, out_stride);
}

void panel_place(const float* x, int64_t first, int64_t count, int64_t map_width, float* out) {
  HWY_DYNAMIC_DISPATCH(PanelPlace)(x, first, count, map_width, out);
}

void couple_heads(int64_t rows, int64_t tokens, int64_t heads, int64_t e, const float* left,
                  const float* right, float* out, int64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(CoupleHeads)
  (rows, tokens, heads, e, left, right, out, out_stride);
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
