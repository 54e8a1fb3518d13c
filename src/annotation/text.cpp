// JSON, numbers and base64 from files that are not to be trusted.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "annotation/format.h"
#include "base/fail.h"
#include "prompt/bounded_json.h"

namespace beckon::annotation {

Json parse_json(std::string_view text, const std::string& name) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // what Windows editors put in front
  return parse_bounded_json(text, name, size_t{2} << 30, 100);  // keys of others are kept whole
}

const Json* find(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

const Json& list_at(const Json& object, const char* key, const std::string& place) {
  const Json* list = find(object, key);
  if (!list || !list->is_array()) fail(Kind::input, "{}: expected a list '{}'", place, key);
  return *list;
}

double number(const Json& value, const std::string& place) {
  if (!value.is_number()) fail(Kind::input, "{}: expected a number", place);
  return checked(value.get<double>(), place);
}

std::optional<double> optional_number(const Json& object, const char* key,
                                      const std::string& place) {
  const Json* value = find(object, key);
  if (!value) return std::nullopt;
  if (!value->is_number()) fail(Kind::input, "{}: '{}' is not a number", place, key);
  return value->get<double>();
}

int64_t integer(const Json& value, const std::string& place) {
  constexpr double kExact = 9007199254740992;  // 2^53
  if (value.is_number_integer() && !(value.is_number_unsigned() && value.get<uint64_t>() >> 63))
    return value.get<int64_t>();
  // Sizes and numbers that went through a table of floats.
  if (value.is_number_float()) {
    const double real = value.get<double>();
    if (std::abs(real) <= kExact && real == std::floor(real)) return static_cast<int64_t>(real);
  }
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  fail(Kind::input, "{}: expected a whole number", place);
}

int64_t integer_or(const Json& object, const char* key, int64_t otherwise,
                   const std::string& place) {
  const Json* value = find(object, key);
  return value ? integer(*value, fmt::format("{}: '{}'", place, key)) : otherwise;
}

std::string text_or(const Json& object, const char* key, const std::string& otherwise,
                    const std::string& place) {
  const Json* value = find(object, key);
  if (!value) return otherwise;
  if (!value->is_string()) fail(Kind::input, "{}: '{}' is not text", place, key);
  return value->get<std::string>();
}

Ring ring_of(const Json& pairs, const std::string& place) {
  if (!pairs.is_array()) fail(Kind::input, "{}: expected a list of points [x, y]", place);
  Ring ring;
  ring.reserve(pairs.size());
  for (const Json& pair : pairs) {
    if (!pair.is_array() || pair.size() < 2) fail(Kind::input, "{}: expected points [x, y]", place);
    ring.push_back({number(pair[0], place), number(pair[1], place)});
  }
  return ring;
}

BoxShape box_at(const Json& value, const std::string& place) {
  if (!value.is_array() || value.size() != 4)
    fail(Kind::input, "{}: expected a box [x, y, width, height]", place);
  BoxShape box{number(value[0], place), number(value[1], place), number(value[2], place),
               number(value[3], place)};
  check_box(box, place);
  return box;
}

std::string extra_of(const Json& object, std::initializer_list<std::string_view> known) {
  Json extra = Json::object();
  for (auto it = object.begin(); it != object.end(); ++it)
    if (std::find(known.begin(), known.end(), it.key()) == known.end()) extra[it.key()] = *it;
  return extra.empty() ? std::string() : dump(extra);
}

Json extra_json(const std::string& extra) {
  Json object = extra.empty() ? Json::object() : Json::parse(extra, nullptr, false);
  return object.is_object() ? object : Json::object();
}

void put_extra(Json& object, const std::string& extra) {
  if (extra.empty()) return;
  const Json members = extra_json(extra);
  for (auto& [key, value] : members.items())
    if (!object.contains(key)) object[key] = value;
}

std::string dump(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json json_number(double value) {
  if (value == std::floor(value) && std::abs(value) < 1e15) return static_cast<int64_t>(value);
  return value;
}

Json json_of(const BoxShape& box) {
  return {json_number(box.x), json_number(box.y), json_number(box.width), json_number(box.height)};
}

Rle rle_of(const Json& segmentation, const std::string& place) {
  const Json& size = list_at(segmentation, "size", place);
  if (size.size() != 2) fail(Kind::input, "{}: 'size' must be [height, width]", place);
  const int64_t height = integer(size[0], place), width = integer(size[1], place);
  check_sides(width, height, place);
  const ImageSize sides{static_cast<int>(width), static_cast<int>(height)};
  const Json* counts = find(segmentation, "counts");
  if (!counts) fail(Kind::input, "{}: run lengths without 'counts'", place);
  try {
    if (counts->is_string()) return Rle::from_string(sides, counts->get_ref<const std::string&>());
    if (!counts->is_array()) fail(Kind::input, "'counts' must be text or a list of numbers");
    std::vector<int64_t> numbers;
    numbers.reserve(counts->size());
    for (const Json& count : *counts) numbers.push_back(integer(count, "counts"));
    return Rle::from_counts(sides, numbers);
  } catch (const Error& error) {
    throw Error(error.kind(), place + ": " + error.what());
  }
}

std::string valid_utf8(const std::string& text) {
  const std::string quoted = dump(Json(text));
  return Json::parse(quoted).get<std::string>();
}

std::string text_of_number(double value) {
  const Json json = json_number(value);
  return json.is_number_integer() ? std::to_string(json.get<int64_t>()) : fmt::format("{}", value);
}

double parse_number(std::string_view text, const std::string& place) {
  while (!text.empty() && std::string_view(" \t\r\n").find(text.front()) != text.npos)
    text.remove_prefix(1);
  while (!text.empty() && std::string_view(" \t\r\n").find(text.back()) != text.npos)
    text.remove_suffix(1);
  if (text.starts_with("+")) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty() ||
      !std::isfinite(value))
    fail(Kind::input, "{}: '{}' is not a number", place,
         valid_utf8(std::string(text.substr(0, 40))));
  return value;
}

namespace {
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string base64(std::string_view bytes) {
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t group = 0;
    const size_t have = std::min<size_t>(3, bytes.size() - i);
    for (size_t j = 0; j < 3; ++j)
      group = group << 8 | (j < have ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j) text += j <= have ? kDigits[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

std::vector<uint8_t> from_base64(std::string_view text, const std::string& place) {
  std::vector<uint8_t> bytes;
  uint32_t group = 0;
  int have = 0;
  bool ended = false;
  for (char c : text) {
    if (c == '\n' || c == '\r' || c == ' ') continue;
    if (c == '=') {
      ended = true;
      continue;
    }
    const size_t digit = kDigits.find(c);
    if (digit == kDigits.npos || ended) fail(Kind::input, "{}: malformed base64", place);
    group = (group << 6 | static_cast<uint32_t>(digit)) & 0xffffff;
    if (++have % 4 != 1) bytes.push_back(static_cast<uint8_t>(group >> ((4 - have) * 2) & 255));
    if (have == 4) have = 0;
  }
  if (have == 1) fail(Kind::input, "{}: malformed base64", place);
  return bytes;
}

}  // namespace beckon::annotation
