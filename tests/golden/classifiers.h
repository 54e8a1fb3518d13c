// What the goldens of image classifiers have in common: an image, a target, logits, a loss, and
// gradients.
#pragma once

#include <functional>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "nn/layers.h"
#include "support/golden_tensors.h"

namespace beckon::test {

using Parameters = std::map<std::string, Tensor>;

inline Parameters by_name(const nn::Params& params, const std::string& before = "") {
  Parameters result;
  for (const nn::Parameter& p : params.taken()) result[before + p.name] = p.tensor;
  return result;
}

// Watches stages: tokens and vectors as they are, maps [B,H,W,C] with their channels first if
// `planes`.
inline nn::Watch stages(const Golden& golden, bool planes) {
  return [&golden, planes](const std::string& stage, const Tensor& x) {
    expect_golden(golden, "mid." + stage, planes && x.rank() == 4 ? channels_first(x) : x);
  };
}

// `logits_of` gets the image as [B,H,W,3]. Gradients are "grad.image" and "grad.<parameter>".
inline void check_classifier(const Golden& golden, const Parameters& parameters,
                             const std::function<Tensor(const Tensor& image)>& logits_of) {
  const Arrays& io = golden.tensors("io");
  Tensor planes = tensor(io.at("in.image"));
  const auto of = [&](const std::string& grad) -> Tensor {
    if (grad == "grad.image") return planes;
    const auto found = parameters.find(grad.substr(5));
    if (found == parameters.end()) {
      ADD_FAILURE() << golden.name << ": no parameter for " << grad;
      return {};
    }
    return found->second;
  };
  for (const auto& [name, array] : io)
    if (name.starts_with("grad."))
      if (Tensor x = of(name); x.defined()) x.set_requires_grad();

  const Tensor logits = logits_of(planes.permute({0, 2, 3, 1}));
  expect_golden(golden, io.has("out.logits") ? "out.logits" : "out.logits_per_image", logits);
  const Tensor loss = cross_entropy(logits, tensor(io.at("in.target")));
  expect_golden(golden, "out.loss", loss);
  if (!loss.requires_grad()) return;
  loss.backward();
  int compared = 0;
  for (const auto& [name, array] : io) {
    if (!name.starts_with("grad.")) continue;
    const Tensor x = of(name);
    if (!x.defined()) continue;
    ASSERT_TRUE(x.grad().defined()) << name;
    expect_golden(golden, name, x.grad());
    ++compared;
  }
  EXPECT_GE(compared, golden.is_own() ? 2 : 0);
}

}  // namespace beckon::test
