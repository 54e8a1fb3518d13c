// Partial vectors, and sums in an order that no CPU changes.
//
// A sum over n floats is 32 sums over the elements j, j + 32, j + 64, ..., then a tree over those:
// lane i plus lane i + 16, then + 8, + 4, + 2, + 1. It is the same on 4-, 8- and 16-lane vectors,
// and 32 lanes hide the latency of an addition. Included once per CPU target, like vmath-inl.h.
#if defined(BECKON_KERNELS_LANES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BECKON_KERNELS_LANES_INL_H_
#undef BECKON_KERNELS_LANES_INL_H_
#else
#define BECKON_KERNELS_LANES_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
using VF = hn::Vec<F>;
inline constexpr int64_t kLanes = static_cast<int64_t>(hn::MaxLanes(F()));

// The first `count` floats at p (0 <= count <= kLanes), zeros after them; reads nothing beyond.
HWY_INLINE VF LoadFirst(const float* p, int64_t count) {
  const F f;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  return hn::MaskedLoad(hn::FirstN(f, static_cast<size_t>(count)), f, p);
#else
  HWY_ALIGN float lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = p[i];
  return hn::Load(f, lanes);
#endif
}

// Writes the first `count` lanes and nothing beyond.
HWY_INLINE void StoreFirst(VF v, float* p, int64_t count) {
  const F f;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  hn::BlendedStore(v, hn::FirstN(f, static_cast<size_t>(count)), f, p);
#else
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, f, lanes);
  for (int64_t i = 0; i < count; ++i) p[i] = lanes[i];
#endif
}

// How a loop body reads its operands, so that one lambda serves whole vectors and the tail.
struct WholeVector {
  HWY_INLINE VF load(const float* p) const { return hn::LoadU(F(), p); }
  HWY_INLINE void store(VF v, float* p) const { hn::StoreU(v, F(), p); }
};
struct FirstLanes {
  int64_t count;
  HWY_INLINE VF load(const float* p) const { return LoadFirst(p, count); }
  HWY_INLINE void store(VF v, float* p) const { StoreFirst(v, p, count); }
};

// body(j, access) for j = 0, kLanes, 2 kLanes, ... below n.
template <class Body>
HWY_INLINE void ForEachVector(int64_t n, const Body& body) {
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) body(j, WholeVector());
  if (j < n) body(j, FirstLanes{n - j});
}

// The tree over the lanes of one vector: i + half, down to one.
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE float FoldLanes(F, VF v) { return hn::GetLane(v); }
#else
template <class D>
HWY_INLINE float FoldLanes(D, hn::Vec<D> v) {
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    return FoldLanes(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  } else {
    v = hn::Add(v, hn::Shuffle1032(v));
    v = hn::Add(v, hn::Shuffle2301(v));
    return hn::GetLane(v);
  }
}
#endif

inline constexpr int64_t kSumLanes = 32;
inline constexpr int64_t kSumVectors = kSumLanes / kLanes;

// 32 running sums, spread over as many vectors as that takes.
struct LaneSums {
  VF sums[kSumVectors];

  HWY_INLINE LaneSums() {
    for (int64_t i = 0; i < kSumVectors; ++i) sums[i] = hn::Zero(F());
  }
  HWY_INLINE float total() const {
    VF fold[kSumVectors];
    for (int64_t i = 0; i < kSumVectors; ++i) fold[i] = sums[i];
    for (int64_t half = kSumVectors / 2; half > 0; half /= 2)
      for (int64_t i = 0; i < half; ++i) fold[i] = hn::Add(fold[i], fold[i + half]);
    return FoldLanes(F(), fold[0]);
  }
};

// Sum over 0 <= j < n of the lanes of term(j, access). The lanes beyond n are cleared here.
template <class Term>
HWY_INLINE float SumOver(int64_t n, const Term& term) {
  const F f;
  LaneSums s;
  int64_t j = 0;
  for (; j + kSumLanes <= n; j += kSumLanes)
    for (int64_t i = 0; i < kSumVectors; ++i)
      s.sums[i] = hn::Add(s.sums[i], term(j + i * kLanes, WholeVector()));
  for (int64_t i = 0; i < kSumVectors; ++i, j += kLanes) {
    if (j + kLanes <= n) {
      s.sums[i] = hn::Add(s.sums[i], term(j, WholeVector()));
    } else if (j < n) {
      const VF v = term(j, FirstLanes{n - j});
      s.sums[i] =
          hn::Add(s.sums[i], hn::IfThenElseZero(hn::FirstN(f, static_cast<size_t>(n - j)), v));
    }
  }
  return s.total();
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#endif  // toggled per target
