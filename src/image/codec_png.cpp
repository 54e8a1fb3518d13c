// PNG by libpng.
#include <csetjmp>
#include <cstdio>
#include <cstring>
#include <utility>

#include <png.h>

#include "base/fail.h"
#include "image/codecs.h"

namespace beckon::codecs {
namespace {

struct Input {
  const uint8_t* next;
  size_t left;
};

struct Message {
  char text[160];
};

[[noreturn]] void leave(png_structp png, png_const_charp text) {
  auto* message = static_cast<Message*>(png_get_error_ptr(png));
  std::snprintf(message->text, sizeof message->text, "%s", text);
  png_longjmp(png, 1);
}

void ignore_warning(png_structp, png_const_charp) {}

void take(png_structp png, png_bytep to, size_t count) {
  auto* input = static_cast<Input*>(png_get_io_ptr(png));
  if (count > input->left) png_error(png, "the data ends too early");
  std::memcpy(to, input->next, count);
  input->next += count;
  input->left -= count;
}

// The setjmp functions of this class hold plain values only; see codecs.h.
class PngDecoder {
 public:
  explicit PngDecoder(std::span<const uint8_t> bytes) : input_{bytes.data(), bytes.size()} {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, &message_, leave, ignore_warning);
    if (png_) info_ = png_create_info_struct(png_);
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  bool ready() const { return png_ && info_; }

  bool read_header() {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_size decides
    png_set_read_fn(png_, &input_, take);
    png_read_info(png_, info_);
    width_ = png_get_image_width(png_, info_);
    height_ = png_get_image_height(png_, info_);
    depth_ = png_get_bit_depth(png_, info_);
    file_row_bytes_ = png_get_rowbytes(png_, info_);
    return true;
  }

