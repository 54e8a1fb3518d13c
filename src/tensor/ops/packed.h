// Weights in the panel layout of the matrix product, made once for frozen parameters.
#pragma once

#include <memory>
#include <vector>

#include "kernels/gemm.h"
#include "tensor/tape.h"

namespace beckon::detail {

// weight [N,K...], its trailing dimensions taken together, as the right-hand side [K,N] of x w^T.
std::shared_ptr<const kernels::PackedMatrix> packed_transposed(const Tensor& weight);
// The same weight as the right-hand side [N,K] of dy w.
std::shared_ptr<const kernels::PackedMatrix> packed_plain(const Tensor& weight);

// A depth-wise weight [C,1,kh,kw] as taps [kh*kw, C].
std::shared_ptr<const std::vector<float>> packed_taps(const Tensor& weight);

}  // namespace beckon::detail
