#include "beckon/image.h"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cstring>
#include <limits>
#include <new>

#include "base/fail.h"
#include "base/files.h"
#include "image/codecs.h"

namespace beckon {

Image::Image(int width, int height, int channels) {
  if (width < 1 || height < 1 || (channels != 1 && channels != 3 && channels != 4)) {
    fail(Kind::usage,
         "image: {}x{} with {} channels; expected sides of at least 1 and 1, 3 or 4 channels",
         width, height, channels);
  }
  // Two 31-bit sides and a channel count could wrap round; no machine has 2^48 bytes for one
  // picture.
  const int64_t bytes = int64_t{width} * height;
  if (bytes > (int64_t{1} << 46))
    fail(Kind::resource, "image: {}x{} pixels do not fit in memory", width, height);
  try {
    data_ = std::make_shared<uint8_t[]>(static_cast<size_t>(bytes) * static_cast<size_t>(channels));
  } catch (const std::bad_alloc&) {
    fail(Kind::resource, "image: not enough memory for {}x{} pixels", width, height);
  }
  width_ = width;
  height_ = height;
  channels_ = channels;
}

Image::Image(int width, int height, int channels, std::span<const uint8_t> pixels)
    : Image(width, height, channels) {
  if (pixels.size() != byte_count()) {
    fail(Kind::usage, "image: {} bytes for {}x{} with {} channels, expected {}", pixels.size(),
         width, height, channels, byte_count());
  }
  std::memcpy(data_.get(), pixels.data(), pixels.size());
}

uint8_t* Image::mutable_row(int y) {
  if (data_.use_count() > 1) {
    *this = Image(width_, height_, channels_, pixels());
  } else {
    // The count is read without ordering; what the last other owner did with the pixels must have
    // happened before.
    std::atomic_thread_fence(std::memory_order_acquire);
  }
  return data_.get() + static_cast<size_t>(y) * stride();
}

Image Image::rgb() const {
  if (channels_ == 3 || empty()) return *this;
  Image result(width_, height_, 3);
  const uint8_t* from = data_.get();
  uint8_t* to = result.data_.get();
  const int64_t count = int64_t{width_} * height_;
  if (channels_ == 1) {
    for (int64_t i = 0; i < count; ++i) to[3 * i] = to[3 * i + 1] = to[3 * i + 2] = from[i];
  } else {
    for (int64_t i = 0; i < count; ++i) {
      to[3 * i] = from[4 * i];
      to[3 * i + 1] = from[4 * i + 1];
      to[3 * i + 2] = from[4 * i + 2];
    }
  }
  return result;
}

Image Image::rgba() const {
  if (channels_ == 4 || empty()) return *this;
  Image result(width_, height_, 4);
  const uint8_t* from = data_.get();
  uint8_t* to = result.data_.get();
  const int64_t count = int64_t{width_} * height_;
  const int64_t step = channels_;
  const int64_t green = channels_ == 1 ? 0 : 1;
  const int64_t blue = channels_ == 1 ? 0 : 2;
  for (int64_t i = 0; i < count; ++i) {
    to[4 * i] = from[step * i];
    to[4 * i + 1] = from[step * i + green];
    to[4 * i + 2] = from[step * i + blue];
    to[4 * i + 3] = 255;
  }
  return result;
}

Image Image::crop(int x, int y, int width, int height) const {
  if (x < 0 || y < 0 || width < 1 || height < 1 || x > width_ - width || y > height_ - height) {
    fail(Kind::usage, "image: crop {}x{} at ({}, {}) does not lie inside {}x{}", width, height, x,
         y, width_, height_);
  }
  Image result(width, height, channels_);
  for (int line = 0; line < height; ++line) {
    std::memcpy(result.data_.get() + static_cast<size_t>(line) * result.stride(),
                row(y + line) + static_cast<size_t>(x) * static_cast<size_t>(channels_),
                result.stride());
  }
  return result;
}

bool operator==(const Image& a, const Image& b) {
  return a.width_ == b.width_ && a.height_ == b.height_ && a.channels_ == b.channels_ &&
         (a.data_ == b.data_ || a.byte_count() == 0 ||
          std::memcmp(a.data_.get(), b.data_.get(), a.byte_count()) == 0);
}

Image Image::read(const std::string& path, const ReadOptions& options) {
  return decode(read_file(path, options.max_bytes), path, options);
}

Image Image::decode(std::span<const uint8_t> bytes, const std::string& name,
                    const ReadOptions& options) {
  codecs::Decoded decoded = codecs::decode_any(bytes, name, options, codecs::Deep::high_byte);
  return options.orient ? codecs::oriented(decoded.image, decoded.orientation) : decoded.image;
}

void Image::write_png(const std::string& path, const PngOptions& options) const {
  write_file_atomic(path, encode_png(options));
}

void Image::write_jpeg(const std::string& path, const JpegOptions& options) const {
  write_file_atomic(path, encode_jpeg(options));
}

void Image::write_webp(const std::string& path, const WebpOptions& options) const {
  write_file_atomic(path, encode_webp(options));
}

void Image::write(const std::string& path) const {
  std::string lower = path;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower.ends_with(".png")) return write_png(path);
  if (lower.ends_with(".jpg") || lower.ends_with(".jpeg")) return write_jpeg(path);
  if (lower.ends_with(".webp")) return write_webp(path);
  fail(Kind::usage,
       "{}: cannot tell the picture format from the name; expected .png, .jpg, .jpeg or .webp",
       path);
}

}  // namespace beckon
