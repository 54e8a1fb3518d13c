#include "support/safetensors.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace beckon::test {
namespace {

float half_to_float(uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int mantissa = half & 1023;
  float value;
  if (exponent == 31) {
    value =
        mantissa ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  } else if (exponent == 0) {
    value = std::ldexp(static_cast<float>(mantissa), -24);
  } else {
    value = std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25);
  }
  return half & 0x8000 ? -value : value;
}

float bfloat_to_float(uint16_t value) { return std::bit_cast<float>(uint32_t{value} << 16); }

size_t width(const std::string& dtype) {
  if (dtype == "F64" || dtype == "I64") return 8;
  if (dtype == "F32" || dtype == "I32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16") return 2;
  if (dtype == "U8" || dtype == "I8" || dtype == "BOOL") return 1;
  throw std::runtime_error("golden: dtype " + dtype + " is not known to the test reader");
}

template <typename Stored, typename To, typename Convert>
std::vector<To> convert(const Array& array, Convert&& each) {
  std::vector<To> values(static_cast<size_t>(array.size()));
  for (size_t i = 0; i < values.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, array.bytes.data() + i * sizeof stored, sizeof stored);
    values[i] = static_cast<To>(each(stored));
  }
  return values;
}

template <typename To>
std::vector<To> convert(const Array& array) {
  const auto same = [](auto value) { return value; };
  if (array.dtype == "F32") return convert<float, To>(array, same);
  if (array.dtype == "F64") return convert<double, To>(array, same);
  if (array.dtype == "F16") return convert<uint16_t, To>(array, half_to_float);
  if (array.dtype == "BF16") return convert<uint16_t, To>(array, bfloat_to_float);
  if (array.dtype == "I64") return convert<int64_t, To>(array, same);
  if (array.dtype == "I32") return convert<int32_t, To>(array, same);
  if (array.dtype == "I16") return convert<int16_t, To>(array, same);
  if (array.dtype == "I8") return convert<int8_t, To>(array, same);
  return convert<uint8_t, To>(array, same);
}

}  // namespace

int64_t Array::size() const {
  int64_t count = 1;
  for (int64_t side : shape) count *= side;
  return count;
}

std::vector<float> Array::as_floats() const { return convert<float>(*this); }
std::vector<int64_t> Array::as_ints() const { return convert<int64_t>(*this); }

const Array& Arrays::at(const std::string& name) const {
  if (auto found = find(name); found != end()) return found->second;
  std::string names;
  for (const auto& [other, array] : *this) names += (names.empty() ? "" : ", ") + other;
  throw std::runtime_error(fmt::format("golden: no array '{}'; there are: {}", name, names));
}

Arrays read_safetensors(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("golden: cannot open " + path.string());
  uint64_t header_size = 0;
  file.read(reinterpret_cast<char*>(&header_size), sizeof header_size);
  if (!file || header_size > (64u << 20))
    throw std::runtime_error("golden: bad header in " + path.string());
  std::string header(header_size, '\0');
  file.read(header.data(), static_cast<std::streamsize>(header_size));
  const auto entries = nlohmann::json::parse(header);

  Arrays arrays;
  for (const auto& [name, entry] : entries.items()) {
    if (name == "__metadata__") continue;
    Array array{entry.at("dtype"), entry.at("shape"), {}};
    const uint64_t begin = entry.at("data_offsets").at(0);
    const uint64_t end = entry.at("data_offsets").at(1);
    const auto expected = static_cast<uint64_t>(array.size()) * width(array.dtype);
    if (end < begin || end - begin != expected)
      throw std::runtime_error(fmt::format("golden: {}: '{}' has {} bytes, expected {}",
                                           path.string(), name, end - begin, expected));
    array.bytes.resize(expected);
    file.seekg(static_cast<std::streamoff>(8 + header_size + begin));
    file.read(reinterpret_cast<char*>(array.bytes.data()), static_cast<std::streamsize>(expected));
    if (!file)
      throw std::runtime_error(fmt::format("golden: {}: '{}' is cut off", path.string(), name));
    arrays.emplace(name, std::move(array));
  }
  return arrays;
}

}  // namespace beckon::test
