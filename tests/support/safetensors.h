// A second, small safetensors reader for tests: goldens are read without the code under test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace beckon::test {

// One array of a golden, as stored: row-major, little-endian.
struct Array {
  std::string dtype;  // "F32", "F16", "BF16", "F64", "I64", "I32", "I16", "I8", "U8", "BOOL"
  std::vector<int64_t> shape;
  std::vector<uint8_t> bytes;

  int64_t size() const;                  // the number of values; 1 for a scalar
  std::vector<float> as_floats() const;  // any dtype, converted
  std::vector<int64_t> as_ints() const;  // any dtype, truncated
};

// Name -> array; at() of a missing name says which names there are.
class Arrays : public std::map<std::string, Array> {
 public:
  const Array& at(const std::string& name) const;
  bool has(const std::string& name) const { return count(name) != 0; }
};

// Throws std::runtime_error if the file cannot be read or is malformed.
Arrays read_safetensors(const std::filesystem::path& path);

}  // namespace beckon::test
