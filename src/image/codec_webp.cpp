// WebP by libwebp.
#include <cstring>

#include <webp/decode.h>
#include <webp/encode.h>

#include "base/fail.h"
#include "image/codecs.h"

namespace beckon::codecs {
namespace {

const char* status_text(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return "not enough memory";
    case VP8_STATUS_SUSPENDED:
    case VP8_STATUS_NOT_ENOUGH_DATA:
      return "the data ends too early";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "a feature that is not handled";
    default:
      return "the data is damaged";
  }
}

// The payload of the RIFF file's EXIF chunk; empty if there is none.
std::span<const uint8_t> exif_chunk(std::span<const uint8_t> bytes) {
  size_t at = 12;  // behind "RIFF", size, "WEBP"
  while (bytes.size() - at >= 8) {
    const uint8_t* header = bytes.data() + at;
    const size_t size =
        header[4] | header[5] << 8 | header[6] << 16 | static_cast<size_t>(header[7]) << 24;
    at += 8;
    if (size > bytes.size() - at) return {};
    if (std::memcmp(header, "EXIF", 4) == 0) return bytes.subspan(at, size);
    at += size;
    if (size % 2 == 1 && at < bytes.size()) ++at;
  }
  return {};
}

int orientation_of(std::span<const uint8_t> bytes) {
  auto exif = exif_chunk(bytes);
  if (exif.size() > 6 && std::memcmp(exif.data(), "Exif\0\0", 6) == 0) exif = exif.subspan(6);
  return exif_orientation(exif);
}

struct Writer {
  WebPMemoryWriter memory;
  Writer() { WebPMemoryWriterInit(&memory); }
  ~Writer() { WebPMemoryWriterClear(&memory); }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
};

struct Picture {
  WebPPicture picture;
  ~Picture() { WebPPictureFree(&picture); }
};

}  // namespace

Decoded decode_webp(std::span<const uint8_t> bytes, const std::string& name,
                    const ReadOptions& options) {
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config))
    fail(Kind::internal, "{}: libwebp has another version than at build time", name);
  VP8StatusCode status = WebPGetFeatures(bytes.data(), bytes.size(), &config.input);
  if (status != VP8_STATUS_OK) fail(Kind::input, "{}: broken WebP: {}", name, status_text(status));
  check_size(config.input.width, config.input.height, name, options);
  if (config.input.has_animation)
    fail(Kind::unsupported, "{}: is an animated WebP, expected a still picture", name);
  // Unlike the others a WebP of one colour may be a few bytes for any size, so there is no second
  // check to make.
  const bool alpha = config.input.has_alpha;
  const bool lossy = config.input.format == 1;
  Image image(config.input.width, config.input.height, alpha ? 4 : 3);
  config.output.colorspace = alpha ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = image.mutable_row(0);
  config.output.u.RGBA.stride = static_cast<int>(image.stride());
  config.output.u.RGBA.size = image.pixels().size();
  status = WebPDecode(bytes.data(), bytes.size(), &config);
  WebPFreeDecBuffer(&config.output);
  if (status != VP8_STATUS_OK) {
    fail(status == VP8_STATUS_OUT_OF_MEMORY ? Kind::resource : Kind::input, "{}: broken WebP: {}",
         name, status_text(status));
  }
  return {std::move(image), orientation_of(bytes), lossy};
}

}  // namespace beckon::codecs

namespace beckon {

std::vector<uint8_t> Image::encode_webp(const WebpOptions& options) const {
  if (empty()) fail(Kind::usage, "WebP: the image is empty");
  if (!(options.quality >= 0 && options.quality <= 100))
    fail(Kind::usage, "WebP: quality {}, expected 0 to 100", options.quality);
  if (width_ > WEBP_MAX_DIMENSION || height_ > WEBP_MAX_DIMENSION)
    fail(Kind::unsupported, "WebP: {}x{} pixels, the format holds {} a side", width_, height_,
         WEBP_MAX_DIMENSION);
  WebPConfig config;
  codecs::Picture holder;
  WebPPicture& picture = holder.picture;
  if (!WebPConfigInit(&config) || !WebPPictureInit(&picture))
    fail(Kind::internal, "WebP: libwebp has another version than at build time");
  config.quality = options.quality;
  config.lossless = options.lossless;
  config.exact = options.lossless;
  picture.use_argb = options.lossless;
  picture.width = width_;
  picture.height = height_;
  codecs::Writer writer;
  picture.writer = WebPMemoryWrite;
  picture.custom_ptr = &writer.memory;

  const Image color = channels_ == 1 ? rgb() : *this;
  const auto stride_bytes = static_cast<int>(color.stride());
  const int taken = color.has_alpha() ? WebPPictureImportRGBA(&picture, color.row(0), stride_bytes)
                                      : WebPPictureImportRGB(&picture, color.row(0), stride_bytes);
  if (!taken) fail(Kind::resource, "WebP: not enough memory for {}x{} pixels", width_, height_);
  if (!WebPEncode(&config, &picture)) {
    // A lossy partition has a size limit that noise at high quality can pass.
    fail(Kind::unsupported, "WebP: libwebp cannot encode this picture (its error {})",
         static_cast<int>(picture.error_code));
  }
  return {writer.memory.mem, writer.memory.mem + writer.memory.size};
}

}  // namespace beckon
