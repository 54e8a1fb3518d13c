// Networks of random numbers in files, small enough to learn in a moment. Header-only: a test that
// includes it links beckon_models.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "beckon/checkpoint.h"
#include "models/resnet/resnet.h"
#include "models/swin/swin.h"
#include "models/vit/vit.h"

namespace beckon::test {

template <typename Model, typename Config>
void write_random_network(const std::string& path, const Config& config, float scale) {
  const nn::Params params = nn::Params::random(3);
  const Model model(params, config);
  std::vector<Tensor> tensors;
  std::vector<TensorBytes> bytes;
  for (const nn::Parameter& p : params.taken()) {
    // Random weights are small: as they are, all pictures would be alike.
    const bool weight = p.tensor.rank() >= 2;
    tensors.push_back(weight ? p.tensor * scale : p.tensor);
    bytes.push_back({p.name, DType::f32, p.tensor.shape(),
                     std::as_bytes(std::as_const(tensors.back()).values())});
  }
  write_safetensors(path, bytes);
}

// A ViT of 16 x 16 pixels in patches of 4, 64 wide, with a head of 12 classes.
inline void write_small_vit(const std::string& path, int64_t depth = 3) {
  vit::VitConfig c;
  c.image = 16;
  c.patch = 4;
  c.dim = 64;
  c.heads = 1;
  c.depth = depth;
  c.mlp = 96;
  c.classes = 12;
  write_random_network<vit::Vit>(path, c, 4);
}

// A Swin of 32 x 32 pixels: two stages, windows of 4.
inline void write_small_swin(const std::string& path) {
  swin::SwinConfig c;
  c.image = 32;
  c.patch = 2;
  c.dim = 8;
  c.mlp_ratio = 2;
  c.stages = {{2, 2, 4}, {2, 2, 4}};
  write_random_network<swin::Swin>(path, c, 6);
}

}  // namespace beckon::test
