#include <cmath>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/resize.h"
#include "support/golden.h"
#include "support/pictures.h"

namespace beckon {
namespace {

using test::Golden;
using test::goldens;

struct Normalization {
  double mean[3];
  double deviation[3];
};
constexpr Normalization kClip{{0.48145466, 0.4578275, 0.40821073},
                              {0.26862954, 0.26130258, 0.27577711}};
constexpr Normalization kImageNet{{0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}};

// Interleaved values of 0 to 255 to normalised planes: (v / 255 - mean) / deviation.
std::vector<float> normalized_planes(const std::vector<float>& values, const Normalization& by) {
  const size_t count = values.size() / 3;
  std::vector<float> planes(values.size());
  for (size_t c = 0; c < 3; ++c) {
    for (size_t i = 0; i < count; ++i) {
      planes[c * count + i] = (values[3 * i + c] / 255.0f - static_cast<float>(by.mean[c])) /
                              static_cast<float>(by.deviation[c]);
    }
  }
  return planes;
}

// Rows 0, 13, 26, ... and columns 0, 11, 22, ... of each plane.
std::vector<float> sampled(const std::vector<float>& planes, int side) {
  std::vector<float> samples;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < side; y += 13) {
      for (int x = 0; x < side; x += 11) samples.push_back(planes[(c * side + y) * side + x]);
    }
  }
  return samples;
}

// Three means, then three unbiased standard deviations.
std::vector<float> mean_and_deviation(const std::vector<float>& planes) {
  const size_t count = planes.size() / 3;
  std::vector<float> result(6);
  for (size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; ++i) sum += planes[c * count + i];
    const double mean = sum / static_cast<double>(count);
    for (size_t i = 0; i < count; ++i) squares += std::pow(planes[c * count + i] - mean, 2);
    result[c] = static_cast<float>(mean);
    result[3 + c] = static_cast<float>(std::sqrt(squares / static_cast<double>(count - 1)));
  }
  return result;
}

void check_crop(const Golden& golden, const std::string& kind, int short_side, Filter filter,
                const Normalization& by) {
  SCOPED_TRACE(golden.name + "/" + kind);
  const auto& io = golden.tensors("io");
  const Image image = test::image_from(io.at("in.image"));
  const auto hw = io.at("mid." + kind + ".resized_hw").as_ints();
  const ImageSize size = short_side_size(image.width(), image.height(), short_side);
  EXPECT_EQ(size.height, hw[0]);
  EXPECT_EQ(size.width, hw[1]);

  const std::string cropped_name = "mid." + kind + ".cropped_uint8";
  const Image cropped = resize_and_crop(image, short_side, 224, filter);
  test::expect_near(test::floats_of(cropped), io.at(cropped_name),
                    golden.tolerance(cropped_name, 0), cropped_name);

  const auto planes = normalized_planes(test::floats_of(cropped), by);
  const double tolerance = golden.tolerance("out");
  test::expect_near(sampled(planes, 224), io.at("out." + kind + ".sampled"), tolerance,
                    kind + " samples");
  test::expect_near(mean_and_deviation(planes), io.at("out." + kind + ".mean_std"), tolerance,
                    kind + " mean, std");
}

TEST(Preprocess, ClipMatchesGolden) {
  for (const Golden& golden : goldens("preprocess"))
    check_crop(golden, "clip224", 224, Filter::bicubic, kClip);
}

TEST(Preprocess, ImageNetMatchesGolden) {
  for (const Golden& golden : goldens("preprocess"))
    check_crop(golden, "imagenet256", 256, Filter::bilinear, kImageNet);
}

TEST(Preprocess, VtabMatchesGolden) {
  for (const Golden& golden : goldens("preprocess")) {
    SCOPED_TRACE(golden.name);
    const auto& io = golden.tensors("io");
    const auto stretched = resize_legacy_bilinear(test::image_from(io.at("in.image")), 224, 224);
    test::expect_near(sampled(normalized_planes(stretched, kImageNet), 224),
                      io.at("out.vtab224.sampled"), golden.tolerance("out"), "vtab samples");
  }
}

}  // namespace
}  // namespace beckon
