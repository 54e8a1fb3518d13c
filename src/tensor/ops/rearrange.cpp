// Elements moved to other places: joining, cutting, padding, rolling, mirroring. All element types.
#include <algorithm>
#include <cstring>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/copy.h"
#include "tensor/ops/common.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::copy_strided;

// A part of a fresh tensor, to be written.
Tensor window(const Tensor& x, const Shape& begin, const Shape& sizes) {
  int64_t offset = x.impl()->offset;
  for (int i = 0; i < x.rank(); ++i) offset += begin[i] * x.strides()[i];
  return detail::view_of(x, sizes, x.strides(), offset);
}

Shape origin(int rank) {
  Shape zeros;
  for (int i = 0; i < rank; ++i) zeros.push_back(0);
  return zeros;
}

void check_dtype(const char* name, const Tensor& first, const Tensor& part) {
  if (first.dtype() != part.dtype())
    fail(Kind::usage, "{}: parts of {} and of {}", name, beckon::name_of(first.dtype()),
         beckon::name_of(part.dtype()));
}

// y[(i + shift) mod n] = x[i] along one dimension, for a shift in [0, n). No trace.
Tensor rolled(const Tensor& x, int axis, int64_t shift) {
  const int64_t n = x.shape()[axis];
  Tensor y = Tensor::like(x);
  const Shape zero = origin(x.rank());
  const Tensor head = x.slice(axis, 0, n - shift), tail = x.slice(axis, n - shift, n);
  copy_strided(head, window(y, zero.with(axis, shift), head.shape()));
  copy_strided(tail, window(y, zero, tail.shape()));
  return y;
}

Tensor roll_all(Tensor x, std::span<const int64_t> shifts, std::span<const int> axes) {
  NoGrad no_grad;
  for (size_t k = 0; k < axes.size(); ++k) {
    if (shifts[k] != 0) x = rolled(x, axes[k], shifts[k]);
  }
  return x.contiguous();
}

// Mirrored along the marked dimensions, whole rows at a time where the last is not among them.
Tensor flip_all(const Tensor& input, std::span<const int> axes) {
  NoGrad no_grad;
  const Tensor x = input.contiguous();
  Tensor y = Tensor::like(x);
  if (x.size() == 0) return y;
  bool mirrored[Shape::kMaxRank] = {};
  for (int axis : axes) mirrored[axis] = true;
  const int rank = x.rank();
  int inner_dims = 0;  // at the end, untouched
  int64_t inner = 1;
  while (inner_dims < rank && !mirrored[rank - 1 - inner_dims]) inner *= x.dim(rank - ++inner_dims);
  const size_t bytes = static_cast<size_t>(inner) * size_of(x.dtype());
  const std::byte* from =
      x.impl()->storage->data + static_cast<size_t>(x.impl()->offset) * size_of(x.dtype());
  std::byte* to = y.impl()->storage->data;
  detail::for_rows(x.size() / inner, inner, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t index = row, source = 0, step = 1;
      for (int i = rank - inner_dims - 1; i >= 0; --i) {
        const int64_t n = x.dim(i), position = index % n;
        source += (mirrored[i] ? n - 1 - position : position) * step;
        step *= n;
        index /= n;
      }
      std::memcpy(to + static_cast<size_t>(row) * bytes, from + static_cast<size_t>(source) * bytes,
                  bytes);
    }
  });
  return y;
}

}  // namespace

Tensor concat(std::span<const Tensor> parts, int dim) {
  if (parts.empty()) fail(Kind::usage, "concat of no tensors");
  const Tensor& first = parts[0];
  const int axis = first.shape().axis(dim);
  Shape shape = first.shape().with(axis, 0);
  for (const Tensor& part : parts) {
    check_dtype("concat", first, part);
    if (part.rank() != first.rank() || !(part.shape().with(axis, 0) == first.shape().with(axis, 0)))
      fail(Kind::usage, "concat along dimension {}: shapes {} and {}", axis, first.shape().str(),
           part.shape().str());
    shape[axis] += part.shape()[axis];
  }
  Tensor y = Tensor::empty(shape, first.dtype());
  Shape at = origin(shape.rank());
  std::vector<int64_t> sizes;
  for (const Tensor& part : parts) {
    copy_strided(part, window(y, at, part.shape()));
    at[axis] += part.shape()[axis];
    sizes.push_back(part.shape()[axis]);
  }
  const std::vector<Tensor> inputs(parts.begin(), parts.end());
  std::vector<bool> wanted;
  for (const Tensor& part : parts) wanted.push_back(part.requires_grad());
  return record("concat", y, inputs, [axis, sizes, wanted](const Tensor& dy) -> Grads {
    Grads grads(sizes.size());
    int64_t begin = 0;
    for (size_t i = 0; i < sizes.size(); begin += sizes[i++])
      if (wanted[i]) grads[i] = dy.slice(axis, begin, begin + sizes[i]);
    return grads;
  });
}

