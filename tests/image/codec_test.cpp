#include <algorithm>
#include <cstring>

#include <gtest/gtest.h>

#include "beckon/image.h"
#include "beckon/mask.h"
#include "image/sample_files.h"
#include "support/check.h"
#include "support/pictures.h"
#include "support/temp_dir.h"

namespace beckon {
namespace {

using test::Bytes;
using test::expect_error;
using test::gradient;
using test::JpegKind;
using test::noise;
using test::PngKind;

int largest_difference(const Image& a, const Image& b) {
  EXPECT_EQ(a.size(), b.size());
  EXPECT_EQ(a.channels(), b.channels());
  int worst = 0;
  for (size_t i = 0; i < a.pixels().size(); ++i)
    worst = std::max(worst, std::abs(int{a.pixels()[i]} - int{b.pixels()[i]}));
  return worst;
}

Image one_row(int channels, const Bytes& bytes) {
  return Image(static_cast<int>(bytes.size()) / channels, 1, channels, bytes);
}

// ---- round trips
// ----------------------------------------------------------------------------------------------------

TEST(Codec, PngRoundTripIsExact) {
  for (const int channels : {1, 3, 4}) {
    for (const int level : {0, 3, 9}) {
      const Image image = noise(37, 23, channels);
      EXPECT_EQ(Image::decode(image.encode_png({level})), image)
          << channels << " channels, level " << level;
    }
  }
}

TEST(Codec, LosslessWebpRoundTripIsExact) {
  EXPECT_EQ(Image::decode(noise(37, 23, 3).encode_webp({.lossless = true})), noise(37, 23, 3));
  EXPECT_EQ(Image::decode(noise(37, 23, 4).encode_webp({.lossless = true})), noise(37, 23, 4));
  // WebP has no grey: it comes back as RGB.
  EXPECT_EQ(Image::decode(noise(37, 23, 1).encode_webp({.lossless = true})),
            noise(37, 23, 1).rgb());
}

TEST(Codec, LossyFormatsStayClose) {
  const Image photo = gradient(160, 120, 3);
  EXPECT_LE(largest_difference(Image::decode(photo.encode_jpeg({95})), photo), 6);
  EXPECT_LE(largest_difference(Image::decode(photo.encode_webp({.quality = 95})), photo), 16);
  EXPECT_LE(
      largest_difference(Image::decode(gradient(64, 64, 1).encode_jpeg({95})), gradient(64, 64, 1)),
      6);
  // Alpha is lossless in WebP.
  const Image back = Image::decode(gradient(64, 48, 4).encode_webp());
  ASSERT_EQ(back.channels(), 4);
  for (int i = 3; i < 64 * 4; i += 4) EXPECT_EQ(back.row(0)[i], gradient(64, 48, 4).row(0)[i]);
}

TEST(Codec, JpegLaysAlphaOverWhite) {
  Image image(16, 16, 4);  // transparent black
  EXPECT_EQ(Image::decode(image.encode_jpeg()).row(3)[5], 255);
  for (int y = 0; y < 16; ++y) {
    for (int x = 0; x < 16; ++x) image.mutable_row(y)[4 * x + 3] = 255;
  }
  EXPECT_EQ(Image::decode(image.encode_jpeg()).row(3)[5], 0);
}

TEST(Codec, OnePixelWorksEverywhere) {
  const Image dot = one_row(3, {200, 100, 50});
  EXPECT_EQ(Image::decode(dot.encode_png()), dot);
  EXPECT_EQ(Image::decode(dot.encode_webp({.lossless = true})), dot);
  EXPECT_LE(largest_difference(Image::decode(dot.encode_jpeg()), dot), 4);
}

TEST(Codec, WriteGoesByTheNameAndReadByTheContent) {
  test::TempDir dir;
  const Image image = gradient(20, 10, 3);
  image.write(dir / "a.PNG");
  image.write(dir / "b.jpeg");
  image.write(dir / "c.webp");
  EXPECT_EQ(test::read_bytes(dir / "a.PNG")[1], 'P');
  EXPECT_EQ(test::read_bytes(dir / "b.jpeg")[0], 0xFF);
  EXPECT_EQ(test::read_bytes(dir / "c.webp")[0], 'R');
  expect_error(Kind::usage, ".png", [&] { image.write(dir / "d.gif"); });
  EXPECT_EQ(Image::read(dir.write("lies.jpg", image.encode_png())), image);
}

// ---- JPEG
// -----------------------------------------------------------------------------------------------------------

TEST(Jpeg, EveryOrientationIsTurnedUpright) {
  // An upright picture of 48 x 32 with a different colour in each quarter, and where its top-left,
  // top-right, bottom-left and bottom-right quarters are stored for orientations 1 to 8 (EXIF 2.32,
  // figure of tag 274).
  const uint8_t quarters[4][3] = {{230, 20, 20}, {20, 230, 20}, {20, 20, 230}, {220, 220, 20}};
  const int stored_as[9][4] = {{},           {0, 1, 2, 3}, {1, 0, 3, 2}, {3, 2, 1, 0}, {2, 3, 0, 1},
                               {0, 2, 1, 3}, {1, 3, 0, 2}, {3, 1, 2, 0}, {2, 0, 3, 1}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    for (const bool little : {true, false}) {
      SCOPED_TRACE(orientation);
      const bool sideways = orientation >= 5;
      const int width = sideways ? 32 : 48, height = sideways ? 48 : 32;
      Image stored(width, height, 3);
      for (int y = 0; y < height; ++y) {
        for (int x = 0; x < width; ++x) {
          const int quarter =
              stored_as[orientation][(y >= height / 2 ? 2 : 0) + (x >= width / 2 ? 1 : 0)];
          std::copy_n(quarters[quarter], 3, stored.mutable_row(y) + 3 * x);
        }
      }
      const Bytes plain = test::make_jpeg(width, height, 3, stored.row(0), {});
      const Bytes file = test::with_exif(plain, test::make_exif(orientation, little));
      const Image upright = Image::decode(file);
      ASSERT_EQ(upright.size(), (ImageSize{48, 32}));
      for (int quarter = 0; quarter < 4; ++quarter) {
        const uint8_t* pixel = upright.row(quarter >= 2 ? 24 : 8) + 3 * (quarter % 2 ? 36 : 12);
        for (int c = 0; c < 3; ++c)
          EXPECT_NEAR(pixel[c], quarters[quarter][c], 8) << "quarter " << quarter;
      }
      ReadOptions as_stored;
      as_stored.orient = false;
      EXPECT_EQ(Image::decode(file, "x", as_stored), Image::decode(plain));
    }
  }
}

TEST(Jpeg, BrokenExifIsIgnored) {
  const Image image = gradient(24, 16, 3);
  const Bytes plain = test::make_jpeg(24, 16, 3, image.row(0), {});
  const Bytes exif = test::make_exif(6, true);
  for (size_t length = 0; length < 20; ++length) {
    const Bytes cut(exif.begin(), exif.begin() + static_cast<long>(length));
    const Image read = Image::decode(test::with_exif(plain, cut));
    EXPECT_EQ(read, Image::decode(plain)) << length;
  }
  Bytes odd = exif;
  odd[18] = 9;  // no such orientation
  EXPECT_EQ(Image::decode(test::with_exif(plain, odd)).width(), 24);
  odd = exif;
  odd[4] = odd[5] = odd[6] = odd[7] = 0xFF;  // the directory lies outside
  EXPECT_EQ(Image::decode(test::with_exif(plain, odd)).width(), 24);
}

TEST(Jpeg, GreyCmykAndOtherCodingsAreRead) {
  const Image photo = gradient(64, 48, 3);
  const Image expected = Image::decode(test::make_jpeg(64, 48, 3, photo.row(0), {}));
  EXPECT_EQ(Image::decode(test::make_jpeg(64, 48, 3, photo.row(0), {.progressive = true})),
            expected);
  EXPECT_EQ(Image::decode(test::make_jpeg(64, 48, 3, photo.row(0), {.arithmetic = true})),
            expected);
  EXPECT_EQ(Image::decode(test::make_jpeg(64, 48, 3, photo.row(0), {.restart_rows = 1})), expected);
  EXPECT_LE(
      largest_difference(
          Image::decode(test::make_jpeg(64, 48, 3, photo.row(0), {.stored = JCS_RGB})), photo),
      6);

  const Image grey = gradient(64, 48, 1);
  const Image read = Image::decode(
      test::make_jpeg(64, 48, 1, grey.row(0), {.color = JCS_GRAYSCALE, .stored = JCS_GRAYSCALE}));
  EXPECT_LE(largest_difference(read, grey), 6);

  // Adobe's inverted CMYK: 255 is no ink. Cyan 55 of 255, full paper: red = 200. Black 155 of 255:
  // everything at 100.
  for (const auto stored : {JCS_CMYK, JCS_YCCK}) {
    Bytes cmyk;
    for (int i = 0; i < 64 * 16; ++i) {
      const bool left = i % 64 < 32;
      for (const int v : {left ? 200 : 255, 255, 255, left ? 255 : 100})
        cmyk.push_back(static_cast<uint8_t>(v));
    }
    const Image ink = Image::decode(
        test::make_jpeg(64, 16, 4, cmyk.data(), {.color = JCS_CMYK, .stored = stored}));
    ASSERT_EQ(ink.channels(), 3);
    for (int c = 0; c < 3; ++c) {
      EXPECT_NEAR(ink.row(8)[3 * 10 + c], c == 0 ? 200 : 255, 4);
      EXPECT_NEAR(ink.row(8)[3 * 50 + c], 100, 4);
    }
  }
}

TEST(Jpeg, ManyScansAreRefused) {
  const Image photo = gradient(16, 16, 3);
  Bytes file = test::make_jpeg(16, 16, 3, photo.row(0), {.progressive = true});
  // Repeat the last scan (from its SOS marker to the end marker) a thousand times.
  size_t scan = 0;
  for (size_t i = 0; i + 1 < file.size(); ++i) {
    if (file[i] == 0xFF && file[i + 1] == 0xDA) scan = i;
  }
  const Bytes last(file.begin() + static_cast<long>(scan), file.end() - 2);
  file.resize(file.size() - 2);
  for (int i = 0; i < 1000; ++i) file.insert(file.end(), last.begin(), last.end());
  file.push_back(0xFF);
  file.push_back(0xD9);
  expect_error(Kind::input, "JPEG", [&] { Image::decode(file); });
}

TEST(Jpeg, MissingEndMarkerOfAWholePictureIsForgiven) {
  const Image photo = gradient(32, 32, 3);
  Bytes file = test::make_jpeg(32, 32, 3, photo.row(0), {});
  const Image whole = Image::decode(file);
  file.resize(file.size() - 2);
  EXPECT_EQ(Image::decode(file), whole);
}

// ---- PNG
// ------------------------------------------------------------------------------------------------------------

TEST(Png, SixteenBitKeepsTheHighByte) {
  const Image grey =
      Image::decode(test::make_png(2, 1, {0x12, 0xFF, 0xAB, 0x00}, {PNG_COLOR_TYPE_GRAY, 16}));
  EXPECT_EQ(grey, one_row(1, {0x12, 0xAB}));
  const Image rgb =
      Image::decode(test::make_png(1, 1, {1, 200, 2, 200, 3, 200}, {PNG_COLOR_TYPE_RGB, 16}));
  EXPECT_EQ(rgb, one_row(3, {1, 2, 3}));
}

TEST(Png, GreyOfFewBitsIsSpreadOut) {
  EXPECT_EQ(Image::decode(test::make_png(8, 1, {0b10100000}, {PNG_COLOR_TYPE_GRAY, 1})),
            one_row(1, {255, 0, 255, 0, 0, 0, 0, 0}));
  EXPECT_EQ(Image::decode(test::make_png(4, 1, {0b00011011}, {PNG_COLOR_TYPE_GRAY, 2})),
            one_row(1, {0, 85, 170, 255}));
}

TEST(Png, GreyWithAlphaBecomesRgba) {
  EXPECT_EQ(Image::decode(test::make_png(2, 1, {10, 20, 30, 40}, {PNG_COLOR_TYPE_GRAY_ALPHA, 8})),
            one_row(4, {10, 10, 10, 20, 30, 30, 30, 40}));
}

TEST(Png, PalettesAndTransparencyAreExpanded) {
  const auto palette = [](png_structp png, png_infop info) {
    const png_color colors[] = {{1, 2, 3}, {40, 50, 60}};
    png_set_PLTE(png, info, colors, 2);
  };
  EXPECT_EQ(
      Image::decode(test::make_png(3, 1, {1, 0, 1}, {PNG_COLOR_TYPE_PALETTE, 8, false, palette})),
      one_row(3, {40, 50, 60, 1, 2, 3, 40, 50, 60}));
  const auto transparent = [&](png_structp png, png_infop info) {
    palette(png, info);
    const png_byte alpha[] = {77};
    png_set_tRNS(png, info, alpha, 1, nullptr);
  };
  EXPECT_EQ(
      Image::decode(test::make_png(2, 1, {1, 0}, {PNG_COLOR_TYPE_PALETTE, 8, false, transparent})),
      one_row(4, {40, 50, 60, 255, 1, 2, 3, 77}));
}

TEST(Png, InterlacedFilesAreRead) {
  const Image image = noise(19, 13, 3);
  const Bytes rows(image.pixels().begin(), image.pixels().end());
  EXPECT_EQ(Image::decode(test::make_png(19, 13, rows, {PNG_COLOR_TYPE_RGB, 8, true})), image);
}

TEST(Png, ExifOrientationIsApplied) {
  const auto exif = [](png_structp png, png_infop info) {
    Bytes block = test::make_exif(3, false);
    png_set_eXIf_1(png, info, static_cast<png_uint_32>(block.size()), block.data());
  };
  EXPECT_EQ(Image::decode(test::make_png(3, 1, {1, 2, 3}, {PNG_COLOR_TYPE_GRAY, 8, false, exif})),
            one_row(1, {3, 2, 1}));
}

// ---- masks from files
// -------------------------------------------------------------------------------------------------

TEST(MaskFile, AnySampleThatIsNotZeroIsObject) {
  const Bytes eight = one_row(1, {0, 1, 255}).encode_png();
  const Mask expected(3, 1, Bytes{0, 1, 1});
  EXPECT_EQ(Mask::decode(eight), expected);
  // The high byte alone would lose the 1.
  EXPECT_EQ(Mask::decode(test::make_png(3, 1, {0, 0, 0, 1, 255, 255}, {PNG_COLOR_TYPE_GRAY, 16})),
            expected);
  EXPECT_EQ(Mask::decode(one_row(3, {0, 0, 0, 0, 0, 1, 9, 9, 9}).encode_png()), expected);
}

TEST(MaskFile, TransparencyDecidesIfThereIsAny) {
  EXPECT_EQ(Mask::decode(one_row(4, {0, 0, 0, 255, 255, 255, 255, 0}).encode_png()),
            Mask(2, 1, Bytes{1, 0}));
  EXPECT_EQ(Mask::decode(one_row(4, {0, 0, 0, 255, 255, 255, 255, 255}).encode_png()),
            Mask(2, 1, Bytes{0, 1}));
}

TEST(MaskFile, LossyFilesAreCutInTheMiddle) {
  Image image(64, 64, 1);
  for (int y = 16; y < 48; ++y) std::fill_n(image.mutable_row(y) + 16, 32, uint8_t{255});
  const Mask expected = Mask::from_box({16, 16, 32, 32}, {64, 64});
  EXPECT_EQ(Mask::decode(image.encode_jpeg({60})), expected);
  EXPECT_EQ(Mask::decode(expected.image().encode_png()), expected);
}

TEST(MaskFile, WritesBlackAndWhite) {
  test::TempDir dir;
  const Mask mask(3, 1, Bytes{0, 1, 0});
  mask.write_png(dir / "m.png");
  EXPECT_EQ(Image::read(dir / "m.png"), one_row(1, {0, 255, 0}));
  EXPECT_EQ(Mask::read(dir / "m.png"), mask);
}

// ---- bad files
// --------------------------------------------------------------------------------------------------------

struct Sample {
  std::string name;
  Bytes bytes;
};

std::vector<Sample> samples() {
  const Image photo = gradient(48, 40, 3);
  const Image rough = noise(48, 40, 3);
  const Bytes rows(rough.pixels().begin(), rough.pixels().end());
  return {
      {"jpeg", test::make_jpeg(48, 40, 3, rough.row(0), {})},
      {"progressive jpeg", test::make_jpeg(48, 40, 3, rough.row(0), {.progressive = true})},
      {"png", rough.encode_png()},
      {"interlaced png", test::make_png(48, 40, rows, {PNG_COLOR_TYPE_RGB, 8, true})},
      {"webp", photo.encode_webp()},
      {"lossless webp", rough.encode_webp({.lossless = true})},
      {"webp with alpha", noise(48, 40, 4).encode_webp()},
  };
}

// Every beginning of a file is an error of one line, and never a picture of which a part is made
// up.
TEST(BadFile, TruncatedFilesAreErrors) {
  for (const auto& [name, bytes] : samples()) {
    const Image whole = Image::decode(bytes);
    for (size_t length = 0; length < bytes.size(); length += length < 64 ? 1 : 13) {
      SCOPED_TRACE(name + " cut at " + std::to_string(length));
      try {
        const Image image = Image::decode(std::span(bytes).first(length), "cut");
        // Cut behind the last pixel is no loss.
        EXPECT_EQ(image, whole);
        EXPECT_GT(length + 16, bytes.size());
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), Kind::input) << error.what();
        EXPECT_EQ(std::string(error.what()).rfind("cut: ", 0), 0u) << error.what();
        EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
      }
    }
  }
}

