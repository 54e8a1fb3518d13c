#include "kernels/elementwise.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "base/threads.h"
#include "beckon/dtype.h"
#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cpp"
#include "hwy/foreach_target.h"
#include "kernels/lanes-inl.h"
#include "kernels/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

template <Unary op>
HWY_INLINE VF Value(VF x) {
  const F f;
  if constexpr (op == Unary::exp) return Exp(f, x);
  if constexpr (op == Unary::log) return Log(f, x);
  if constexpr (op == Unary::tanh) return Tanh(f, x);
  if constexpr (op == Unary::sigmoid) return Sigmoid(f, x);
  if constexpr (op == Unary::erf) return Erf(f, x);
  if constexpr (op == Unary::gelu) return Gelu(f, x);
  if constexpr (op == Unary::quick_gelu) return QuickGelu(f, x);
  if constexpr (op == Unary::silu) return Silu(f, x);
  if constexpr (op == Unary::relu) return Relu(f, x);
  if constexpr (op == Unary::abs) return hn::Abs(x);
  if constexpr (op == Unary::negate) return hn::Neg(x);
  if constexpr (op == Unary::square) return hn::Mul(x, x);
  if constexpr (op == Unary::sqrt) return hn::Sqrt(x);
  if constexpr (op == Unary::rsqrt) return hn::Div(hn::Set(f, 1.0f), hn::Sqrt(x));
  if constexpr (op == Unary::reciprocal) return hn::Div(hn::Set(f, 1.0f), x);
  return x;
}

template <Unary op>
HWY_INLINE VF Derivative(VF x) {
  const F f;
  const VF one = hn::Set(f, 1.0f);
  if constexpr (op == Unary::exp) return Exp(f, x);
  if constexpr (op == Unary::log) return hn::Div(one, x);
  if constexpr (op == Unary::tanh) {
    // 4 s(2x) s(-2x): without the cancellation of 1 - tanh^2
    const VF s = Sigmoid(f, hn::Add(x, x));
    const VF mirrored = Sigmoid(f, hn::Neg(hn::Add(x, x)));
    return hn::Mul(hn::Set(f, 4.0f), hn::Mul(s, mirrored));
  }
  if constexpr (op == Unary::sigmoid) return hn::Mul(Sigmoid(f, x), Sigmoid(f, hn::Neg(x)));
  if constexpr (op == Unary::erf)
    return hn::Mul(hn::Set(f, 1.128379167f), Exp(f, hn::Neg(hn::Mul(x, x))));
  if constexpr (op == Unary::gelu) return GeluGrad(f, x);
  if constexpr (op == Unary::quick_gelu) return QuickGeluGrad(f, x);
  if constexpr (op == Unary::silu) return SiluGrad(f, x);
  if constexpr (op == Unary::relu) return hn::IfThenElseZero(hn::Gt(x, hn::Zero(f)), one);
  if constexpr (op == Unary::abs)
    return hn::IfThenZeroElse(hn::Eq(x, hn::Zero(f)), hn::CopySign(one, x));
  if constexpr (op == Unary::negate) return hn::Set(f, -1.0f);
  if constexpr (op == Unary::square) return hn::Add(x, x);
  if constexpr (op == Unary::sqrt) return hn::Div(hn::Set(f, 0.5f), hn::Sqrt(x));
  if constexpr (op == Unary::rsqrt) return hn::Div(hn::Set(f, -0.5f), hn::Mul(x, hn::Sqrt(x)));
  if constexpr (op == Unary::reciprocal) return hn::Neg(hn::Div(one, hn::Mul(x, x)));
  return one;
}

