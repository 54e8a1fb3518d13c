#include "tensor/ops/common.h"

#include <algorithm>

#include "base/fail.h"

namespace beckon::detail {

Tensor floats(const char* operation, const Tensor& x) {
  if (!x.defined()) fail(Kind::usage, "{}: an argument is an empty tensor", operation);
  switch (x.dtype()) {
    case DType::f32:
      return x.contiguous();
    case DType::f16:
    case DType::bf16:
      return x.to(DType::f32);
    default:
      fail(Kind::usage, "{}: a tensor of {} with shape {}; it must hold floats", operation,
           name_of(x.dtype()), x.shape().str());
  }
}

Tensor indices(const char* operation, const Tensor& index) {
  if (!index.defined() || index.dtype() != DType::i64)
    fail(Kind::usage, "{}: the indices are {}; they must be i64", operation,
         index.defined() ? name_of(index.dtype()) : "missing");
  return index.contiguous();
}

Shape broadcast_shape(const char* operation, const Shape& a, const Shape& b) {
  Shape result = a.rank() >= b.rank() ? a : b;
  const Shape& shorter = a.rank() >= b.rank() ? b : a;
  const int extra = result.rank() - shorter.rank();
  for (int i = 0; i < shorter.rank(); ++i) {
    int64_t& size = result[i + extra];
    if (size == shorter[i] || shorter[i] == 1) continue;
    if (size != 1)
      fail(Kind::usage, "{}: shapes {} and {} do not broadcast", operation, a.str(), b.str());
    size = shorter[i];
  }
  return result;
}

Around around(const Shape& shape, int axis) {
  Around result;
  for (int i = 0; i < axis; ++i) result.outer *= shape[i];
  result.n = shape[axis];
  for (int i = axis + 1; i < shape.rank(); ++i) result.inner *= shape[i];
  return result;
}

}  // namespace beckon::detail
