// Label Studio's run lengths of a brush.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "beckon/mask.h"

namespace beckon::annotation {

// Object where alpha is above half of the highest. Kind::input if the bytes are malformed or of
// another size.
Mask brush_mask(std::span<const uint8_t> bytes, ImageSize size, const std::string& place);
// The bytes that Label Studio's converter makes of the same mask.
std::vector<uint8_t> brush_bytes(const Mask& mask);

}  // namespace beckon::annotation
