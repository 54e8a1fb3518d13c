// JPEG by libjpeg.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h needs FILE
#include <cstdlib>
#include <cstring>
#include <string_view>

// jerror.h leaves codes out if it comes first.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "base/fail.h"
#include "base/threads.h"
#include "image/codecs.h"

namespace beckon::codecs {
namespace {

// A progressive file may repeat scans without end, each costing a pass over the whole picture.
constexpr int kMostScans = 500;

struct ErrorManager {
  jpeg_error_mgr base;  // first: libjpeg hands back a pointer to it
  jmp_buf jump;
  char message[JMSG_LENGTH_MAX];
  bool damaged;  // the warning in `message` means that pixels are missing or wrong
  bool cut_off;  // the end of the data came before the end marker
  int error_code;
};

[[noreturn]] void leave(j_common_ptr info) {
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  errors->error_code = errors->base.msg_code;
  errors->base.format_message(info, errors->message);
  longjmp(errors->jump, 1);
}

// Warnings: libjpeg goes on with grey or garbage. Some are harmless (bytes between segments, odd
// version numbers).
void note(j_common_ptr info, int level) {
  if (level >= 0) return;
  auto* errors = reinterpret_cast<ErrorManager*>(info->err);
  switch (errors->base.msg_code) {
    case JWRN_JPEG_EOF:
      errors->cut_off = true;
      break;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_NOT_SEQUENTIAL:
      if (!errors->damaged) errors->base.format_message(info, errors->message);
      errors->damaged = true;
      break;
    default:
      break;
  }
}

jpeg_error_mgr* prepare(ErrorManager& errors) {
  errors = {};
  jpeg_error_mgr* base = jpeg_std_error(&errors.base);
  base->error_exit = leave;
  base->emit_message = note;
  base->output_message = [](j_common_ptr) {};
  return base;
}

void count_scans(j_common_ptr info) {
  if (!info->is_decompressor) return;
  auto* decoder = reinterpret_cast<j_decompress_ptr>(info);
  if (decoder->input_scan_number > kMostScans) {
    auto* errors = reinterpret_cast<ErrorManager*>(info->err);
    std::snprintf(errors->message, sizeof errors->message, "more than %d scans", kMostScans);
    longjmp(errors->jump, 1);
  }
}

// The setjmp functions of this class hold plain values only; see codecs.h.
class JpegDecoder {
 public:
  JpegDecoder() { info_.err = prepare(errors_); }
  ~JpegDecoder() { jpeg_destroy_decompress(&info_); }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  bool read_header(const uint8_t* bytes, size_t size) {
    if (setjmp(errors_.jump)) return false;
    jpeg_create_decompress(&info_);
    jpeg_save_markers(&info_, JPEG_APP0 + 1, 0xFFFF);  // EXIF
    jpeg_mem_src(&info_, bytes, size);
    jpeg_read_header(&info_, TRUE);
    switch (info_.jpeg_color_space) {
      case JCS_GRAYSCALE:
        info_.out_color_space = JCS_GRAYSCALE;
        break;
      case JCS_CMYK:
      case JCS_YCCK:
        info_.out_color_space = JCS_CMYK;
        break;
      default:
        info_.out_color_space = JCS_RGB;
    }
    return true;
  }

  // `pixels` holds all rows, `stride` bytes apart.
  bool read_rows(uint8_t* pixels, size_t stride) {
    if (setjmp(errors_.jump)) return false;
    progress_.progress_monitor = count_scans;
    info_.progress = &progress_;
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      // As many rows a call as libjpeg likes to give.
      JSAMPROW rows[16];
      const JDIMENSION count =
          std::min<JDIMENSION>(16, info_.output_height - info_.output_scanline);
      for (JDIMENSION i = 0; i < count; ++i)
        rows[i] = pixels + (size_t{info_.output_scanline} + i) * stride;
      jpeg_read_scanlines(&info_, rows, count);
    }
    several_scans_ = jpeg_has_multiple_scans(&info_);
    jpeg_finish_decompress(&info_);  // forgets the markers
    return true;
  }

  // After read_rows: whether every pixel was in the file. A baseline picture without its end marker
  // is whole; one in several scans may lack some of them.
  bool whole() const { return !errors_.damaged && !(errors_.cut_off && several_scans_); }

  int width() const { return static_cast<int>(info_.image_width); }
  int height() const { return static_cast<int>(info_.image_height); }
  // 1, 3 or 4 (CMYK).
  int components() const {
    return info_.out_color_space == JCS_GRAYSCALE ? 1 : info_.out_color_space == JCS_CMYK ? 4 : 3;
  }
  bool arithmetic() const { return info_.arith_code; }
  const char* message() const {
    return errors_.message[0] ? errors_.message : "the data ends too early";
  }
  bool out_of_memory() const { return errors_.error_code == JERR_OUT_OF_MEMORY; }

  // After read_header and before read_rows.
  int orientation() const {
    static constexpr std::string_view kExif{"Exif\0\0", 6};
    for (auto* marker = info_.marker_list; marker; marker = marker->next) {
      if (marker->marker != JPEG_APP0 + 1 || marker->data_length < kExif.size()) continue;
      if (std::memcmp(marker->data, kExif.data(), kExif.size()) != 0) continue;
      return exif_orientation({marker->data + kExif.size(), marker->data_length - kExif.size()});
    }
    return 1;
  }

