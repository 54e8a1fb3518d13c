// Blocks that several models share. Each holds its parameters under their official names and has
// one forward for inference and for learning.
//
// Letters: B batch, N tokens, C channels, H and W height and width. Maps are [B,H,W,C].
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "beckon/ops.h"
#include "nn/derived.h"
#include "nn/params.h"

namespace beckon::nn {

// Is told the result of each stage of a forward, for tests and for looking inside.
using Watch = std::function<void(const std::string& stage, const Tensor& value)>;

// x [...,in] -> [...,out]
struct Linear {
  Tensor weight, bias;

  Linear(const Params& p, int64_t in, int64_t out);
  Tensor operator()(const Tensor& x, const Fused& fused = {}) const {
    return linear(x, weight, bias, fused);
  }
};

// Over the last dimension. On a map this is what SAM calls LayerNorm2d.
struct LayerNorm {
  Norm norm;

  LayerNorm(const Params& p, int64_t channels, float eps = 1e-5f);
  Tensor operator()(const Tensor& x) const {
    return layer_norm(x, norm.gamma, norm.beta, norm.eps);
  }
};

// linear(norm(x)), in one pass over x.
inline Tensor normed_linear(const LayerNorm& norm, const Linear& linear, const Tensor& x,
                            const Fused& fused = {}) {
  return norm_linear(x, norm.norm, linear.weight, linear.bias, fused);
}

// second(activation(first(x))). The layers' names differ between models: "lin1"/"lin2",
// "fc1"/"fc2".
struct Mlp {
  Linear first, second;
  Activation activation;

  struct Names {
    const char* first = "lin1";
    const char* second = "lin2";
  };
  Mlp(const Params& p, int64_t channels, int64_t hidden, Activation activation, Names names);

  Tensor operator()(const Tensor& x) const { return second(first(x, {activation})); }
  // x + second(activation(first(norm(x)))): the residual branch of a transformer block.
  Tensor add_to(const Tensor& x, const LayerNorm& norm) const {
    return feed_forward(x, weights(norm));
  }
  FeedForward weights(const LayerNorm& norm) const {
    return {.norm = norm.norm,
            .fc1 = first.weight,
            .fc1_bias = first.bias,
            .fc2 = second.weight,
            .fc2_bias = second.bias,
            .activation = activation};
  }
};

// A convolution with bias.
struct Conv2d {
  Tensor weight, bias;  // bias may be empty
  Conv conv;

  // weight [out, in/groups, kernel, kernel]
  Conv2d(const Params& p, int64_t in, int64_t out, int64_t kernel, const Conv& conv,
         bool with_bias = true);
  Tensor operator()(const Tensor& x, const Fused& fused = {}) const {
    return conv2d(x, weight, bias, conv, fused);
  }
};

// A convolution without bias ("c") and a batch norm ("bn") that always uses its running statistics.
// Frozen, the norm is folded into weight and bias: w * g/sqrt(var+eps), beta - mean *
// g/sqrt(var+eps).
class ConvBN {
 public:
  ConvBN(const Params& p, int64_t in, int64_t out, int64_t kernel, const Conv& conv,
         float eps = 1e-5f);
  // With other names than "c" and "bn": the paths of the two.
  ConvBN(const Params& conv_params, const Params& norm_params, int64_t in, int64_t out,
         int64_t kernel, const Conv& conv, float eps = 1e-5f);
  Tensor operator()(const Tensor& x, const Fused& fused = {}) const;

  struct Folded {
    Tensor weight, bias;
  };
  std::shared_ptr<const Folded> folded() const;
  const Conv& conv() const { return conv_; }

 private:
  Tensor weight_, gamma_, beta_, mean_, variance_;
  Conv conv_;
  float eps_;
  Derived<Folded> folded_;
};

}  // namespace beckon::nn