Tensor concat(std::initializer_list<Tensor> parts, int dim) {
  return concat(std::span<const Tensor>(parts.begin(), parts.size()), dim);
}

Tensor stack(std::initializer_list<Tensor> parts, int dim) {
  std::vector<Tensor> raised;
  for (const Tensor& part : parts) raised.push_back(part.unsqueeze(dim));
  return concat(raised, dim);
}

std::vector<Tensor> split(const Tensor& x, std::span<const int64_t> sizes, int dim) {
  const int axis = x.shape().axis(dim);
  int64_t total = 0;
  for (int64_t size : sizes)
    if (size < 0 || __builtin_add_overflow(total, size, &total)) total = -1;
  if (total != x.shape()[axis])
    fail(Kind::usage, "split of dimension {} of shape {}: the sizes do not add up to {}", axis,
         x.shape().str(), x.shape()[axis]);
  std::vector<Tensor> parts;
  int64_t begin = 0;
  for (int64_t size : sizes) {
    parts.push_back(x.slice(axis, begin, begin + size));
    begin += size;
  }
  return parts;
}

std::vector<Tensor> split(const Tensor& x, std::initializer_list<int64_t> sizes, int dim) {
  return split(x, std::span<const int64_t>(sizes.begin(), sizes.size()), dim);
}

Tensor pad(const Tensor& x, const Shape& before, const Shape& after, float value) {
  if (before.rank() != x.rank() || after.rank() != x.rank())
    fail(Kind::usage, "pad: {} before and {} after for a tensor of shape {}", before.str(),
         after.str(), x.shape().str());
  Shape shape = x.shape();
  for (int i = 0; i < x.rank(); ++i) {
    if (before[i] < 0 || after[i] < 0 || __builtin_add_overflow(shape[i], before[i], &shape[i]) ||
        __builtin_add_overflow(shape[i], after[i], &shape[i]))
      fail(Kind::usage, "pad: {} before and {} after of shape {}", before.str(), after.str(),
           x.shape().str());
  }
  Tensor y =
      value == 0.0f ? Tensor::zeros(shape, x.dtype()) : Tensor::full(shape, value).to(x.dtype());
  copy_strided(x, window(y, before, x.shape()));
  return record("pad", y, {x}, [before, inside = x.shape()](const Tensor& dy) -> Grads {
    return {window(dy, before, inside)};
  });
}

Tensor roll(const Tensor& x, std::initializer_list<int64_t> shifts,
            std::initializer_list<int> dims) {
  if (shifts.size() != dims.size())
    fail(Kind::usage, "roll: {} shifts for {} dimensions", shifts.size(), dims.size());
  std::vector<int64_t> forth, back;  // within [0, size)
  std::vector<int> axes;
  for (size_t k = 0; k < dims.size(); ++k) {
    axes.push_back(x.shape().axis(dims.begin()[k]));
    const int64_t n = std::max<int64_t>(x.shape()[axes.back()], 1);
    forth.push_back((shifts.begin()[k] % n + n) % n);
    back.push_back((n - forth.back()) % n);
  }
  Tensor y = roll_all(x.detach(), forth, axes);
  if (y.impl()->storage == x.impl()->storage) y = y.clone();
  return record("roll", y, {x},
                [back, axes](const Tensor& dy) -> Grads { return {roll_all(dy, back, axes)}; });
}

Tensor flip(const Tensor& x, std::initializer_list<int> dims) {
  std::vector<int> axes;
  for (int dim : dims) {
    axes.push_back(x.shape().axis(dim));
    if (std::count(axes.begin(), axes.end(), axes.back()) > 1)
      fail(Kind::usage, "flip: dimension {} is named twice", dim);
  }
  return record("flip", flip_all(x.detach(), axes), {x},
                [axes](const Tensor& dy) -> Grads { return {flip_all(dy, axes)}; });
}

}  // namespace beckon
