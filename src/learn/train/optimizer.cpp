#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/fail.h"
#include "base/threads.h"
#include "beckon/train.h"

namespace beckon {
namespace {

constexpr int64_t kElementsPerTask = 16384;

// What one update of one tensor reads and writes; all of the same length.
struct Update {
  float* p;
  const float* g;
  float* first;
  float* second;
  int64_t begin, end;
};

void sgd(const Update& u, float lr, float decay, float momentum, bool nesterov, bool fresh) {
  for (int64_t i = u.begin; i < u.end; ++i) {
    float g = u.g[i] + decay * u.p[i];
    if (momentum != 0) {
      const float m = fresh ? g : momentum * u.first[i] + g;
      u.first[i] = m;
      g = nesterov ? g + momentum * m : m;
    }
    u.p[i] -= lr * g;
  }
}

// `root` divides the square root of the second moment, `step` is the size of the step.
void adam(const Update& u, const OptimizerOptions& o, float step, float root, float decay,
          float after) {
  for (int64_t i = u.begin; i < u.end; ++i) {
    const float g = u.g[i] + decay * u.p[i];
    u.first[i] = o.beta1 * u.first[i] + (1 - o.beta1) * g;
    u.second[i] = o.beta2 * u.second[i] + (1 - o.beta2) * g * g;
    u.p[i] -= step * u.first[i] / (std::sqrt(u.second[i]) / root + o.eps);
    u.p[i] -= after * u.p[i];
  }
}

void check(const OptimizerOptions& o) {
  const auto in = [](float x, float low, float high) { return x >= low && x < high; };
  if (!in(o.momentum, 0, 1) || !in(o.beta1, 0, 1) || !in(o.beta2, 0, 1))
    fail(Kind::usage, "optimiser: momentum {}, beta1 {}, beta2 {}: expected 0 to below 1",
         o.momentum, o.beta1, o.beta2);
  if (o.nesterov && o.momentum == 0) fail(Kind::usage, "optimiser: Nesterov needs a momentum");
  if (!(o.eps >= 0) || !std::isfinite(o.eps))
    fail(Kind::usage, "optimiser: eps {}: expected 0 or more", o.eps);
}

void check(const TrainedTensor& t) {
  if (!t.tensor.defined() || t.tensor.dtype() != DType::f32 || !t.tensor.is_contiguous())
    fail(Kind::usage, "optimiser: '{}' is no contiguous f32 tensor", t.name);
  if (!(t.weight_decay >= 0) || !std::isfinite(t.weight_decay) ||
      !std::isfinite(t.learning_rate_scale))
    fail(Kind::usage, "optimiser: '{}' has weight decay {} and learning rate scale {}", t.name,
         t.weight_decay, t.learning_rate_scale);
}

const char* first_name(OptimizerKind kind) {
  return kind == OptimizerKind::sgd ? ".momentum" : ".first";
}

}  // namespace

OptimizerKind optimizer_kind(const std::string& name) {
  for (const OptimizerKind kind : {OptimizerKind::sgd, OptimizerKind::adam, OptimizerKind::adamw})
    if (name == name_of(kind)) return kind;
  fail(Kind::usage, "optimiser '{}': expected sgd, adam or adamw", name);
}

const char* name_of(OptimizerKind kind) noexcept {
  return kind == OptimizerKind::sgd ? "sgd" : kind == OptimizerKind::adam ? "adam" : "adamw";
}

Optimizer::Optimizer(const OptimizerOptions& options, std::vector<TrainedTensor> tensors)
    : options_(options), tensors_(std::move(tensors)), slots_(tensors_.size()) {
  check(options_);
  if (options_.eps == 0) options_.eps = options_.kind == OptimizerKind::adamw ? 1e-6f : 1e-8f;
  std::set<std::string> names;
  for (TrainedTensor& t : tensors_) {
    check(t);
    if (!names.insert(t.name).second)
      fail(Kind::usage, "optimiser: two tensors are called '{}'", t.name);
    t.tensor.set_requires_grad();
  }
}

void Optimizer::step(double learning_rate) {
  if (!std::isfinite(learning_rate))
    fail(Kind::usage, "optimiser: learning rate {}", learning_rate);
  const OptimizerOptions& o = options_;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    TrainedTensor& t = tensors_[i];
    if (!t.tensor.grad().defined()) continue;
    const Tensor grad = t.tensor.grad().contiguous();
    Slot& slot = slots_[i];
    const bool fresh = slot.steps++ == 0;
    const bool remembers_first = o.kind != OptimizerKind::sgd || o.momentum != 0;
    if (remembers_first && !slot.first.defined()) slot.first = Tensor::zeros(t.tensor.shape());
    if (o.kind != OptimizerKind::sgd && !slot.second.defined())
      slot.second = Tensor::zeros(t.tensor.shape());

    const double lr = learning_rate * static_cast<double>(t.learning_rate_scale);
    const auto steps = static_cast<double>(slot.steps);
    const double correction1 = 1 - std::pow(static_cast<double>(o.beta1), steps);
    const double root2 = std::sqrt(1 - std::pow(static_cast<double>(o.beta2), steps));
    Update all{t.tensor.data(),
               grad.values().data(),
               slot.first.defined() ? slot.first.data() : nullptr,
               slot.second.defined() ? slot.second.data() : nullptr,
               0,
               0};
    parallel_for(t.tensor.size(), kElementsPerTask, [&](int64_t begin, int64_t end) {
      Update u = all;
      u.begin = begin;
      u.end = end;
      switch (o.kind) {
        case OptimizerKind::sgd:
          sgd(u, static_cast<float>(lr), t.weight_decay, o.momentum, o.nesterov, fresh);
          break;
        case OptimizerKind::adam:
          adam(u, o, static_cast<float>(lr / correction1), static_cast<float>(root2),
               t.weight_decay, 0);
          break;
        case OptimizerKind::adamw:
          adam(u, o, static_cast<float>(lr * root2 / correction1), 1, 0,
               static_cast<float>(lr * static_cast<double>(t.weight_decay)));
          break;
      }
    });
  }
}

