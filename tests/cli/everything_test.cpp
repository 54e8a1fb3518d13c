// beckon segment --everything as a process, with a small model of random weights.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/image.h"
#include "beckon/mask.h"
#include "beckon/rle.h"
#include "process.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

std::string in_source(const std::string& path) {
  return (std::filesystem::path(BECKON_SOURCE_DIR) / path).string();
}

Outcome everything(Words more, RunOptions options = {}) {
  Words words = {"segment",
                 in_source("examples/photos/coffee.png"),
                 "--model",
                 in_source("tests/goldens/sam/odd_75x113/weights.safetensors"),
                 "--everything",
                 "--points-per-side",
                 "3",
                 "--pred-iou-thresh",
                 "-1",
                 "--stability-score-thresh",
                 "0.2"};
  words.insert(words.end(), more.begin(), more.end());
  return run_beckon(words, std::move(options));
}

json report_of(Words more) {
  more.push_back("--json");
  const Outcome outcome = everything(more);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  return json::parse(outcome.out);
}

TEST(Everything, ReportHasTheFieldsOfSa1b) {
  const json report = report_of({});
  EXPECT_EQ(report.at("image").at("width"), 600);
  ASSERT_FALSE(report.at("masks").empty());
  for (const json& mask : report.at("masks")) {
    const json& rle = mask.at("segmentation");
    const Rle decoded = Rle::from_string({rle.at("size")[1], rle.at("size")[0]},
                                         rle.at("counts").get<std::string>());
    EXPECT_EQ(decoded.size(), (ImageSize{600, 400}));
    EXPECT_EQ(mask.at("area"), decoded.area());
    for (const char* key : {"bbox", "crop_box"}) EXPECT_EQ(mask.at(key).size(), 4u);
    EXPECT_EQ(mask.at("point_coords")[0].size(), 2u);
    EXPECT_TRUE(mask.at("predicted_iou").is_number());
    EXPECT_TRUE(mask.at("stability_score").is_number());
  }
}

TEST(Everything, OutputModesHoldTheSameMasks) {
  const json coco = report_of({}), plain = report_of({"--output-mode", "uncompressed_rle"}),
             binary = report_of({"--output-mode", "binary_mask"});
  const json& string = coco.at("masks")[0].at("segmentation");
  const Rle first = Rle::from_string({600, 400}, string.at("counts").get<std::string>());
  EXPECT_EQ(Rle::from_counts(
                {600, 400},
                plain.at("masks")[0].at("segmentation").at("counts").get<std::vector<int64_t>>()),
            first);
  std::vector<uint8_t> pixels;
  for (const json& row : binary.at("masks")[0].at("segmentation"))
    for (const json& v : row) pixels.push_back(v);
  EXPECT_EQ(Mask(600, 400, pixels).rle(), first);
}

TEST(Everything, ItsRecipeReproducesIt) {
  const TempDir folder;
  const json report = report_of({"--crop-n-layers", "1", "--min-mask-region-area", "20"});
  const std::string recipe = folder / "recipe.json";
  std::ofstream(recipe) << report.at("recipe").dump();
  const Outcome again = run_beckon(
      {"segment", in_source("examples/photos/coffee.png"), "--prompt", recipe, "--json"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(json::parse(again.out).at("masks"), report.at("masks"));
  EXPECT_EQ(json::parse(again.out).at("recipe"), report.at("recipe"));
}

TEST(Everything, WritesOverlaysFoldersAndSa1b) {
  const TempDir folder;
  const Outcome overlay = everything({"-o", folder / "all.png"});
  EXPECT_EQ(overlay.code, 0) << overlay.err;
  EXPECT_NE(overlay.out.find(" masks\n"), std::string::npos);
  EXPECT_EQ(Image::read(folder / "all.png").size(), (ImageSize{600, 400}));

  const json report = report_of({"-o", folder / "masks"});
  size_t pictures = 0, lines = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "masks"))
    pictures += entry.path().extension() == ".png";
  std::ifstream table(folder / "masks/metadata.csv");
  for (std::string line; std::getline(table, line);) ++lines;
  EXPECT_EQ(pictures, report.at("masks").size());
  EXPECT_EQ(lines, pictures + 1);
  EXPECT_EQ(Mask::read(folder / "masks/0.png").area(), report.at("masks")[0].at("area"));
  // A folder with something in it is left alone.
  EXPECT_EQ(everything({"-o", folder / "masks"}).code, 73);

  const Outcome sa1b = everything({"--format", "sa1b"});
  const json file = json::parse(sa1b.out);
  EXPECT_EQ(file.at("image").at("file_name"), "coffee.png");
  EXPECT_EQ(file.at("annotations").size(), report.at("masks").size());
  EXPECT_EQ(file.at("annotations")[0].at("id"), 0);
}