// Calls body.template operator()<op>() for the op known at run time.
template <class Body>
HWY_INLINE void WithUnary(Unary op, const Body& body) {
  switch (op) {
    case Unary::identity:
      return body.template operator()<Unary::identity>();
    case Unary::exp:
      return body.template operator()<Unary::exp>();
    case Unary::log:
      return body.template operator()<Unary::log>();
    case Unary::tanh:
      return body.template operator()<Unary::tanh>();
    case Unary::sigmoid:
      return body.template operator()<Unary::sigmoid>();
    case Unary::erf:
      return body.template operator()<Unary::erf>();
    case Unary::gelu:
      return body.template operator()<Unary::gelu>();
    case Unary::quick_gelu:
      return body.template operator()<Unary::quick_gelu>();
    case Unary::silu:
      return body.template operator()<Unary::silu>();
    case Unary::relu:
      return body.template operator()<Unary::relu>();
    case Unary::abs:
      return body.template operator()<Unary::abs>();
    case Unary::negate:
      return body.template operator()<Unary::negate>();
    case Unary::square:
      return body.template operator()<Unary::square>();
    case Unary::sqrt:
      return body.template operator()<Unary::sqrt>();
    case Unary::rsqrt:
      return body.template operator()<Unary::rsqrt>();
    case Unary::reciprocal:
      return body.template operator()<Unary::reciprocal>();
  }
}

template <Unary op>
void ValueLoop(const float* x, float* y, int64_t n) {
  ForEachVector(n, [=](int64_t i, auto access)
                       HWY_ATTR { access.store(Value<op>(access.load(x + i)), y + i); });
}
template <Unary op>
void DerivativeLoop(const float* x, const float* dy, float* dx, int64_t n) {
  ForEachVector(n, [=](int64_t i, auto access) HWY_ATTR {
    access.store(hn::Mul(access.load(dy + i), Derivative<op>(access.load(x + i))), dx + i);
  });
}

void UnaryRange(Unary op, const float* x, float* y, int64_t n) {
  WithUnary(op, [=]<Unary kOp>() { ValueLoop<kOp>(x, y, n); });
}
void UnaryGradRange(Unary op, const float* x, const float* dy, float* dx, int64_t n) {
  WithUnary(op, [=]<Unary kOp>() { DerivativeLoop<kOp>(x, dy, dx, n); });
}

template <Binary op>
HWY_INLINE VF Combine(VF a, VF b) {
  if constexpr (op == Binary::add) return hn::Add(a, b);
  if constexpr (op == Binary::sub) return hn::Sub(a, b);
  if constexpr (op == Binary::reverse_sub) return hn::Sub(b, a);
  if constexpr (op == Binary::mul) return hn::Mul(a, b);
  if constexpr (op == Binary::div) return hn::Div(a, b);
  if constexpr (op == Binary::reverse_div) return hn::Div(b, a);
  if constexpr (op == Binary::max) return hn::Max(a, b);
  return hn::Min(a, b);
}
// b is an array beside a, or one number for all of it.
template <Binary op>
void BinaryLoop(const float* a, const float* b, bool one_b, float* y, int64_t n) {
  if (one_b) {
    const VF value = hn::Set(F(), *b);
    ForEachVector(n, [=](int64_t i, auto access)
                         HWY_ATTR { access.store(Combine<op>(access.load(a + i), value), y + i); });
  } else {
    ForEachVector(n, [=](int64_t i, auto access) HWY_ATTR {
      access.store(Combine<op>(access.load(a + i), access.load(b + i)), y + i);
    });
  }
}
void BinaryRange(Binary op, const float* a, const float* b, bool one_b, float* y, int64_t n) {
  switch (op) {
    case Binary::add:
      return BinaryLoop<Binary::add>(a, b, one_b, y, n);
    case Binary::sub:
      return BinaryLoop<Binary::sub>(a, b, one_b, y, n);
    case Binary::reverse_sub:
      return BinaryLoop<Binary::reverse_sub>(a, b, one_b, y, n);
    case Binary::mul:
      return BinaryLoop<Binary::mul>(a, b, one_b, y, n);
    case Binary::div:
      return BinaryLoop<Binary::div>(a, b, one_b, y, n);
    case Binary::reverse_div:
      return BinaryLoop<Binary::reverse_div>(a, b, one_b, y, n);
    case Binary::max:
      return BinaryLoop<Binary::max>(a, b, one_b, y, n);
    case Binary::min:
      return BinaryLoop<Binary::min>(a, b, one_b, y, n);
  }
}

