// BiT: a pre-activation ResNet with group norms and standardised convolution weights.
// Kolesnikov et al., "Big Transfer (BiT): General Visual Representation Learning".
//
// Letters: B images, H and W of a map, C channels.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "nn/layers.h"

namespace beckon::bit {

struct BitConfig {
  struct Stage {
    int64_t units = 0, mid = 0, out = 0;
  };
  int64_t root = 64;
  std::array<Stage, 4> stages = {};
  int64_t classes = 0;  // 0: there is no head

  int64_t features() const { return stages[3].out; }
};

// The published npz ("resnet/block1/unit01/a/standardized_conv2d/kernel") under the names and in
// the layouts of the authors' PyTorch form, which Bit takes ("block1.unit01.conv1.weight").
// Error(model) that names the tensor if one is missing or does not fit.
nn::Params from_npz(const nn::Params& npz, const BitConfig& config);
BitConfig detect_npz(const nn::Params& npz);
bool holds_bit(const nn::Params& file);

// A convolution without bias whose filters have mean 0 and deviation 1.
class StdConv {
 public:
  StdConv(const nn::Params& p, int64_t in, int64_t out, int64_t kernel, const Conv& conv);
  Tensor operator()(const Tensor& x, const Fused& fused = {}) const;

 private:
  Tensor weight_;
  Conv conv_;
  nn::Derived<Tensor> standardised_;
};

// relu(group_norm(x))
struct NormRelu {
  Tensor gamma, beta;

  NormRelu(const nn::Params& p, int64_t channels);
  Tensor operator()(const Tensor& x) const;
};

struct Unit {
  NormRelu gn1, gn2, gn3;
  StdConv conv1, conv2, conv3;
  std::optional<StdConv> downsample;

  Unit(const nn::Params& p, int64_t in, int64_t mid, int64_t out, int64_t stride);
  Tensor forward(const Tensor& x) const;
};

class Bit {
 public:
  Bit(const nn::Params& p, const BitConfig& config);

  // image [B,H,W,3] in [-1,1] -> the mean over the last map [B,features()]
  Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const;
  // Error(usage) if there is no head.
  Tensor logits(const Tensor& feature) const;

 private:
  StdConv root_;
  std::array<std::vector<Unit>, 4> blocks_;
  NormRelu norm_;
  std::optional<nn::Conv2d> head_;
};

}  // namespace beckon::bit
