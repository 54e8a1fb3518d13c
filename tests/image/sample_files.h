// Picture files of the kinds that Beckon reads but does not write, made by the codec libraries
// themselves.
#pragma once

#include <cstdint>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

// clang-format off
#include <jpeglib.h>
#include <png.h>
// clang-format on

namespace beckon::test {

using Bytes = std::vector<uint8_t>;

struct JpegKind {
  bool progressive = false;
  bool arithmetic = false;
  J_COLOR_SPACE color = JCS_RGB;  // of `pixels`
  J_COLOR_SPACE stored = JCS_YCbCr;
  int quality = 95;
  int restart_rows = 0;
};

inline Bytes make_jpeg(int width, int height, int channels, const uint8_t* pixels,
                       const JpegKind& kind) {
  jpeg_compress_struct info;
  jpeg_error_mgr errors;
  info.err = jpeg_std_error(&errors);
  jpeg_create_compress(&info);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&info, &buffer, &size);
  info.image_width = static_cast<JDIMENSION>(width);
  info.image_height = static_cast<JDIMENSION>(height);
  info.input_components = channels;
  info.in_color_space = kind.color;
  jpeg_set_defaults(&info);
  jpeg_set_colorspace(&info, kind.stored);
  jpeg_set_quality(&info, kind.quality, TRUE);
  info.arith_code = kind.arithmetic;
  info.restart_in_rows = kind.restart_rows;
  if (kind.progressive) jpeg_simple_progression(&info);
  jpeg_start_compress(&info, TRUE);
  while (info.next_scanline < info.image_height) {
    auto* row =
        const_cast<JSAMPROW>(pixels + static_cast<size_t>(info.next_scanline) * width * channels);
    jpeg_write_scanlines(&info, &row, 1);
  }
  jpeg_finish_compress(&info);
  jpeg_destroy_compress(&info);
  Bytes bytes(buffer, buffer + size);
  std::free(buffer);
  return bytes;
}

// A TIFF block with one entry: the orientation.
inline Bytes make_exif(int orientation, bool little_endian) {
  const auto o = static_cast<uint8_t>(orientation);
  if (little_endian)
    return {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, o, 0, 0, 0, 0, 0, 0, 0};
  return {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, o, 0, 0, 0, 0, 0, 0};
}

// The JPEG with an EXIF segment after its first marker.
inline Bytes with_exif(const Bytes& jpeg, const Bytes& exif) {
  const size_t length = exif.size() + 8;
  Bytes result{jpeg[0],
               jpeg[1],
               0xFF,
               0xE1,
               static_cast<uint8_t>(length >> 8),
               static_cast<uint8_t>(length)};
  result.reserve(jpeg.size() + length + 2);
  for (const char c : {'E', 'x', 'i', 'f', '\0', '\0'}) result.push_back(static_cast<uint8_t>(c));
  result.insert(result.end(), exif.begin(), exif.end());
  result.insert(result.end(), jpeg.begin() + 2, jpeg.end());
  return result;
}

struct PngKind {
  int color = PNG_COLOR_TYPE_RGB;
  int depth = 8;
  bool interlaced = false;
  std::function<void(png_structp, png_infop)> more = nullptr;  // palette, transparency, EXIF
};

// `rows` as the file stores them: height rows of row_bytes, 16-bit samples big-endian.
inline Bytes make_png(int width, int height, const Bytes& rows, const PngKind& kind) {
  Bytes bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep data, size_t count) {
        auto* out = static_cast<Bytes*>(png_get_io_ptr(p));
        out->insert(out->end(), data, data + count);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height),
               kind.depth, kind.color, kind.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (kind.more) kind.more(png, info);
  png_write_info(png, info);
  const size_t row_bytes = rows.size() / static_cast<size_t>(height);
  std::vector<png_bytep> pointers;
  for (int y = 0; y < height; ++y)
    pointers.push_back(const_cast<png_bytep>(rows.data() + y * row_bytes));
  png_write_image(png, pointers.data());
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

}  // namespace beckon::test
