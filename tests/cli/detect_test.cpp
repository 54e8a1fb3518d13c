// beckon detect as a program: boxes as lines, JSON, pictures and data sets; codes.
#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/annotation.h"
#include "beckon/image.h"
#include "process.h"
#include "support/golden.h"
#include "support/pictures.h"
#include "support/small_clip.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

// The narrow network of the goldens sees things everywhere.
class DetectCommand : public ::testing::Test {
 protected:
  DetectCommand() {
    std::filesystem::create_directory(folder_ / "photos");
    noise(40, 30, 3).write_png(folder_ / "photos/a.png");
    noise(30, 60, 3, 5).write_png(folder_ / "photos/b.png");
    folder_.write("broken.png", std::string("no picture"));
  }
  Outcome run(const Words& more) const {
    Words words = {"detect", "--model",
                   (golden_root() / "coco_ssd/narrow/weights.safetensors").string()};
    words.insert(words.end(), more.begin(), more.end());
    return run_beckon(words);
  }
  std::string a() const { return folder_ / "photos/a.png"; }
  TempDir folder_;
};

TEST_F(DetectCommand, JsonHasBoxesInsideOfThePhotoBestFirst) {
  const Outcome outcome = run({folder_ / "photos", "--json", "--most", "7", "--threshold", "0.3"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report.at("model").at("sha256").get<std::string>().size(), 64u);
  ASSERT_EQ(report.at("pictures").size(), 2u);
  for (const json& picture : report.at("pictures")) {
    ASSERT_EQ(picture.at("objects").size(), 7u);
    double before = 1;
    for (const json& object : picture.at("objects")) {
      EXPECT_LE(object.at("score").get<double>(), before);
      before = object.at("score").get<double>();
      EXPECT_GE(before, 0.3);
      EXPECT_EQ(object.at("label"), "class " + std::to_string(object.at("index").get<int>()));
      const json& box = object.at("box");
      EXPECT_GE(box[0].get<double>(), 0);
      EXPECT_LT(box[0].get<double>(), box[2].get<double>());
      EXPECT_LE(box[2].get<double>(), picture.at("width").get<double>());
      EXPECT_LE(box[3].get<double>(), picture.at("height").get<double>());
    }
  }
}

TEST_F(DetectCommand, BoxesOfOneClassOverlapNoMoreThanAsked) {
  const Outcome outcome = run({a(), "--json", "--iou", "0.1", "--threshold", "0.3"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  const json& objects = report.at("pictures")[0].at("objects");
  const auto rect = [](const json& o) {
    return Rect{o.at("box")[0], o.at("box")[1], o.at("box")[2], o.at("box")[3]};
  };
  ASSERT_GE(objects.size(), 2u);
  for (size_t i = 0; i < objects.size(); ++i)
    for (size_t j = 0; j < i; ++j)
      if (objects[i].at("index") == objects[j].at("index")) {
        EXPECT_LE(iou(rect(objects[i]), rect(objects[j])), 0.1001f);
      }
}

TEST_F(DetectCommand, WritesAPictureAndADataSet) {
  const std::string picture = folder_ / "boxes.png", set = folder_ / "boxes.json";
  ASSERT_EQ(run({a(), "-o", picture}).code, 0);
  EXPECT_EQ(Image::read(picture).width(), 40);
  const Outcome outcome = run({folder_ / "photos", "--format", "coco", "-o", set, "--labels",
                               "class 1,class 2", "--threshold", "0.2", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  size_t objects = 0;
  for (const json& one : report.at("pictures")) objects += one.at("objects").size();
  const Dataset data = read_annotations(set, {.images = folder_.path().string()});
  EXPECT_EQ(data.annotations.size(), objects);
  ASSERT_EQ(data.images.size(), 2u);
  EXPECT_EQ(data.images[0].file, "photos/a.png");  // as seen from the file of annotations
  for (const Category& category : data.categories)
    EXPECT_TRUE(category.name == "class 1" || category.name == "class 2") << category.name;
}

TEST_F(DetectCommand, MistakesAreOneLine) {
  write_small_clip(folder_ / "clip.safetensors");
  const Outcome other = run_beckon({"detect", a(), "--model", folder_ / "clip.safetensors"});
  EXPECT_EQ(other.code, 65);
  EXPECT_NE(other.err.find("no detector that is known"), std::string::npos) << other.err;
  struct Case {
    Words words;
    int code;
    const char* part;
  };
  const std::vector<Case> cases = {
      {{a(), "--format", "coco"}, 2, "where to"},
      {{a(), "-o", folder_ / "x.json"}, 2, "--format"},
      {{folder_ / "photos", "-o", folder_ / "x.png"}, 2, "one picture for 2 photos"},
      {{a(), "-o", a()}, 2, "a.png"},
      {{a(), "--labels", "cat"}, 2, "'cat' is none of the 5 classes"},
      {{a(), "--threshold", "2"}, 2, "threshold"},
      {{folder_ / "broken.png"}, 65, "broken.png"},
      {{folder_ / "none.png"}, 66, "none.png"},
      {{folder_ / "broken.png", a()}, 65, "1 of 2 pictures failed"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.part);
    const Outcome outcome = run(c.words);
    EXPECT_EQ(outcome.code, c.code) << outcome.err;
    EXPECT_NE(outcome.err.find(c.part), std::string::npos) << outcome.err;
  }
}

}  // namespace
}  // namespace beckon::test
