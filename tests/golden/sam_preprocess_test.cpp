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
