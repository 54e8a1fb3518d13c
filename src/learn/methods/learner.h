// What every way of adapting a frozen network has in common: tensors that learn, and a forward pass
// from pictures to the logits of the task's classes.
//
// Letters: B pictures, S their side in pixels, D width of the network, C classes of the task.
// Names of tensors are those of the VPT reference: "enc." stands before the network's ("enc.
// transformer." before a ViT's), "head." before the new head's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "beckon/backbone.h"
#include "beckon/train.h"
#include "nn/layers.h"

namespace beckon::learn {

// One pass of a batch: whether dropout and statistics of the batch are used, and what chance says.
struct Pass {
  bool training = false;
  Random random{0};
};

class Learner {
 public:
  explicit Learner(Backbone backbone);
  virtual ~Learner() = default;
  Learner(const Learner&) = delete;
  Learner& operator=(const Learner&) = delete;

  // How it wants its pictures; the network may see more (a border) than that.
  virtual Preprocessing preprocessing() const { return backbone_.preprocessing(); }
  int64_t side() const { return preprocessing().input; }
  // Pictures [B,S,S,3], prepared by input() -> what nothing that learns has touched yet: computed
  // once a picture if has_prefix().
  virtual Tensor prefix(const Tensor& images) const { return images; }
  virtual bool has_prefix() const { return false; }
  // From a prefix [B,...] to logits [B,C].
  virtual Tensor logits(const Tensor& prefix, Pass& pass) const = 0;
  // The mean over the batch, a scalar; targets i64 [B].
  virtual Tensor loss(const Tensor& logits, const Tensor& targets) const;
  // [B,S,S,3] of pictures of any size.
  Tensor input(std::span<const Image> images) const { return input(images, preprocessing()); }
  static Tensor input(std::span<const Image> images, const Preprocessing& preprocessing);

  // All tensors by name, the network's among them.
  const std::vector<nn::Parameter>& parameters() const { return parameters_; }
  // Those that learn, and statistics that change while the others do.
  std::vector<nn::Parameter> learned() const;
  // Numbers in tensors that learn.
  int64_t learned_count() const;
  // Numbers in the network's tensors that take part.
  int64_t backbone_count() const;
  // A handle; Error(usage) if there is none.
  Tensor parameter(std::string_view name) const;
  // Lets exactly these learn.
  void let_learn(const std::function<bool(const std::string& name)>& which);

  const Backbone& backbone() const { return backbone_; }
  // Is told of stages, as the models' own.
  nn::Watch watch;

 protected:
  Tensor own(const std::string& name, Tensor tensor, bool trainable = true);
  void tell(const std::string& stage, const Tensor& x) const {
    if (watch) watch(stage, x);
  }

  Backbone backbone_;
  std::vector<nn::Parameter> parameters_;
};

// The same for pictures of another side.
Preprocessing scaled(const Preprocessing& preprocessing, int64_t side);

// Starting values.
Tensor uniform(const Shape& shape, double bound, Random& random);  // -bound to bound
Tensor normal(const Shape& shape, double deviation, Random& random);

// x with each number set to 0 with probability p and the others divided by 1 - p, in training.
Tensor dropout(const Tensor& x, float p, Pass& pass);

// "enc.transformer." or "enc.", and whether a network's tensor takes part in a task: its own head
// and a text tower do not.
std::string name_in_task(const Backbone& backbone, const std::string& name);
bool takes_part(const Backbone& backbone, const std::string& name);

}  // namespace beckon::learn
