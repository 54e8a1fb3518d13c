// Which pixels belong to an object.
//
//   auto mask = beckon::Mask::from_logits(logits, 1800, 1200);
//   mask.area();  mask.bounding_box();  mask.rle().string();
//   mask.write_png("mask.png");                                  // 0 and 255
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "beckon/boxes.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/rle.h"

namespace beckon {

// A byte a pixel, 0 or 1, rows from top to bottom.
class BECKON_API Mask {
 public:
  // No pixels: 0 x 0.
  Mask() = default;
  // All background. Sides at least 1, else Kind::usage; Kind::resource if there is not enough
  // memory.
  explicit Mask(ImageSize size);
  Mask(int width, int height) : Mask(ImageSize{width, height}) {}
  // Object where a value is not 0; Kind::usage unless there are width * height of them.
  Mask(int width, int height, std::span<const uint8_t> values);

  // Object where a logit is over the threshold (NaN is not). Kind::usage unless there are width *
  // height of them.
  static Mask from_logits(std::span<const float> logits, int width, int height,
                          float threshold = 0);
  // Kind::resource if it has more than `max_pixels`: a few characters can stand for any size.
  static Mask from_rle(const Rle& rle, int64_t max_pixels = 100'000'000);
  // The pixels of a box, cut off at the border.
  static Mask from_box(const PixelBox& box, ImageSize size);

  // Reads a picture as a mask: if any pixel is transparent, the object is what is not; else it is
  // every pixel that is not black (16-bit samples are not cut down first). In lossy formats, where
  // black is seldom exact, brighter than 127. Errors as Image::read.
  static Mask read(const std::string& path, const ReadOptions& options = {});
  static Mask decode(std::span<const uint8_t> bytes, const std::string& name = "mask",
                     const ReadOptions& options = {});

  int width() const { return size_.width; }
  int height() const { return size_.height; }
  ImageSize size() const { return size_; }
  bool empty() const { return size_.width == 0; }  // no pixels at all; see area() for object pixels

  std::span<const uint8_t> values() const { return values_; }
  const uint8_t* row(int y) const {
    return values_.data() + static_cast<size_t>(y) * static_cast<size_t>(width());
  }
  // For writing; only 0 and 1 may be written.
  uint8_t* mutable_row(int y) {
    return values_.data() + static_cast<size_t>(y) * static_cast<size_t>(width());
  }
  bool at(int x, int y) const { return row(y)[x] != 0; }
  void set(int x, int y, bool object) { mutable_row(y)[x] = object; }

  // Object pixels.
  int64_t area() const;
  // The smallest box around them; zeros if there are none.
  PixelBox bounding_box() const;

  Rle rle() const;
  // One channel, 0 and 255.
  Image image() const;
  void write_png(const std::string& path) const;

  // Pixel by pixel; Kind::usage if the sizes differ.
  friend BECKON_API Mask operator&(const Mask& a, const Mask& b);
  friend BECKON_API Mask operator|(const Mask& a, const Mask& b);
  friend BECKON_API Mask operator-(const Mask& a, const Mask& b);  // in a and not in b
  friend BECKON_API Mask operator~(const Mask& a);
  friend BECKON_API bool operator==(const Mask& a, const Mask& b);

 private:
  ImageSize size_;
  std::vector<uint8_t> values_;
};

// Intersection over union; 0 if both are empty. Kind::usage if the sizes differ.
BECKON_API double iou(const Mask& a, const Mask& b);

// The pixels within `radius` (Euclidean, at least 0) of the object, the object included.
BECKON_API Mask grown(const Mask& mask, int radius);

// One part of a mask whose pixels touch by sides or corners.
struct Component {
  int64_t area = 0;
  PixelBox box;
};
// In the order of their first pixel, row by row.
BECKON_API std::vector<Component> components(const Mask& mask);

// SAM's cleaning of small regions, by corners too. The flag says whether anything changed.
// Holes: parts of the background (at the border as well) of fewer than `min_area` pixels become
// object.
BECKON_API std::pair<Mask, bool> fill_small_holes(const Mask& mask, int64_t min_area);
// Islands: parts of the object of fewer than `min_area` pixels go; if that would be all, the
// largest stays.
BECKON_API std::pair<Mask, bool> remove_small_islands(const Mask& mask, int64_t min_area);

}  // namespace beckon
