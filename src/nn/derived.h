// A form of parameters that is worth making once: a folded batch norm, an expanded bias table.
#pragma once

#include <initializer_list>
#include <memory>
#include <mutex>
#include <utility>

#include "beckon/tensor.h"

namespace beckon::nn {

// While the parameters are frozen the form is made at first use and kept. While one of them
// requires a gradient it is made anew each time, on the tape, and what was kept is forgotten, since
// training changes the numbers. Safe to use from several threads.
template <typename T>
class Derived {
 public:
  template <typename Make>
  std::shared_ptr<const T> get(std::initializer_list<const Tensor*> parameters, Make&& make) const {
    std::lock_guard lock(state_->mutex);
    for (const Tensor* parameter : parameters) {
      if (parameter->requires_grad()) {
        state_->kept = nullptr;
        return std::make_shared<const T>(make());
      }
    }
    if (!state_->kept) state_->kept = std::make_shared<const T>(make());
    return state_->kept;
  }

 private:
  struct State {
    std::mutex mutex;
    std::shared_ptr<const T> kept;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

}  // namespace beckon::nn
