// beckon classify as a program: answers, JSON, codes.
#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/image.h"
#include "process.h"
#include "support/pictures.h"
#include "support/small_clip.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;

class ClassifyCommand : public ::testing::Test {
 protected:
  ClassifyCommand() {
    write_small_clip(clip());
    noise(40, 30, 3).write_png(folder_ / "a.png");
    noise(30, 60, 3, 5).write_png(folder_ / "b.png");
    folder_.write("broken.png", std::string("no picture"));
  }
  std::string clip() const { return folder_ / "clip.safetensors"; }
  Outcome run(const Words& more) const {
    Words words = {"classify", "--model", clip()};
    words.insert(words.end(), more.begin(), more.end());
    return run_beckon(words);
  }
  TempDir folder_;
};

TEST_F(ClassifyCommand, PrintsLabelsBestFirst) {
  const Outcome outcome =
      run({folder_ / "a.png", "--labels", "a cat, a dog,a diagram", "--top", "2"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 2) << outcome.out;
  EXPECT_NE(outcome.out.find("%  a "), std::string::npos) << outcome.out;
}

TEST_F(ClassifyCommand, JsonHasEveryPictureAndWhatWasAsked) {
  folder_.write("labels.txt", std::string("cat\r\n\ndog\nhorse\n"));
  const Outcome outcome =
      run({folder_ / "a.png", folder_ / "b.png", "--labels-file", folder_ / "labels.txt",
           "--template", "art of a {}", "--template", "a {}", "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report.at("model").at("family"), "clip");
  EXPECT_EQ(report.at("model").at("sha256").get<std::string>().size(), 64u);
  EXPECT_EQ(report.at("templates"), json({"art of a {}", "a {}"}));
  ASSERT_EQ(report.at("pictures").size(), 2u);
  for (const json& picture : report.at("pictures")) {
    double sum = 0, before = 1;
    ASSERT_EQ(picture.at("labels").size(), 3u);
    for (const json& label : picture.at("labels")) {
      EXPECT_LE(label.at("probability").get<double>(), before);
      before = label.at("probability").get<double>();
      sum += before;
    }
    EXPECT_NEAR(sum, 1, 1e-4);
  }
}

TEST_F(ClassifyCommand, AModelsOwnClasses) {
  const std::string resnet =
      std::string(BECKON_SOURCE_DIR) + "/tests/goldens/resnet/bottleneck/weights.safetensors";
  const Outcome outcome =
      run_beckon({"classify", folder_ / "a.png", "--model", resnet, "--top", "10"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("class 5"), std::string::npos) << outcome.out;
  expect_complaint(
      run_beckon({"classify", folder_ / "a.png", "--model", resnet, "--labels", "a,b"}), 2,
      "2 labels for the 6 classes");
}

TEST_F(ClassifyCommand, ErrorsSayWhatIsWrong) {
  const std::string photo = folder_ / "a.png";
  expect_complaint(run({photo}), 2, "--labels");
  expect_complaint(run({photo, "--labels", "a,a"}), 2, "'a' is given twice");
  expect_complaint(run({photo, "--labels", "a", "--template", "x"}), 2, "has no {}");
  expect_complaint(run({folder_ / "broken.png", "--labels", "a"}), 65, "broken.png");
  expect_complaint(run({folder_ / "none.png", "--labels", "a"}), 66, "none.png");
  expect_complaint(run_beckon({"classify", photo, "--labels", "a"}), 69, "models pull");
  const Outcome some = run({photo, folder_ / "broken.png", "--labels", "a,b"});
  EXPECT_EQ(some.code, 65);
  EXPECT_NE(some.out.find("a.png"), std::string::npos);
  EXPECT_NE(some.err.find("1 of 2 pictures failed"), std::string::npos) << some.err;
}

}  // namespace
}  // namespace beckon::test
