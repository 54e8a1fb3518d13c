// One decoder and one encoder a format, behind Image::decode and Image::encode_*.
//
// libjpeg and libpng leave by longjmp, which must not jump over a living C++ object with a
// destructor. So each codec has small functions that call setjmp and hold nothing but plain values,
// and a class around them that owns the memory.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "beckon/image.h"
#include "image/label_map.h"

namespace beckon::codecs {

enum class Format { jpeg, png, webp };

// How 16-bit samples become 8-bit: their high byte (a picture), or 255 for all that is not zero (a
// mask).
enum class Deep { high_byte, non_zero };

struct Decoded {
  Image image;
  int orientation = 1;  // EXIF's 1 to 8
  bool lossy = false;
};

// By the first bytes. Kind::unsupported for pictures of other formats, Kind::input for anything
// else.
Format detect(std::span<const uint8_t> bytes, const std::string& name);

Decoded decode_jpeg(std::span<const uint8_t> bytes, const std::string& name,
                    const ReadOptions& options);
Decoded decode_png(std::span<const uint8_t> bytes, const std::string& name,
                   const ReadOptions& options, Deep deep);
// The numbers of its pixels instead of their colours.
detail::LabelMap decode_png_labels(std::span<const uint8_t> bytes, const std::string& name,
                                   const ReadOptions& options);
Decoded decode_webp(std::span<const uint8_t> bytes, const std::string& name,
                    const ReadOptions& options);
// Any of them, not yet turned by its orientation.
Decoded decode_any(std::span<const uint8_t> bytes, const std::string& name,
                   const ReadOptions& options, Deep deep);

// Throws Kind::resource if width * height is over the limit, Kind::input if a side is 0. Call it
// before allocating.
void check_size(int64_t width, int64_t height, const std::string& name, const ReadOptions& options);

// The orientation in a TIFF block (what follows "Exif\0\0"); 1 if it has none or is malformed.
int exif_orientation(std::span<const uint8_t> tiff);

// The picture turned so that orientation 1 is right for it.
Image oriented(const Image& image, int orientation);

}  // namespace beckon::codecs
