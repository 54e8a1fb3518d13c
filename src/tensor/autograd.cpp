// The tape: what was computed from what, and the walk back over it.
#include <algorithm>
#include <atomic>
#include <queue>
#include <unordered_map>

#include "base/fail.h"
#include "kernels/elementwise.h"
#include "tensor/impl.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

thread_local int no_grad_depth = 0;
std::atomic<uint64_t> next_order{1};

// A gradient on its way, and whether the buffer is ours to add to.
struct Sum {
  Tensor value;
  bool ours = false;

  void add(const Tensor& more) {
    if (!value.defined()) {
      value = more;
      return;
    }
    const Tensor other = more.contiguous();
    if (!ours) {
      value = value.clone();
      ours = true;
    }
    kernels::axpy(1.0f, other.data(), value.data(), value.size());
  }
};

// The same numbers in memory that nobody else holds. An operation may hand on one buffer to several
// inputs (the sum does), and the caller its own: who then scales one gradient in place must not
// meet another.
Tensor unshared(Tensor x) {
  const bool alone = x.impl().use_count() == 1 && x.impl()->storage.use_count() == 1;
  return alone && x.is_contiguous() ? x : x.clone();
}

}  // namespace

NoGrad::NoGrad() { ++no_grad_depth; }
NoGrad::~NoGrad() { --no_grad_depth; }
bool grad_enabled() noexcept { return no_grad_depth == 0; }

// A long chain of operations is released step by step, not by a recursion as deep as the chain.
detail::Node::~Node() {
  static thread_local std::vector<std::vector<Tensor>>* pending = nullptr;
  if (pending) {
    pending->push_back(std::move(inputs));
    return;
  }
  std::vector<std::vector<Tensor>> list;
  pending = &list;
  backward = nullptr;
  list.push_back(std::move(inputs));
  while (!list.empty()) {
    std::vector<Tensor> next = std::move(list.back());
    list.pop_back();
    next.clear();
  }
  pending = nullptr;
}

bool detail::any_requires_grad(std::span<const Tensor> inputs) {
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const Tensor& x) { return x.defined() && x.requires_grad(); });
}

Tensor detail::attach(Tensor y, std::vector<Tensor> inputs, const char* name,
                      std::function<Grads(const Tensor&)> backward) {
  auto node = std::make_shared<Node>();
  node->inputs = std::move(inputs);
  node->backward = std::move(backward);
  node->order = next_order.fetch_add(1, std::memory_order_relaxed);
  node->name = name;
  y.impl()->node = std::move(node);
  return y;
}

bool Tensor::requires_grad() const { return impl_ && (impl_->requires_grad || impl_->node); }

Tensor& Tensor::set_requires_grad(bool on) {
  shape();
  if (impl_->node)
    fail(Kind::usage, "set_requires_grad on a tensor that was computed; only leaves can be set");
  if (on && dtype() != DType::f32)
    fail(Kind::usage, "a tensor of {} cannot have a gradient", name_of(dtype()));
  impl_->requires_grad = on;
  return *this;
}

Tensor Tensor::grad() const {
  shape();
  return Tensor(impl_->grad);
}

void Tensor::zero_grad() {
  if (impl_) impl_->grad = nullptr;
}

Tensor Tensor::detach() const { return detail::view_of(*this, shape(), strides(), impl_->offset); }

void Tensor::backward(const Tensor& dy, bool keep_tape) const {
  if (!requires_grad())
    fail(Kind::usage, "backward() of a tensor that depends on nothing with requires_grad");
  Tensor seed = dy;
  if (!seed.defined()) {
    if (size() != 1)
      fail(Kind::usage, "backward() without a gradient needs one element, shape is {}",
           shape().str());
    seed = Tensor::full(shape(), 1.0f);
  }
  if (!(seed.shape() == shape()))
    fail(Kind::usage, "backward(): gradient of shape {} for a tensor of shape {}",
         seed.shape().str(), shape().str());

  NoGrad no_grad;  // the gradients' own computation is not recorded
  // The tape may hold the last handle of a leaf, and lets go of it below: keep our own.
  std::unordered_map<std::shared_ptr<detail::TensorImpl>, Sum> leaves;
  std::unordered_map<detail::Node*, Sum> sums;
  const auto later = [](const std::shared_ptr<detail::Node>& a,
                        const std::shared_ptr<detail::Node>& b) { return a->order < b->order; };
  std::priority_queue<std::shared_ptr<detail::Node>, std::vector<std::shared_ptr<detail::Node>>,
                      decltype(later)>
      open(later);

  const auto give = [&](const Tensor& x, const Tensor& gradient) {
    if (x.impl()->node) {
      auto [sum, fresh] = sums.try_emplace(x.impl()->node.get());
      if (fresh) open.push(x.impl()->node);
      sum->second.add(gradient);
    } else if (x.impl()->requires_grad) {
      leaves[x.impl()].add(gradient);
    }
  };

  give(*this, seed);
  while (!open.empty()) {
    const std::shared_ptr<detail::Node> node = open.top();
    open.pop();
    const Tensor gradient = std::move(sums[node.get()].value);
    sums.erase(node.get());
    if (!node->backward)
      fail(Kind::usage, "backward() a second time over a tape that was used up (keep_tape)");
    const Grads grads = node->backward(gradient.contiguous());
    if (grads.size() > node->inputs.size())
      fail(Kind::internal, "{}: too many gradients", node->name);
    for (size_t i = 0; i < grads.size(); ++i) {
      const Tensor& x = node->inputs[i];
      if (!grads[i].defined() || !x.defined() || !x.requires_grad()) continue;
      if (!(grads[i].shape() == x.shape()))
        fail(Kind::internal, "{}: gradient {} has shape {}, expected {}", node->name, i,
             grads[i].shape().str(), x.shape().str());
      give(x, grads[i]);
    }
    if (!keep_tape) {
      node->backward = nullptr;
      node->inputs.clear();
    }
  }
  for (auto& [leaf, sum] : leaves) {
    if (leaf->grad) {
      Sum total{Tensor(leaf->grad), false};
      total.add(sum.value);
      leaf->grad = total.value.impl();
    } else {
      leaf->grad = unshared(std::move(sum.value)).impl();
    }
  }
}

}  // namespace beckon
