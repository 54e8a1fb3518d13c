// A form of parameters that is worth making once: a folded batch norm, an expanded bias table.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <span>
#include <utility>

#include "tensor/impl.h"

namespace beckon::nn {

// While the parameters are frozen the form is made at first use and kept until one of them is
// written to. While one of them requires a gradient it is made anew each time, on the tape, and
// what was kept is forgotten, since training changes the numbers. Safe to use from several threads.
template <typename T>
class Derived {
 public:
  // The same parameters at every call: all that `make` reads.
  template <typename Make>
  std::shared_ptr<const T> get(std::span<const Tensor* const> parameters, Make&& make) const {
    std::lock_guard lock(state_->mutex);
    uint64_t version = 0;  // each one's only grows, and so does the sum
    for (const Tensor* parameter : parameters) {
      if (parameter->requires_grad()) {
        state_->kept = nullptr;
        return std::make_shared<const T>(make());
      }
      version += detail::version_of(*parameter);
    }
    if (!state_->kept || state_->version != version) {
      state_->kept = std::make_shared<const T>(make());
      state_->version = version;
    }
    return state_->kept;
  }
  template <typename Make>
  std::shared_ptr<const T> get(std::initializer_list<const Tensor*> parameters, Make&& make) const {
    return get(std::span(parameters.begin(), parameters.size()), std::forward<Make>(make));
  }

 private:
  struct State {
    std::mutex mutex;
    std::shared_ptr<const T> kept;
    uint64_t version = 0;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace beckon::nn
