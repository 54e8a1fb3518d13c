// What the formats share: telling them apart, limits, orientation.
#include <algorithm>
#include <cstring>
#include <string_view>

#include "base/fail.h"
#include "base/threads.h"
#include "image/codecs.h"

namespace beckon::codecs {
namespace {

std::string_view text_at(std::span<const uint8_t> bytes, size_t offset, size_t length) {
  if (bytes.size() < offset + length) return {};
  return {reinterpret_cast<const char*>(bytes.data()) + offset, length};
}

// Pictures we can name but do not read.
std::string_view other_format(std::span<const uint8_t> bytes) {
  if (text_at(bytes, 0, 4) == "GIF8") return "GIF";
  if (text_at(bytes, 0, 2) == "BM") return "BMP";
  if (text_at(bytes, 0, 4) == std::string_view("II*\0", 4) ||
      text_at(bytes, 0, 4) == std::string_view("MM\0*", 4))
    return "TIFF";
  if (text_at(bytes, 0, 4) == "8BPS") return "Photoshop";
  if (text_at(bytes, 0, 4) == "%PDF") return "PDF";
  if (text_at(bytes, 0, 12) == std::string_view("\0\0\0\x0cjP  \r\n\x87\n", 12)) return "JPEG 2000";
  if (text_at(bytes, 0, 2) == "\xff\x0a" || text_at(bytes, 4, 4) == "JXL ") return "JPEG XL";
  if (text_at(bytes, 4, 4) == "ftyp") {
    const auto brand = text_at(bytes, 8, 4);
    if (brand == "avif" || brand == "avis") return "AVIF";
    if (brand == "heic" || brand == "heix" || brand == "mif1" || brand == "msf1") return "HEIC";
    return "video";
  }
  return {};
}

// Destination (x, y) of an upright picture comes from the source pixel that this walk gives: start,
// then one step along a row, one step down.
struct Walk {
  int64_t start, along, down;
};

Walk walk(int orientation, int64_t width, int64_t height) {
  const int64_t right = 1, below = width, last_x = width - 1, last_y = (height - 1) * width;
  switch (orientation) {
    case 2:
      return {last_x, -right, below};  // mirrored left to right
    case 3:
      return {last_y + last_x, -right, -below};  // upside down
    case 4:
      return {last_y, right, -below};  // mirrored top to bottom
    case 5:
      return {0, below, right};  // mirrored along the falling diagonal
    case 6:
      return {last_y, -below, right};  // lies on its left side
    case 7:
      return {last_y + last_x, -below, -right};  // mirrored along the rising diagonal
    default:
      return {last_x, below, -right};  // 8: lies on its right side
  }
}

template <int channels>
void turn(const uint8_t* from, uint8_t* to, const Walk& steps, int width, int64_t first_row,
          int64_t last_row) {
  // In blocks of columns, so that the source lines of a turn by 90 degrees stay in the cache.
  constexpr int kBlock = 32;
  for (int x0 = 0; x0 < width; x0 += kBlock) {
    const int x1 = std::min(width, x0 + kBlock);
    for (int64_t y = first_row; y < last_row; ++y) {
      const uint8_t* source = from + (steps.start + y * steps.down + x0 * steps.along) * channels;
      uint8_t* target = to + (y * width + x0) * channels;
      for (int x = x0; x < x1; ++x) {
        std::memcpy(target, source, channels);
        target += channels;
        if (x + 1 < x1) source += steps.along * channels;
      }
    }
  }
}

}  // namespace

Format detect(std::span<const uint8_t> bytes, const std::string& name) {
  if (bytes.empty()) fail(Kind::input, "{}: is empty, expected a JPEG, PNG or WebP picture", name);
  if (text_at(bytes, 0, 3) == "\xff\xd8\xff") return Format::jpeg;
  if (text_at(bytes, 0, 8) == "\x89PNG\r\n\x1a\n") return Format::png;
  if (text_at(bytes, 0, 4) == "RIFF" && text_at(bytes, 8, 4) == "WEBP") return Format::webp;
  if (const auto other = other_format(bytes); !other.empty())
    fail(Kind::unsupported, "{}: is a {} file, expected a JPEG, PNG or WebP picture", name, other);
  fail(Kind::input, "{}: is not a picture, expected JPEG, PNG or WebP", name);
}

Decoded decode_any(std::span<const uint8_t> bytes, const std::string& name,
                   const ReadOptions& options, Deep deep) {
  switch (detect(bytes, name)) {
    case Format::jpeg:
      return decode_jpeg(bytes, name, options);
    case Format::png:
      return decode_png(bytes, name, options, deep);
    case Format::webp:
      break;
  }
  return decode_webp(bytes, name, options);
}

void check_size(int64_t width, int64_t height, const std::string& name,
                const ReadOptions& options) {
  if (width < 1 || height < 1)
    fail(Kind::input, "{}: the header says {}x{} pixels", name, width, height);
  if (width > INT32_MAX || height > INT32_MAX || width * height > options.max_pixels) {
    fail(Kind::resource, "{}: {}x{} is {:.1f} megapixels, the limit is {:.1f}", name, width, height,
         static_cast<double>(width) * static_cast<double>(height) / 1e6,
         static_cast<double>(options.max_pixels) / 1e6);
  }
}

int exif_orientation(std::span<const uint8_t> tiff) {
  const bool little = text_at(tiff, 0, 2) == "II";
  if (!little && text_at(tiff, 0, 2) != "MM") return 1;
  const auto number = [&](size_t offset, size_t width) -> uint32_t {
    uint32_t value = 0;
    for (size_t i = 0; i < width; ++i)
      value = value << 8 | tiff[offset + (little ? width - 1 - i : i)];
    return value;
  };
  if (tiff.size() < 8) return 1;
  const size_t directory = number(4, 4);
  if (directory > tiff.size() || tiff.size() - directory < 2) return 1;
  const size_t entries = std::min<size_t>(number(directory, 2), (tiff.size() - directory - 2) / 12);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + 12 * i;
    constexpr uint32_t kOrientation = 0x0112, kShort = 3, kLong = 4;
    if (number(entry, 2) != kOrientation) continue;
    const uint32_t type = number(entry + 2, 2);
    const uint32_t value = type == kShort  ? number(entry + 8, 2)
                           : type == kLong ? number(entry + 8, 4)
                                           : 0;
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

Image oriented(const Image& image, int orientation) {
  if (orientation < 2 || orientation > 8 || image.empty()) return image;
  const bool sideways = orientation >= 5;
  Image result(sideways ? image.height() : image.width(), sideways ? image.width() : image.height(),
               image.channels());
  const Walk steps = walk(orientation, image.width(), image.height());
  const uint8_t* from = image.pixels().data();
  uint8_t* to = result.mutable_row(0);
  parallel_for(result.height(), 64, [&](int64_t begin, int64_t end) {
    if (image.channels() == 1) turn<1>(from, to, steps, result.width(), begin, end);
    if (image.channels() == 3) turn<3>(from, to, steps, result.width(), begin, end);
    if (image.channels() == 4) turn<4>(from, to, steps, result.width(), begin, end);
  });
  return result;
}

}  // namespace beckon::codecs
