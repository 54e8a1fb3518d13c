// Everything mode against the reference's automatic mask generator: on random weights, and with
// MobileSAM on a photo.
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <regex>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/mask_generator.h"
#include "mobile_sam.h"
#include "models/sam/crops.h"
#include "models/sam/model.h"
#include "models/sam/selection.h"
#include "sam_config.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

using nlohmann::json;

MaskGeneratorOptions options_of(const json& config) {
  MaskGeneratorOptions o;
  const auto read = [&](const char* name, auto& value) {
    if (config.contains(name) && !config.at(name).is_null())
      value = config.at(name).get<std::remove_reference_t<decltype(value)>>();
  };
  read("points_per_side", o.points_per_side);
  read("points_per_batch", o.points_per_batch);
  read("pred_iou_thresh", o.pred_iou_thresh);
  read("stability_score_thresh", o.stability_score_thresh);
  read("stability_score_offset", o.stability_score_offset);
  read("box_nms_thresh", o.box_nms_thresh);
  read("crop_n_layers", o.crop_n_layers);
  read("crop_nms_thresh", o.crop_nms_thresh);
  read("crop_overlap_ratio", o.crop_overlap_ratio);
  read("crop_n_points_downscale_factor", o.crop_n_points_downscale_factor);
  read("min_mask_region_area", o.min_mask_region_area);
  if (config.contains("point_grids") && config.at("point_grids").is_array()) {
    o.points_per_side = 0;
    for (const auto& grid : config.at("point_grids")) {
      o.point_grids.emplace_back();
      for (const auto& p : grid) o.point_grids.back().push_back({p[0], p[1]});
    }
  }
  return o;
}

Rle rle_of(const json& segmentation) {
  const ImageSize size = {segmentation.at("size")[1], segmentation.at("size")[0]};
  const json& counts = segmentation.at("counts");
  return counts.is_string() ? Rle::from_string(size, counts.get<std::string>())
                            : Rle::from_counts(size, counts.get<std::vector<int64_t>>());
}

// The number behind `words` in a sentence.
double number_behind(const std::string& text, const std::string& words, double otherwise) {
  std::smatch match;
  return std::regex_search(text, match, std::regex(words + " ([0-9.]+[0-9])")) ? std::stod(match[1])
                                                                               : otherwise;
}

// One to one by mask IoU, as the case's sentence on tolerance says.
void expect_matched(const std::vector<GeneratedMask>& masks, const json& annotations,
                    const std::string& tolerance) {
  const double same = number_behind(tolerance, "IoU >=", 0.98);
  const double share = number_behind(tolerance, "at least", 95) / 100;
  const double scores = 1e-3, stability = 2e-3;
  std::vector<char> taken(masks.size(), 0);
  size_t matched = 0;
  for (const json& expected : annotations) {
    const Rle rle = rle_of(expected.at("segmentation"));
    double best = 0;
    size_t at = 0;
    for (size_t i = 0; i < masks.size(); ++i) {
      if (taken[i]) continue;
      ASSERT_EQ(masks[i].segmentation.size(), rle.size());
      const double value = iou(masks[i].segmentation, rle);
      if (value > best) best = value, at = i;
    }
    if (best < same) continue;
    taken[at] = 1;
    ++matched;
    const GeneratedMask& mask = masks[at];
    EXPECT_NEAR(mask.predicted_iou, expected.at("predicted_iou").get<double>(), scores);
    EXPECT_NEAR(mask.stability_score, expected.at("stability_score").get<double>(), stability);
    EXPECT_EQ(mask.area, mask.segmentation.area());
    const int bbox[] = {mask.bbox.x, mask.bbox.y, mask.bbox.width, mask.bbox.height};
    const int crop[] = {mask.crop_box.x, mask.crop_box.y, mask.crop_box.width,
                        mask.crop_box.height};
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NEAR(bbox[i], expected.at("bbox")[i].get<double>(), 1);
      EXPECT_EQ(crop[i], expected.at("crop_box")[i].get<double>());
    }
    EXPECT_NEAR(mask.point.x, expected.at("point_coords")[0][0].get<double>(), 1e-3);
    EXPECT_NEAR(mask.point.y, expected.at("point_coords")[0][1].get<double>(), 1e-3);
  }
  EXPECT_GE(static_cast<double>(matched), share * static_cast<double>(annotations.size()));
  EXPECT_GE(static_cast<double>(matched), share * static_cast<double>(masks.size()));
}

