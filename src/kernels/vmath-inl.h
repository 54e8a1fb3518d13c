// Elementary functions on Highway float vectors, to be used inside other kernels (epilogues,
// softmax, activations).
//
// No include guard in the usual sense: the file is included once per CPU target, see
// hwy/foreach_target.h. V is a vector of float, d its tag. NaN in gives NaN out; infinities give
// the limits. Accuracy, measured over dense grids on every target (tests/kernels/vmath_test.cpp),
// in units of the last place of the correctly rounded result unless said otherwise:
//
// - Exp: 1.1 ulp; results below the smallest normal number (x < -87.3365) are 0
// - Log: 0.9 ulp
// - Tanh: 1.4 ulp
// - Sigmoid, Erf: 2.5 ulp
// - Gelu: absolute error 3.4e-7 (2.1e-7 for x < 0), relative 2e-6 near 0; exactly x or 0 from
//   |x| = 5.9 on
// - Silu: 3.2 ulp; QuickGelu the same plus the rounding of 1.702 x, 1e-7 |x| relative
// - GeluGrad: absolute error 5.5e-7
// - SiluGrad, QuickGeluGrad: absolute error 2.5e-7
//
// Speed on one core with AVX-512 (AVX2), in cache, 1e9 elements a second: Gelu 4.1 (3.0), Exp 4.0
// (2.8), Sigmoid 3.0 (2.1), Silu 2.7 (1.9), Tanh 2.3 (1.5), Log 2.5 (1.4), GeluGrad 1.8 (1.2).
//
// Denormal results are avoided on purpose: on many CPUs they cost some 150 cycles a vector, and a
// masked softmax would meet them all the time.
#if defined(BECKON_KERNELS_VMATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BECKON_KERNELS_VMATH_INL_H_
#undef BECKON_KERNELS_VMATH_INL_H_
#else
#define BECKON_KERNELS_VMATH_INL_H_
#endif

#include <limits>

#include "beckon/activation.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// min(x, limit) and max(x, limit) with a NaN in x kept. On x86 the second argument of Min and Max
// is what remains of a NaN, elsewhere that differs.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V AtMost(D d, V x, float limit) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Min(hn::Set(d, limit), x);
#else
  const V bound = hn::Set(d, limit);
  return hn::IfThenElse(hn::Gt(x, bound), bound, x);
#endif
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V AtLeast(D d, V x, float limit) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  return hn::Max(hn::Set(d, limit), x);
#else
  const V bound = hn::Set(d, limit);
  return hn::IfThenElse(hn::Lt(x, bound), bound, x);
#endif
}

// c0 + c1 x + c2 x^2 + ... by Horner's rule: short code, and neighbouring vectors fill the latency.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Polynomial(D d, V, float c0) {
  return hn::Set(d, c0);
}
template <class D, class V = hn::Vec<D>, typename... Floats>
HWY_INLINE V Polynomial(D d, V x, float c0, Floats... rest) {
  return hn::MulAdd(Polynomial(d, x, rest...), x, hn::Set(d, c0));
}

// exp(x) for lo <= x <= hi without looking; garbage outside. exp(x) = 2^n exp(r), |r| <= ln(2)/2.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpInRange(D d, V x) {
  const hn::RebindToSigned<D> di;
  // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
  const V magic = hn::Set(d, 12582912.0f);
  const V shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const V n = hn::Sub(shifted, magic);
  // ln(2) in two parts; the first has 9 bits to spare, so n times it is exact without FMA too.
  V r = hn::NegMulAdd(n, hn::Set(d, 0.693359375f), x);
  r = hn::NegMulAdd(n, hn::Set(d, -2.12194440e-4f), r);
  // exp(r) = 1 + (r + r^2 c(r)), c minimax: relative error of the polynomial 3e-9.
  const V c = Polynomial(d, r, 4.999999341e-01f, 1.666652011e-01f, 4.166839423e-02f,
                         8.368780586e-03f, 1.381446689e-03f);
  const V p = hn::Add(hn::Set(d, 1.0f), hn::MulAdd(hn::Mul(r, r), c, r));
  // Times 2^n by adding to the exponent: the low bits of `shifted` are n, the shift drops the rest.
  return hn::BitCast(d, hn::Add(hn::BitCast(di, p), hn::ShiftLeft<23>(hn::BitCast(di, shifted))));
}

// The smallest argument whose exponential is still a normal number.
inline constexpr float kExpLowest = -87.3365f;

// exp(x) for x <= 0 (softmax): cheaper than Exp by its upper end. A NaN without payload stays NaN.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ExpNonPositive(D d, V x) {
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, kExpLowest)), ExpInRange(d, x));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Exp(D d, V x) {
  const V y = ExpNonPositive(d, x);
  // Beyond 128 ln(2) the product overflows to infinity; a NaN fails the comparison and stays NaN.
  return hn::IfThenElse(hn::Le(x, hn::Set(d, 88.72283f)), y,
                        hn::Mul(x, hn::Set(d, std::numeric_limits<float>::max())));
}

