// Reads numbers from bytes that nobody vouches for: every step is checked against what is left.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "base/fail.h"

namespace beckon::weights {

static_assert(std::endian::native == std::endian::little,
              "files are little-endian and mapped as they are");

inline std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A name from a file as it may stand in a one-line message: control characters replaced, at most
// 120 bytes.
inline std::string printable(std::string_view text) {
  std::string result(text.substr(0, 120));
  for (char& c : result)
    if (static_cast<unsigned char>(c) < 32 || c == 127) c = '?';
  return text.size() > 120 ? result + "..." : result;
}

class Cursor {
 public:
  // `where` begins every message: the file and the part of it, "x.pth: zip directory".
  Cursor(std::span<const std::byte> bytes, std::string where, uint64_t position = 0)
      : bytes_(bytes), where_(std::move(where)), position_(position) {
    if (position > bytes.size())
      fail(Kind::model, "{}: offset {} is past the end ({} bytes)", where_, position, bytes.size());
  }

  uint64_t position() const noexcept { return position_; }
  uint64_t left() const noexcept { return bytes_.size() - position_; }
  bool done() const noexcept { return position_ == bytes_.size(); }
  const std::string& where() const noexcept { return where_; }

  std::span<const std::byte> take(uint64_t count) {
    if (count > left())
      fail(Kind::model, "{}: cut off: {} bytes wanted at offset {}, {} left", where_, count,
           position_, left());
    const auto part = bytes_.subspan(position_, count);
    position_ += count;
    return part;
  }
  void skip(uint64_t count) { take(count); }
  std::string_view text(uint64_t count) { return as_text(take(count)); }

  uint8_t u8() { return number<uint8_t>(); }
  uint16_t u16() { return number<uint16_t>(); }
  uint32_t u32() { return number<uint32_t>(); }
  uint64_t u64() { return number<uint64_t>(); }

 private:
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }

  std::span<const std::byte> bytes_;
  std::string where_;
  uint64_t position_;
};

}  // namespace beckon::weights
