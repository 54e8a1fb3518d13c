// COCO's run lengths: a mask as the lengths of its runs, down the columns, beginning with
// background.
//
//   auto rle = mask.rle();
//   rle.string();                               // {"size": [height, width], "counts": "..."} of
//   COCO and SA-1B beckon::iou(rle, other);                    // without unpacking
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "beckon/boxes.h"
#include "beckon/export.h"
#include "beckon/image.h"

namespace beckon {

// Always valid: both sides at least 1, height * width below 2^32 (COCO's counts are 32-bit) and
// equal to the sum of the runs. Runs of length 0 are allowed anywhere, as COCO's tools accept them;
// what Beckon makes has one only in front.
class BECKON_API Rle {
 public:
  // All background.
  explicit Rle(ImageSize size);
  // Kind::input if the sizes or runs are not as said above.
  Rle(ImageSize size, std::vector<uint32_t> counts);
  // From numbers of a file, which may be negative or too large; Kind::input then.
  static Rle from_counts(ImageSize size, std::span<const int64_t> counts);
  // From COCO's compressed string: each count (from the fourth on: minus the one two before it) in
  // groups of 5 bits, lowest first, as characters '0' to 'o'. Kind::input naming the place if it is
  // malformed.
  static Rle from_string(ImageSize size, std::string_view text);

  ImageSize size() const { return size_; }
  int width() const { return size_.width; }
  int height() const { return size_.height; }
  // Background, object, background, ...
  std::span<const uint32_t> counts() const { return counts_; }

  std::string string() const;
  // Object pixels.
  int64_t area() const;
  // Zeros if there is no object pixel.
  PixelBox bounding_box() const;

  // The same size and the same runs; compare canonical() if runs of length 0 may be there.
  friend BECKON_API bool operator==(const Rle& a, const Rle& b);
  // The same mask without runs of length 0, but for the first.
  Rle canonical() const;

 private:
  ImageSize size_;
  std::vector<uint32_t> counts_;
};

// Pixels of both. Kind::usage if the sizes differ.
BECKON_API int64_t intersection_area(const Rle& a, const Rle& b);
// 0 to 1; 0 if both are empty. With a crowd as ground truth the divisor is the detection's own
// area: a part of a crowd is no mistake. Kind::usage if the sizes differ.
BECKON_API double iou(const Rle& detection, const Rle& truth, bool truth_is_crowd = false);
// Union or intersection of at least one mask. Kind::usage if there is none or sizes differ.
BECKON_API Rle merge(std::span<const Rle> masks, bool intersect = false);

}  // namespace beckon
