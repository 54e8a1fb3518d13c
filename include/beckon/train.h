// Optimisers, schedules and random numbers for learning: what a training loop is made of.
//
//   beckon::Optimizer optimizer({.kind = beckon::OptimizerKind::adamw},
//                               {{.name = "tokens", .tensor = tokens, .weight_decay = 0.01f}});
//   for (int64_t step = 0; step < steps; ++step) {
//     optimizer.zero_grad();
//     loss_of(tokens).backward();
//     optimizer.step(0.01 * beckon::warmup_cosine(step, 10, steps));
//   }
//
// Everything here is resumed exactly: state() and load() of an optimiser, and Random's one number,
// are all that the next step depends on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "beckon/export.h"
#include "beckon/tensor.h"

namespace beckon {

// g is the gradient, w the weight decay, t the number of the step from 1, lr the learning rate.
enum class OptimizerKind : uint8_t {
  // PyTorch's, dampening 0: g += w p; m = momentum m + g; p -= lr m (Nesterov: lr (g + momentum
  // m)).
  sgd,
  // PyTorch's, the decay in the gradient: g += w p; m, v are running means of g and g g;
  // p -= lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + eps).
  adam,
  // The decay beside the gradient. As the VPT reference (and the early BERT code) has it: p -= lr
  // sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps), then p -= lr w p. PyTorch's AdamW decays first
  // and adds eps to the corrected root, which differs by rounding unless gradients are tiny.
  adamw,
};

// "sgd", "adam", "adamw". Error(usage) for another name.
BECKON_API OptimizerKind optimizer_kind(const std::string& name);
BECKON_API const char* name_of(OptimizerKind kind) noexcept;

struct OptimizerOptions {
  OptimizerKind kind = OptimizerKind::sgd;
  float momentum = 0.9f;  // of sgd, 0 <= momentum < 1
  bool nesterov = false;  // of sgd
  float beta1 = 0.9f, beta2 = 0.999f;
  float eps = 0;  // 0: 1e-8 for adam, 1e-6 for adamw
};

// A tensor that is trained, under a name that no other has; its gradient is Tensor::grad().
struct TrainedTensor {
  std::string name;
  Tensor tensor;
  float learning_rate_scale = 1;  // times the learning rate of the step
  float weight_decay = 0;
};

// Updates tensors in place from their gradients. Results do not depend on the number of threads.
class BECKON_API Optimizer {
 public:
  // Turns requires_grad on. Error(usage) for options out of range, tensors that are no contiguous
  // f32 leaves, or names that occur twice.
  Optimizer(const OptimizerOptions& options, std::vector<TrainedTensor> tensors);

  // One step. Tensors without a gradient are left as they are, decay included.
  void step(double learning_rate);
  void zero_grad();

  const std::vector<TrainedTensor>& tensors() const noexcept { return tensors_; }
  const OptimizerOptions& options() const noexcept { return options_; }

  // All it remembers, apart from the tensors themselves: "<name>.steps" (i64, [1]) and
  // "<name>.momentum", or "<name>.first" and "<name>.second". Copies.
  std::map<std::string, Tensor> state() const;
  // Takes up what state() gave. Entries of other names are left alone, so that a checkpoint may
  // hold more. Error(input) if one is missing or does not fit; nothing is changed then.
  void load(const std::map<std::string, Tensor>& state);

 private:
  struct Slot {
    int64_t steps = 0;
    Tensor first, second;
  };
  OptimizerOptions options_;
  std::vector<TrainedTensor> tensors_;
  std::vector<Slot> slots_;
};

// The decay that VPT's training gives a tensor, quirks included. sgd: all but the last bias of the
// head; adamw: 0.01 for names without "bias" whatever `weight_decay` (above 0) says; adam: all.
BECKON_API float vpt_weight_decay(OptimizerKind kind, const std::string& name, float weight_decay);
// The optimiser that VPT's training makes of these two: "adamw" without decay is sgd there.
BECKON_API OptimizerKind vpt_optimizer(OptimizerKind kind, float weight_decay);

// Factors on the learning rate. Half a cosine from 1 to 0 after a linear warm-up; `total` includes
// the warm-up. From `total` on they are 0.
// Of VPT, by epoch: e / warmup, so that epoch 0 learns nothing.
BECKON_API double warmup_cosine_by_epoch(int64_t epoch, int64_t warmup, int64_t total);
// Of "Exploring Visual Prompts", by step: (s + 1) / warmup.
BECKON_API double warmup_cosine(int64_t step, int64_t warmup, int64_t total);

// A sequence of random numbers, the same on every machine (SplitMix64).
class BECKON_API Random {
 public:
  explicit Random(uint64_t seed) : state(seed) {}

  uint64_t next();
  double uniform();              // [0, 1)
  int64_t below(int64_t count);  // 0 to count - 1, evenly; Error(usage) unless count > 0
  double normal();               // mean 0, deviation 1
  // 0 to count - 1 in random order.
  std::vector<int64_t> permutation(int64_t count);

  uint64_t state;  // all that the rest of the sequence depends on
};

}  // namespace beckon
