// Tensors and what is said of them in a safetensors file that proves it was not changed since.
#pragma once

#include <map>
#include <string>

#include "beckon/tensor.h"

namespace beckon::learn {

struct TensorFile {
  std::map<std::string, Tensor> tensors;  // f32 or i64, contiguous
  std::map<std::string, std::string> about;
};

// Adds "digest", a hash of all the rest. Whole or not at all; Error(output).
void write_tensor_file(const std::string& path, const TensorFile& file);
// Error(missing) if it is not there; Error(input) if it is no safetensors file, has no or another
// "kind" than this, holds other types, or was changed since it was written.
TensorFile read_tensor_file(const std::string& path, const std::string& kind);
// The metadata alone: cheap, and nothing is proven.
std::map<std::string, std::string> read_about(const std::string& path);

}  // namespace beckon::learn
