#include "beckon/tensor.h"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "base/fail.h"
#include "tensor/copy.h"
#include "tensor/impl.h"
#include "tensor/sum_to.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::Storage;
using detail::TensorImpl;

// A handle without elements has no shape; asking for one is a defect of the caller that should name
// itself.
const TensorImpl& checked(const std::shared_ptr<TensorImpl>& impl) {
  if (!impl) fail(Kind::usage, "an empty tensor was used where one with elements is needed");
  return *impl;
}

Tensor make(std::shared_ptr<Storage> storage, const Shape& shape, DType dtype) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = std::move(storage);
  impl->shape = shape;
  impl->strides = detail::row_major_strides(shape);
  impl->dtype = dtype;
  return Tensor(std::move(impl));
}

size_t bytes_of(const Shape& shape, DType dtype) {
  size_t bytes = 0;
  // Distances in memory are signed, so half of the address space is the most.
  if (__builtin_mul_overflow(static_cast<size_t>(shape.elements()), size_of(dtype), &bytes) ||
      bytes > static_cast<size_t>(PTRDIFF_MAX) / 2)
    fail(Kind::resource, "a tensor of shape {} is too large", shape.str());
  return bytes;
}

// Somebody is about to write.
void touch(Storage& storage) {
  storage.version.fetch_add(1, std::memory_order_acq_rel);
  if (!storage.has_derived.load(std::memory_order_acquire)) return;
  std::lock_guard lock(storage.derived_mutex);
  storage.derived.clear();
  storage.has_derived.store(false, std::memory_order_release);
}

}  // namespace

Shape detail::row_major_strides(const Shape& shape) {
  Shape strides = shape;
  int64_t step = 1;
  for (int i = shape.rank() - 1; i >= 0; --i) {
    strides[i] = step;
    step *= std::max<int64_t>(shape[i], 1);
  }
  return strides;
}

Tensor detail::view_of(const Tensor& x, const Shape& shape, const Shape& strides, int64_t offset) {
  auto impl = std::make_shared<TensorImpl>();
  impl->storage = x.impl()->storage;
  impl->offset = offset;
  impl->shape = shape;
  impl->strides = strides;
  impl->dtype = x.dtype();
  return Tensor(std::move(impl));
}

Tensor Tensor::empty(const Shape& shape, DType dtype) {
  return make(detail::allocate(bytes_of(shape, dtype)), shape, dtype);
}

Tensor Tensor::zeros(const Shape& shape, DType dtype) {
  Tensor result = empty(shape, dtype);
  if (result.size() > 0) std::memset(result.impl_->storage->data, 0, bytes_of(shape, dtype));
  return result;
}

Tensor Tensor::full(const Shape& shape, float value) {
  Tensor result = empty(shape);
  std::fill_n(result.data(), result.size(), value);
  return result;
}

Tensor Tensor::from(std::span<const float> values, const Shape& shape) {
  Tensor result = empty(shape);
  if (static_cast<int64_t>(values.size()) != result.size())
    fail(Kind::usage, "{} values for a tensor of shape {}", values.size(), shape.str());
  std::copy(values.begin(), values.end(), result.data());
  return result;
}

Tensor Tensor::from(std::initializer_list<float> values, const Shape& shape) {
  return from(std::span<const float>(values.begin(), values.size()), shape);
}

Tensor Tensor::from(std::span<const int64_t> values, const Shape& shape) {
  Tensor result = empty(shape, DType::i64);
  if (static_cast<int64_t>(values.size()) != result.size())
    fail(Kind::usage, "{} values for a tensor of shape {}", values.size(), shape.str());
  std::copy(values.begin(), values.end(), result.data_as<int64_t>());
  return result;
}

Tensor Tensor::like(const Tensor& other) { return empty(other.shape(), other.dtype()); }

Tensor Tensor::wrap(std::shared_ptr<const void> owner, const void* data, const Shape& shape,
                    DType dtype) {
  auto storage = std::make_shared<Storage>();
  storage->data = const_cast<std::byte*>(static_cast<const std::byte*>(data));
  storage->bytes = bytes_of(shape, dtype);
  storage->owner = std::move(owner);
  return make(std::move(storage), shape, dtype);
}

const Shape& Tensor::shape() const { return checked(impl_).shape; }
const Shape& Tensor::strides() const { return checked(impl_).strides; }
DType Tensor::dtype() const { return checked(impl_).dtype; }
int64_t Tensor::size() const { return shape().elements(); }

