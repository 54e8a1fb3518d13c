// Moving elements between tensors of different strides and types.
#pragma once

#include "beckon/tensor.h"

namespace beckon::detail {

// to[i] = from[i] for every index; same shape and element type, any strides; the two do not
// overlap.
void copy_strided(const Tensor& from, Tensor& to);
inline void copy_strided(const Tensor& from, Tensor&& to) { copy_strided(from, to); }

// Contiguous to contiguous, another element type. Floats become integers by truncation, what is out
// of range the nearest integer of the type, NaN zero; anything non-zero is true.
void convert(const Tensor& from, Tensor& to);

}  // namespace beckon::detail
