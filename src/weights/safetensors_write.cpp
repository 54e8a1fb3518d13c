#include <algorithm>
#include <cstring>
#include <functional>
#include <set>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "base/output_file.h"
#include "beckon/checkpoint.h"
#include "weights/impl.h"

namespace beckon {
namespace {

const char* dtype_name(DType type) {
  switch (type) {
    case DType::f32:
      return "F32";
    case DType::f16:
      return "F16";
    case DType::bf16:
      return "BF16";
    case DType::f64:
      return "F64";
    case DType::i64:
      return "I64";
    case DType::i32:
      return "I32";
    case DType::u8:
      return "U8";
    case DType::boolean:
      return "BOOL";
  }
  return "?";
}

// Writes the header and then the values of each tensor, which `values` supplies one at a time.
void write(const std::string& path, const std::vector<TensorInfo>& tensors,
           const std::map<std::string, std::string>& metadata,
           const std::function<std::span<const std::byte>(size_t)>& values) {
  std::vector<size_t> order(tensors.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return size_of(tensors[a].dtype) > size_of(tensors[b].dtype);
  });

  auto header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::set<std::string> names;
  uint64_t offset = 0;
  for (size_t i : order) {
    const TensorInfo& tensor = tensors[i];
    if (tensor.name == "__metadata__" || !names.insert(tensor.name).second)
      fail(Kind::usage, "{}: two tensors of the name '{}'", path, tensor.name);
    const uint64_t begin = offset;
    offset += static_cast<uint64_t>(tensor.shape.elements()) * size_of(tensor.dtype);
    header[tensor.name] = {
        {"dtype", dtype_name(tensor.dtype)},
        {"shape", std::vector<int64_t>(tensor.shape.begin(), tensor.shape.end())},
        {"data_offsets", {begin, offset}}};
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const nlohmann::json::exception&) {
    fail(Kind::usage, "{}: a tensor name or metadata entry is not valid UTF-8", path);
  }
  text.resize((text.size() + 7) / 8 * 8, ' ');

  OutputFile file(path);
  const uint64_t length = text.size();
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(std::as_bytes(std::span(text)));
  for (size_t i : order) file.write(values(i));
  file.commit();
}

bool is_float(DType type) {
  return type == DType::f32 || type == DType::f16 || type == DType::bf16 || type == DType::f64;
}

template <typename T, typename In, typename Convert>
std::vector<std::byte> encoded(const std::vector<In>& values, Convert convert) {
  std::vector<std::byte> bytes(values.size() * sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    const T value = convert(values[i]);
    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
  }
  return bytes;
}

std::vector<std::byte> values_as(const Checkpoint& checkpoint, const std::string& name,
                                 DType type) {
  const auto same = []<typename T>(T) { return [](auto value) { return static_cast<T>(value); }; };
  switch (type) {
    case DType::f16:
      return encoded<uint16_t>(checkpoint.f32(name), float_to_half);
    case DType::bf16:
      return encoded<uint16_t>(checkpoint.f32(name), float_to_bfloat16);
    case DType::f32:
    case DType::f64:
      return encoded<float>(checkpoint.f32(name), same(float{}));
    case DType::i64:
      return encoded<int64_t>(checkpoint.i64(name), same(int64_t{}));
    case DType::i32:
      return encoded<int32_t>(checkpoint.i64(name), same(int32_t{}));
    case DType::u8:
    case DType::boolean:
      return encoded<uint8_t>(checkpoint.i64(name), same(uint8_t{}));
  }
  return {};
}

}  // namespace

void write_safetensors(const std::string& path, std::span<const TensorBytes> tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorInfo> infos;
  for (const TensorBytes& tensor : tensors) {
    const uint64_t wanted = static_cast<uint64_t>(tensor.shape.elements()) * size_of(tensor.dtype);
    if (tensor.bytes.size() != wanted)
      fail(Kind::usage, "{}: tensor '{}' of shape {} wants {} bytes, {} given", path, tensor.name,
           tensor.shape.str(), wanted, tensor.bytes.size());
    infos.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  write(path, infos, metadata, [&](size_t i) { return tensors[i].bytes; });
}

void write_safetensors(const std::string& path, const Checkpoint& checkpoint, DType floats,
                       const std::map<std::string, std::string>& metadata) {
  if (floats != DType::f32 && floats != DType::f16 && floats != DType::bf16)
    fail(Kind::usage, "{}: floating-point tensors are written as f32, f16 or bf16, not {}", path,
         name_of(floats));
  std::vector<TensorInfo> infos;
  for (const std::string& name : checkpoint.names()) {
    infos.push_back(checkpoint.info(name));
    if (is_float(infos.back().dtype)) infos.back().dtype = floats;
  }
  std::vector<std::byte> bytes;
  write(path, infos, metadata, [&](size_t i) -> std::span<const std::byte> {
    bytes = values_as(checkpoint, infos[i].name, infos[i].dtype);
    return bytes;
  });
}

}  // namespace beckon
