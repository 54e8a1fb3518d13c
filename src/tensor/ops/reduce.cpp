// Reductions: sums, means, largest elements.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/ops/common.h"
#include "tensor/sum_to.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::Around;
using detail::around;
using detail::floats;

// x's shape with the reduced dimensions as 1 (kept) and without them.
struct Reduced {
  Shape kept, removed;
  int64_t count = 1;  // elements that go into one
};

Reduced reduced_shapes(const char* name, const Shape& shape, std::initializer_list<int> dims) {
  Reduced result;
  result.kept = shape;
  bool gone[Shape::kMaxRank] = {};
  for (int dim : dims) {
    const int axis = shape.axis(dim);
    if (gone[axis])
      fail(Kind::usage, "{}: dimension {} of shape {} is named twice", name, axis, shape.str());
    gone[axis] = true;
    result.count *= shape[axis];
    result.kept[axis] = 1;
  }
  for (int i = 0; i < shape.rank(); ++i)
    if (!gone[i]) result.removed.push_back(shape[i]);
  return result;
}

Tensor scaled_sum(const char* name, const Tensor& input, const Reduced& shapes, bool keep,
                  float scale) {
  const Tensor x = floats(name, input);
  Tensor y;
  {
    NoGrad no_grad;
    y = detail::sum_to(x, shapes.kept).reshape(keep ? shapes.kept : shapes.removed);
    if (scale != 1.0f) y = mul(y, scale);
    if (y.impl()->storage == x.impl()->storage) y = y.clone();  // nothing was summed
  }
  return record(name, y, {x},
                [kept = shapes.kept, shape = x.shape(), scale](const Tensor& dy) -> Grads {
                  const Tensor spread = dy.reshape(kept);
                  return {(scale == 1.0f ? spread : mul(spread, scale)).expand(shape)};
                });
}

// The position of the first largest of n numbers that lie `step` apart. A NaN is larger than all
// numbers, as in PyTorch.
bool precedes(float a, float b) { return a > b || (a != a && b == b); }

// For every [outer, inner] the index of the first largest along n.
std::vector<int64_t> first_largest(const float* x, const Around& a) {
  std::vector<int64_t> best(static_cast<size_t>(a.outer * a.inner), 0);
  detail::for_rows(a.outer, a.n * a.inner, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      const float* block = x + o * a.n * a.inner;
      int64_t* index = best.data() + o * a.inner;
      for (int64_t j = 1; j < a.n; ++j)
        for (int64_t i = 0; i < a.inner; ++i)
          if (precedes(block[j * a.inner + i], block[index[i] * a.inner + i])) index[i] = j;
    }
  });
  return best;
}

int checked_axis(const char* name, const Shape& shape, int dim) {
  const int axis = shape.axis(dim);
  if (shape[axis] == 0)
    fail(Kind::usage, "{}: dimension {} of shape {} has no elements", name, axis, shape.str());
  return axis;
}

Shape without_or_one(const Shape& shape, int axis, bool keep) {
  return keep ? shape.with(axis, 1) : shape.without(axis);
}

}  // namespace

Tensor sum(const Tensor& x) {
  const Tensor flat = floats("sum", x).reshape({-1});
  return sum(flat, {0});
}

Tensor sum(const Tensor& x, std::initializer_list<int> dims, bool keep) {
  return scaled_sum("sum", x, reduced_shapes("sum", x.shape(), dims), keep, 1.0f);
}

Tensor mean(const Tensor& x) {
  const Tensor flat = floats("mean", x).reshape({-1});
  return mean(flat, {0});
}

Tensor mean(const Tensor& x, std::initializer_list<int> dims, bool keep) {
  const Reduced shapes = reduced_shapes("mean", x.shape(), dims);
  // The mean of nothing is 0/0, as in PyTorch.
  const float scale = shapes.count > 0 ? 1.0f / static_cast<float>(shapes.count) : NAN;
  return scaled_sum("mean", x, shapes, keep, scale);
}

Tensor max(const Tensor& input, int dim, bool keep) {
  const Tensor x = floats("max", input);
  const int axis = checked_axis("max", x.shape(), dim);
  const Around a = around(x.shape(), axis);
  const auto best = std::make_shared<const std::vector<int64_t>>(first_largest(x.data(), a));
  Tensor y = Tensor::empty(without_or_one(x.shape(), axis, keep));
  const float* from = x.data();
  float* to = y.data();
  for (int64_t o = 0; o < a.outer; ++o)
    for (int64_t i = 0; i < a.inner; ++i) {
      const int64_t j = (*best)[static_cast<size_t>(o * a.inner + i)];
      to[o * a.inner + i] = from[(o * a.n + j) * a.inner + i];
    }
  return record("max", y, {x}, [best, a, shape = x.shape()](const Tensor& dy) -> Grads {
    Tensor dx = Tensor::zeros(shape);
    const float* dy0 = dy.data();
    float* dx0 = dx.data();
    for (int64_t o = 0; o < a.outer; ++o)
      for (int64_t i = 0; i < a.inner; ++i) {
        const int64_t j = (*best)[static_cast<size_t>(o * a.inner + i)];
        dx0[(o * a.n + j) * a.inner + i] = dy0[o * a.inner + i];
      }
    return {dx};
  });
}

Tensor argmax(const Tensor& input, int dim, bool keep) {
  const Tensor x = floats("argmax", input.detach());
  const int axis = checked_axis("argmax", x.shape(), dim);
  const std::vector<int64_t> best = first_largest(x.data(), around(x.shape(), axis));
  return Tensor::from(std::span<const int64_t>(best), without_or_one(x.shape(), axis, keep));
}

std::pair<Tensor, Tensor> topk(const Tensor& input, int64_t k, int dim) {
  const Tensor x = floats("topk", input);
  const int axis = x.shape().axis(dim);
  if (k < 0 || k > x.shape()[axis])
    fail(Kind::usage, "topk: {} of dimension {} of shape {}", k, axis, x.shape().str());
  const Around a = around(x.shape(), axis);
  const Shape shape = x.shape().with(axis, k);
  Tensor index = Tensor::empty(shape, DType::i64);
  int64_t* to = index.data_as<int64_t>();
  const float* from = x.data();
  detail::for_rows(a.outer * a.inner, a.n, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> order(static_cast<size_t>(a.n));
    for (int64_t row = begin; row < end; ++row) {
      const int64_t o = row / a.inner, i = row % a.inner;
      const float* column = from + o * a.n * a.inner + i;
      std::iota(order.begin(), order.end(), int64_t{0});
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int64_t p, int64_t q) {
        const float at_p = column[p * a.inner], at_q = column[q * a.inner];
        if (precedes(at_p, at_q)) return true;
        return !precedes(at_q, at_p) && p < q;
      });
      for (int64_t j = 0; j < k; ++j) to[(o * k + j) * a.inner + i] = order[static_cast<size_t>(j)];
    }
  });
  return {gather(x, axis, index), index};
}

}  // namespace beckon
