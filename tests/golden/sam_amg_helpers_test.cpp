// The parts of SAM's automatic mask generator that work on masks and boxes alone.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/boxes.h"
#include "beckon/mask.h"
#include "support/golden.h"

namespace beckon {
namespace {

using test::Golden;
using test::goldens;

std::vector<Mask> masks_of(const test::Array& array) {
  const auto values = array.as_ints();
  const std::vector<uint8_t> bytes(values.begin(), values.end());
  const auto height = static_cast<int>(array.shape.at(array.shape.size() - 2));
  const auto width = static_cast<int>(array.shape.back());
  const size_t count = static_cast<size_t>(height) * static_cast<size_t>(width);
  std::vector<Mask> masks;
  for (size_t i = 0; i < bytes.size(); i += count)
    masks.emplace_back(width, height, std::span(bytes).subspan(i, count));
  return masks;
}

TEST(SamAmgHelpers, RunLengthsAndBoxesMatchGolden) {
  for (const Golden& golden : goldens("sam_amg_helpers")) {
    SCOPED_TRACE(golden.name);
    const auto masks = masks_of(golden.tensors("io").at("in.masks"));
    const auto& expected = golden.json().at("rle");
    ASSERT_EQ(masks.size(), expected.size());
    std::vector<float> boxes;
    for (size_t i = 0; i < masks.size(); ++i) {
      EXPECT_EQ(
          masks[i].rle(),
          Rle::from_counts(masks[i].size(), expected[i].at("counts").get<std::vector<int64_t>>()));
      EXPECT_EQ(masks[i].rle().string(), expected[i].at("coco").get<std::string>());
      EXPECT_EQ(masks[i].area(), expected[i].at("area").get<int64_t>());
      const PixelBox box = masks[i].bounding_box();
      // First and last pixel; all zero without any.
      const int right = box.width ? box.x + box.width - 1 : 0,
                bottom = box.height ? box.y + box.height - 1 : 0;
      for (const int v : {box.x, box.y, right, bottom}) boxes.push_back(static_cast<float>(v));
    }
    expect_near(boxes, golden.tensors("io").at("out.boxes"), 0, "boxes");
  }
}

TEST(SamAmgHelpers, SmallRegionsMatchGolden) {
  for (const Golden& golden : goldens("sam_amg_helpers")) {
    const auto masks = masks_of(golden.tensors("io").at("in.masks"));
    for (const auto& entry : golden.json().at("remove_small")) {
      const std::string tensor = entry.at("tensor");
      SCOPED_TRACE(golden.name + " " + tensor);
      const Mask& mask = masks.at(entry.at("mask").get<size_t>());
      const auto area = entry.at("area").get<int64_t>();
      const bool holes = entry.at("mode").get<std::string>() == "holes";
      const auto [cleaned, changed] =
          holes ? fill_small_holes(mask, area) : remove_small_islands(mask, area);
      EXPECT_EQ(changed, entry.at("changed").get<bool>());
      EXPECT_EQ(cleaned, masks_of(golden.tensors("io").at(tensor)).at(0));
    }
  }
}

TEST(SamAmgHelpers, SuppressionMatchesGolden) {
  for (const Golden& golden : goldens("sam_amg_helpers")) {
    const auto& io = golden.tensors("io");
    const auto scores = io.at("in.nms_scores").as_floats();
    const auto numbers = io.at("in.nms_boxes").as_floats();
    std::vector<Rect> boxes;
    for (size_t i = 0; i < numbers.size(); i += 4)
      boxes.push_back({numbers[i], numbers[i + 1], numbers[i + 2], numbers[i + 3]});
    for (const auto& [threshold, kept] : golden.json().at("nms").items()) {
      SCOPED_TRACE(golden.name + " " + threshold);
      EXPECT_EQ(nms(boxes, scores, std::stof(threshold)), kept.get<std::vector<int64_t>>());
    }
  }
}

}  // namespace
}  // namespace beckon
