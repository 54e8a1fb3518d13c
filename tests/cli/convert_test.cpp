// beckon convert and beckon boxes2masks, as processes.
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "process.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Convert : public testing::Test {
 protected:
  void SetUp() override {
    dir.write("coco.json", R"({
      "info": {"description": "zwei Tassen"},
      "images": [{"id": 7, "file_name": "coffee.png", "width": 600, "height": 400, "licence": "CC0"}],
      "categories": [{"id": 3, "name": "Tasse ☕"}],
      "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "bbox": [60, 20, 500, 360], "area": 180000, "iscrowd": 0, "note": "groß"},
        {"id": 2, "image_id": 7, "category_id": 3, "iscrowd": 0, "bbox": [10, 10, 40, 30], "area": 1200,
         "segmentation": [[10, 10, 50, 10, 50, 40, 10, 40]]}]})");
    fs::create_directory(dir / "photos");
    fs::copy_file(fs::path(BECKON_SOURCE_DIR) / "examples/photos/coffee.png",
                  dir / "photos/coffee.png");
  }
  json answer(std::vector<std::string> words) const {
    words.push_back("--json");
    const Outcome outcome = run_beckon(words);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  json file(const std::string& name) const {
    std::ifstream stream(dir / name);
    return json::parse(stream);
  }

  TempDir dir;
  std::string model =
      (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/odd_75x113/weights.safetensors").string();
};

TEST_F(Convert, ThereAndBackThroughEveryForm) {
  for (const std::string form : {"coco", "sa1b", "labelme", "yolo-seg", "voc", "cvat",
                                 "label-studio", "geojson", "svg", "png"}) {
    const json there = answer({"convert", dir / "coco.json", dir / ("to-" + form), "--to", form});
    EXPECT_EQ(there.at("from"), "coco");
    EXPECT_EQ(there.at("annotations"), 2) << form;
    const json back = answer({"convert", dir / ("to-" + form), dir / ("back-" + form + ".json"),
                              "--to", "coco", "--photos", dir / "photos"});
    EXPECT_EQ(back.at("annotations"), 2) << form;
    const json coco = file("back-" + form + ".json");
    EXPECT_EQ(coco.at("categories")[0].at("name"), "Tasse ☕") << form;
    EXPECT_EQ(coco.at("images")[0].at("width"), 600) << form;
  }
  const json coco = file("back-coco.json");
  EXPECT_EQ(coco.at("annotations")[0].at("note"), "groß");
  EXPECT_EQ(coco.at("images")[0].at("licence"), "CC0");
  EXPECT_EQ(coco.at("info").at("description"), "zwei Tassen");
}

TEST_F(Convert, LossesAreNotes) {
  const Outcome outcome = run_beckon({"convert", dir / "coco.json", dir / "yolo", "--to", "yolo"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("note: yolo cannot carry masks"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.out.find("1 images, 2 annotations"), std::string::npos) << outcome.out;
  EXPECT_TRUE(fs::exists(dir / "yolo/data.yaml"));
}

TEST_F(Convert, OutlinesHaveABudget) {
  const json report = answer({"boxes2masks", dir / "coco.json", dir / "out.json", "--photos",
                              dir / "photos", "--model", model, "--max-vertices", "40"});
  EXPECT_LE(report.at("simplified").at("vertices_after"), 80);
  EXPECT_GT(report.at("simplified").at("mean_iou"), 0.3);
  EXPECT_TRUE(file("out.json").at("annotations")[0].at("segmentation").is_array());
}

TEST_F(Convert, BoxesBecomeMasks) {
  const std::vector<std::string> words = {"boxes2masks", dir / "coco.json", dir / "masks.json",
                                          "--photos",    dir / "photos",    "--model",
                                          model};
  const json report = answer(words);
  EXPECT_EQ(report.at("masks"), 1);
  EXPECT_EQ(report.at("kept"), 1) << "the one with an outline";
  const json coco = file("masks.json");
  const json& made = coco.at("annotations")[0];
  EXPECT_EQ(made.at("id"), 1);
  EXPECT_EQ(made.at("note"), "groß");
  EXPECT_EQ(made.at("bbox"), json({60, 20, 500, 360}));
  EXPECT_EQ(made.at("segmentation").at("size"), json({400, 600}));
  EXPECT_EQ(coco.at("annotations")[1].at("segmentation")[0].size(), 8u);
  const auto first = read_bytes(dir / "masks.json");
  answer(words);
  EXPECT_EQ(read_bytes(dir / "masks.json"), first);
}

TEST_F(Convert, PhotosThatFailAreNamedAndTheRestIsDone) {
  json coco = file("coco.json");
  coco["images"].push_back({{"id", 8}, {"file_name", "gone.png"}, {"width", 5}, {"height", 5}});
  coco["annotations"].push_back(
      {{"id", 3}, {"image_id", 8}, {"category_id", 3}, {"bbox", {1, 1, 2, 2}}});
  dir.write("coco.json", coco.dump());
  const Outcome outcome = run_beckon({"boxes2masks", dir / "coco.json", dir / "masks.json",
                                      "--photos", dir / "photos", "--model", model});
  EXPECT_EQ(outcome.code, 66) << outcome.err;
  EXPECT_NE(outcome.err.find("gone.png"), std::string::npos);
  EXPECT_TRUE(file("masks.json").at("annotations")[0].contains("segmentation"));
}

TEST_F(Convert, ABrokenPhotoCostsItsOwnMasksOnly) {
  json coco = file("coco.json");
  coco["images"].push_back({{"id", 8}, {"file_name", "broken.png"}, {"width", 5}, {"height", 5}});
  coco["annotations"].push_back(
      {{"id", 3}, {"image_id", 8}, {"category_id", 3}, {"bbox", {1, 1, 2, 2}}});
  dir.write("coco.json", coco.dump());
  dir.write("photos/broken.png", "no picture");
  const Outcome outcome = run_beckon({"boxes2masks", dir / "coco.json", dir / "masks.json",
                                      "--photos", dir / "photos", "--model", model});
  EXPECT_EQ(outcome.code, 65) << outcome.err;
  EXPECT_NE(outcome.err.find("broken.png"), std::string::npos);
  EXPECT_NE(outcome.out.find("1 masks made, 2 annotations as they were"), std::string::npos);
  const json made = file("masks.json");
  EXPECT_EQ(made.at("annotations").size(), 3u);
  EXPECT_TRUE(made.at("annotations")[0].at("segmentation").is_object());

  run_beckon({"convert", dir / "coco.json", dir / "yolo", "--to", "yolo"});
  const Outcome back = run_beckon(
      {"convert", dir / "yolo", dir / "back.json", "--to", "coco", "--photos", dir / "photos"});
  EXPECT_EQ(back.code, 65);
  EXPECT_NE(back.err.find("left out"), std::string::npos) << back.err;
  EXPECT_EQ(file("back.json").at("annotations").size(), 2u);
}

TEST_F(Convert, WrongArgumentsAreOneLine) {
  expect_complaint(run_beckon({"convert", dir / "coco.json", dir / "x"}), 2, "--to");
  expect_complaint(run_beckon({"convert", dir / "coco.json", dir / "x", "--to", "word"}), 2,
                   "word");
  expect_complaint(run_beckon({"convert", dir / "gone.json", dir / "x", "--to", "coco"}), 66,
                   "gone.json");
  expect_complaint(run_beckon({"convert", dir / "coco.json", dir / "coco.json", "--to", "sa1b"}), 2,
                   "read and written");
  dir.write("bad.json", "{\"images\": [1]}");
  expect_complaint(run_beckon({"convert", dir / "bad.json", dir / "x", "--to", "sa1b"}), 65,
                   "bad.json");
  expect_complaint(run_beckon({"convert", dir / "coco.json", dir / "photos", "--to", "voc"}), 73,
                   "photos");
}

}  // namespace
}  // namespace beckon::test
