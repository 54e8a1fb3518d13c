// CLIP: a picture and a text meet in one space.
// Radford et al., "Learning Transferable Visual Models From Natural Language Supervision".
//
// Letters: B images or texts, N tokens, C channels of a tower, E of the space they share.
// Parameters carry the names of OpenAI's files.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "nn/layers.h"

namespace beckon::clip {

struct ClipConfig {
  int64_t embed = 512, image = 224;
  // The picture's tower: a transformer if patch > 0, else the modified ResNet.
  int64_t patch = 32, vision_width = 768, vision_layers = 12;
  std::array<int64_t, 4> vision_blocks = {};
  int64_t context = 77, vocabulary = 49408;
  int64_t text_width = 512, text_layers = 12;
  Activation activation = Activation::quick_gelu;

  bool is_vit() const { return patch > 0; }
  int64_t grid() const { return is_vit() ? image / patch : image / 32; }
};

// The towers' heads are all 64 channels wide.
constexpr int64_t kHeadWidth = 64;

// OpenAI's files and Hugging Face's CLIPModel under OpenAI's names. Error(model) if the file is
// neither.
nn::Params official_names(const nn::Params& file);
bool holds_clip(const nn::Params& file);
// The sizes in a file with OpenAI's names. Error(model) that names the tensor if there are none.
ClipConfig detect(const nn::Params& file);

// x + attention(ln_1(x)), x + mlp(ln_2(x))
class ResidualAttentionBlock {
 public:
  ResidualAttentionBlock(const nn::Params& p, int64_t width, Activation activation);
  // x [B,N,C]; `mask` [N,N] is added to the scores if defined. `rows`: how many tokens are wanted,
  // from the first; 0 for all.
  Tensor forward(const Tensor& x, const Tensor& mask = {}, int64_t rows = 0) const;

 private:
  nn::LayerNorm ln_1_;
  Tensor in_weight_, in_bias_;  // query, key, value, one below the other
  nn::Linear out_;
  nn::LayerNorm ln_2_;
  nn::Mlp mlp_;
  int64_t heads_;
};

class VisionTransformer {
 public:
  VisionTransformer(const nn::Params& p, const ClipConfig& c);
  // image [B,S,S,3], normalised -> tokens [B,1+grid^2,C] as the first block sees them
  Tensor embed(const Tensor& image) const;
  // tokens -> [B,E] of the first one
  Tensor encode(Tensor tokens, const nn::Watch& watch = {}) const;

 private:
  int64_t image_;
  nn::Conv2d conv1_;
  Tensor class_embedding_, positional_embedding_;
  nn::LayerNorm ln_pre_, ln_post_;
  std::vector<ResidualAttentionBlock> blocks_;
  Tensor proj_;  // [C,E]
};

// Three convolutions at the start, average pooling where ResNet has strides, attention at the end.
class ModifiedResNet {
 public:
  ModifiedResNet(const nn::Params& p, const ClipConfig& c);
  Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const;

 private:
  struct Bottleneck {
    nn::ConvBN conv1, conv2, conv3;
    std::optional<nn::ConvBN> downsample;
    int64_t stride;

    Bottleneck(const nn::Params& p, int64_t in, int64_t planes, int64_t stride);
    Tensor forward(const Tensor& x) const;
  };
  Tensor pool(const Tensor& x) const;

  nn::ConvBN conv1_, conv2_, conv3_;
  std::array<std::vector<Bottleneck>, 4> layers_;
  Tensor positional_embedding_;
  nn::Linear query_, key_, value_, out_;
  int64_t image_, heads_;
};

class TextTransformer {
 public:
  TextTransformer(const nn::Params& p, const ClipConfig& c);
  // ids i64 [B,N], N at most the context: the feature at each text's largest id, its end [B,E].
  Tensor forward(const Tensor& ids, const nn::Watch& watch = {}) const;
  int64_t context() const { return positional_embedding_.dim(0); }

 private:
  Tensor token_embedding_, positional_embedding_;
  std::vector<ResidualAttentionBlock> blocks_;
  nn::LayerNorm ln_final_;
  Tensor text_projection_;  // [C,E]
};

class Clip {
 public:
  Clip(const nn::Params& p, const ClipConfig& config);

  // image [B,S,S,3], normalised -> [B,E], not yet of length 1
  Tensor encode_image(const Tensor& image, const nn::Watch& watch = {}) const;
  Tensor encode_text(const Tensor& ids, const nn::Watch& watch = {}) const;
  // exp(logit_scale) times the cosines: images [B,E], texts [T,E] -> [B,T]
  Tensor logits_per_image(const Tensor& images, const Tensor& texts) const;

  const ClipConfig& config() const { return config_; }

 private:
  ClipConfig config_;
  std::variant<VisionTransformer, ModifiedResNet> visual_;
  TextTransformer text_;
  Tensor logit_scale_;  // a scalar
};

// Rows of length 1.
Tensor normalised(const Tensor& x);

}  // namespace beckon::clip
