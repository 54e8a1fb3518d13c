#include "kernels/two_way.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/two_way.cpp"
#include "hwy/foreach_target.h"
#include "kernels/lanes-inl.h"
#include "kernels/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

// N heads at a time: a vector of up to eight lanes, whose sums over tokens run down the columns.
template <class D>
HWY_INLINE void SoftmaxOverTokens(D d, int64_t rows, int64_t tokens, int64_t heads, float* scores,
                                  int64_t stride) {
  const auto step = static_cast<int64_t>(hn::Lanes(d));
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t h = 0; h < heads; h += step) {
      float* column = scores + r * stride + h;
      auto top = hn::LoadU(d, column);
      for (int64_t t = 1; t < tokens; ++t) top = hn::Max(top, hn::LoadU(d, column + t * heads));
      auto sum = hn::Zero(d);
      for (int64_t t = 0; t < tokens; ++t) {
        const auto e = ExpNonPositive(d, hn::Sub(hn::LoadU(d, column + t * heads), top));
        hn::StoreU(e, d, column + t * heads);
        sum = hn::Add(sum, e);
      }
      const auto inverse = hn::Div(hn::Set(d, 1.0f), sum);
      for (int64_t t = 0; t < tokens; ++t)
        hn::StoreU(hn::Mul(hn::LoadU(d, column + t * heads), inverse), d, column + t * heads);
    }
  }
}

void SoftmaxOverTokensAny(int64_t rows, int64_t tokens, int64_t heads, float* scores,
                          int64_t stride) {
  const hn::CappedTag<float, 8> eight;
  const hn::CappedTag<float, 4> four;
  if (heads % static_cast<int64_t>(hn::Lanes(eight)) == 0)
    return SoftmaxOverTokens(eight, rows, tokens, heads, scores, stride);
  if (heads % static_cast<int64_t>(hn::Lanes(four)) == 0)
    return SoftmaxOverTokens(four, rows, tokens, heads, scores, stride);
  SoftmaxOverTokens(hn::CappedTag<float, 1>(), rows, tokens, heads, scores, stride);
}

void SoftmaxStep(int64_t rows, int64_t columns, float* scores, int64_t stride, float* max,
                 float* sum, float* factor) {
  ForEachVector(columns, [&](int64_t c, auto access) HWY_ATTR {
    const VF before = access.load(max + c);
    VF top = before;
    for (int64_t r = 0; r < rows; ++r) top = hn::Max(top, access.load(scores + r * stride + c));
    VF total = hn::Zero(F());
    for (int64_t r = 0; r < rows; ++r) {
      const VF e = ExpNonPositive(F(), hn::Sub(access.load(scores + r * stride + c), top));
      access.store(e, scores + r * stride + c);
      total = hn::Add(total, e);
    }
    const VF shrink = Exp(F(), hn::Sub(before, top));
    access.store(top, max + c);
    access.store(hn::MulAdd(access.load(sum + c), shrink, total), sum + c);
    access.store(shrink, factor + c);
  });
}

void ScaleRows(int64_t rows, int64_t n, float* x, int64_t stride, const float* factor) {
  for (int64_t r = 0; r < rows; ++r) {
    if (factor[r] == 1.0f) continue;
    const VF f = hn::Set(F(), factor[r]);
    float* row = x + r * stride;
    ForEachVector(n, [&](int64_t j, auto access)
                         HWY_ATTR { access.store(hn::Mul(access.load(row + j), f), row + j); });
  }
}

void ProjectHeads(int64_t tokens, int64_t heads, int64_t e, int64_t channels, const float* q,
                  int64_t q_stride, const float* w, float scale, float* out) {
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      const float* query = q + t * q_stride + h * e;
      const float* rows = w + h * e * channels;
      float* to = out + (t * heads + h) * channels;
      ForEachVector(channels, [&](int64_t c, auto access) HWY_ATTR {
        VF sum = hn::Zero(F());
        for (int64_t i = 0; i < e; ++i)
          sum = hn::MulAdd(hn::Set(F(), query[i]), access.load(rows + i * channels + c), sum);
        access.store(hn::Mul(sum, hn::Set(F(), scale)), to + c);
      });
    }
  }
}