// Natural logarithm; -inf at 0, NaN below. Denormal arguments are fine.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Log(D d, V x) {
  const hn::RebindToSigned<D> di;
  const V infinity = hn::Set(d, std::numeric_limits<float>::infinity());
  const auto tiny = hn::Lt(x, hn::Set(d, std::numeric_limits<float>::min()));
  const auto bits = hn::BitCast(di, hn::IfThenElse(tiny, hn::Mul(x, hn::Set(d, 33554432.0f)), x));
  // x = 2^e m with m in [sqrt(1/2), sqrt(2)): shift the origin to the bits of sqrt(1/2).
  const auto e = hn::ShiftRight<23>(hn::Sub(bits, hn::Set(di, 0x3f3504f3)));
  const V f = hn::Sub(hn::BitCast(d, hn::Sub(bits, hn::ShiftLeft<23>(e))), hn::Set(d, 1.0f));
  const V n = hn::Sub(hn::ConvertTo(d, e), hn::IfThenElseZero(tiny, hn::Set(d, 25.0f)));
  // log(1 + f) = f - f^2/2 + f^3 c(f)
  const V c = Polynomial(d, f, 3.333331260e-01f, -2.500000960e-01f, 2.000211868e-01f,
                         -1.666799588e-01f, 1.421955183e-01f, -1.240558797e-01f, 1.188816541e-01f,
                         -1.167565944e-01f, 6.746642886e-02f);
  const V f2 = hn::Mul(f, f);
  V y = hn::MulAdd(n, hn::Set(d, -2.12194440e-4f), hn::Mul(hn::Mul(f2, f), c));
  y = hn::Add(hn::NegMulAdd(f2, hn::Set(d, 0.5f), y), f);
  y = hn::MulAdd(n, hn::Set(d, 0.693359375f), y);
  y = hn::IfThenElse(hn::Lt(x, infinity), y, x);  // +inf and NaN
  y = hn::IfThenElse(hn::Gt(x, hn::Zero(d)), y, hn::NaN(d));
  return hn::IfThenElse(hn::Eq(x, hn::Zero(d)), hn::Neg(infinity), y);
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Tanh(D d, V x) {
  const V a = hn::Abs(x);
  const V x2 = hn::Mul(x, x);
  const V c = Polynomial(d, x2, -3.333328194e-01f, 1.333144219e-01f, -5.373971421e-02f,
                         2.063908421e-02f, -5.704983421e-03f);
  const V near = hn::MulAdd(hn::Mul(a, x2), c, a);
  const V e = Exp(d, hn::Add(a, a));
  const V one = hn::Set(d, 1.0f);
  const V far = hn::Sub(one, hn::Div(hn::Set(d, 2.0f), hn::Add(e, one)));
  return hn::CopySign(hn::IfThenElse(hn::Lt(a, hn::Set(d, 0.625f)), near, far), x);
}

// 1 / (1 + exp(-x)), with its relative accuracy kept for large negative x.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Sigmoid(D d, V x) {
  const V one = hn::Set(d, 1.0f);
  const V e = Exp(d, hn::Neg(hn::Abs(x)));
  return hn::Div(hn::IfThenElse(hn::Lt(x, hn::Zero(d)), e, one), hn::Add(one, e));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Erf(D d, V x) {
  const V x2 = hn::Mul(x, x);
  const V near = hn::Mul(
      x, Polynomial(d, x2, 1.128379167e+00f, -3.761263317e-01f, 1.128368702e-01f, -2.685893473e-02f,
                    5.199893751e-03f, -8.129894155e-04f, 8.316356324e-05f));
  // 1 - exp(-g(|x|)), g minimax for -log(erfc) on [0.9, 4]; from 4 on erf is 1 in float.
  const V a = AtMost(d, hn::Abs(x), 4.0f);
  const V g =
      Polynomial(d, a, -1.705504033e-04f, 1.129495151e+00f, 6.333866641e-01f, 1.082365990e-01f,
                 -2.509148295e-02f, 4.160521468e-03f, -4.323018064e-04f, 2.090944671e-05f);
  const V far = hn::CopySign(hn::Sub(hn::Set(d, 1.0f), Exp(d, hn::Neg(g))), x);
  return hn::IfThenElse(hn::Lt(hn::Abs(x), hn::Set(d, 0.9f)), near, far);
}

