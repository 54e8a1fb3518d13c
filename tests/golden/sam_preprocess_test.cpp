#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/resize.h"
#include "support/golden.h"
#include "support/pictures.h"

namespace beckon {
namespace {

using test::Golden;
using test::golden_file;
using test::goldens;

TEST(SamPreprocess, ResizeAndCoordinatesMatchGolden) {
  for (const Golden& golden : goldens("sam_preprocess")) {
    const auto& io = golden.tensors("io");
    for (const auto& entry : golden.json().at("config").at("cases")) {
      const std::string name = entry.at("name");
      SCOPED_TRACE(golden.name + "/" + name);
      const Image image = test::image_from(io.at("in." + name + ".image"));
      const ImageSize size = long_side_size(image.width(), image.height(), entry.at("target"));
      EXPECT_EQ(size.height, entry.at("new_hw").at(0).get<int>());
      EXPECT_EQ(size.width, entry.at("new_hw").at(1).get<int>());

      const std::string resized_name = "out." + name + ".resized";
      const Image resized = resize(image, size.width, size.height, Filter::bilinear);
      test::expect_near(test::floats_of(resized), io.at(resized_name),
                        golden.tolerance(resized_name), resized_name);

      const std::string coords_name = "out." + name + ".coords";
      auto coords = io.at("in." + name + ".coords").as_floats();
      for (size_t i = 0; i < coords.size(); i += 2) {
        coords[i] = static_cast<float>(double{coords[i]} * (double(size.width) / image.width()));
        coords[i + 1] =
            static_cast<float>(double{coords[i + 1]} * (double(size.height) / image.height()));
      }
      test::expect_near(coords, io.at(coords_name), golden.tolerance(coords_name), coords_name);
    }
  }
}

// The reference's way for pictures that are tensors already: floats, plane by plane.
TEST(SamPreprocess, SmoothResizeOfFloatsMatchesGolden) {
  for (const Golden& golden : goldens("sam_preprocess")) {
    const auto& io = golden.tensors("io");
    int compared = 0;
    for (const auto& entry : golden.json().at("config").at("cases")) {
      const std::string name = entry.at("name");
      const std::string wanted = "out." + name + ".antialias_float";
      if (!io.contains(wanted)) continue;  // not every case has it
      SCOPED_TRACE(golden.name + "/" + name);
      const auto& picture = io.at("in." + name + ".image");  // height, width, channels
      const auto pixels = picture.as_floats();
      const ImageSize from{static_cast<int>(picture.shape[1]), static_cast<int>(picture.shape[0])};
      const ImageSize to = long_side_size(from.width, from.height, entry.at("target"));
      const size_t count = static_cast<size_t>(from.width) * from.height, channels = 3;
      std::vector<float> all;
      for (size_t c = 0; c < channels; ++c) {
        std::vector<float> plane(count);
        for (size_t i = 0; i < count; ++i) plane[i] = pixels[i * channels + c];
        const auto resized = resize_plane(plane, from, to, true);
        all.insert(all.end(), resized.begin(), resized.end());
      }
      test::expect_near(all, io.at(wanted), golden.tolerance(wanted), wanted);
      ++compared;
    }
    EXPECT_GT(compared, 0) << golden.name;
  }
}

TEST(SamPreprocess, LongSideSizesMatchGolden) {
  const auto path = golden_file("sam_preprocess", "sizes_1024.json");
  if (!path) return;
  const auto table = nlohmann::json::parse(std::ifstream(*path));
  for (const auto& row : table.at("rows_h_w_newh_neww")) {
    const ImageSize size = long_side_size(row.at(1), row.at(0), 1024);
    // The raw rule gives 0 for 1x3000; a picture needs at least one row.
    EXPECT_EQ(size.height, std::max(1, row.at(2).get<int>())) << row;
    EXPECT_EQ(size.width, std::max(1, row.at(3).get<int>())) << row;
  }
}

}  // namespace
}  // namespace beckon