template <Activation kActivation>
void NormRows(int64_t rows, int64_t channels, float* x, int64_t stride, const float* gamma,
              const float* beta, float eps) {
  const float share = 1.0f / static_cast<float>(channels);
  for (int64_t r = 0; r < rows; ++r) {
    float* row = x + r * stride;
    const float mean =
        SumOver(channels, [&](int64_t j, auto access) HWY_ATTR { return access.load(row + j); }) *
        share;
    const VF centre = hn::Set(F(), mean);
    const float variance = SumOver(channels,
                                   [&](int64_t j, auto access) HWY_ATTR {
                                     const VF v = hn::Sub(access.load(row + j), centre);
                                     return hn::Mul(v, v);
                                   }) *
                           share;
    const VF scale = hn::Div(hn::Set(F(), 1.0f), hn::Sqrt(hn::Set(F(), variance + eps)));
    ForEachVector(channels, [&](int64_t j, auto access) HWY_ATTR {
      const VF v = hn::Mul(hn::Sub(access.load(row + j), centre), scale);
      const VF y = hn::MulAdd(v, access.load(gamma + j), access.load(beta + j));
      access.store(Activate<kActivation>(F(), y), row + j);
    });
  }
}

void NormRowsAny(int64_t rows, int64_t channels, float* x, int64_t stride, const float* gamma,
                 const float* beta, float eps, Activation activation) {
  switch (activation) {
    case Activation::none:
      return NormRows<Activation::none>(rows, channels, x, stride, gamma, beta, eps);
    case Activation::gelu:
      return NormRows<Activation::gelu>(rows, channels, x, stride, gamma, beta, eps);
    case Activation::quick_gelu:
      return NormRows<Activation::quick_gelu>(rows, channels, x, stride, gamma, beta, eps);
    case Activation::relu:
      return NormRows<Activation::relu>(rows, channels, x, stride, gamma, beta, eps);
    case Activation::silu:
      return NormRows<Activation::silu>(rows, channels, x, stride, gamma, beta, eps);
  }
}

// Whole panels only: channels is a multiple of two vectors.
void NormAddPack(int64_t rows, int64_t channels, float* x, const float* gamma, const float* beta,
                 float eps, const float* y, float* sum, float* panels) {
  const F f;
  const float share = 1.0f / static_cast<float>(channels);
  for (int64_t r = 0; r < rows; ++r) {
    float* row = x + r * channels;
    const float mean =
        SumOver(channels, [&](int64_t j, auto access) HWY_ATTR { return access.load(row + j); }) *
        share;
    const VF centre = hn::Set(f, mean);
    const float variance = SumOver(channels,
                                   [&](int64_t j, auto access) HWY_ATTR {
                                     const VF v = hn::Sub(access.load(row + j), centre);
                                     return hn::Mul(v, v);
                                   }) *
                           share;
    const VF scale = hn::Div(hn::Set(f, 1.0f), hn::Sqrt(hn::Set(f, variance + eps)));
    for (int64_t j = 0; j < channels; j += 2 * kLanes) {
      float* panel = panels + (j * rows + r * 2 * kLanes);
      for (int64_t i = j; i < j + 2 * kLanes; i += kLanes) {
        const VF v = hn::Mul(hn::Sub(hn::LoadU(f, row + i), centre), scale);
        const VF n = hn::MulAdd(v, hn::LoadU(f, gamma + i), hn::LoadU(f, beta + i));
        hn::StoreU(n, f, row + i);
        hn::StoreU(n, f, panel + (i - j));
        hn::StoreU(hn::Add(n, hn::LoadU(f, y + r * channels + i)), f, sum + r * channels + i);
      }
    }
  }
}

// Where the 16 pixels of place `place` begin.
HWY_INLINE float* PlaceOrigin(float* out, int64_t place, int64_t map_width) {
  return out + place / map_width * 4 * (4 * map_width) + place % map_width * 4;
}

