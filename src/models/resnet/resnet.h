// ResNet and ResNeXt with torchvision's names: bottlenecks, or the plain blocks of ResNet-18 and
// 34. He et al., "Deep Residual Learning for Image Recognition"; Xie et al., "Aggregated Residual
// Transformations for Deep Neural Networks".
//
// Letters: B images, H and W of a map, C channels.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "nn/layers.h"

namespace beckon::resnet {

struct ResNetConfig {
  struct Stage {
    int64_t depth = 0, mid = 0, out = 0;  // width of the 3x3 convolution and of the result
  };
  int64_t stem = 64, groups = 1;
  bool bottleneck = true;
  std::array<Stage, 4> stages = {};
  int64_t classes = 0;  // 0: there is no head

  int64_t features() const { return stages[3].out; }
};

ResNetConfig detect(const nn::Params& file);
bool holds_resnet(const nn::Params& file);

// 1x1, 3x3 (with the stride and the groups), 1x1; or two of 3x3. Batch norms use their running
// statistics.
class Block {
 public:
  Block(const nn::Params& p, const ResNetConfig& c, int64_t in, const ResNetConfig::Stage& stage,
        int64_t stride);
  Tensor forward(const Tensor& x) const;

 private:
  std::vector<nn::ConvBN> convs_;
  std::optional<nn::ConvBN> downsample_;
};

class ResNet {
 public:
  ResNet(const nn::Params& p, const ResNetConfig& config);

  // image [B,H,W,3], normalised -> the mean over the last map [B,features()]
  Tensor forward(const Tensor& image, const nn::Watch& watch = {}) const;
  // Error(usage) if there is no head.
  Tensor logits(const Tensor& feature) const;

  const ResNetConfig& config() const { return config_; }

 private:
  ResNetConfig config_;
  nn::ConvBN conv1_;
  std::array<std::vector<Block>, 4> layers_;
  std::optional<nn::Linear> fc_;
};

}  // namespace beckon::resnet
