// beckon eval as a program: codes, table, JSON. What it measures is tests/learn's business.
#include <chrono>
#include <csignal>
#include <filesystem>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/image.h"
#include "beckon/mask.h"
#include "process.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

class EvalCommand : public ::testing::Test {
 protected:
  EvalCommand() {
    for (const char* folder : {"images", "masks"}) fs::create_directories(temp_.path() / folder);
    for (const char* name : {"a.png", "b.png"}) {
      Image image(60, 40, 3);
      for (int y = 0; y < 40; ++y)
        for (int x = 0; x < 180; ++x)
          image.mutable_row(y)[x] = static_cast<uint8_t>(x * (name[0] - 'a' + 2) + y * 5);
      image.write_png((temp_.path() / "images" / name).string());
      Mask::from_box({10, 10, 20, 15}, {60, 40})
          .write_png((temp_.path() / "masks" / name).string());
    }
  }
  Outcome run(const Words& more, const RunOptions& options = {}) const {
    Words words = {"eval", "segment", "--data", temp_.path().string(), "--model", model()};
    words.insert(words.end(), more.begin(), more.end());
    return run_beckon(words, options);
  }
  static std::string model() {
    return (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/odd_75x113/weights.safetensors")
        .string();
  }
  TempDir temp_;
};

TEST_F(EvalCommand, PrintsATable) {
  const Outcome outcome = run({"--clicks", "2", "--max-clicks", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  EXPECT_TRUE(outcome.out.starts_with("data set")) << outcome.out;
  for (const char* column : {"1 click ", "oracle", "2 clicks", "box", "NoC@85", "NoC@90", "NoC@95"})
    EXPECT_NE(outcome.out.find(column), std::string::npos) << column << "\n" << outcome.out;
  EXPECT_NE(outcome.out.find("\nmean"), std::string::npos);
}

TEST_F(EvalCommand, JsonHasEveryNumberAndEachObject) {
  const Outcome outcome = run({"--clicks", "2", "--max-clicks", "4", "--targets", "0.5,0.875",
                               "--json", "--each", "--data", temp_.path().string()});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  ASSERT_EQ(report.at("data_sets").size(), 2u);
  const json& set = report.at("data_sets")[0];
  EXPECT_EQ(set.at("pictures"), 2);
  EXPECT_EQ(set.at("objects"), 2);
  EXPECT_EQ(set.at("click_miou").size(), 2u);
  EXPECT_EQ(set.at("noc")[1].at("target"), 0.875);
  EXPECT_EQ(set.at("click_miou"), report.at("mean").at("click_miou"));
  ASSERT_EQ(set.at("each").size(), 2u);
  double sum = 0;
  for (const json& object : set.at("each")) {
    EXPECT_EQ(object.at("bbox"), json({10, 10, 20, 15}));
    EXPECT_EQ(object.at("clicks").size(), object.at("click_iou").size());
    sum += object.at("click_iou")[0].get<double>();
  }
  EXPECT_DOUBLE_EQ(set.at("click_miou").at("1").get<double>(), sum / 2);
  EXPECT_EQ(report.at("model").at("sha256").get<std::string>().size(), 64u);
}

TEST_F(EvalCommand, BrokenPicturesAreCode65AndTheRestIsMeasured) {
  temp_.write("masks/b.png", std::string("no picture"));
  const Outcome outcome = run({"--max-clicks", "3", "--clicks", "1"});
  EXPECT_EQ(outcome.code, 65);
  EXPECT_NE(outcome.out.find("\nmean"), std::string::npos);
  EXPECT_NE(outcome.err.find("beckon: 1 of 2 pictures failed"), std::string::npos) << outcome.err;
  fs::remove(temp_.path() / "images" / "a.png");
  EXPECT_EQ(run({"--max-clicks", "3", "--clicks", "1"}).out, "");
}

TEST_F(EvalCommand, WrongArgumentsAreOneLine) {
  expect_complaint(run_beckon({"eval", "segment"}), 2, "--data");
  expect_complaint(run({"--clicks", "0"}), 2, "--clicks");
  expect_complaint(run({"--clicks", "9", "--max-clicks", "4"}), 2, "1 to 4");
  expect_complaint(run({"--targets", "0"}), 2, "above 0");
  expect_complaint(run({"--targets", "nan"}), 2, "above 0");
  expect_complaint(run({"--targets", "x"}), 2, "--targets");
  expect_complaint(run({"--each"}), 2, "--json");
  expect_complaint(run({"--masks", "both"}), 2, "--masks");
  expect_complaint(run({"--pictures", "-1"}), 2, "--pictures");
  expect_complaint(run_beckon({"eval", "segment", "--model", model(), "--data", "/nowhere"}), 66,
                   "/nowhere");
  expect_complaint(
      run_beckon({"eval", "segment", "--model", "mobile-sam", "--data", temp_.path().string()}), 69,
      "mobile-sam");
}

TEST_F(EvalCommand, EndsAtOnceWhenInterrupted) {
  RunOptions options;
  options.signal = SIGINT;
  options.signal_after = std::chrono::milliseconds(150);
  Words many;
  for (int i = 0; i < 2000; ++i) {
    many.push_back("--data");
    many.push_back(temp_.path().string());
  }
  const Outcome outcome = run(many, options);
  EXPECT_EQ(outcome.code, 130);
  EXPECT_EQ(outcome.out, "");
}

}  // namespace
}  // namespace beckon::test
