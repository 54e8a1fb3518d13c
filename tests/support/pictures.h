// Pictures for tests, from goldens and made up. Header-only: this library stands below the image
// layer, so a test that includes it links beckon_image itself.
#pragma once

#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "beckon/image.h"
#include "support/safetensors.h"

namespace beckon::test {

// An array [height, width, channels] or [height, width] of values 0 to 255, of any dtype.
inline Image image_from(const Array& array) {
  if (array.shape.size() != 2 && array.shape.size() != 3)
    throw std::runtime_error("golden: not a picture");
  const auto values = array.as_ints();
  const std::vector<uint8_t> bytes(values.begin(), values.end());
  const int channels = array.shape.size() == 3 ? static_cast<int>(array.shape[2]) : 1;
  return Image(static_cast<int>(array.shape[1]), static_cast<int>(array.shape[0]), channels, bytes);
}

inline std::vector<float> floats_of(const Image& image) {
  return {image.pixels().begin(), image.pixels().end()};
}

// A small generator with a fixed sequence on every machine.
class Random {
 public:
  explicit Random(uint32_t seed) : state_(seed * 2654435761u + 1) {}
  uint32_t next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    state_ ^= state_ << 5;
    return state_;
  }
  // 0 <= result < bound
  int below(int bound) { return static_cast<int>(next() % static_cast<uint32_t>(bound)); }

 private:
  uint32_t state_;
};

inline Image noise(int width, int height, int channels, uint32_t seed = 1) {
  Random random(seed);
  std::vector<uint8_t> bytes(static_cast<size_t>(width) * height * channels);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random.next() >> 16);
  return Image(width, height, channels, bytes);
}

// Smooth colours, so that lossy formats keep it closely.
inline Image gradient(int width, int height, int channels) {
  std::vector<uint8_t> bytes;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const int values[4] = {x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height),
                             255 - x * 200 / width};
      for (int c = 0; c < channels; ++c) bytes.push_back(static_cast<uint8_t>(values[c]));
    }
  }
  return Image(width, height, channels, bytes);
}

}  // namespace beckon::test
