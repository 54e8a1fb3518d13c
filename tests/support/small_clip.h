// A CLIP of random numbers, small but for its vocabulary, which is the published one. Header-only:
// a test that includes it links beckon_models.
#pragma once

#include <string>
#include <vector>

#include "beckon/checkpoint.h"
#include "models/clip/clip.h"

namespace beckon::test {

inline void write_small_clip(const std::string& path, int64_t vocabulary = 49408) {
  clip::ClipConfig c;
  c.embed = 16;
  c.image = 32;
  c.patch = 8;
  c.vision_width = 32;
  c.vision_layers = 2;
  c.text_width = 8;
  c.text_layers = 2;
  c.context = 12;
  c.vocabulary = vocabulary;
  const nn::Params params = nn::Params::random(7);
  const clip::Clip model(params, c);
  std::vector<Tensor> tensors;
  std::vector<std::string> names;
  for (const nn::Parameter& p : params.taken()) {
    // Random parameters are small: as they are, all texts would be alike.
    Tensor t = p.tensor.contiguous();
    if (p.name == "logit_scale") t = Tensor::full({}, 3.0f);
    if (p.name.ends_with("token_embedding.weight") || p.name.ends_with("proj_weight"))
      t = t * 20.0f;
    names.push_back(p.name);
    tensors.push_back(t);
  }
  std::vector<TensorBytes> list;
  for (size_t i = 0; i < tensors.size(); ++i)
    list.push_back({names[i], DType::f32, tensors[i].shape(),
                    std::as_bytes(std::as_const(tensors[i]).values())});
  write_safetensors(path, list);
}

}  // namespace beckon::test
