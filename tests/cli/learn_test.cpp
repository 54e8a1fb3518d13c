// beckon learn --task segment and what becomes of its prompts, with a small model of random
// weights.
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/image.h"
#include "beckon/mask.h"
#include "process.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using nlohmann::json;
using Words = std::vector<std::string>;
namespace fs = std::filesystem;

class LearnCommand : public testing::Test {
 protected:
  LearnCommand() {
    fs::create_directories(temp_ / "data/images");
    fs::create_directories(temp_ / "data/masks");
    for (int i = 0; i < 3; ++i) {
      Image picture(113, 75, 3);
      const PixelBox box{10 + 20 * i, 15, 40, 35};
      for (int y = 0; y < 75; ++y)
        for (int x = 0; x < 113; ++x)
          for (int c = 0; c < 3; ++c) {
            const bool in = x >= box.x && x < box.x + box.width && y >= 15 && y < 50;
            picture.mutable_row(y)[3 * x + c] =
                static_cast<uint8_t>(in ? 240 - 60 * c : (7 * x + 5 * y * (c + 1)) % 90);
          }
      const std::string name = std::to_string(i) + ".png";
      picture.write_png(temp_ / "data/images/" + name);
      Mask::from_box(box, picture.size()).write_png(temp_ / "data/masks/" + name);
    }
  }
  Outcome run(Words words) const {
    words.insert(words.end(), {"--model", model()});
    return run_beckon(words, {.folder = temp_.path().string()});
  }
  Outcome learn(Words more = {}) const {
    Words words = {"learn", "--task",        "segment", "--data", "data",
                   "-o",    "p.safetensors", "--steps", "3"};
    words.insert(words.end(), more.begin(), more.end());
    return run(words);
  }
  static std::string model() {
    return std::string(BECKON_SOURCE_DIR) + "/tests/goldens/sam/odd_75x113/weights.safetensors";
  }

  TempDir temp_;
};

TEST_F(LearnCommand, LearnsSegmentsAndMeasures) {
  const Outcome learned =
      learn({"--json", "--log", "log.jsonl", "--checkpoint", "c.safetensors", "--tokens", "2"});
  ASSERT_EQ(learned.code, 0) << learned.err;
  const json report = json::parse(learned.out);
  EXPECT_EQ(report.at("training").at("pictures"), 3);
  EXPECT_EQ(report.at("about").at("option.tokens"), "2");
  EXPECT_EQ(report.at("bytes"), fs::file_size(temp_ / "p.safetensors"));
  EXPECT_TRUE(fs::exists(temp_ / "c.safetensors"));
  std::ifstream log(temp_ / "log.jsonl");
  int lines = 0;
  for (std::string line; std::getline(log, line); ++lines)
    EXPECT_EQ(json::parse(line).at("step"), lines + 1);
  EXPECT_EQ(lines, 3);

  const Outcome two = run({"segment", "data/images/0.png", "data/images/1.png", "--prompt",
                           "p.safetensors", "-o", "out", "--json", "--instances"});
  ASSERT_EQ(two.code, 0) << two.err;
  const json answers = json::parse(two.out);
  ASSERT_EQ(answers.at("photos").size(), 2u);
  EXPECT_EQ(answers.at("photos").at(0).at("image").at("width"), 113);
  EXPECT_EQ(Mask::read(temp_ / "out/1.png").size(), (ImageSize{113, 75}));
  for (const char* format : {"mask", "overlay", "cutout"}) {
    const Outcome one = run({"segment", "data/images/2.png", "--prompt", "p.safetensors", "-o",
                             "one.png", "--format", format, "--parts"});
    EXPECT_EQ(one.code, 0) << one.err;
    EXPECT_EQ(Image::read(temp_ / "one.png").width(), 113);
  }

  const Outcome measured =
      run({"eval", "segment", "--data", "data", "--prompt", "p.safetensors", "--json", "--each"});
  ASSERT_EQ(measured.code, 0) << measured.err;
  const json scores = json::parse(measured.out);
  EXPECT_EQ(scores.at("each").size(), 3u);
  // What learning said of the same pictures.
  EXPECT_NEAR(scores.at("miou").get<double>(), report.at("training").at("iou").get<double>(), 1e-9);
}

TEST_F(LearnCommand, SaysWhatIsWrong) {
  ASSERT_EQ(learn().code, 0);
  expect_complaint(run({"segment", "data/images/0.png", "data/images/1.png", "--point", "1,1"}), 2,
                   "several photos");
  expect_complaint(run({"segment", "data/images/0.png", "--point", "1,1", "--instances"}), 2,
                   "--instances needs --prompt");
  expect_complaint(
      run({"segment", "data/images/0.png", "--prompt", "p.safetensors", "--point", "1,1"}), 2,
      "--point does not go with a learned prompt");
  expect_complaint(run({"segment", "data/images/0.png", "--prompt", "none.safetensors"}), 66,
                   "none.safetensors");
  expect_complaint(learn({"--resume"}), 2, "--checkpoint");
  expect_complaint(learn({"--lr", "1e37", "--warmup", "0"}), 65, "the loss is");
  expect_complaint(run({"learn", "--task", "segment", "--data", "nowhere", "-o", "q.safetensors"}),
                   66, "nowhere");
  EXPECT_FALSE(fs::exists(temp_ / "q.safetensors"));

  std::vector<uint8_t> bytes = read_bytes(temp_ / "p.safetensors");
  bytes.back() ^= 1;
  temp_.write("p.safetensors", bytes);
  expect_complaint(run({"segment", "data/images/0.png", "--prompt", "p.safetensors"}), 65,
                   "was changed after it was written");
  temp_.write("data/images/1.png", std::string("no picture"));
  expect_complaint(learn(), 65, "1.png");
  const Outcome without = learn({"--skip-broken"});
  EXPECT_EQ(without.code, 0);
  EXPECT_NE(without.err.find("left out: "), std::string::npos) << without.err;
}

}  // namespace
}  // namespace beckon::test
