// JSON as the program prints it.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace beckon::cli {

// Keys keep the order they were written in: reports are read by people too.
using Json = nlohmann::ordered_json;

// Indented, with a line break at the end. Bytes that are no UTF-8, as file names may have, become
// U+FFFD.
inline std::string text_of(const Json& value) {
  return value.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace beckon::cli