void ScaleShiftRange(float alpha, float beta, const float* x, float* y, int64_t n) {
  const VF va = hn::Set(F(), alpha), vb = hn::Set(F(), beta);
  ForEachVector(n, [=](int64_t i, auto access)
                       HWY_ATTR { access.store(hn::MulAdd(va, access.load(x + i), vb), y + i); });
}
void ScaledAddRange(float alpha, const float* a, float beta, const float* b, float* y, int64_t n) {
  const VF va = hn::Set(F(), alpha), vb = hn::Set(F(), beta);
  ForEachVector(n, [=](int64_t i, auto access) HWY_ATTR {
    access.store(hn::MulAdd(va, access.load(a + i), hn::Mul(vb, access.load(b + i))), y + i);
  });
}

// Only AVX2 and AVX-512 convert halves in hardware; elsewhere, and for the last few, one by one.
void HalfToFloatRange(const uint16_t* x, float* y, int64_t n) {
  int64_t i = 0;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  const F f;
  const hn::Rebind<hwy::float16_t, F> h;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(hn::PromoteTo(f, hn::LoadU(h, reinterpret_cast<const hwy::float16_t*>(x + i))), f,
               y + i);
#endif
  for (; i < n; ++i) y[i] = beckon::half_to_float(x[i]);
}
void FloatToHalfRange(const float* x, uint16_t* y, int64_t n) {
  int64_t i = 0;
#if HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3
  const F f;
  const hn::Rebind<hwy::float16_t, F> h;
  for (; i + kLanes <= n; i += kLanes)
    hn::StoreU(hn::DemoteTo(h, hn::LoadU(f, x + i)), h, reinterpret_cast<hwy::float16_t*>(y + i));
#endif
  for (; i < n; ++i) y[i] = beckon::float_to_half(x[i]);
}
// Plain loops that the compiler turns into vector code for each target.
void Bfloat16ToFloatRange(const uint16_t* x, float* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::bit_cast<float>(static_cast<uint32_t>(x[i]) << 16);
}
void FloatToBfloat16Range(const float* x, uint16_t* y, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]);
    const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    const uint32_t quiet_nan = (bits >> 16) | 0x40u;
    y[i] = static_cast<uint16_t>((bits & 0x7FFFFFFFu) > 0x7F800000u ? quiet_nan : rounded);
  }
}

float SumRange(const float* x, int64_t n) {
  return SumOver(n, [=](int64_t j, auto access) HWY_ATTR { return access.load(x + j); });
}

float MaxRange(const float* x, int64_t n) {
  const F f;
  VF most = hn::Set(f, x[0]);
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) most = hn::Max(most, hn::LoadU(f, x + j));
  float result = hn::GetLane(hn::MaxOfLanes(f, most));
  for (; j < n; ++j) result = std::max(result, x[j]);
  return result;
}

// y[c] (+)= sum of x[r,c] over the rows, one after the other.
void ColumnSumRange(const float* x, int64_t rows, int64_t cols, float* y) {
  ForEachVector(cols, [=](int64_t c, auto access) HWY_ATTR {
    VF s = hn::Zero(F());
    for (int64_t r = 0; r < rows; ++r) s = hn::Add(s, access.load(x + r * cols + c));
    access.store(s, y + c);
  });
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {

HWY_EXPORT(UnaryRange);
HWY_EXPORT(UnaryGradRange);
HWY_EXPORT(BinaryRange);
HWY_EXPORT(ScaleShiftRange);
HWY_EXPORT(ScaledAddRange);
HWY_EXPORT(HalfToFloatRange);
HWY_EXPORT(FloatToHalfRange);
HWY_EXPORT(Bfloat16ToFloatRange);
HWY_EXPORT(FloatToBfloat16Range);
HWY_EXPORT(SumRange);
HWY_EXPORT(MaxRange);
HWY_EXPORT(ColumnSumRange);

namespace {
// A range of this many floats (128 KB) outlasts the cost of waking a thread.
constexpr int64_t kGrain = 1 << 15;
// Rows of `cols` floats that make up such a range.
int64_t rows_grain(int64_t cols) {
  return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, cols));
}
}  // namespace

