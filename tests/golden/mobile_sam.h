// The store's MobileSAM, for tests of real weights.
#pragma once

#include <cstdlib>
#include <iostream>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "beckon/error.h"
#include "beckon/sam.h"

namespace beckon::test {

// The store's model, or nothing after a failure (a note if BECKON_QUICK=1).
inline std::optional<Sam> mobile_sam() {
  try {
    return Sam::load("mobile-sam");
  } catch (const Error& error) {
    const char* quick = std::getenv("BECKON_QUICK");
    if (quick && std::string(quick) == "1" && error.kind() == Kind::unavailable) {
      std::cout << "[     NOTE ] MobileSAM is not in the store; its goldens are left out\n";
    } else {
      ADD_FAILURE() << error.what();
    }
    return std::nullopt;
  }
}

}  // namespace beckon::test