bool Tensor::is_contiguous() const {
  const TensorImpl& impl = checked(impl_);
  int64_t step = 1;
  for (int i = impl.shape.rank() - 1; i >= 0; --i) {
    if (impl.shape[i] == 0) return true;
    if (impl.shape[i] != 1 && impl.strides[i] != step) return false;
    step *= impl.shape[i];
  }
  return true;
}

const void* Tensor::raw(size_t element_bytes) const {
  const TensorImpl& impl = checked(impl_);
  if (size_of(impl.dtype) != element_bytes)
    fail(Kind::internal, "{}-byte access to a tensor of {}", element_bytes, name_of(impl.dtype));
  return impl.storage->data + static_cast<size_t>(impl.offset) * element_bytes;
}

const void* Tensor::writable(size_t element_bytes) {
  const void* first = raw(element_bytes);
  touch(*impl_->storage);
  return first;
}

const float* Tensor::data() const {
  if (dtype() != DType::f32 || !is_contiguous())
    fail(Kind::internal,
         "data() of a tensor of {} with shape {} and strides {}; it must be contiguous f32",
         name_of(dtype()), shape().str(), strides().str());
  return static_cast<const float*>(raw(sizeof(float)));
}

float* Tensor::data() {
  float* first = const_cast<float*>(std::as_const(*this).data());
  touch(*impl_->storage);
  return first;
}

float Tensor::item() const {
  if (size() != 1)
    fail(Kind::usage, "item() of a tensor of shape {}; it must have one element", shape().str());
  return *to(DType::f32).data_as<float>();
}

Tensor Tensor::reshape(const Shape& wanted) const {
  Shape target = wanted;
  const int64_t* unknown = std::find(wanted.begin(), wanted.end(), -1);
  if (unknown != wanted.end()) {
    int64_t& missing = target[static_cast<int>(unknown - wanted.begin())];
    missing = 1;
    const int64_t known = target.elements();
    missing = known > 0 ? size() / known : 0;
  }
  if (target.elements() != size())
    fail(Kind::usage, "cannot reshape {} to {}", shape().str(), wanted.str());
  const Tensor source = contiguous();
  Tensor y =
      detail::view_of(source, target, detail::row_major_strides(target), source.impl_->offset);
  const Shape before = shape();
  return record("reshape", std::move(y), {source},
                [before](const Tensor& dy) -> Grads { return {dy.reshape(before)}; });
}

Tensor Tensor::permute(std::span<const int> order) const {
  if (static_cast<int>(order.size()) != rank())
    fail(Kind::usage, "permute of {} dimensions for a tensor of shape {}", order.size(),
         shape().str());
  Shape sizes = shape(), steps = strides();
  std::vector<int> inverse(order.size(), -1);
  for (size_t i = 0; i < order.size(); ++i) {
    const int from = shape().axis(order[i]);
    if (inverse[static_cast<size_t>(from)] >= 0)
      fail(Kind::usage, "permute names dimension {} twice", from);
    inverse[static_cast<size_t>(from)] = static_cast<int>(i);
    sizes[static_cast<int>(i)] = shape()[from];
    steps[static_cast<int>(i)] = strides()[from];
  }
  Tensor y = detail::view_of(*this, sizes, steps, impl_->offset);
  return record("permute", std::move(y), {*this}, [inverse](const Tensor& dy) -> Grads {
    return {dy.permute(std::span<const int>(inverse))};
  });
}

Tensor Tensor::permute(std::initializer_list<int> order) const {
  return permute(std::span<const int>(order.begin(), order.size()));
}

Tensor Tensor::transpose(int a, int b) const {
  std::vector<int> order(static_cast<size_t>(rank()));
  for (int i = 0; i < rank(); ++i) order[static_cast<size_t>(i)] = i;
  std::swap(order[static_cast<size_t>(shape().axis(a))],
            order[static_cast<size_t>(shape().axis(b))]);
  return permute(std::span<const int>(order));
}

