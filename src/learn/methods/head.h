// The new head of a task: k-1 times [Linear, ReLU, BatchNorm, Dropout 0.1], then a last layer.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "learn/methods/learner.h"

namespace beckon::learn {

class Head {
 public:
  using Own = std::function<Tensor(const std::string& name, Tensor tensor, bool trainable)>;
  // `hidden` layers of width `dim` before the last one: 0 is a linear head, 2 the paper's MLP-3.
  // Tensors are given to `own` by the reference's names ("head.projection.4.weight").
  Head(int64_t dim, int64_t classes, int64_t hidden, Random& random, const Own& own);

  // feature [B,D] -> [B,C]. In training the norms use the batch's statistics and note them with
  // momentum 0.1; a batch of one picture has none, then Error(usage).
  Tensor operator()(const Tensor& feature, Pass& pass) const;
  // 0.1 in the reference.
  float dropout_probability = 0.1f;

 private:
  struct Layer {
    Tensor weight, bias;                 // of the linear part
    Tensor gamma, beta, mean, variance;  // of the norm
  };
  std::vector<Layer> hidden_;
  Tensor weight_, bias_;
};

}  // namespace beckon::learn
