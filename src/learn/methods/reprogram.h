// Adversarial reprogramming: a program of pixels around a small picture makes a network do another
// task, read off its own labels. Elsayed, Goodfellow, Sohl-Dickstein, "Adversarial Reprogramming of
// Neural Networks".
//
// Letters: B pictures, n side of what the network sees, m of the small pictures in its middle.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "learn/methods/label_map.h"
#include "learn/methods/learner.h"

namespace beckon::learn {

// tanh(W * M): W [3,n,n] learns, M is 0 in the middle m x m and 1 around it.
class Program {
 public:
  using Own = std::function<Tensor(const std::string& name, Tensor tensor, bool trainable)>;
  // Adds "program.W", which starts as normal numbers. Error(usage) unless 1 <= m < n.
  Program(int64_t side, int64_t small, Random& random, const Own& own);

  // The program alone [n,n,3], values in (-1,1).
  Tensor pixels() const;
  // small [B,m,m,3], values of -1 to 1 -> [B,n,n,3]: in the middle of the program.
  Tensor around(const Tensor& small) const;
  // sum of W^2, of what is masked too
  Tensor squares() const;

 private:
  int64_t side_, small_;
  Tensor w_, mask_;
};

struct ReprogramOptions {
  int64_t small = 36;
  LabelMap map;
  float lambda = 0.01f;  // of the penalty lambda * squares()
};

class ReprogramLearner : public Learner {
 public:
  // Error(usage) if the backbone has no classes, or the map names others than it has.
  ReprogramLearner(const Backbone& backbone, const ReprogramOptions& options, Random& random);

  // Resized to m x m, in units of -1 to 1.
  Preprocessing preprocessing() const override;
  // Logarithms of the probabilities of the task's classes, among all classes of the network [B,C].
  Tensor logits(const Tensor& small, Pass& pass) const override;
  // Their negative mean for the targets, and the penalty.
  Tensor loss(const Tensor& log_probabilities, const Tensor& targets) const override;
  const Program& program() const { return *program_; }

 private:
  ReprogramOptions options_;
  std::optional<Program> program_;
};

// The two parts of the loss by themselves.
Tensor negative_log_likelihood(const Tensor& log_probabilities, const Tensor& targets);

}  // namespace beckon::learn