Tensor Tensor::slice(int dim, int64_t begin, int64_t end, int64_t step) const {
  const int axis = shape().axis(dim);
  const int64_t n = shape()[axis];
  if (begin < 0) begin += n;
  if (end < 0) end += n;
  if (begin < 0 || end > n || begin > end || step < 1)
    fail(Kind::usage, "slice [{},{}) with step {} of dimension {} of shape {}", begin, end, step,
         axis, shape().str());
  Shape sizes = shape(), steps = strides();
  sizes[axis] = begin == end ? 0 : (end - begin - 1) / step + 1;
  if (sizes[axis] > 1) steps[axis] *= step;
  Tensor y = detail::view_of(*this, sizes, steps, impl_->offset + begin * strides()[axis]);
  const Shape before = shape();
  return record("slice", std::move(y), {*this},
                [before, axis, begin, end, step](const Tensor& dy) -> Grads {
                  Tensor dx = Tensor::zeros(before);
                  NoGrad no_grad;
                  dx.slice(axis, begin, end, step).copy_from(dy);
                  return {dx};
                });
}

Tensor Tensor::select(int dim, int64_t index) const {
  const int axis = shape().axis(dim);
  if (index < 0) index += shape()[axis];
  if (index < 0 || index >= shape()[axis])
    fail(Kind::usage, "element {} of dimension {} of shape {}", index, axis, shape().str());
  return slice(axis, index, index + 1).squeeze(axis);
}

Tensor Tensor::squeeze(int dim) const {
  const int axis = shape().axis(dim);
  if (shape()[axis] != 1)
    fail(Kind::usage, "squeeze of dimension {} of shape {}", axis, shape().str());
  Tensor y = detail::view_of(*this, shape().without(axis), strides().without(axis), impl_->offset);
  return record("squeeze", std::move(y), {*this},
                [axis](const Tensor& dy) -> Grads { return {dy.unsqueeze(axis)}; });
}

Tensor Tensor::unsqueeze(int dim) const {
  const int axis = dim < 0 ? dim + rank() + 1 : dim;
  if (axis < 0 || axis > rank())
    fail(Kind::usage, "unsqueeze at {} of shape {}", dim, shape().str());
  Shape sizes, steps;
  for (int i = 0; i <= rank(); ++i) {
    if (i == axis) {
      sizes.push_back(1);
      steps.push_back(1);
    }
    if (i < rank()) {
      sizes.push_back(shape()[i]);
      steps.push_back(strides()[i]);
    }
  }
  Tensor y = detail::view_of(*this, sizes, steps, impl_->offset);
  return record("unsqueeze", std::move(y), {*this},
                [axis](const Tensor& dy) -> Grads { return {dy.squeeze(axis)}; });
}

Tensor Tensor::expand(const Shape& target) const {
  const int extra = target.rank() - rank();
  if (extra < 0) fail(Kind::usage, "cannot expand {} to {}", shape().str(), target.str());
  Shape steps = target;
  for (int i = 0; i < target.rank(); ++i) {
    const int64_t have = i < extra ? 1 : shape()[i - extra];
    if ((have != target[i] && have != 1) || target[i] < 0)
      fail(Kind::usage, "cannot expand {} to {}", shape().str(), target.str());
    steps[i] = have == target[i] && i >= extra ? strides()[i - extra] : 0;
  }
  Tensor y = detail::view_of(*this, target, steps, impl_->offset);
  const Shape before = shape();
  return record("expand", std::move(y), {*this},
                [before](const Tensor& dy) -> Grads { return {detail::sum_to(dy, before)}; });
}

Tensor Tensor::clone() const {
  Tensor y = Tensor::like(*this);
  detail::copy_strided(*this, y);
  return record("clone", std::move(y), {*this}, [](const Tensor& dy) -> Grads { return {dy}; });
}

Tensor Tensor::contiguous() const { return is_contiguous() ? *this : clone(); }

Tensor Tensor::to(DType wanted) const {
  if (dtype() == wanted) return *this;
  Tensor y = Tensor::empty(shape(), wanted);
  detail::convert(contiguous(), y);
  if (wanted != DType::f32 && wanted != DType::f16 && wanted != DType::bf16) return y;
  // Gradients are f32 whatever the type of the numbers they belong to.
  return record("to", std::move(y), {*this}, [](const Tensor& dy) -> Grads { return {dy}; });
}

void Tensor::copy_from(const Tensor& source) {
  if (!(source.shape() == shape()))
    fail(Kind::usage, "copy_from: shape {} into {}", source.shape().str(), shape().str());
  touch(*checked(impl_).storage);
  detail::copy_strided(source.to(dtype()), *this);
}

}  // namespace beckon
