#include "models/sam/image_encoder.h"

#include "models/sam/image_encoder_tiny_vit.h"
#include "models/sam/image_encoder_vit.h"

namespace beckon::sam {
namespace {
constexpr float kNeckNormEps = 1e-6f;
}

Neck::Neck(const nn::Params& p, int64_t in, int64_t out)
    : conv1(p / 0, in, out, 1, {}, false),
      norm1(p / 1, out, kNeckNormEps),
      conv2(p / 2, out, out, 3, Conv().padding(1), false),
      norm2(p / 3, out, kNeckNormEps) {}

Tensor Neck::operator()(const Tensor& x, const nn::Watch& watch) const {
  Tensor y = conv1(x);
  if (watch) watch("neck0", y);
  y = norm1(y);
  if (watch) watch("neck1", y);
  return norm2(conv2(y));
}

std::unique_ptr<ImageEncoder> make_image_encoder(const nn::Params& p, const SamConfig& config) {
  if (const auto* vit = std::get_if<VitConfig>(&config.encoder))
    return std::make_unique<VitEncoder>(p, *vit);
  return std::make_unique<TinyVitEncoder>(p, std::get<TinyVitConfig>(config.encoder));
}

}  // namespace beckon::sam