 private:
  jpeg_decompress_struct info_{};
  ErrorManager errors_;
  jpeg_progress_mgr progress_{};
  bool several_scans_ = false;
};

// CMYK files follow Adobe: 255 means no ink. The formula is Pillow's, rounding included.
Image rgb_from_inverted_cmyk(const Image& cmyk) {
  Image rgb(cmyk.width(), cmyk.height(), 3);
  uint8_t* pixels = rgb.mutable_row(0);
  const size_t stride = rgb.stride();
  parallel_for(cmyk.height(), 32, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const uint8_t* from = cmyk.row(static_cast<int>(y));
      uint8_t* to = pixels + static_cast<size_t>(y) * stride;
      for (int x = 0; x < cmyk.width(); ++x) {
        const int paper = from[4 * x + 3];
        for (int c = 0; c < 3; ++c) {
          const int product = (255 - from[4 * x + c]) * paper + 128;
          to[3 * x + c] =
              static_cast<uint8_t>(std::max(0, paper - (((product >> 8) + product) >> 8)));
        }
      }
    }
  });
  return rgb;
}

class JpegEncoder {
 public:
  JpegEncoder() { info_.err = prepare(errors_); }
  ~JpegEncoder() {
    jpeg_destroy_compress(&info_);
    std::free(buffer_);
  }
  JpegEncoder(const JpegEncoder&) = delete;
  JpegEncoder& operator=(const JpegEncoder&) = delete;

  bool write(const uint8_t* pixels, size_t stride, int width, int height, int channels,
             int quality) {
    if (setjmp(errors_.jump)) return false;
    jpeg_create_compress(&info_);
    jpeg_mem_dest(&info_, &buffer_, &size_);
    info_.image_width = static_cast<JDIMENSION>(width);
    info_.image_height = static_cast<JDIMENSION>(height);
    info_.input_components = channels;
    info_.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&info_);
    jpeg_set_quality(&info_, quality, TRUE);
    if (quality >= 90) info_.comp_info[0].h_samp_factor = info_.comp_info[0].v_samp_factor = 1;
    info_.optimize_coding = TRUE;
    jpeg_start_compress(&info_, TRUE);
    while (info_.next_scanline < info_.image_height) {
      auto* line = const_cast<JSAMPROW>(pixels + info_.next_scanline * stride);
      jpeg_write_scanlines(&info_, &line, 1);
    }
    jpeg_finish_compress(&info_);
    return true;
  }

  std::span<const uint8_t> bytes() const { return {buffer_, size_}; }
  const char* message() const { return errors_.message; }

 private:
  jpeg_compress_struct info_{};
  ErrorManager errors_;
  unsigned char* buffer_ = nullptr;
  unsigned long size_ = 0;
};

Image over_white(const Image& rgba) {
  Image rgb(rgba.width(), rgba.height(), 3);
  const uint8_t* from = rgba.pixels().data();
  uint8_t* to = rgb.mutable_row(0);
  const int64_t count = int64_t{rgba.width()} * rgba.height();
  for (int64_t i = 0; i < count; ++i) {
    const int alpha = from[4 * i + 3];
    for (int c = 0; c < 3; ++c) {
      to[3 * i + c] =
          static_cast<uint8_t>((from[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  return rgb;
}

}  // namespace

Decoded decode_jpeg(std::span<const uint8_t> bytes, const std::string& name,
                    const ReadOptions& options) {
  JpegDecoder decoder;
  if (!decoder.read_header(bytes.data(), bytes.size()))
    fail(Kind::input, "{}: broken JPEG: {}", name, decoder.message());
  check_size(decoder.width(), decoder.height(), name, options);
  // Huffman codes take a bit at least for each block of 8x8, so a short file cannot hold a large
  // picture.
  const int64_t pixels = int64_t{decoder.width()} * decoder.height();
  if (!decoder.arithmetic() && pixels / (64 * 8) > static_cast<int64_t>(bytes.size())) {
    fail(Kind::input, "{}: broken JPEG: {} bytes cannot hold the {}x{} pixels of its header", name,
         bytes.size(), decoder.width(), decoder.height());
  }
  const int orientation = decoder.orientation();
  Image image(decoder.width(), decoder.height(), decoder.components());
  if (!decoder.read_rows(image.mutable_row(0), image.stride())) {
    fail(decoder.out_of_memory() ? Kind::resource : Kind::input, "{}: broken JPEG: {}", name,
         decoder.message());
  }
  if (!decoder.whole()) fail(Kind::input, "{}: broken JPEG: {}", name, decoder.message());
  return {decoder.components() == 4 ? rgb_from_inverted_cmyk(image) : std::move(image), orientation,
          true};
}

}  // namespace beckon::codecs

namespace beckon {

std::vector<uint8_t> Image::encode_jpeg(const JpegOptions& options) const {
  if (empty()) fail(Kind::usage, "JPEG: the image is empty");
  if (options.quality < 1 || options.quality > 100)
    fail(Kind::usage, "JPEG: quality {}, expected 1 to 100", options.quality);
  if (width_ > JPEG_MAX_DIMENSION || height_ > JPEG_MAX_DIMENSION)
    fail(Kind::unsupported, "JPEG: {}x{} pixels, the format holds {} a side", width_, height_,
         JPEG_MAX_DIMENSION);
  const Image opaque = has_alpha() ? codecs::over_white(*this) : *this;
  codecs::JpegEncoder encoder;
  if (!encoder.write(opaque.row(0), opaque.stride(), width_, height_, opaque.channels(),
                     options.quality))
    fail(Kind::internal, "JPEG: {}", encoder.message());
  const auto bytes = encoder.bytes();
  return {bytes.begin(), bytes.end()};
}

}  // namespace beckon