TEST(BadFile, FlippedBytesNeverCrash) {
  test::Random random(7);
  for (const auto& [name, bytes] : samples()) {
    int errors = 0;
    for (int round = 0; round < 400; ++round) {
      Bytes broken = bytes;
      for (int i = random.below(3); i >= 0; --i)
        broken[static_cast<size_t>(random.below(static_cast<int>(broken.size())))] ^=
            static_cast<uint8_t>(1 + random.below(255));
      try {
        const Image image = Image::decode(broken);
        EXPECT_LE(int64_t{image.width()} * image.height(), 100'000'000);
      } catch (const Error&) {
        ++errors;
      }
    }
    EXPECT_GT(errors, 0) << name;
  }
}

TEST(BadFile, DamagedPngPixelsAreNoticed) {
  Bytes bytes = noise(64, 64, 3).encode_png();
  bytes[bytes.size() / 2] ^= 1;
  expect_error(Kind::input, "broken PNG", [&] { Image::decode(bytes); });
}

void set_png_size(Bytes& png, uint32_t width, uint32_t height) {
  for (int i = 0; i < 4; ++i) {
    png[16 + i] = static_cast<uint8_t>(width >> (24 - 8 * i));
    png[20 + i] = static_cast<uint8_t>(height >> (24 - 8 * i));
  }
  // The header's checksum, bit by bit.
  uint32_t crc = 0xFFFFFFFF;
  for (int i = 12; i < 29; ++i) {
    crc ^= png[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
  }
  crc = ~crc;
  for (int i = 0; i < 4; ++i) png[29 + i] = static_cast<uint8_t>(crc >> (24 - 8 * i));
}

void set_jpeg_size(Bytes& jpeg, int width, int height) {
  for (size_t i = 2; i + 9 < jpeg.size(); i += 2 + (jpeg[i + 2] << 8 | jpeg[i + 3])) {
    if (jpeg[i + 1] < 0xC0 || jpeg[i + 1] > 0xC2) continue;
    jpeg[i + 5] = static_cast<uint8_t>(height >> 8);
    jpeg[i + 6] = static_cast<uint8_t>(height);
    jpeg[i + 7] = static_cast<uint8_t>(width >> 8);
    jpeg[i + 8] = static_cast<uint8_t>(width);
    return;
  }
  FAIL() << "no frame header";
}

TEST(BadFile, PicturesOverTheLimitAreRefused) {
  Bytes png = noise(8, 8, 3).encode_png();
  set_png_size(png, 2'000'000'000, 2'000'000'000);
  expect_error(Kind::resource, "2000000000x2000000000", [&] { Image::decode(png); });
  set_png_size(png, 10'001, 10'000);
  expect_error(Kind::resource, "the limit is 100.0", [&] { Image::decode(png); });
  Bytes jpeg = test::make_jpeg(8, 8, 3, noise(8, 8, 3).row(0), {});
  set_jpeg_size(jpeg, 60'000, 60'000);
  expect_error(Kind::resource, "3600.0 megapixels", [&] { Image::decode(jpeg); });
  ReadOptions small;
  small.max_pixels = 63;
  expect_error(Kind::resource, "8x8",
               [&] { Image::decode(noise(8, 8, 3).encode_png(), "x", small); });
  expect_error(Kind::resource, "8x8",
               [&] { Image::decode(noise(8, 8, 3).encode_webp(), "x", small); });
  small.max_pixels = 64;
  EXPECT_EQ(Image::decode(noise(8, 8, 3).encode_png(), "x", small).width(), 8);
}

// Within the limit, but the file is far too short for it: refused before memory is taken.
TEST(BadFile, HeadersThatPromiseTooMuchAreRefused) {
  Bytes png = noise(8, 8, 3).encode_png();
  set_png_size(png, 9'999, 9'999);
  expect_error(Kind::input, "cannot hold", [&] { Image::decode(png); });
  for (const bool progressive : {false, true}) {
    Bytes jpeg = test::make_jpeg(8, 8, 3, noise(8, 8, 3).row(0), {.progressive = progressive});
    set_jpeg_size(jpeg, 9'999, 9'999);
    expect_error(Kind::input, "cannot hold", [&] { Image::decode(jpeg); });
  }
  set_png_size(png, 0, 8);
  expect_error(Kind::input, "PNG", [&] { Image::decode(png); });
}

// The chunk's length is read before its bytes, and libpng takes memory for all of it at once.
TEST(BadFile, PngChunksThatPromiseTooMuchAreRefused) {
  Bytes png = noise(8, 8, 3).encode_png();
  const Bytes chunk{0x70, 0, 0, 0, 'e', 'X', 'I', 'f', 'M', 'M'};
  png.insert(png.begin() + 33, chunk.begin(), chunk.end());  // behind the header
  expect_error(Kind::input, "claims 1879048192 bytes", [&] { Image::decode(png); });
}

TEST(BadFile, OtherFilesAreNamed) {
  const auto decode = [](std::string text) {
    return [text] { Image::decode(Bytes(text.begin(), text.end()), "photo"); };
  };
  expect_error(Kind::input, "photo: is empty", decode(""));
  expect_error(Kind::input, "not a picture", decode("hello"));
  expect_error(Kind::input, "not a picture", decode("\xff\xd8"));
  expect_error(Kind::unsupported, "GIF", decode("GIF89a.........."));
  expect_error(Kind::unsupported, "BMP", decode("BM.............."));
  expect_error(Kind::unsupported, "HEIC", decode(std::string("\0\0\0\x18", 4) + "ftypheic...."));
  expect_error(Kind::unsupported, "AVIF", decode(std::string("\0\0\0\x18", 4) + "ftypavif...."));
  expect_error(Kind::missing, "No such file", [] { Image::read("/nowhere/photo.jpg"); });
}

TEST(Codec, OptionsOutOfRangeAreRefused) {
  const Image image = gradient(4, 4, 3);
  expect_error(Kind::usage, "quality", [&] { image.encode_jpeg({0}); });
  expect_error(Kind::usage, "quality", [&] { image.encode_webp({.quality = 101}); });
  expect_error(Kind::usage, "quality", [&] { image.encode_webp({.quality = NAN}); });
  expect_error(Kind::usage, "level", [&] { image.encode_png({10}); });
  expect_error(Kind::usage, "empty", [] { Image().encode_png(); });
  expect_error(Kind::usage, "empty", [] { Image().encode_jpeg(); });
  expect_error(Kind::usage, "empty", [] { Image().encode_webp(); });
  expect_error(Kind::unsupported, "WebP", [] { Image(20'000, 1, 3).encode_webp(); });
  expect_error(Kind::unsupported, "JPEG", [] { Image(70'000, 1, 3).encode_jpeg(); });
}

}  // namespace
}  // namespace beckon
