#include "learn/classify/tensor_file.h"

#include <vector>

#include "base/fail.h"
#include "base/sha256.h"
#include "beckon/checkpoint.h"

namespace beckon::learn {
namespace {

std::span<const std::byte> bytes_of(const Tensor& x) {
  if (x.dtype() == DType::i64)
    return std::as_bytes(std::span(x.data_as<int64_t>(), static_cast<size_t>(x.size())));
  return std::as_bytes(x.values());
}

std::string digest_of(const TensorFile& file) {
  Sha256 hash;
  const auto add = [&](const std::string& text) {
    const std::string length = fmt::format("{}:", text.size());
    hash.update(std::as_bytes(std::span(length)));
    hash.update(std::as_bytes(std::span(text)));
  };
  for (const auto& [key, value] : file.about) {
    if (key == "digest") continue;
    add(key);
    add(value);
  }
  for (const auto& [name, tensor] : file.tensors) {
    add(name);
    add(tensor.shape().str());
    hash.update(bytes_of(tensor));
  }
  return hash.hex();
}

// Errors of the reader of checkpoints are about models; here it is data.
Checkpoint open_prompt(const std::string& path) {
  try {
    Checkpoint file = Checkpoint::open(path);
    if (file.format() != "safetensors")
      fail(Kind::input, "{}: a {} file, expected a prompt in safetensors", path, file.format());
    return file;
  } catch (const Error& error) {
    if (error.kind() == Kind::model) throw Error(Kind::input, error.what());
    throw;
  }
}

}  // namespace

void write_tensor_file(const std::string& path, const TensorFile& file) {
  std::vector<TensorBytes> bytes;
  for (const auto& [name, tensor] : file.tensors)
    bytes.push_back({name, tensor.dtype(), tensor.shape(), bytes_of(tensor)});
  std::map<std::string, std::string> about = file.about;
  about["digest"] = digest_of(file);
  write_safetensors(path, bytes, about);
}

std::map<std::string, std::string> read_about(const std::string& path) {
  return open_prompt(path).metadata();
}

TensorFile read_tensor_file(const std::string& path, const std::string& kind) {
  const Checkpoint opened = open_prompt(path);
  TensorFile file;
  file.about = opened.metadata();
  const auto found = file.about.find("kind");
  if (found == file.about.end() || found->second != kind)
    fail(Kind::input, "{}: this is no {}{}", path, kind,
         found == file.about.end() ? "" : " but a " + found->second.substr(0, 60));
  for (const std::string& name : opened.names()) {
    const TensorInfo& info = opened.info(name);
    if (info.dtype == DType::f32) {
      Tensor to = Tensor::empty(info.shape);
      opened.read_f32(name, {to.data(), static_cast<size_t>(to.size())});
      file.tensors[name] = to;
    } else if (info.dtype == DType::i64) {
      Tensor to = Tensor::empty(info.shape, DType::i64);
      opened.read_i64(name, {to.data_as<int64_t>(), static_cast<size_t>(to.size())});
      file.tensors[name] = to;
    } else {
      fail(Kind::input, "{}: tensor '{}' is of type {}, expected f32 or i64", path, name,
           name_of(info.dtype));
    }
  }
  if (!file.about.contains("digest") || file.about["digest"] != digest_of(file))
    fail(Kind::input, "{}: it was changed since it was written", path);
  return file;
}

}  // namespace beckon::learn
