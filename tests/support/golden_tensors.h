// Goldens as tensors and as parameters of a model.
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "beckon/tensor.h"
#include "nn/params.h"
#include "support/golden.h"

namespace beckon::test {

inline Tensor tensor(const Array& array) {
  const Shape shape(array.shape.data(), array.shape.data() + array.shape.size());
  if (array.dtype == "I64") return Tensor::from(std::span<const int64_t>(array.as_ints()), shape);
  return Tensor::from(std::span<const float>(array.as_floats()), shape);
}

// [B,C,H,W] as stored -> [B,H,W,C]
inline Tensor channels_last(const Tensor& x) { return x.permute({0, 2, 3, 1}).contiguous(); }
inline Tensor channels_first(const Tensor& x) { return x.permute({0, 3, 1, 2}).contiguous(); }

inline nn::Params params(const Golden& golden) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, array] : golden.tensors("weights")) tensors[name] = tensor(array);
  return nn::Params::from(std::move(tensors), golden.model + "/" + golden.name);
}

// Compares values in order, whatever the shape. Cases of $BECKON_GOLDENS may come without stages in
// between ("mid.").
inline void expect_golden(const Golden& golden, const std::string& name, const Tensor& actual) {
  if (name.starts_with("mid.") && !golden.is_own() && !golden.tensors("io").has(name)) return;
  const Tensor values = actual.contiguous();
  expect_near(std::as_const(values).values(), golden.tensors("io").at(name), golden.tolerance(name),
              golden.name + " " + name);
}

}  // namespace beckon::test
