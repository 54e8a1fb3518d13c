// layer: image
// Two bytes of size, then a COCO string: an error, or run lengths on which every operation agrees
// with the pixels.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "beckon/error.h"
#include "beckon/mask.h"
#include "beckon/polygon.h"
#include "beckon/rle.h"

namespace {

void check(bool good) {
  if (!good) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace beckon;
  if (size < 2) return 0;
  const ImageSize picture{data[0] % 64, data[1] % 64};
  const std::string_view text(reinterpret_cast<const char*>(data) + 2, size - 2);
  try {
    const Rle rle = Rle::from_string(picture, text);
    check(Rle::from_string(picture, rle.string()) == rle);
    const Mask mask = Mask::from_rle(rle);
    check(mask.rle() == rle.canonical());
    check(mask.area() == rle.area());
    check(mask.bounding_box() == rle.bounding_box());
    const Rle both[] = {rle, (~mask).rle()};
    check(merge(both).area() == int64_t{picture.width} * picture.height);
    check(merge(both, true).area() == 0);
    check(mask_from_polygons(polygons_of(mask), picture) == mask);
  } catch (const Error& error) {
    check(error.kind() == Kind::input);
  }

  // The same bytes as run lengths, and as the corners of a ring.
  std::vector<int64_t> counts;
  Ring ring;
  for (size_t i = 2; i < size; ++i) {
    counts.push_back(static_cast<int8_t>(data[i]));
    if (i % 2 == 1)
      ring.push_back({static_cast<int8_t>(data[i - 1]) / 3.0, static_cast<int8_t>(data[i]) / 3.0});
  }
  try {
    Mask::from_rle(Rle::from_counts(picture, counts));
  } catch (const Error& error) {
    check(error.kind() == Kind::input);
  }
  if (picture.width == 0 || picture.height == 0) return 0;
  const Rle filled = coco_rle_from_ring(ring, picture);
  check(filled.canonical() == filled);
  mask_from_rings(std::span(&ring, 1), picture);
  return 0;
}
