// What stands behind a Tensor handle.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "beckon/tensor.h"

namespace beckon::detail {

// One block of memory, ours (recycled) or borrowed.
struct Storage {
  std::byte* data = nullptr;
  size_t bytes = 0;
  bool owned = false;
  std::shared_ptr<const void> owner;  // keeps borrowed memory alive

  // Forms of the same numbers made once and kept as long as they are unchanged: the panels a GEMM
  // wants, a folded batch norm. Keyed by who made it, of which view.
  struct Derived {
    const void* maker;
    int64_t offset;
    Shape shape, strides;
    std::shared_ptr<const void> form;
  };
  std::mutex derived_mutex;
  std::vector<Derived> derived;
  std::atomic<bool> has_derived{false};
  std::atomic<uint64_t> version{0};  // how often somebody may have written

  Storage() = default;
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;
};

struct TensorImpl {
  std::shared_ptr<Storage> storage;
  int64_t offset = 0;  // elements
  Shape shape;
  Shape strides;
  DType dtype = DType::f32;
  bool requires_grad = false;  // of a leaf
  std::shared_ptr<Node> node;  // how it was computed, if the tape wants to know
  std::shared_ptr<TensorImpl> grad;
};

// One operation on the tape. `inputs` are in the order of the gradients that `backward` returns.
struct Node {
  std::vector<Tensor> inputs;
  std::function<std::vector<Tensor>(const Tensor& dy)> backward;
  uint64_t order = 0;  // later operations have higher numbers
  const char* name = "";
  ~Node();
};

std::shared_ptr<Storage> allocate(size_t bytes);
// Grows whenever the numbers may have changed, through this handle or another.
inline uint64_t version_of(const Tensor& x) {
  return x.impl()->storage->version.load(std::memory_order_acquire);
}
Shape row_major_strides(const Shape& shape);
// A view: same storage, no tape.
Tensor view_of(const Tensor& x, const Shape& shape, const Shape& strides, int64_t offset);

}  // namespace beckon::detail
