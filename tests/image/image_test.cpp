#include "beckon/image.h"

#include <gtest/gtest.h>

#include "base/threads.h"
#include "image/codecs.h"
#include "support/check.h"
#include "support/pictures.h"

namespace beckon {
namespace {

using test::expect_error;
using test::noise;

TEST(Image, CopiesShareUntilWritten) {
  const Image original = noise(8, 8, 3);
  Image copy = original;
  EXPECT_EQ(copy.row(0), original.row(0));
  const uint8_t before = original.row(2)[1];
  copy.mutable_row(2)[1] = static_cast<uint8_t>(before + 1);
  EXPECT_NE(copy.row(0), original.row(0));
  EXPECT_EQ(original.row(2)[1], before);
  EXPECT_FALSE(copy == original);
  copy.mutable_row(2)[1] = before;
  EXPECT_EQ(copy, original);
}

TEST(Image, ASoleOwnerIsNotCopiedByWriting) {
  Image image(4, 4, 1);
  const uint8_t* pixels = image.row(0);
  image.mutable_row(3)[3] = 9;
  EXPECT_EQ(image.row(0), pixels);
}

TEST(Image, RgbDropsAlphaAndRepeatsGrey) {
  EXPECT_EQ(Image(1, 1, 4, std::vector<uint8_t>{1, 2, 3, 0}).rgb(),
            Image(1, 1, 3, std::vector<uint8_t>{1, 2, 3}));
  EXPECT_EQ(Image(1, 1, 1, std::vector<uint8_t>{7}).rgb(),
            Image(1, 1, 3, std::vector<uint8_t>{7, 7, 7}));
  EXPECT_EQ(Image(1, 1, 1, std::vector<uint8_t>{7}).rgba(),
            Image(1, 1, 4, std::vector<uint8_t>{7, 7, 7, 255}));
  const Image color = noise(5, 5, 3);
  EXPECT_EQ(color.rgb().row(0), color.row(0));
  EXPECT_EQ(color.rgba().rgb(), color);
}

TEST(Image, CropTakesThePart) {
  const Image image = noise(7, 5, 3);
  const Image part = image.crop(2, 1, 4, 3);
  ASSERT_EQ(part.size(), (ImageSize{4, 3}));
  for (int y = 0; y < 3; ++y) {
    for (int i = 0; i < 12; ++i) EXPECT_EQ(part.row(y)[i], image.row(y + 1)[6 + i]);
  }
  EXPECT_EQ(image.crop(0, 0, 7, 5), image);
  expect_error(Kind::usage, "crop", [&] { image.crop(4, 0, 4, 1); });
  expect_error(Kind::usage, "crop", [&] { image.crop(-1, 0, 2, 1); });
  expect_error(Kind::usage, "crop", [&] { image.crop(0, 0, INT32_MAX, 1); });
}

TEST(Image, ImpossibleSizesAreRefused) {
  expect_error(Kind::usage, "0x4", [] { Image(0, 4, 3); });
  expect_error(Kind::usage, "2 channels", [] { Image(4, 4, 2); });
  expect_error(Kind::resource, "memory", [] { Image(INT32_MAX, INT32_MAX, 4); });
  expect_error(Kind::usage, "expected 12", [] { Image(2, 2, 3, std::vector<uint8_t>(11)); });
}

TEST(Image, OrientationsUndoEachOther) {
  const Image image = noise(70, 45, 3);
  const int inverse[9] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
  for (int orientation = 1; orientation <= 8; ++orientation)
    EXPECT_EQ(codecs::oriented(codecs::oriented(image, orientation), inverse[orientation]), image)
        << orientation;
  // A turn by 90 degrees twice is one by 180.
  EXPECT_EQ(codecs::oriented(codecs::oriented(image, 6), 6), codecs::oriented(image, 3));
  EXPECT_EQ(codecs::oriented(image, 9), image);
}

}  // namespace
}  // namespace beckon