  // Everything becomes 1, 3 or 4 channels; `deep` samples stay 16-bit.
  bool set_output(bool deep) {
    if (setjmp(png_jmpbuf(png_))) return false;
    const int color = png_get_color_type(png_, info_);
    png_set_expand(png_);  // palette to RGB, 1, 2, 4 bits to 8, transparent colour to alpha
    const bool alpha = (color & PNG_COLOR_MASK_ALPHA) || png_get_valid(png_, info_, PNG_INFO_tRNS);
    if (alpha && !(color & PNG_COLOR_MASK_COLOR)) png_set_gray_to_rgb(png_);
    if (depth_ == 16 && !deep) png_set_strip_16(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    channels_ = png_get_channels(png_, info_);
    row_bytes_ = png_get_rowbytes(png_, info_);
    return true;
  }

  // Numbers as the file has them: places in the palette, grey values, colours without alpha.
  bool set_label_output() {
    if (setjmp(png_jmpbuf(png_))) return false;
    const int color = png_get_color_type(png_, info_);
    transparent_ = (color & PNG_COLOR_MASK_ALPHA) || png_get_valid(png_, info_, PNG_INFO_tRNS) != 0;
    palette_ = color == PNG_COLOR_TYPE_PALETTE;
    if (depth_ < 8) png_set_packing(png_);  // a byte each, not stretched to 255
    if (color & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(png_);
    if (depth_ == 16 && (color & PNG_COLOR_MASK_COLOR)) png_set_strip_16(png_);
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    channels_ = png_get_channels(png_, info_);
    row_bytes_ = png_get_rowbytes(png_, info_);
    return true;
  }

  bool read_rows(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_read_image(png_, rows);
    png_read_end(png_, info_);
    return true;
  }

  // After read_rows, since the chunk may stand behind the pixels.
  int orientation() const {
    png_bytep bytes = nullptr;
    png_uint_32 count = 0;
    if (!png_get_eXIf_1(png_, info_, &count, &bytes)) return 1;
    return exif_orientation({bytes, count});
  }

  int64_t width() const { return width_; }
  int64_t height() const { return height_; }
  bool palette() const { return palette_; }
  bool transparent() const { return transparent_; }
  int channels() const { return channels_; }
  bool deep() const { return depth_ == 16; }
  size_t file_row_bytes() const { return file_row_bytes_; }
  size_t row_bytes() const { return row_bytes_; }
  const char* message() const { return message_.text; }

 private:
  Input input_;
  Message message_{};
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  uint32_t width_ = 0;
  uint32_t height_ = 0;
  int depth_ = 0;
  int channels_ = 0;
  bool palette_ = false, transparent_ = false;  // known after set_label_output
  size_t file_row_bytes_ = 0;
  size_t row_bytes_ = 0;
};

// libpng takes memory for a chunk by the length it claims, before its bytes are there. So the
// chunks are walked over first: each must end inside the file, up to the one that ends the picture.
void check_chunks(std::span<const uint8_t> bytes, const std::string& name) {
  constexpr size_t kSignature = 8, kFrame = 12;  // length, type and checksum around the data
  for (size_t at = kSignature;;) {
    if (bytes.size() - at < kFrame)
      fail(Kind::input, "{}: broken PNG: ends at byte {} without its last chunk", name,
           bytes.size());
    const uint8_t* head = bytes.data() + at;
    const size_t length =
        size_t{head[0]} << 24 | size_t{head[1]} << 16 | size_t{head[2]} << 8 | head[3];
    if (length > bytes.size() - at - kFrame) {
      fail(Kind::input, "{}: broken PNG: the chunk at byte {} claims {} bytes, {} are left", name,
           at, length, bytes.size() - at - kFrame);
    }
    if (std::memcmp(head + 4, "IEND", 4) == 0) return;
    at += kFrame + length;
  }
}

[[noreturn]] void broken(const PngDecoder& decoder, const std::string& name) {
  fail(Kind::input, "{}: broken PNG: {}", name, decoder.message());
}

// Reads the header, and refuses what the file cannot hold before memory is taken for it.
void begin(PngDecoder& decoder, std::span<const uint8_t> bytes, const std::string& name,
           const ReadOptions& options) {
  check_chunks(bytes, name);
  if (!decoder.ready()) fail(Kind::resource, "{}: not enough memory for the PNG reader", name);
  if (!decoder.read_header()) broken(decoder, name);
  check_size(decoder.width(), decoder.height(), name, options);
  // Deflate makes at most 1032 bytes of one, so a short file cannot hold a large picture.
  const double unpacked =
      static_cast<double>(decoder.file_row_bytes()) * static_cast<double>(decoder.height());
  if (unpacked > 1032.0 * static_cast<double>(bytes.size())) {
    fail(Kind::input, "{}: broken PNG: {} bytes cannot hold the {}x{} pixels of its header", name,
         bytes.size(), decoder.width(), decoder.height());
  }
}

std::vector<png_bytep> row_pointers(uint8_t* pixels, size_t stride, int64_t height) {
  std::vector<png_bytep> rows(static_cast<size_t>(height));
  for (size_t y = 0; y < rows.size(); ++y) rows[y] = pixels + y * stride;
  return rows;
}

class PngEncoder {
 public:
  PngEncoder() {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, &message_, leave, ignore_warning);
    if (png_) info_ = png_create_info_struct(png_);
  }
  ~PngEncoder() { png_destroy_write_struct(&png_, &info_); }
  PngEncoder(const PngEncoder&) = delete;
  PngEncoder& operator=(const PngEncoder&) = delete;

  bool write(const uint8_t* pixels, size_t stride, int width, int height, int channels, int level,
             int filters) {
    if (!png_ || !info_) return false;
    if (setjmp(png_jmpbuf(png_))) return false;
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_write_fn(png_, this, append, nullptr);
    png_set_compression_level(png_, level);
    png_set_compression_buffer_size(png_, 1 << 16);
    png_set_filter(png_, PNG_FILTER_TYPE_BASE, filters);
    const int color = channels == 1   ? PNG_COLOR_TYPE_GRAY
                      : channels == 3 ? PNG_COLOR_TYPE_RGB
                                      : PNG_COLOR_TYPE_RGBA;
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(width), static_cast<png_uint_32>(height), 8,
                 color, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    for (int y = 0; y < height; ++y) png_write_row(png_, pixels + static_cast<size_t>(y) * stride);
    png_write_end(png_, info_);
    return true;
  }

  std::vector<uint8_t> take_bytes() { return std::move(bytes_); }
  const char* message() const { return message_.text; }

 private:
  // An exception must not pass through libpng's C frames.
  static void append(png_structp png, png_bytep from, size_t count) {
    auto* self = static_cast<PngEncoder*>(png_get_io_ptr(png));
    bool stored = true;
    try {
      self->bytes_.insert(self->bytes_.end(), from, from + count);
    } catch (...) {
      stored = false;
    }
    if (!stored) png_error(png, "not enough memory");
  }

  Message message_{};
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  std::vector<uint8_t> bytes_;
};

}  // namespace

Decoded decode_png(std::span<const uint8_t> bytes, const std::string& name,
                   const ReadOptions& options, Deep deep) {
  PngDecoder decoder(bytes);
  begin(decoder, bytes, name, options);
  const bool keep_deep = deep == Deep::non_zero && decoder.deep();
  if (!decoder.set_output(keep_deep)) broken(decoder, name);

  const auto width = static_cast<int>(decoder.width());
  const auto height = static_cast<int>(decoder.height());
  Image image(width, height, decoder.channels());
  const size_t row_bytes = image.stride() * (keep_deep ? 2 : 1);
  if (decoder.row_bytes() != row_bytes) {
    fail(Kind::internal, "{}: PNG rows of {} bytes, expected {}", name, decoder.row_bytes(),
         row_bytes);
  }
  std::vector<uint8_t> samples(keep_deep ? row_bytes * static_cast<size_t>(height) : 0);
  auto rows = row_pointers(keep_deep ? samples.data() : image.mutable_row(0), row_bytes, height);
  if (!decoder.read_rows(rows.data())) broken(decoder, name);
  if (keep_deep) {
    uint8_t* to = image.mutable_row(0);
    for (size_t i = 0; i < samples.size() / 2; ++i)
      to[i] = samples[2 * i] | samples[2 * i + 1] ? 255 : 0;
  }
  return {std::move(image), decoder.orientation(), false};
}

detail::LabelMap decode_png_labels(std::span<const uint8_t> bytes, const std::string& name,
                                   const ReadOptions& options) {
  if (detect(bytes, name) != Format::png)
    fail(Kind::unsupported, "{}: expected a PNG, whose pixels can be numbers", name);
  PngDecoder decoder(bytes);
  begin(decoder, bytes, name, options);
  if (!decoder.set_label_output()) broken(decoder, name);
  const size_t sample = decoder.deep() && decoder.channels() == 1 ? 2 : 1;
  detail::LabelMap map;
  map.size = {static_cast<int>(decoder.width()), static_cast<int>(decoder.height())};
  map.kind = decoder.palette()         ? detail::LabelMap::Kind::palette
             : decoder.channels() == 1 ? detail::LabelMap::Kind::grey
                                       : detail::LabelMap::Kind::color;
  map.deep = decoder.deep();
  map.transparent = decoder.transparent();
  const size_t step = sample * static_cast<size_t>(decoder.channels());
  const size_t row_bytes = step * static_cast<size_t>(map.size.width);
  if (decoder.row_bytes() != row_bytes) {
    fail(Kind::internal, "{}: PNG rows of {} bytes, expected {}", name, decoder.row_bytes(),
         row_bytes);
  }
  std::vector<uint8_t> samples(row_bytes * static_cast<size_t>(map.size.height));
  auto rows = row_pointers(samples.data(), row_bytes, map.size.height);
  if (!decoder.read_rows(rows.data())) broken(decoder, name);
  map.values.resize(samples.size() / step);
  for (size_t i = 0; i < map.values.size(); ++i) {
    const uint8_t* from = samples.data() + i * step;
    map.values[i] = step == 1   ? from[0]
                    : step == 2 ? uint32_t{from[0]} << 8 | from[1]
                                : from[0] | uint32_t{from[1]} << 8 | uint32_t{from[2]} << 16;
  }
  return map;
}

}  // namespace beckon::codecs

namespace beckon {

std::vector<uint8_t> Image::encode_png(const PngOptions& options) const {
  if (empty()) fail(Kind::usage, "PNG: the image is empty");
  if (options.level < 0 || options.level > 9)
    fail(Kind::usage, "PNG: level {}, expected 0 to 9", options.level);
  codecs::PngEncoder encoder;
  // Photos gain from a predictor (one fixed kind costs half the time of trying all); flat masks do
  // not.
  const int filters = channels_ == 1       ? PNG_FILTER_NONE
                      : options.level >= 7 ? PNG_ALL_FILTERS
                                           : PNG_FILTER_PAETH;
  if (!encoder.write(data_.get(), stride(), width_, height_, channels_, options.level, filters))
    fail(Kind::resource, "PNG: {}", encoder.message());
  return encoder.take_bytes();
}

}  // namespace beckon
