#include "fields.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "beckon/error.h"
#include "problem.h"
#include "prompt/bounded_json.h"

namespace beckon::server {

void out_of_range(const std::string& detail) { throw HttpError(422, "value", detail); }

Json json_of(const Request& request) {
  if (request.body.empty()) return Json::object();
  constexpr int kDeepest = 16;
  try {
    return parse_bounded_json(request.body, "body", kMostJson, kDeepest);
  } catch (const Error& error) {
    throw HttpError(400, "json", error.what());
  }
}

Fields::Fields(const Json& object, std::string place) : object_(object), place_(std::move(place)) {
  if (!object.is_object())
    out_of_range(fmt::format("{}: expected an object, found {}", place_, object.type_name()));
}

void Fields::only(std::initializer_list<std::string_view> names) const {
  for (auto it = object_.begin(); it != object_.end(); ++it) {
    bool known = false;
    for (const std::string_view name : names) known = known || name == it.key();
    if (!known) out_of_range(fmt::format("{}: unknown member '{:.40}'", place_, it.key()));
  }
}

bool Fields::has(const char* name) const { return find(name) != nullptr; }

const Json* Fields::find(const char* name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::string Fields::place(const char* name) const {
  return place_.empty() ? name : fmt::format("{}.{}", place_, name);
}

std::optional<double> Fields::number(const char* name, double least, double most) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  const double number = value->is_number() ? value->get<double>() : std::nan("");
  if (!(number >= least && number <= most))
    out_of_range(fmt::format("{}: expected a number from {} to {}", place(name), least, most));
  return number;
}

std::optional<int64_t> Fields::integer(const char* name, int64_t least, int64_t most) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  bool fine = value->is_number_integer();
  if (value->is_number_unsigned())
    fine = value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX);
  const int64_t number = fine ? value->get<int64_t>() : 0;
  if (!fine || number < least || number > most)
    out_of_range(
        fmt::format("{}: expected a whole number from {} to {}", place(name), least, most));
  return number;
}

std::optional<bool> Fields::boolean(const char* name) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) out_of_range(fmt::format("{}: expected true or false", place(name)));
  return value->get<bool>();
}

std::optional<std::string> Fields::text(const char* name, size_t longest) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string() || value->get_ref<const std::string&>().size() > longest)
    out_of_range(fmt::format("{}: expected a text of at most {} bytes", place(name), longest));
  return value->get<std::string>();
}

std::optional<std::string> Fields::word(const char* name,
                                        std::initializer_list<std::string_view> words) const {
  const Json* value = find(name);
  if (value == nullptr) return std::nullopt;
  if (value->is_string())
    for (const std::string_view word : words)
      if (value->get_ref<const std::string&>() == word) return std::string(word);
  out_of_range(
      fmt::format("{}: expected {}", place(name), fmt::join(words.begin(), words.end(), ", ")));
}

const Json* Fields::list(const char* name, size_t most) const {
  const Json* value = find(name);
  if (value == nullptr) return nullptr;
  if (!value->is_array() || value->size() > most)
    out_of_range(fmt::format("{}: expected a list of at most {}", place(name), most));
  return value;
}

int64_t query_integer(const Request& request, const char* name, int64_t fallback, int64_t least,
                      int64_t most) {
  const std::string* text = request.parameter(name);
  if (text == nullptr) return fallback;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < least || value > most)
    out_of_range(fmt::format("{}: expected a whole number from {} to {}", name, least, most));
  return value;
}

std::string dumped(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace beckon::server
