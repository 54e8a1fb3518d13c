// layer: image
// Any bytes as a picture: an image, or an Error. What can be read can be written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "beckon/error.h"
#include "beckon/image.h"
#include "beckon/mask.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace beckon;
  ReadOptions options;
  options.max_pixels = 1 << 20;  // speed: larger ones are no different
  try {
    const Image image = Image::decode({data, size}, "fuzz", options);
    if (int64_t{image.width()} * image.height() > options.max_pixels) std::abort();
    if (image.pixels().size() <= 4096 && !(Image::decode(image.encode_png()) == image))
      std::abort();
    const Mask mask = Mask::decode({data, size}, "fuzz", options);
    if (mask.size() != image.size()) std::abort();
  } catch (const Error& error) {
    if (error.kind() == Kind::internal) std::abort();
  }
  return 0;
}