void Optimizer::zero_grad() {
  for (TrainedTensor& t : tensors_) t.tensor.zero_grad();
}

std::map<std::string, Tensor> Optimizer::state() const {
  std::map<std::string, Tensor> state;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const std::string& name = tensors_[i].name;
    const Slot& slot = slots_[i];
    const int64_t steps = slot.steps;
    state[name + ".steps"] = Tensor::from(std::span(&steps, 1), {1});
    if (slot.first.defined()) state[name + first_name(options_.kind)] = slot.first.clone();
    if (slot.second.defined()) state[name + ".second"] = slot.second.clone();
  }
  return state;
}

void Optimizer::load(const std::map<std::string, Tensor>& state) {
  const auto find = [&](const std::string& name, const Shape& shape, DType dtype) {
    const auto found = state.find(name);
    if (found == state.end()) fail(Kind::input, "optimiser: the state has no '{}'", name);
    const Tensor& x = found->second;
    if (!x.defined() || x.dtype() != dtype || !(x.shape() == shape))
      fail(Kind::input, "optimiser: the state's '{}' is {} {}, expected {} {}", name,
           x.defined() ? beckon::name_of(x.dtype()) : "nothing", x.defined() ? x.shape().str() : "",
           beckon::name_of(dtype), shape.str());
    return x.clone();
  };
  std::vector<Slot> slots;
  for (const TrainedTensor& t : tensors_) {
    Slot slot;
    const Tensor steps = find(t.name + ".steps", {1}, DType::i64);
    slot.steps = *steps.data_as<int64_t>();
    if (slot.steps < 0)
      fail(Kind::input, "optimiser: the state's '{}.steps' is {}", t.name, slot.steps);
    const bool sgd = options_.kind == OptimizerKind::sgd;
    if (slot.steps > 0 && (!sgd || options_.momentum != 0))
      slot.first = find(t.name + first_name(options_.kind), t.tensor.shape(), DType::f32);
    if (slot.steps > 0 && !sgd)
      slot.second = find(t.name + ".second", t.tensor.shape(), DType::f32);
    slots.push_back(std::move(slot));
  }
  slots_ = std::move(slots);
}

float vpt_weight_decay(OptimizerKind kind, const std::string& name, float weight_decay) {
  if (weight_decay == 0) return 0;
  switch (vpt_optimizer(kind, weight_decay)) {
    case OptimizerKind::sgd:
      return name == "head.last_layer.bias" ? 0 : weight_decay;
    case OptimizerKind::adamw:
      return name.find("bias") == std::string::npos ? 0.01f : 0;
    case OptimizerKind::adam:
      break;
  }
  return weight_decay;
}

OptimizerKind vpt_optimizer(OptimizerKind kind, float weight_decay) {
  return kind == OptimizerKind::adamw && weight_decay == 0 ? OptimizerKind::sgd : kind;
}

}  // namespace beckon
