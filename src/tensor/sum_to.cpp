#include "tensor/sum_to.h"

#include <algorithm>
#include <utility>

#include "base/fail.h"
#include "base/threads.h"
#include "kernels/elementwise.h"

namespace beckon::detail {
namespace {

// Longer rows are summed in pieces: they would lose digits in one float.
constexpr int64_t kLongRow = 4096;

// Neighbouring dimensions that are all summed or all kept count as one.
struct Groups {
  Shape sizes;
  bool summed[Shape::kMaxRank] = {};
};

Groups group_dimensions(const Shape& from, const Shape& target) {
  Groups groups;
  const int extra = from.rank() - target.rank();
  for (int i = 0; i < from.rank(); ++i) {
    if (from[i] == 1) continue;
    const bool summed = i < extra || target[i - extra] != from[i];
    const int count = groups.sizes.rank();
    if (count > 0 && groups.summed[count - 1] == summed) {
      groups.sizes[count - 1] *= from[i];
    } else {
      groups.sizes.push_back(from[i]);
      groups.summed[count] = summed;
    }
  }
  return groups;
}

// y[o,i] = sum over j of x[o,j,i]
void sum_middle(const float* x, float* y, int64_t outer, int64_t n, int64_t inner) {
  if (inner == 1 && (outer == 1 || n > kLongRow)) {
    for (int64_t o = 0; o < outer; ++o) y[o] = static_cast<float>(kernels::sum(x + o * n, n));
  } else if (inner == 1) {
    kernels::row_sum(x, y, outer, n);
  } else if (outer == 1) {
    kernels::column_sum(x, y, n, inner);
  } else {
    const int64_t grain =
        std::max<int64_t>(1, (int64_t{1} << 16) / std::max<int64_t>(n * inner, 1));
    parallel_for(outer, grain, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o)
        kernels::column_sum(x + o * n * inner, y + o * inner, n, inner);
    });
  }
}

bool broadcasts_to(const Shape& target, const Shape& shape) {
  const int extra = shape.rank() - target.rank();
  if (extra < 0) return false;
  for (int i = 0; i < target.rank(); ++i)
    if (target[i] != shape[i + extra] && target[i] != 1) return false;
  return true;
}

}  // namespace

Tensor sum_to(const Tensor& x, const Shape& target) {
  if (x.shape() == target) return x;
  if (!broadcasts_to(target, x.shape()))
    fail(Kind::internal, "sum_to: shape {} was not made from {}", x.shape().str(), target.str());
  NoGrad no_grad;
  Tensor sum = x.contiguous();
  if (sum.size() == 0) return Tensor::zeros(target);
  // One group after the other, the innermost first: what is left shrinks fastest.
  const Groups groups = group_dimensions(x.shape(), target);
  int64_t inner = 1;
  for (int g = groups.sizes.rank() - 1; g >= 0; --g) {
    const int64_t n = groups.sizes[g];
    if (!groups.summed[g]) {
      inner *= n;
      continue;
    }
    const int64_t outer = sum.size() / (n * inner);
    Tensor next = Tensor::empty({outer * inner});
    sum_middle(std::as_const(sum).data(), next.data(), outer, n, inner);
    sum = next;
  }
  return sum.reshape(target);
}

}  // namespace beckon::detail
