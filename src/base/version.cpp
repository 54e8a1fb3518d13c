#include "beckon/version.h"

namespace beckon {

// BECKON_VERSION is given by the build, from the one place that has the number: project() in
// CMakeLists.txt.
const char* version() noexcept { return BECKON_VERSION; }

}  // namespace beckon
