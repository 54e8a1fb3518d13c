// What operations share: checked arguments, broadcasting, loops around one dimension.
#pragma once

#include <cstdint>
#include <span>

#include "base/threads.h"
#include "beckon/tensor.h"

namespace beckon::detail {

// Work on fewer elements than this is not worth waking another thread.
constexpr int64_t kParallelElements = int64_t{1} << 16;

// x as contiguous f32, on the tape if it had to be copied. Error(usage) naming the operation if x
// is empty or holds integers.
Tensor floats(const char* operation, const Tensor& x);

// An i64 tensor, contiguous. Error(usage) for other types.
Tensor indices(const char* operation, const Tensor& index);

// The shape that two shapes broadcast to, aligned at the right. Error(usage) if they do not.
Shape broadcast_shape(const char* operation, const Shape& a, const Shape& b);

// A contiguous tensor seen from one of its dimensions: [outer, n, inner].
struct Around {
  int64_t outer = 1, n = 1, inner = 1;
};
Around around(const Shape& shape, int axis);

// body(begin, end) over [0, count) rows of `row` elements each, split when there is enough to do.
template <typename Body>
void for_rows(int64_t count, int64_t row, Body&& body) {
  const int64_t grain = kParallelElements / (row > 0 ? row : 1);
  parallel_for(count, grain > 1 ? grain : 1, static_cast<Body&&>(body));
}

// body(i) for every element.
template <typename Body>
void for_elements(int64_t n, Body&& body) {
  parallel_for(n, kParallelElements, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

}  // namespace beckon::detail