void PlaceLogitsPlain(int64_t places, int64_t width, int64_t masks, const float* features,
                      const float* vectors, int64_t first, int64_t map_width, float* out,
                      int64_t plane) {
  for (int64_t p = 0; p < places; ++p) {
    float* origin = PlaceOrigin(out, first + p, map_width);
    for (int64_t i = 0; i < 16; ++i) {
      const int64_t y = (i >> 3 & 1) * 2 + (i >> 1 & 1), x = (i >> 2 & 1) * 2 + (i & 1);
      const float* pixel = features + (p * 16 + i) * width;
      for (int64_t m = 0; m < masks; ++m) {
        float sum = 0;
        for (int64_t c = 0; c < width; ++c) sum += pixel[c] * vectors[m * width + c];
        origin[m * plane + y * 4 * map_width + x] = sum;
      }
    }
  }
}

#if HWY_TARGET == HWY_SCALAR
void PlaceLogits(int64_t places, int64_t width, int64_t masks, const float* features,
                 const float* vectors, int64_t first, int64_t map_width, float* out,
                 int64_t plane) {
  PlaceLogitsPlain(places, width, masks, features, vectors, first, map_width, out, plane);
}
#else
// Adds the upper to the lower half until four lanes are left.
template <class D>
HWY_INLINE hn::Vec<hn::CappedTag<float, 4> > FoldToFour(D, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    return FoldToFour(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  } else {
    return v;
  }
}

// The sums of the lanes of four vectors, as four lanes.
HWY_INLINE hn::Vec<hn::CappedTag<float, 4> > SumsOfFour(VF a, VF b, VF c, VF d) {
  const F f;
  const hn::RepartitionToWide<F> pairs;
  const VF ab = hn::Add(hn::InterleaveLower(f, a, b), hn::InterleaveUpper(f, a, b));
  const VF cd = hn::Add(hn::InterleaveLower(f, c, d), hn::InterleaveUpper(f, c, d));
  const auto x = hn::BitCast(pairs, ab), y = hn::BitCast(pairs, cd);
  const VF sums = hn::Add(hn::BitCast(f, hn::InterleaveLower(pairs, x, y)),
                          hn::BitCast(f, hn::InterleaveUpper(pairs, x, y)));
  return FoldToFour(f, sums);
}

// kParts vectors a pixel, so that a mask's vector stays in registers.
template <int kParts>
void PlaceLogitsOf(int64_t places, int64_t masks, const float* features, const float* vectors,
                   int64_t first, int64_t map_width, float* out, int64_t plane) {
  const F f;
  const hn::CappedTag<float, 4> four;
  constexpr int64_t kWidth = kParts * kLanes;
  const auto dot = [&](const float* pixel, const VF* mask) HWY_ATTR {
    VF sum = hn::Mul(hn::LoadU(f, pixel), mask[0]);
    for (int v = 1; v < kParts; ++v)
      sum = hn::MulAdd(hn::LoadU(f, pixel + v * kLanes), mask[v], sum);
    return sum;
  };
  for (int64_t p = 0; p < places; ++p) {
    float* origin = PlaceOrigin(out, first + p, map_width);
    const float* place = features + p * 16 * kWidth;
    for (int64_t m = 0; m < masks; ++m) {
      VF mask[kParts];
      for (int v = 0; v < kParts; ++v) mask[v] = hn::LoadU(f, vectors + m * kWidth + v * kLanes);
      for (int64_t half = 0; half < 2; ++half) {  // the upper, then the lower two rows of pixels
        hn::Vec<decltype(four)> block[2];
        for (int64_t side = 0; side < 2; ++side) {
          const float* pixel = place + (half * 8 + side * 4) * kWidth;
          block[side] = SumsOfFour(dot(pixel, mask), dot(pixel + kWidth, mask),
                                   dot(pixel + 2 * kWidth, mask), dot(pixel + 3 * kWidth, mask));
        }
        float* to = origin + m * plane + half * 2 * 4 * map_width;
        hn::StoreU(hn::ConcatLowerLower(four, block[1], block[0]), four, to);
        hn::StoreU(hn::ConcatUpperUpper(four, block[1], block[0]), four, to + 4 * map_width);
      }
    }
  }
}

