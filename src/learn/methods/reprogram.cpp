#include "learn/methods/reprogram.h"

#include "base/fail.h"
#include "beckon/ops.h"

namespace beckon::learn {

Program::Program(int64_t side, int64_t small, Random& random, const Own& own)
    : side_(side), small_(small) {
  if (small < 1 || small >= side)
    fail(Kind::usage, "small pictures of {} pixels a side in a program of {}", small, side);
  w_ = own("program.W", normal({3, side, side}, 1, random), true);
  mask_ = Tensor::full({side, side}, 1);
  const int64_t from = (side - small) / 2;
  for (int64_t y = from; y < from + small; ++y)
    for (int64_t x = from; x < from + small; ++x) mask_.data()[y * side + x] = 0;
}

Tensor Program::pixels() const { return tanh(w_ * mask_).permute({1, 2, 0}); }

Tensor Program::around(const Tensor& small) const {
  if (small.rank() != 4 || small.dim(1) != small_ || small.dim(2) != small_ || small.dim(3) != 3)
    fail(Kind::usage, "small pictures {}, expected [B,{},{},3]", small.shape().str(), small_,
         small_);
  const int64_t before = (side_ - small_) / 2, after = side_ - small_ - before;
  return pad(small, {0, before, before, 0}, {0, after, after, 0}) + pixels();
}

Tensor Program::squares() const { return sum(w_ * w_); }

ReprogramLearner::ReprogramLearner(const Backbone& backbone, const ReprogramOptions& options,
                                   Random& random)
    : Learner(backbone), options_(options) {
  if (backbone.classes() == 0)
    fail(Kind::usage, "{}: reprogramming reads off a network's classes; this {} has none",
         backbone.path(), backbone.name());
  check(options.map, backbone.classes());
  program_.emplace(backbone.input_size(), options.small, random,
                   [this](const std::string& name, Tensor tensor, bool trainable) {
                     return own(name, std::move(tensor), trainable);
                   });
}

Preprocessing ReprogramLearner::preprocessing() const {
  Preprocessing p;
  p.resize = p.input = static_cast<int>(options_.small);
  p.mean = p.deviation = {0.5f, 0.5f, 0.5f};
  return p;
}

Tensor ReprogramLearner::logits(const Tensor& small, Pass&) const {
  // The network was trained on its own colours: -1 to 1 becomes 0 to 1, then what it is used to.
  const Tensor seen = backbone_.normalise((program_->around(small) + 1.0f) * 0.5f);
  return mapped(log_softmax(backbone_.logits(backbone_.features(seen)), 1), options_.map);
}

Tensor ReprogramLearner::loss(const Tensor& log_probabilities, const Tensor& targets) const {
  const Tensor likelihood = negative_log_likelihood(log_probabilities, targets);
  return options_.lambda > 0 ? likelihood + program_->squares() * options_.lambda : likelihood;
}

Tensor negative_log_likelihood(const Tensor& log_probabilities, const Tensor& targets) {
  return mean(gather(log_probabilities, 1, targets.unsqueeze(1))) * -1.0f;
}

}  // namespace beckon::learn