// Q(t) = 1 - Phi(t), the upper tail of the normal distribution, for 0 <= t <= kTailEnd: no
// exponential, no division. Its fourth root is smooth enough for a polynomial of degree 9 with a
// zero at kTailEnd, so the result is never negative and ends in an exact 0. The polynomial is
// centred (in t - 2.95): in powers of t its terms would cancel and lose two digits. Absolute
// error 2.5e-7, and t Q(t) within 1.7e-7.
inline constexpr float kTailEnd = 5.9f;
template <class D, class V = hn::Vec<D>>
HWY_INLINE V NormalTail(D d, V t) {
  const V s = hn::Sub(t, hn::Set(d, 0.5f * kTailEnd));
  const V r = hn::Mul(hn::Sub(hn::Set(d, kTailEnd), t),
                      Polynomial(d, s, 6.767872105e-02f, -3.182052259e-02f, 3.517499399e-03f,
                                 1.470465424e-03f, -3.200430289e-04f, -7.234949143e-06f,
                                 2.232961671e-05f, 1.632053798e-06f, -1.407410299e-07f));
  const V r2 = hn::Mul(r, r);
  return hn::Mul(r2, r2);
}

// x Phi(x) = max(x, 0) - |x| Q(|x|): 17 operations. Min and Max keep a NaN in their second
// argument.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Gelu(D d, V x) {
  const V t = AtMost(d, hn::Abs(x), kTailEnd);
  return hn::NegMulAdd(t, NormalTail(d, t), AtLeast(d, x, 0.0f));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V Relu(D d, V x) {
  return AtLeast(d, x, 0.0f);
}

// x sigmoid(x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V Silu(D d, V x) {
  // From -110 on the sigmoid is 0; the bound keeps -inf * 0 away.
  return hn::Mul(AtLeast(d, x, -110.0f), Sigmoid(d, x));
}

// x sigmoid(1.702 x), CLIP's activation
template <class D, class V = hn::Vec<D>>
HWY_INLINE V QuickGelu(D d, V x) {
  return hn::Mul(AtLeast(d, x, -110.0f), Sigmoid(d, hn::Mul(hn::Set(d, 1.702f), x)));
}

// Phi(x) + x phi(x)
template <class D, class V = hn::Vec<D>>
HWY_INLINE V GeluGrad(D d, V x) {
  const V a = AtMost(d, hn::Abs(x), 14.0f);  // exp(-14^2/2) is 0 here
  const V tail = NormalTail(d, AtMost(d, a, kTailEnd));
  const V density =
      hn::Mul(hn::Set(d, 0.398942280f), Exp(d, hn::Mul(hn::Set(d, -0.5f), hn::Mul(a, a))));
  const V left =
      hn::NegMulAdd(a, density, tail);  // the derivative at -a; at +a it is one minus this
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), left, hn::Sub(hn::Set(d, 1.0f), left));
}

// d/dx of x sigmoid(k x): s (1 + k x (1 - s)).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V ScaledSiluGrad(D d, V x, float k) {
  const V one = hn::Set(d, 1.0f);
  const V kx = hn::Mul(hn::Set(d, k), x);
  // Both s and 1 - s from exp(-|kx|), so that neither is a difference.
  const V e = Exp(d, hn::Neg(hn::Abs(kx)));
  const V large = hn::Div(one, hn::Add(one, e));
  const V small = hn::Mul(e, large);
  const auto negative = hn::Lt(kx, hn::Zero(d));
  const V s = hn::IfThenElse(negative, small, large);
  const V complement = hn::IfThenElse(negative, large, small);
  const V bounded = AtLeast(d, AtMost(d, kx, 110.0f), -110.0f);
  return hn::Mul(s, hn::MulAdd(bounded, complement, one));
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V SiluGrad(D d, V x) {
  return ScaledSiluGrad(d, x, 1.0f);
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V QuickGeluGrad(D d, V x) {
  return ScaledSiluGrad(d, x, 1.702f);
}

// The activation as a template argument, for loops that choose it once outside.
template <Activation kActivation, class D, class V = hn::Vec<D>>
HWY_INLINE V Activate(D d, V x) {
  if constexpr (kActivation == Activation::gelu) return Gelu(d, x);
  if constexpr (kActivation == Activation::quick_gelu) return QuickGelu(d, x);
  if constexpr (kActivation == Activation::relu) return Relu(d, x);
  if constexpr (kActivation == Activation::silu) return Silu(d, x);
  return x;
}

// Calls body.template operator()<kActivation>() for the activation known at run time.
template <class Body>
HWY_INLINE void WithActivation(Activation activation, const Body& body) {
  switch (activation) {
    case Activation::none:
      return body.template operator()<Activation::none>();
    case Activation::gelu:
      return body.template operator()<Activation::gelu>();
    case Activation::quick_gelu:
      return body.template operator()<Activation::quick_gelu>();
    case Activation::relu:
      return body.template operator()<Activation::relu>();
    case Activation::silu:
      return body.template operator()<Activation::silu>();
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#endif  // toggled per target