void unary(Unary f, const float* x, float* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(UnaryRange)(f, x + begin, y + begin, end - begin);
  });
}

void unary_grad(Unary f, const float* x, const float* dy, float* dx, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(UnaryGradRange)(f, x + begin, dy + begin, dx + begin, end - begin);
  });
}

void binary(Binary op, const float* a, const float* b, float* y, int64_t rows, int64_t cols,
            Spread spread) {
  const auto range = HWY_DYNAMIC_DISPATCH(BinaryRange);
  if (spread == Spread::same || spread == Spread::scalar) {
    const bool one_b = spread == Spread::scalar;
    // A copy, in case y overwrites b.
    const float scalar = one_b && rows * cols > 0 ? *b : 0.0f;
    parallel_for(rows * cols, kGrain, [&](int64_t begin, int64_t end) {
      range(op, a + begin, one_b ? &scalar : b + begin, one_b, y + begin, end - begin);
    });
    return;
  }
  const bool one_b = spread == Spread::column;
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      range(op, a + r * cols, one_b ? b + r : b, one_b, y + r * cols, cols);
  });
}

void fill(float value, float* y, int64_t n) {
  parallel_for(n, kGrain,
               [&](int64_t begin, int64_t end) { std::fill(y + begin, y + end, value); });
}

void scale_shift(float alpha, float beta, const float* x, float* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ScaleShiftRange)(alpha, beta, x + begin, y + begin, end - begin);
  });
}

void axpy(float alpha, const float* x, float* y, int64_t n) { scaled_add(alpha, x, 1.0f, y, y, n); }

void scaled_add(float alpha, const float* a, float beta, const float* b, float* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ScaledAddRange)
    (alpha, a + begin, beta, b + begin, y + begin, end - begin);
  });
}

void half_to_float(const uint16_t* x, float* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(HalfToFloatRange)(x + begin, y + begin, end - begin);
  });
}
void float_to_half(const float* x, uint16_t* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(FloatToHalfRange)(x + begin, y + begin, end - begin);
  });
}
void bfloat16_to_float(const uint16_t* x, float* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(Bfloat16ToFloatRange)(x + begin, y + begin, end - begin);
  });
}
void float_to_bfloat16(const float* x, uint16_t* y, int64_t n) {
  parallel_for(n, kGrain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(FloatToBfloat16Range)(x + begin, y + begin, end - begin);
  });
}

double sum(const float* x, int64_t n) {
  constexpr int64_t kRun = 4096;
  const int64_t runs = (n + kRun - 1) / kRun;
  std::vector<float> partial(static_cast<size_t>(runs));
  parallel_for(runs, kGrain / kRun, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      partial[static_cast<size_t>(i)] =
          HWY_DYNAMIC_DISPATCH(SumRange)(x + i * kRun, std::min(kRun, n - i * kRun));
  });
  double total = 0.0;
  for (const float p : partial) total += p;
  return total;
}

void row_sum(const float* x, float* y, int64_t rows, int64_t cols) {
  const auto range = HWY_DYNAMIC_DISPATCH(SumRange);
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) y[r] = range(x + r * cols, cols);
  });
}

void row_max(const float* x, float* y, int64_t rows, int64_t cols) {
  const auto range = HWY_DYNAMIC_DISPATCH(MaxRange);
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) y[r] = range(x + r * cols, cols);
  });
}

void column_sum(const float* x, float* y, int64_t rows, int64_t cols) {
  constexpr int64_t kRun = 256;
  const auto range = HWY_DYNAMIC_DISPATCH(ColumnSumRange);
  const int64_t runs = (rows + kRun - 1) / kRun;
  if (runs <= 1) return range(x, rows, cols, y);
  std::vector<float> partial(static_cast<size_t>(runs * cols));
  parallel_for(runs, std::max<int64_t>(1, rows_grain(cols) / kRun),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i)
                   range(x + i * kRun * cols, std::min(kRun, rows - i * kRun), cols,
                         partial.data() + i * cols);
               });
  range(partial.data(), runs, cols, y);
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