TEST(SamAmg, RandomWeightsMatchGolden) {
  for (const Golden& golden : goldens("sam_amg")) {
    SCOPED_TRACE(golden.name);
    const json& c = golden.json();
    // "../../sam/odd_75x113/io.safetensors:in.image"
    const std::string image_at = c.at("image");
    const size_t colon = image_at.rfind(':');
    const auto folder = std::filesystem::canonical(
        (golden.folder / c.at("weights").get<std::string>()).parent_path());
    bool found = false;
    for (const Golden& model : goldens("sam")) {
      if (std::filesystem::canonical(model.folder) != folder) continue;
      found = true;
      const Array& pixels = model.tensors("io").at(image_at.substr(colon + 1));
      std::vector<uint8_t> bytes;
      for (const float v : pixels.as_floats())
        bytes.push_back(static_cast<uint8_t>(std::lround(v)));
      const Image image(static_cast<int>(pixels.shape[1]), static_cast<int>(pixels.shape[0]), 3,
                        bytes);
      const Sam sam(std::make_shared<const sam::SamModel>(params(model),
                                                          sam_config(model.json().at("config"))));
      const MaskGenerator generator(sam, options_of(c.at("config")));
      expect_matched(generator.generate(image), c.at("annotations"), c.at("tolerance"));
    }
    EXPECT_TRUE(found) << folder;
  }
}

TEST(SamAmg, MobileSamMatchesGolden) {
  const auto sam = mobile_sam();
  if (!sam) return;
  if (is_quick())
    GTEST_SKIP() << "minutes under sanitizers; the cases of small models have the same code";
  for (const Golden& golden : goldens("mobile_sam_real")) {
    for (const auto& entry : std::filesystem::directory_iterator(golden.folder)) {
      const std::string name = entry.path().filename().string();
      if (!name.starts_with("amg_") || entry.path().extension() != ".json") continue;
      SCOPED_TRACE(golden.name + "/" + name);
      std::ifstream file(entry.path());
      const json c = json::parse(file);
      json config = c.at("defaults");
      config.update(c.at("settings"));
      config["points_per_batch"] = c.at("points_per_batch");
      const Image photo =
          Image::read((golden.folder / c.at("image").at("file_name").get<std::string>()).string());
      const MaskGenerator generator(*sam, options_of(config));
      expect_matched(generator.generate(photo), c.at("annotations"), c.at("tolerance"));
    }
  }
}

TEST(SamAmgHelpers, GridsMatchGolden) {
  for (const Golden& golden : goldens("sam_amg_helpers")) {
    SCOPED_TRACE(golden.name);
    for (const auto& [n, points] : golden.json().at("point_grids").items()) {
      const auto grid = sam::point_grid(std::stoi(n));
      ASSERT_EQ(grid.size(), points.size());
      for (size_t i = 0; i < grid.size(); ++i) {
        EXPECT_NEAR(grid[i].x, points[i][0].get<double>(), 1e-12);
        EXPECT_NEAR(grid[i].y, points[i][1].get<double>(), 1e-12);
      }
    }
    const json& layers = golden.json().at("layer_grids");
    const auto grids =
        sam::point_grids(layers.at("n_per_side"), layers.at("n_layers"), layers.at("scale"));
    const auto counts = layers.at("points_per_layer").get<std::vector<size_t>>();
    ASSERT_EQ(grids.size(), counts.size());
    for (size_t i = 0; i < grids.size(); ++i) EXPECT_EQ(grids[i].size(), counts[i]);
  }
}

TEST(SamAmgHelpers, CropsMatchGolden) {
  for (const Golden& golden : goldens("sam_amg_helpers")) {
    SCOPED_TRACE(golden.name);
    for (const json& c : golden.json().at("crops")) {
      const auto crops = sam::crops({c.at("im_size")[1], c.at("im_size")[0]}, c.at("n_layers"),
                                    c.at("overlap_ratio"));
      ASSERT_EQ(crops.size(), c.at("boxes").size());
      for (size_t i = 0; i < crops.size(); ++i) {
        const json& box = c.at("boxes")[i];
        EXPECT_EQ(crops[i], (sam::Crop{box[0], box[1], box[2], box[3], c.at("layers")[i]}));
      }
    }
    const json& edge = golden.json().at("crop_edge");
    const auto check = [&](const char* crop, const char* boxes, const char* near) {
      const json& at = edge.at(crop);
      for (size_t i = 0; i < edge.at(boxes).size(); ++i) {
        const json& box = edge.at(boxes)[i];
        EXPECT_EQ(
            sam::near_crop_edge({box[0], box[1], box[2], box[3]}, {at[0], at[1], at[2], at[3], 1},
                                {edge.at("orig")[2], edge.at("orig")[3]}),
            edge.at(near)[i].get<bool>())
            << boxes << " " << i;
      }
    };
    check("crop", "boxes", "near");
    check("corner_crop", "corner_boxes", "corner_near");
  }
}

TEST(SamAmgHelpers, StabilityMatchesGolden) {
  for (const Golden& golden : goldens("sam_amg_helpers")) {
    SCOPED_TRACE(golden.name);
    const Array& logits = golden.tensors("io").at("in.logits");
    const json& expected = golden.json().at("stability");
    const auto values = logits.as_floats();
    const size_t plane = values.size() / expected.size();
    for (size_t i = 0; i < expected.size(); ++i) {
      const double score = sam::stability_score(std::span(values).subspan(i * plane, plane));
      if (expected[i].is_null())
        EXPECT_TRUE(std::isnan(score));
      else
        EXPECT_NEAR(score, expected[i].get<double>(), golden.tolerance("stability"));
    }
  }
}

}  // namespace
}  // namespace beckon::test