void PlaceLogits(int64_t places, int64_t width, int64_t masks, const float* features,
                 const float* vectors, int64_t first, int64_t map_width, float* out,
                 int64_t plane) {
  // SAM's 32 channels in whole vectors.
  if (width == 32)
    return PlaceLogitsOf<32 / kLanes>(places, masks, features, vectors, first, map_width, out,
                                      plane);
  PlaceLogitsPlain(places, width, masks, features, vectors, first, map_width, out, plane);
}
#endif

void AddRows(int64_t n, const float* x, const float* y, float* sum) {
  ForEachVector(n, [&](int64_t j, auto access) HWY_ATTR {
    access.store(hn::Add(access.load(x + j), access.load(y + j)), sum + j);
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {

HWY_EXPORT(SoftmaxOverTokensAny);
HWY_EXPORT(SoftmaxStep);
HWY_EXPORT(ScaleRows);
HWY_EXPORT(ProjectHeads);
HWY_EXPORT(NormRowsAny);
HWY_EXPORT(AddRows);
HWY_EXPORT(NormAddPack);
HWY_EXPORT(PlaceLogits);

void softmax_over_tokens(int64_t rows, int64_t tokens, int64_t heads, float* scores,
                         int64_t stride) {
  if (tokens > 0) HWY_DYNAMIC_DISPATCH(SoftmaxOverTokensAny)(rows, tokens, heads, scores, stride);
}

void softmax_step(int64_t rows, int64_t columns, float* scores, int64_t stride, float* max,
                  float* sum, float* factor) {
  HWY_DYNAMIC_DISPATCH(SoftmaxStep)(rows, columns, scores, stride, max, sum, factor);
}

void scale_rows(int64_t rows, int64_t n, float* x, int64_t stride, const float* factor) {
  HWY_DYNAMIC_DISPATCH(ScaleRows)(rows, n, x, stride, factor);
}

void project_heads(int64_t tokens, int64_t heads, int64_t e, int64_t channels, const float* q,
                   int64_t q_stride, const float* w, float scale, float* out) {
  HWY_DYNAMIC_DISPATCH(ProjectHeads)(tokens, heads, e, channels, q, q_stride, w, scale, out);
}

void norm_rows(int64_t rows, int64_t channels, float* x, int64_t stride, const float* gamma,
               const float* beta, float eps, Activation activation) {
  HWY_DYNAMIC_DISPATCH(NormRowsAny)(rows, channels, x, stride, gamma, beta, eps, activation);
}

void add_and_pack(int64_t rows, int64_t n, const float* x, const float* y, float* sum,
                  PackedMatrix* packed) {
  if (sum) HWY_DYNAMIC_DISPATCH(AddRows)(rows * n, x, y, sum);
  if (!packed) return;
  for (int64_t p = 0; p < packed->panels(); ++p) {
    const int64_t first = p * packed->width();
    const int64_t count = std::min(packed->width(), n - first);
    float* to = packed->panel(p);
    // A last panel of at most half the width is stored at half the width.
    const int64_t width = count <= packed->width() / 2 ? packed->width() / 2 : packed->width();
    for (int64_t r = 0; r < rows; ++r, to += width) {
      std::memcpy(to, x + r * n + first, static_cast<size_t>(count) * sizeof(float));
      if (count < width)
        std::memset(to + count, 0, static_cast<size_t>(width - count) * sizeof(float));
    }
  }
}

void norm_add_pack(int64_t rows, int64_t channels, float* x, const float* gamma, const float* beta,
                   float eps, const float* y, float* sum, PackedMatrix* packed) {
  if (channels % packed->width() == 0)
    return HWY_DYNAMIC_DISPATCH(NormAddPack)(rows, channels, x, gamma, beta, eps, y, sum,
                                             packed->panel(0));
  norm_rows(rows, channels, x, channels, gamma, beta, eps, Activation::none);
  add_and_pack(rows, channels, x, y, sum, packed);
}

void place_logits(int64_t places, int64_t width, int64_t masks, const float* features,
                  const float* vectors, int64_t first, int64_t map_width, float* out,
                  int64_t plane) {
  HWY_DYNAMIC_DISPATCH(PlaceLogits)
  (places, width, masks, features, vectors, first, map_width, out, plane);
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
