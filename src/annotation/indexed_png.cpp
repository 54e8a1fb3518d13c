// PNG files whose pixels are numbers: palettes and grey.
#include <cstring>
#include <unordered_map>

#include <png.h>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon::annotation {

uint32_t voc_colour(int index) {
  uint32_t r = 0, g = 0, b = 0;
  for (int bit = 7, c = index; bit >= 0; --bit, c >>= 3) {
    r |= static_cast<uint32_t>(c & 1) << bit;
    g |= static_cast<uint32_t>(c >> 1 & 1) << bit;
    b |= static_cast<uint32_t>(c >> 2 & 1) << bit;
  }
  return r << 16 | g << 8 | b;
}

namespace {

// libpng's simple interface, which leaves by return values.
struct Png {
  png_image image{};
  Png() { image.version = PNG_IMAGE_VERSION; }
  ~Png() { png_image_free(&image); }
};

}  // namespace

IndexedPicture read_indexed_png(const std::vector<uint8_t>& bytes, const std::string& name,
                                int64_t max_pixels) {
  Png png;
  if (!png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size()))
    fail(Kind::input, "{}: not a PNG: {}", name, png.image.message);
  check_sides(png.image.width, png.image.height, name);
  if (int64_t{png.image.width} * png.image.height > max_pixels)
    fail(Kind::resource, "{}: {}x{} has more than {} pixels", name, png.image.width,
         png.image.height, max_pixels);
  IndexedPicture picture;
  picture.size = {static_cast<int>(png.image.width), static_cast<int>(png.image.height)};
  const size_t pixels = size_t{png.image.width} * png.image.height;
  const bool palette = (png.image.format & PNG_FORMAT_FLAG_COLORMAP) != 0;
  const bool colour = (png.image.format & PNG_FORMAT_FLAG_COLOR) != 0;
  if (palette) {
    // The simple interface keeps the numbers of a palette, as this build's tests hold it to.
    png.image.format = PNG_FORMAT_RGBA_COLORMAP;
    picture.values.resize(pixels);
    std::vector<uint8_t> colours(PNG_IMAGE_COLORMAP_SIZE(png.image));
    if (!png_image_finish_read(&png.image, nullptr, picture.values.data(), 0, colours.data()))
      fail(Kind::input, "{}: a broken PNG: {}", name, png.image.message);
    return picture;
  }
  if (!colour && !(png.image.format & PNG_FORMAT_FLAG_ALPHA) &&
      !(png.image.format & PNG_FORMAT_FLAG_LINEAR)) {
    png.image.format = PNG_FORMAT_GRAY;
    picture.values.resize(pixels);
    if (!png_image_finish_read(&png.image, nullptr, picture.values.data(), 0, nullptr))
      fail(Kind::input, "{}: a broken PNG: {}", name, png.image.message);
    return picture;
  }
  // Colours: VOC's are numbers, others are numbered as they come.
  const Image image = Image::decode(bytes, name, {.max_pixels = max_pixels, .orient = false}).rgb();
  picture.coloured = true;
  picture.values.resize(pixels);
  std::unordered_map<uint32_t, int> numbers;
  for (int i = 0; i < 256; ++i) numbers.emplace(voc_colour(i), i);
  const uint8_t* at = image.pixels().data();
  for (size_t i = 0; i < pixels; ++i, at += 3) {
    const uint32_t rgb =
        static_cast<uint32_t>(at[0]) << 16 | static_cast<uint32_t>(at[1]) << 8 | at[2];
    const auto found = numbers.find(rgb);
    if (found == numbers.end())
      fail(
          Kind::input,
          "{}: the colour #{:06x} at pixel ({}, {}) is none of PASCAL VOC's; expected a PNG with a "
          "palette or grey",
          name, rgb, i % png.image.width, i / png.image.width);
    picture.values[i] = static_cast<uint8_t>(found->second);
  }
  return picture;
}

std::string indexed_png(ImageSize size, const std::vector<uint8_t>& values) {
  Png png;
  png.image.width = static_cast<uint32_t>(size.width);
  png.image.height = static_cast<uint32_t>(size.height);
  png.image.format = PNG_FORMAT_RGB_COLORMAP;
  png.image.colormap_entries = 256;
  uint8_t colours[256 * 3];
  for (int i = 0; i < 256; ++i) {
    const uint32_t colour = voc_colour(i);
    colours[3 * i] = static_cast<uint8_t>(colour >> 16);
    colours[3 * i + 1] = static_cast<uint8_t>(colour >> 8);
    colours[3 * i + 2] = static_cast<uint8_t>(colour);
  }
  png_alloc_size_t length = PNG_IMAGE_PNG_SIZE_MAX(png.image);
  std::string bytes(length, '\0');
  if (!png_image_write_to_memory(&png.image, bytes.data(), &length, 0, values.data(), 0, colours))
    fail(Kind::internal, "a palette PNG cannot be written: {}", png.image.message);
  bytes.resize(length);
  return bytes;
}

}  // namespace beckon::annotation
