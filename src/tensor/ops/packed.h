// Weights in the panel layout of the matrix product, made once for frozen parameters.
#pragma once

#include <memory>

#include "kernels/gemm.h"
#include "tensor/tape.h"

namespace beckon::detail {

// weight [N,K...], its trailing dimensions taken together, as the right-hand side [K,N] of x w^T.
std::shared_ptr<const kernels::PackedMatrix> packed_transposed(const Tensor& weight);
// The same weight as the right-hand side [N,K] of dy w.
std::shared_ptr<const kernels::PackedMatrix> packed_plain(const Tensor& weight);

}  // namespace beckon::detail
