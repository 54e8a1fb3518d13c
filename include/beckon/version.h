// Which Beckon this is.
#pragma once

#include "beckon/export.h"

namespace beckon {

// "major.minor.patch" of the library that is running, which every recipe names.
BECKON_API const char* version() noexcept;

}  // namespace beckon