TEST(Everything, TilesCoverThePhoto) {
  const json report = report_of({"--tile", "--tile-size", "256", "--tile-overlap", "64"});
  ASSERT_FALSE(report.at("masks").empty());
  bool elsewhere = false;
  for (const json& mask : report.at("masks")) {
    EXPECT_EQ(mask.at("segmentation").at("size"), json({400, 600}));
    elsewhere = elsewhere || mask.at("crop_box")[0] != 0;
  }
  EXPECT_TRUE(elsewhere);
  EXPECT_EQ(report.at("recipe").at("options").at("everything").at("tile"), 256);
}

TEST(Everything, WrongArgumentsAreOneLineEach) {
  const TempDir folder;
  std::ofstream(folder / "grids.json") << "[[[0.5, 2]]]";
  std::ofstream(folder / "no.json") << "{";
  const struct {
    Words words;
    int code;
    const char* says;
  } cases[] = {
      {{"--point", "1,2"}, 2, "--point"},
      {{"--single"}, 2, "--single"},
      {{"--box-nms-thresh", "nan"}, 2, "box_nms_thresh"},
      {{"--box-nms-thresh", "7"}, 2, "box_nms_thresh"},
      {{"--points-per-batch", "0"}, 2, "points_per_batch"},
      {{"--crop-n-layers", "-1"}, 2, "crop_n_layers"},
      {{"--crop-overlap-ratio", "1"}, 2, "crop_overlap_ratio"},
      {{"--min-mask-region-area", "-5"}, 2, "min_mask_region_area"},
      {{"--tile-size", "5"}, 2, "--tile-size"},
      {{"--tile", "--tile-overlap", "5000"}, 2, "--tile-overlap"},
      {{"--output-mode", "png"}, 2, "--output-mode"},
      {{"--format", "cutout", "-o", "x.png"}, 2, "cutout"},
      {{"--format", "overlay"}, 2, "-o"},
      {{"-o", "all.gif", "--format", "overlay"}, 2, ".png"},
      {{"--json", "-o", "-"}, 2, "--json"},
  };
  for (const auto& c : cases) {
    const Outcome outcome = everything(c.words);
    EXPECT_EQ(outcome.code, c.code) << c.says << outcome.err;
    EXPECT_NE(outcome.err.find(c.says), std::string::npos) << outcome.err;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  }
  const auto refused = [&](Words words, int code, const std::string& says) {
    words.insert(words.begin(), {"segment", in_source("examples/photos/coffee.png")});
    const Outcome outcome = run_beckon(words);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_NE(outcome.err.find(says), std::string::npos) << outcome.err;
  };
  refused({"--point", "1,1", "--points-per-side", "4"}, 2, "--points-per-side needs --everything");
  refused({"--point", "1,1", "--format", "sa1b"}, 2, "needs --everything");
  refused({"--everything", "--points-per-side", "0"}, 2, "--points-per-side");
  refused({"--everything", "--point-grids", folder / "grids.json"}, 65, "grids.json");
  refused({"--everything", "--point-grids", folder / "no.json"}, 65, "no.json");
  refused({"--everything", "--point-grids", folder / "none.json"}, 66, "none.json");
  std::ofstream(folder / "recipe.json")
      << R"({"beckon": 1, "prompts": [], "options": {"everything": {"box_nms_thresh": "a"}}})";
  refused({"--prompt", folder / "recipe.json"}, 65, "box_nms_thresh");
}

}  // namespace
}  // namespace beckon::test
