// Run lengths from the places where a mask changes.
#pragma once

#include <cstdint>
#include <span>

#include "beckon/rle.h"

namespace beckon::runs {

// `toggles`: ascending positions (column by column) from which on the mask is the opposite of
// before; it begins as background. Equal ones cancel in pairs, those at or behind the end count for
// nothing.
Rle from_toggles(std::span<const uint32_t> toggles, ImageSize size);

}  // namespace beckon::runs
