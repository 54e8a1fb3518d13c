// Recording operations for reverse-mode differentiation.
#pragma once

#include <initializer_list>
#include <span>
#include <utility>
#include <vector>

#include "tensor/impl.h"

namespace beckon {

// One gradient per input, in order; an empty Tensor for an input that wants none (ask
// input.requires_grad() before computing a costly one).
using Grads = std::vector<Tensor>;

// True if an operation on these inputs must leave a trace.
inline bool wants_grad(std::initializer_list<const Tensor*> inputs) {
  if (!grad_enabled()) return false;
  for (const Tensor* input : inputs)
    if (input->defined() && input->requires_grad()) return true;
  return false;
}

namespace detail {
Tensor attach(Tensor y, std::vector<Tensor> inputs, const char* name,
              std::function<Grads(const Tensor&)> backward);
bool any_requires_grad(std::span<const Tensor> inputs);
}  // namespace detail

// Notes that y was computed from the inputs, and how its gradient dy (contiguous, of y's shape)
// becomes theirs. `backward` may capture the inputs; a captured y must be y.detach(), or the two
// would keep each other alive. Nothing is kept if no input requires a gradient or inside NoGrad.
template <typename Backward>
Tensor record(const char* name, Tensor y, std::vector<Tensor> inputs, Backward&& backward) {
  if (!grad_enabled() || !detail::any_requires_grad(inputs)) return y;
  return detail::attach(std::move(y), std::move(inputs), name, std::forward<Backward>(backward));
}

// A form of the tensor's numbers that is made once and shared by all users, as long as nobody
// writes to them. `key` is the address of something unique to the maker. Parameters that require
// gradients change every step: their forms are made anew each time.
template <typename T, typename Make>
std::shared_ptr<const T> derived(const Tensor& x, const void* key, Make&& make) {
  if (x.requires_grad()) return std::make_shared<const T>(make());
  const detail::TensorImpl& impl = *x.impl();
  detail::Storage& storage = *impl.storage;
  std::lock_guard lock(storage.derived_mutex);
  for (const auto& entry : storage.derived)
    if (entry.maker == key && entry.offset == impl.offset && entry.shape == impl.shape &&
        entry.strides == impl.strides)
      return std::static_pointer_cast<const T>(entry.form);
  auto form = std::make_shared<const T>(make());
  storage.derived.push_back({key, impl.offset, impl.shape, impl.strides, form});
  storage.has_derived.store(true, std::memory_order_release);
  return form;
}

}  // namespace beckon
