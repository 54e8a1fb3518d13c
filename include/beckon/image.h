// An 8-bit picture in memory, and JPEG, PNG and WebP in and out.
//
//   auto photo = beckon::Image::read("truck.jpg");     // as a viewer shows it: EXIF orientation is
//   applied auto small = beckon::resize(photo, 640, 480);      // beckon/resize.h
//   small.write("truck.webp");
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "beckon/export.h"

namespace beckon {

struct ImageSize {
  int width = 0;
  int height = 0;
  friend bool operator==(const ImageSize&, const ImageSize&) = default;
};

struct ReadOptions {
  // Width times height. A picture whose header promises more is refused (Kind::resource) before
  // memory is taken.
  int64_t max_pixels = 100'000'000;
  // The length of the file.
  int64_t max_bytes = int64_t{4} << 30;
  // Turn the picture upright by its EXIF orientation (JPEG, PNG and WebP).
  bool orient = true;
};

struct PngOptions {
  int level = 3;  // zlib's 0 (stored) to 9 (smallest)
};
struct JpegOptions {
  int quality = 92;  // 1 to 100; from 90 on colours keep their full resolution (4:4:4)
};
struct WebpOptions {
  float quality = 85;     // 0 to 100; the effort when lossless
  bool lossless = false;  // every pixel is kept exactly (the colour of fully transparent ones too)
};

// Rows from top to bottom, pixels from left to right, channels interleaved, a byte each: 1 grey, 3
// RGB or 4 RGBA (alpha not multiplied in; 255 is opaque). A copy shares its pixels until one of the
// two is written to.
class BECKON_API Image {
 public:
  // No pixels: 0 x 0.
  Image() = default;
  // All zero: black, transparent if there is alpha. Sides at least 1, channels 1, 3 or 4, else
  // Kind::usage; Kind::resource if there is not enough memory.
  Image(int width, int height, int channels);
  // Takes a copy of width * height * channels bytes; Kind::usage if there are more or fewer.
  Image(int width, int height, int channels, std::span<const uint8_t> pixels);

  // Reads a file. The content decides the format, never the name: JPEG (grey, colour, CMYK), PNG
  // (every kind; 16-bit samples keep their high byte), WebP (still ones). Palettes become RGB, grey
  // with alpha becomes RGBA. Kind::missing if the file cannot be opened, Kind::input if it is
  // broken or cut off (a partial picture is never returned), Kind::unsupported for other picture
  // formats, Kind::resource above a limit.
  static Image read(const std::string& path, const ReadOptions& options = {});
  // The same from memory; `name` stands in messages where the path would.
  static Image decode(std::span<const uint8_t> bytes, const std::string& name = "image",
                      const ReadOptions& options = {});

  int width() const { return width_; }
  int height() const { return height_; }
  int channels() const { return channels_; }
  ImageSize size() const { return {width_, height_}; }
  bool empty() const { return width_ == 0; }
  bool has_alpha() const { return channels_ == 4; }

  // All bytes, height * width * channels.
  std::span<const uint8_t> pixels() const { return {data_.get(), byte_count()}; }
  const uint8_t* row(int y) const { return data_.get() + static_cast<size_t>(y) * stride(); }
  // For writing. If other images share the pixels, this one gets its own first; earlier pointers
  // from row() are then those of the others.
  uint8_t* mutable_row(int y);
  // Bytes from one row to the next.
  size_t stride() const { return static_cast<size_t>(width_) * static_cast<size_t>(channels_); }

  // Three channels: grey is repeated, alpha is dropped (the colours under it stay as they are,
  // which is what the reference models are given). Shares the pixels if it is RGB already.
  Image rgb() const;
  // Four channels; opaque where there was no alpha.
  Image rgba() const;
  // The part that begins at (x, y); Kind::usage if it is empty or reaches outside.
  Image crop(int x, int y, int width, int height) const;

  // The file's bytes. JPEG has no alpha: transparent pixels are laid over white.
  // Kind::usage for an empty image or options out of range, Kind::unsupported if the format cannot
  // hold the size.
  std::vector<uint8_t> encode_png(const PngOptions& options = {}) const;
  std::vector<uint8_t> encode_jpeg(const JpegOptions& options = {}) const;
  std::vector<uint8_t> encode_webp(const WebpOptions& options = {}) const;

  // The file is replaced as a whole or not at all. Kind::output if it cannot be written.
  void write_png(const std::string& path, const PngOptions& options = {}) const;
  void write_jpeg(const std::string& path, const JpegOptions& options = {}) const;
  void write_webp(const std::string& path, const WebpOptions& options = {}) const;
  // The format by the name's end: .png, .jpg, .jpeg or .webp in any case, else Kind::usage.
  void write(const std::string& path) const;

  // Same size, channels and pixels.
  friend BECKON_API bool operator==(const Image& a, const Image& b);

 private:
  size_t byte_count() const { return static_cast<size_t>(height_) * stride(); }

  int width_ = 0;
  int height_ = 0;
  int channels_ = 0;
  std::shared_ptr<uint8_t[]> data_;
};

}  // namespace beckon
