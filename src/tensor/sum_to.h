// Sums over some dimensions, the heart of every reduction and of the gradient of broadcasting.
#pragma once

#include "beckon/tensor.h"

namespace beckon::detail {

// Adds up the dimensions along which `target` was repeated (broadcast) to give x's shape: those of
// size 1 in target, and those that it lacks at the left. x f32. The order of every sum depends on
// the shapes alone. Leaves no trace on the tape; x itself if the shapes are equal.
Tensor sum_to(const Tensor& x, const Shape& target);

}  // namespace beckon::detail
