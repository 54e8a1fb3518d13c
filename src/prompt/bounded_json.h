// JSON from files that are not to be trusted.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace beckon {

// Throws Error(input) that begins with `name` for text that is longer than `longest` bytes, nested
// deeper than `deepest` (a prompt's vocabulary needs no more), or no JSON.
nlohmann::json parse_bounded_json(std::string_view text, const std::string& name, size_t longest,
                                  int deepest = 16);

}  // namespace beckon
