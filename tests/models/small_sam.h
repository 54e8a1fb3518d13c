// A Segment Anything model small enough for a test, with numbers that are far from trivial.
#pragma once

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "beckon/sam.h"
#include "models/sam/model.h"

namespace beckon::test {

inline Tensor random_tensor(const Shape& shape, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  Tensor x = Tensor::empty(shape);
  float* values = x.data();
  for (int64_t i = 0; i < x.size(); ++i) values[i] = normal(generator);
  return x;
}

// 8 decoder heads as the official files have it, since shapes do not tell their number. The form of
// the decoder for many prompts wants it wider than 32 channels.
inline sam::SamConfig small_config(bool tiny_vit, int64_t dim = 32) {
  sam::SamConfig c;
  c.name = "custom";
  int64_t image = 0, grid = 0;
  if (tiny_vit) {
    sam::TinyVitConfig e;
    e.image = 128;
    e.dims = {8, 16, 20, 24};
    e.depths = {1, 1, 2, 1};
    e.heads = {2, 2, 5, 3};
    e.windows = {7, 7, 6, 4};
    e.out = dim;
    c.encoder = e;
    image = e.image;
    grid = e.grid();
  } else {
    sam::VitConfig e;
    e.image = 96;
    e.dim = 32;
    e.depth = 2;
    e.heads = 4;
    e.window = 4;
    e.global_blocks = {1};
    e.mlp = 64;
    e.out = dim;
    c.encoder = e;
    image = e.image;
    grid = e.grid();
  }
  c.decoder = {.dim = dim, .depth = 2, .heads = 8, .mlp = 48, .iou_hidden = 24};
  c.prompt = {.dim = dim,
              .grid_h = grid,
              .grid_w = grid,
              .image_h = image,
              .image_w = image,
              .mask_channels = 8};
  return c;
}

// Freshly initialised weights are small enough for every attention to be uniform: these are not.
inline void enliven(const std::vector<nn::Parameter>& parameters) {
  uint32_t seed = 100;
  for (nn::Parameter p : parameters) {
    const bool running_var = p.name.ends_with("running_var");
    const bool norm_weight = p.tensor.rank() == 1 && p.name.ends_with("weight");
    const auto fan_in = static_cast<float>(p.tensor.size() / std::max<int64_t>(1, p.tensor.dim(0)));
    Tensor numbers = random_tensor(p.tensor.shape(), seed++,
                                   p.tensor.rank() == 1 ? 0.2f : 1.4f / std::sqrt(fan_in));
    for (int64_t i = 0; (running_var || norm_weight) && i < numbers.size(); ++i)
      numbers.data()[i] = 1.0f + std::abs(numbers.data()[i]);
    p.tensor.copy_from(numbers);
  }
}

inline std::shared_ptr<const sam::SamModel> small_model(bool tiny_vit = false, int64_t dim = 32) {
  const nn::Params p = nn::Params::random(5);
  {
    // Fill the source first: what is derived from weights is made when the model is.
    const sam::SamModel draft(p, small_config(tiny_vit, dim));
    enliven(draft.parameters());
  }
  return std::make_shared<const sam::SamModel>(p, small_config(tiny_vit, dim));
}

inline Image small_picture(int width = 90, int height = 60) {
  Image image(width, height, 3);
  for (int y = 0; y < height; ++y) {
    uint8_t* row = image.mutable_row(y);
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        *row++ =
            static_cast<uint8_t>(128 + 100 * std::sin(0.11 * x * (c + 1)) * std::cos(0.07 * y));
  }
  return image;
}

}  // namespace beckon::test
