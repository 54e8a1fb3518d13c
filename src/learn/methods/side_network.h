// The side network of side-tuning: AlexNet's convolutions, and a gate between its feature and the
// big network's. Zhang et al., "Side-Tuning"; Krizhevsky, "One weird trick for parallelizing
// convolutional neural networks".
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "beckon/checkpoint.h"
#include "beckon/ops.h"
#include "learn/methods/learner.h"

namespace beckon::learn {

class SideNetwork {
 public:
  using Widths = std::array<int64_t, 5>;
  static constexpr Widths kAlexNet = {64, 192, 384, 256, 256};
  using Own = std::function<Tensor(const std::string& name, Tensor tensor, bool trainable)>;

  // Adds side_alpha, side.features.{0,3,6,8,10}.{weight,bias} and side_projection.weight to `own`.
  SideNetwork(const Widths& widths, int64_t dim, Random& random, const Own& own);

  // feature [B,D], images [B,S,S,3] -> s * feature + (1-s) * projection(side(images)), s =
  // sigmoid(side_alpha). Error(usage) for images under 63 pixels a side, of which nothing is left.
  Tensor mix(const Tensor& feature, const Tensor& images) const;

  // torchvision's AlexNet ("features.0.weight", ...). Error(model) if it does not fit.
  void load(const Checkpoint& alexnet);

 private:
  struct Layer {
    Tensor weight, bias;
    Conv conv;
    bool pooled;
    std::string name;
  };
  std::vector<Layer> layers_;
  Tensor alpha_, projection_;
};

}  // namespace beckon::learn
