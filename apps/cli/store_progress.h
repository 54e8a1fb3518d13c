// How commands speak of the model store.
#pragma once

#include <string>

#include "beckon/store.h"

namespace beckon::cli {

// Shows the steps of a long task, each with its own bar, and ends it on Ctrl-C.
PullCallback talk_about(const std::string& what);

// "absent", "partial", "present", "damaged".
const char* name_of(ModelState state);

}  // namespace beckon::cli
