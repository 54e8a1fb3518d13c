// Pictures whose pixels are numbers of objects.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "beckon/image.h"
#include "beckon/mask.h"

namespace beckon::detail {

// A number a pixel, rows from top to bottom: the place in the palette, the grey value (16 bits are
// kept), or red + 256 * green + 65536 * blue.
struct LabelMap {
  enum class Kind { palette, grey, color };
  Kind kind = Kind::grey;
  bool deep = false;  // 16-bit samples
  bool transparent =
      false;  // there is an alpha channel or a transparent colour; not in the numbers
  ImageSize size;
  std::vector<uint32_t> values;
};

// Of a PNG; errors as Image::decode. 16-bit colours keep their high byte. EXIF is not looked at.
LabelMap decode_label_map(std::span<const uint8_t> png, const std::string& name,
                          const ReadOptions& options);

struct Labelled {
  uint32_t label;
  Rle mask;
};
// The pixels of each number, in ascending order. Error(input) that begins with `name` if there are
// more than `most` numbers.
std::vector<Labelled> masks_of(const LabelMap& map, const std::string& name, size_t most = 10'000);

}  // namespace beckon::detail
