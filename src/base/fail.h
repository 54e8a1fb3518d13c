// fail(kind, "format {}", ...): throws beckon::Error with a formatted message.
#pragma once

#include <utility>

#include <fmt/core.h>

#include "beckon/error.h"

namespace beckon {

template <typename... Args>
[[noreturn]] void fail(Kind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw Error(kind, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace beckon
