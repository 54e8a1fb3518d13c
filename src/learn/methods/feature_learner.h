// Methods that leave a network's forward pass as it is: a head on its feature (linear, MLP-k), some
// of its own tensors learning (full, bias, partial), or a second small network beside it.
#pragma once

#include <memory>
#include <optional>

#include "learn/methods/head.h"
#include "learn/methods/side_network.h"

namespace beckon::learn {

struct FeatureOptions {
  int64_t classes = 2;
  int64_t hidden = 0;  // layers of the head before its last one
  // Side-tuning. The widths of AlexNet's convolutions.
  bool side = false;
  SideNetwork::Widths side_widths = SideNetwork::kAlexNet;
};

class FeatureLearner : public Learner {
 public:
  FeatureLearner(const Backbone& backbone, const FeatureOptions& options, Random& random);

  // The feature, if nothing but the head learns.
  Tensor prefix(const Tensor& images) const override;
  bool has_prefix() const override;
  Tensor logits(const Tensor& prefix, Pass& pass) const override;

  Head& head() { return *head_; }
  // AlexNet's file for the network beside; Error(model) if it does not fit.
  void load_side(const Checkpoint& alexnet) { side_->load(alexnet); }

 private:
  Tensor feature(const Tensor& images) const;

  std::optional<SideNetwork> side_;
  std::optional<Head> head_;
};

}  // namespace beckon::learn
