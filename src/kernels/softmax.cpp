#include "kernels/softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/threads.h"
#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax.cpp"
#include "hwy/foreach_target.h"
#include "kernels/lanes-inl.h"
#include "kernels/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

// t = scale x + bias into y; returns the maximum.
HWY_INLINE float ScaleRow(const float* x, int64_t cols, float scale, const float* bias, float* y) {
  const F f;
  const float lowest = -std::numeric_limits<float>::infinity();
  const VF s = hn::Set(f, scale);
  VF most = hn::Set(f, lowest);
  const auto run = [&](auto with_bias) HWY_ATTR {
    int64_t j = 0;
    const auto term = [&](auto access) HWY_ATTR {
      const VF v = access.load(x + j);
      VF t;
      if constexpr (with_bias) {
        t = hn::MulAdd(v, s, access.load(bias + j));
      } else {
        t = hn::Mul(v, s);
      }
      access.store(t, y + j);
      return t;
    };
    for (; j + kLanes <= cols; j += kLanes) most = hn::Max(most, term(WholeVector()));
    if (j < cols) {
      const auto inside = hn::FirstN(f, static_cast<size_t>(cols - j));
      most = hn::Max(most, hn::IfThenElse(inside, term(FirstLanes{cols - j}), most));
    }
  };
  if (bias) {
    run(std::true_type());
  } else {
    run(std::false_type());
  }
  return hn::GetLane(hn::MaxOfLanes(f, most));
}

void SoftmaxRange(const float* x, int64_t begin, int64_t end, int64_t cols,
                  const SoftmaxInput& input, float* y, bool log) {
  const F f;
  for (int64_t r = begin; r < end; ++r) {
    float* row = y + r * cols;
    const float* bias = input.bias ? input.bias + r % input.bias_rows * cols : nullptr;
    const float most = ScaleRow(x + r * cols, cols, input.scale, bias, row);
    const VF m = hn::Set(f, most);
    if (log) {
      const float sum = SumOver(cols, [=](int64_t j, auto access) HWY_ATTR {
        return ExpNonPositive(F(), hn::Sub(access.load(row + j), m));
      });
      const VF log_sum = hn::Set(f, std::log(sum));
      ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
        access.store(hn::Sub(hn::Sub(access.load(row + j), m), log_sum), row + j);
      });
    } else {
      const float sum = SumOver(cols, [=](int64_t j, auto access) HWY_ATTR {
        const VF e = ExpNonPositive(F(), hn::Sub(access.load(row + j), m));
        access.store(e, row + j);
        return e;
      });
      const VF inverse = hn::Set(f, 1.0f / sum);
      ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
        access.store(hn::Mul(access.load(row + j), inverse), row + j);
      });
    }
  }
}

// softmax: dx = scale y (dy - sum(dy y)); log-softmax: dx = scale (dy - exp(y) sum(dy)).
void SoftmaxGradRange(const float* y, const float* dy, int64_t rows, int64_t cols, float scale,
                      float* dx, bool log) {
  const F f;
  const VF s = hn::Set(f, scale);
  for (int64_t r = 0; r < rows; ++r, y += cols, dy += cols, dx += cols) {
    const float *out = y, *gradient = dy;
    float* to = dx;
    const VF sum = hn::Set(f, SumOver(cols, [=](int64_t j, auto access) HWY_ATTR {
                             const VF g = access.load(gradient + j);
                             return log ? g : hn::Mul(g, access.load(out + j));
                           }));
    ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
      const VF g = access.load(gradient + j), v = access.load(out + j);
      access.store(
          hn::Mul(s, log ? hn::NegMulAdd(Exp(F(), v), sum, g) : hn::Mul(v, hn::Sub(g, sum))),
          to + j);
    });
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {

HWY_EXPORT(SoftmaxRange);
HWY_EXPORT(SoftmaxGradRange);

namespace {
int64_t rows_grain(int64_t cols) {
  return std::max<int64_t>(1, (int64_t{1} << 14) / std::max<int64_t>(1, cols));
}
}  // namespace

void softmax(const float* x, int64_t rows, int64_t cols, const SoftmaxInput& input, float* y) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SoftmaxRange)(x, begin, end, cols, input, y, false);
  });
}

void log_softmax(const float* x, int64_t rows, int64_t cols, const SoftmaxInput& input, float* y) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SoftmaxRange)(x, begin, end, cols, input, y, true);
  });
}

void softmax_grad(const float* y, const float* dy, int64_t rows, int64_t cols, float scale,
                  float* dx) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SoftmaxGradRange)
    (y + begin * cols, dy + begin * cols, end - begin, cols, scale, dx + begin * cols, false);
  });
}

void log_softmax_grad(const float* y, const float* dy, int64_t rows, int64_t cols, float scale,
                      float* dx) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(SoftmaxGradRange)
    (y + begin * cols, dy + begin * cols, end - begin, cols, scale, dx + begin * cols, true);
  });
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
