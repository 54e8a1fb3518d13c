// Tensors and the tape: arrays of numbers that remember how they were made.
//
//   beckon::Tensor w = beckon::Tensor::from({1, 2, 3, 4}, {2, 2}).set_requires_grad();
//   beckon::Tensor loss = beckon::sum(beckon::matmul(x, w));
//   loss.backward();               // w.grad() is d loss / d w
//
// Images and feature maps are [N,H,W,C] (channels last), token sequences [B,N,C].
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "beckon/dtype.h"
#include "beckon/export.h"
#include "beckon/shape.h"

namespace beckon {

namespace detail {
struct TensorImpl;
struct Storage;
struct Node;
}  // namespace detail

// A handle on shared storage: copying it is cheap and both copies see the same numbers. A
// default-made Tensor is empty (defined() is false) and stands for "none" where an argument is
// optional. Reading one tensor from several threads is safe; writing is not.
class BECKON_API Tensor {
 public:
  Tensor() = default;

  // New tensors. empty() leaves the elements unset.
  static Tensor empty(const Shape& shape, DType dtype = DType::f32);
  static Tensor zeros(const Shape& shape, DType dtype = DType::f32);
  static Tensor full(const Shape& shape, float value);
  static Tensor from(std::span<const float> values, const Shape& shape);
  static Tensor from(std::initializer_list<float> values, const Shape& shape);
  static Tensor from(std::span<const int64_t> values, const Shape& shape);
  // Same shape and element type, elements unset.
  static Tensor like(const Tensor& other);
  // Memory that someone else owns, row-major; `owner` keeps it alive. The memory must not change
  // while it is used.
  static Tensor wrap(std::shared_ptr<const void> owner, const void* data, const Shape& shape,
                     DType dtype);

  bool defined() const noexcept { return impl_ != nullptr; }
  const Shape& shape() const;
  int rank() const { return shape().rank(); }
  int64_t dim(int i) const { return shape()[i]; }
  int64_t size() const;  // number of elements
  DType dtype() const;
  // Distance between neighbours along each dimension, in elements; same rank as the shape.
  const Shape& strides() const;
  // Row-major without gaps.
  bool is_contiguous() const;

  // The elements of a contiguous f32 tensor; Error(internal) for any other.
  const float* data() const;
  float* data();
  std::span<const float> values() const { return {data(), static_cast<size_t>(size())}; }
  // The first element, whatever the strides; T must match the element type (uint16_t for f16 and
  // bf16).
  template <typename T>
  const T* data_as() const {
    return static_cast<const T*>(raw(size_of_check<T>()));
  }
  template <typename T>
  T* data_as() {
    return static_cast<T*>(const_cast<void*>(writable(size_of_check<T>())));
  }
  // The value of a tensor of one element, as float.
  float item() const;

  // Views share storage. reshape copies first if it must; one size may be -1. slice takes [begin,
  // end) of one dimension, negative bounds count from the end.
  Tensor reshape(const Shape& shape) const;
  Tensor permute(std::initializer_list<int> order) const;
  Tensor permute(std::span<const int> order) const;
  Tensor transpose(int a, int b) const;
  Tensor slice(int dim, int64_t begin, int64_t end, int64_t step = 1) const;
  Tensor select(int dim, int64_t index) const;  // slice of one element, the dimension removed
  Tensor squeeze(int dim) const;
  Tensor unsqueeze(int dim) const;
  // Repeats dimensions of size 1 without copying; the shapes are aligned at the right.
  Tensor expand(const Shape& shape) const;

  Tensor contiguous() const;  // itself if it already is
  Tensor clone() const;       // a contiguous copy
  Tensor to(DType dtype)
      const;  // itself if it already has the type; f32 -> f16/bf16 rounds to nearest even
  void copy_from(
      const Tensor& source);  // overwrites the elements; same shape; not recorded on the tape

  // Gradients.
  bool requires_grad() const;  // set on this leaf, or this was computed from one that has it
  Tensor& set_requires_grad(bool on = true);
  Tensor grad() const;    // of a leaf; empty before backward()
  void zero_grad();       // forgets the gradient
  Tensor detach() const;  // same numbers, cut off from the tape
  // Adds d(this)/d(leaf) to the gradient of every leaf this was computed from. Without an argument
  // this must hold one element. The tape is used up unless `keep_tape`.
  void backward(const Tensor& dy = {}, bool keep_tape = false) const;

  // For operations: the shared state behind the handle.
  const std::shared_ptr<detail::TensorImpl>& impl() const noexcept { return impl_; }
  explicit Tensor(std::shared_ptr<detail::TensorImpl> impl) : impl_(std::move(impl)) {}

 private:
  template <typename T>
  static constexpr size_t size_of_check() {
    return sizeof(T);
  }
  const void* raw(size_t element_bytes) const;
  const void* writable(size_t element_bytes);

  std::shared_ptr<detail::TensorImpl> impl_;
};

// While one is alive, operations of this thread leave nothing on the tape.
class BECKON_API NoGrad {
 public:
  NoGrad();
  ~NoGrad();
  NoGrad(const NoGrad&) = delete;
  NoGrad& operator=(const NoGrad&) = delete;
};

// False inside a NoGrad scope.
BECKON_API bool grad_enabled() noexcept;

}  // namespace beckon
