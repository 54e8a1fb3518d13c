#include "compose/annotate/names.h"

#include <charconv>
#include <cstdint>
#include <span>

#include "base/fail.h"
#include "base/sha256.h"

namespace beckon::compose {
namespace {

constexpr std::string_view kEnding = ".json";
// Bytes that file systems allow a name to have.
constexpr size_t kLongestName = 255;
// Of a shortened name, the part that is kept.
constexpr size_t kKept = 160;

// "a.json" and "a.json~" as folders: the results of pictures "a" and "a.json~" would be in the way.
std::string folder_name(const std::string& name) {
  const size_t end = name.find_last_not_of('~');
  const std::string stem = end == std::string::npos ? "" : name.substr(0, end + 1);
  return stem.ends_with(kEnding) ? name + "~" : name;
}

std::string shortened(const std::string& name, const std::string& ending) {
  if (name.size() + ending.size() <= kLongestName) return name + ending;
  size_t kept = kKept;
  while (kept > 0 && (static_cast<unsigned char>(name[kept]) & 0xc0) == 0x80) --kept;
  const std::string digits = sha256_hex(std::as_bytes(std::span(name.data(), name.size())));
  return name.substr(0, kept) + "~" + digits.substr(0, 32) + ending;
}

bool is_safe_path(const std::string& path) {
  if (path.empty() || path.front() == '/' || path.find('\0') != std::string::npos) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

std::string from_percent(const std::string& text, const std::string& place) {
  std::string path;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      path += text[i];
      continue;
    }
    unsigned value = 0;
    const char* end = text.data() + std::min(text.size(), i + 3);
    const auto [after, error] = std::from_chars(text.data() + i + 1, end, value, 16);
    if (error != std::errc() || after != text.data() + i + 3)
      fail(Kind::input, "{}: '%' without two hexadecimal digits in 'path_percent'", place);
    path += static_cast<char>(value);
    i += 2;
  }
  return path;
}

}  // namespace

std::string result_path(const std::string& picture) {
  std::string path = "results/";
  size_t begin = 0;
  for (size_t slash; (slash = picture.find('/', begin)) != std::string::npos; begin = slash + 1)
    path += shortened(folder_name(picture.substr(begin, slash - begin)), "") + "/";
  return path + shortened(picture.substr(begin), std::string(kEnding));
}

bool is_utf8(const std::string& text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = [&](size_t at) {
      return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u;
    };
    const unsigned first = byte(i);
    const int more = first < 0x80 ? 0 : first >> 5 == 6 ? 1 : first >> 4 == 14 ? 2 : 3;
    if (more == 3 && first >> 3 != 30) return false;
    uint32_t code = more == 0 ? first : first & (0x3fu >> more);
    for (int k = 1; k <= more; ++k) {
      if (byte(i + static_cast<size_t>(k)) >> 6 != 2) return false;
      code = code << 6 | (byte(i + static_cast<size_t>(k)) & 0x3fu);
    }
    // Forms that are longer than needed, halves of pairs, and what lies beyond the last character.
    constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
    if (code < kSmallest[more] || (code >= 0xd800 && code < 0xe000) || code > 0x10ffff)
      return false;
    i += static_cast<size_t>(more) + 1;
  }
  return true;
}

void put_path(Json& object, const std::string& path) {
  if (is_utf8(path)) {
    object["path"] = path;
    return;
  }
  std::string text;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x21 || byte > 0x7e || c == '%')
      text += fmt::format("%{:02X}", byte);
    else
      text += c;
  }
  object["path_percent"] = text;
}

std::string path_of(const nlohmann::json& object, const std::string& place) {
  if (!object.is_object()) fail(Kind::input, "{}: expected an object", place);
  for (const char* key : {"path", "path_percent"}) {
    const auto found = object.find(key);
    if (found == object.end()) continue;
    if (!found->is_string()) fail(Kind::input, "{}: '{}' must be a text", place, key);
    std::string path = found->get<std::string>();
    if (std::string_view(key) == "path_percent") path = from_percent(path, place);
    if (!is_safe_path(path))
      fail(Kind::input, "{}: '{}' is not the path of a file inside the folder", place, key);
    return path;
  }
  fail(Kind::input, "{}: 'path' is missing", place);
}

}  // namespace beckon::compose
