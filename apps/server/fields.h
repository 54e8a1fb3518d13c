// The members of a JSON object in a request: each is taken with its range, the rest is refused.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "http.h"

namespace beckon::server {

using Json = nlohmann::json;

constexpr uint64_t kMostJson = uint64_t{4} << 20;

// The body of a request. HttpError 400 if it is no JSON, 422 if it is nested deeper than 16. An
// empty body is an empty object.
Json json_of(const Request& request);

class Fields {
 public:
  // HttpError 422 unless it is an object. `place` begins messages: "prompts[2]".
  Fields(const Json& object, std::string place);

  // HttpError 422 for a member that is none of these.
  void only(std::initializer_list<std::string_view> names) const;

  bool has(const char* name) const;
  const Json* find(const char* name) const;  // nullptr also for null
  std::string place(const char* name) const;

  // HttpError 422 with place and range for another type or a value outside.
  std::optional<double> number(const char* name, double least, double most) const;
  std::optional<int64_t> integer(const char* name, int64_t least, int64_t most) const;
  std::optional<bool> boolean(const char* name) const;
  std::optional<std::string> text(const char* name, size_t longest) const;
  // One of these words.
  std::optional<std::string> word(const char* name,
                                  std::initializer_list<std::string_view> words) const;
  // A list of at most so many.
  const Json* list(const char* name, size_t most) const;

 private:
  const Json& object_;
  std::string place_;
};

[[noreturn]] void out_of_range(const std::string& detail);  // HttpError 422

// A number in a query. HttpError 422 if it is none or outside.
int64_t query_integer(const Request& request, const char* name, int64_t fallback, int64_t least,
                      int64_t most);

// As text, bytes that are no UTF-8 replaced.
std::string dumped(const Json& json);

}  // namespace beckon::server
