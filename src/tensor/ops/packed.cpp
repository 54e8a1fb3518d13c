#include "tensor/ops/packed.h"

#include <utility>

#include "kernels/depthwise.h"

namespace beckon::detail {

std::shared_ptr<const kernels::PackedMatrix> packed_transposed(const Tensor& weight) {
  static const char key = 0;
  return derived<kernels::PackedMatrix>(weight, &key, [&] {
    const Tensor w = weight.detach().to(DType::f32).contiguous();
    const int64_t n = w.dim(0), k = n == 0 ? 0 : w.size() / n;
    return kernels::pack(std::as_const(w).data(), k, n, 1, k, kernels::Life::model);
  });
}

std::shared_ptr<const kernels::PackedMatrix> packed_plain(const Tensor& weight) {
  static const char key = 0;
  return derived<kernels::PackedMatrix>(weight, &key, [&] {
    const Tensor w = weight.detach().to(DType::f32).contiguous();
    const int64_t n = w.dim(0), k = n == 0 ? 0 : w.size() / n;
    return kernels::pack(std::as_const(w).data(), n, k, k, 1, kernels::Life::model);
  });
}

std::shared_ptr<const std::vector<float>> packed_taps(const Tensor& weight) {
  static const char key = 0;
  return derived<std::vector<float>>(weight, &key, [&] {
    const Tensor w = weight.detach().to(DType::f32).contiguous();
    return kernels::depthwise_taps(w.data(), w.dim(0), w.dim(2) * w.dim(3));
  });
}

}  // namespace beckon::detail
