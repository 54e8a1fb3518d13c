// The size of a picture from its first bytes, without decoding it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "beckon/image.h"

namespace beckon::server {

struct PictureHeader {
  std::string type;  // "image/jpeg", "image/png", "image/webp"
  ImageSize size;    // as a viewer shows it: EXIF's orientation is applied
};

// Nothing if the bytes are none of these or broken before the size is known. `bytes` is the whole
// file: JPEG and PNG may have their orientation anywhere.
std::optional<PictureHeader> picture_header(std::span<const uint8_t> bytes);

}  // namespace beckon::server
