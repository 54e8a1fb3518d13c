// A look at JSON text before it is parsed.
#pragma once

#include <string>
#include <string_view>

#include "base/fail.h"

namespace beckon::weights {

// The parser gathers each string and number in buffers of several times its length, so a header of
// one endless string would cost far more memory than the file. Throws Error(resource) for a token
// of more than 4 MiB.
inline void check_json_tokens(std::string_view text, const std::string& where) {
  constexpr size_t kLongest = size_t{4} << 20;
  size_t begin = 0;  // of the token, or of the string's text
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
      begin = i;
    } else if (!in_string &&
               (c == ',' || c == ':' || c == '[' || c == ']' || c == '{' || c == '}')) {
      begin = i;
    }
    if (i - begin > kLongest)
      fail(Kind::resource, "{}: JSON with a string or number of more than 4 MiB at byte {}", where,
           begin);
  }
}

}  // namespace beckon::weights
