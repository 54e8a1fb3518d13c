#include "picture_header.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "image/codecs.h"

namespace beckon::server {
namespace {

using Bytes = std::span<const uint8_t>;

// Numbers of a file whose end may come at any time: reading past it gives zeros.
uint32_t big(Bytes bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i)
    value = value << 8 | (at + i < bytes.size() ? bytes[at + i] : 0);
  return value;
}
uint32_t little(Bytes bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | (at + i < bytes.size() ? bytes[at + i] : 0);
  return value;
}
bool is_at(Bytes bytes, size_t at, const char* text) {
  const size_t length = std::strlen(text);
  return at + length <= bytes.size() && std::memcmp(bytes.data() + at, text, length) == 0;
}

std::optional<PictureHeader> made(const char* type, int64_t width, int64_t height,
                                  int orientation) {
  if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX) return std::nullopt;
  PictureHeader header{type, {static_cast<int>(width), static_cast<int>(height)}};
  if (orientation >= 5) std::swap(header.size.width, header.size.height);
  return header;
}

std::optional<PictureHeader> jpeg(Bytes bytes) {
  int orientation = 1;
  for (size_t at = 2; at + 4 <= bytes.size();) {
    if (bytes[at] != 0xFF) return std::nullopt;
    const uint8_t marker = bytes[at + 1];
    if (marker == 0xFF) {  // filling
      ++at;
      continue;
    }
    if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {  // without a length
      at += 2;
      continue;
    }
    const size_t length = big(bytes, at + 2, 2);
    if (length < 2 || marker == 0xDA || marker == 0xD9) return std::nullopt;
    const bool frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame) return made("image/jpeg", big(bytes, at + 7, 2), big(bytes, at + 5, 2), orientation);
    if (marker == 0xE1 && is_at(bytes, at + 4, "Exif") && at + 2 + length <= bytes.size() &&
        length > 8 && orientation == 1)
      orientation = codecs::exif_orientation(bytes.subspan(at + 10, length - 8));
    at += 2 + length;
  }
  return std::nullopt;
}

std::optional<PictureHeader> png(Bytes bytes) {
  if (!is_at(bytes, 12, "IHDR")) return std::nullopt;
  int orientation = 1;
  for (size_t at = 8; at + 12 <= bytes.size();) {
    const size_t length = big(bytes, at, 4);
    if (length > bytes.size() - at - 12) break;
    if (is_at(bytes, at + 4, "eXIf")) {
      orientation = codecs::exif_orientation(bytes.subspan(at + 8, length));
      break;
    }
    if (is_at(bytes, at + 4, "IEND")) break;
    at += 12 + length;
  }
  return made("image/png", big(bytes, 16, 4), big(bytes, 20, 4), orientation);
}

std::optional<PictureHeader> webp(Bytes bytes) {
  int64_t width = 0, height = 0;
  int orientation = 1;
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const size_t length = little(bytes, at + 4, 4);
    if (length > bytes.size() - at - 8) break;
    if (is_at(bytes, at, "VP8X") && length >= 10) {
      width = 1 + little(bytes, at + 12, 3), height = 1 + little(bytes, at + 15, 3);
    } else if (is_at(bytes, at, "VP8 ") && length >= 10 && width == 0) {
      width = little(bytes, at + 14, 2) & 0x3FFF, height = little(bytes, at + 16, 2) & 0x3FFF;
    } else if (is_at(bytes, at, "VP8L") && length >= 5 && width == 0) {
      const uint32_t bits = little(bytes, at + 9, 4);
      width = 1 + (bits & 0x3FFF), height = 1 + (bits >> 14 & 0x3FFF);
    } else if (is_at(bytes, at, "EXIF")) {
      Bytes tiff = bytes.subspan(at + 8, length);
      if (is_at(tiff, 0, "Exif")) tiff = tiff.subspan(std::min<size_t>(6, tiff.size()));
      orientation = codecs::exif_orientation(tiff);
    }
    at += 8 + length + (length & 1);
  }
  return made("image/webp", width, height, orientation);
}

}  // namespace

std::optional<PictureHeader> picture_header(Bytes bytes) {
  if (is_at(bytes, 0, "\xFF\xD8\xFF")) return jpeg(bytes);
  if (is_at(bytes, 0, "\x89PNG\r\n\x1A\n")) return png(bytes);
  if (is_at(bytes, 0, "RIFF") && is_at(bytes, 8, "WEBP")) return webp(bytes);
  return std::nullopt;
}

}  // namespace beckon::server
