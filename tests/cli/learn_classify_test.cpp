// beckon learn --task classify, classify --prompt, prompt and compare as programs.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/image.h"
#include "beckon/train.h"
#include "learn/small_networks.h"
#include "process.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Arguments = std::vector<std::string>;

class LearnClassify : public ::testing::Test {
 protected:
  LearnClassify() {
    write_small_vit(vit());
    beckon::Random random(1);
    for (const char* part : {"train", "test"})
      for (int c = 0; c < 2; ++c) {
        const fs::path folder = folder_.path() / "data" / part / (c == 0 ? "dark" : "light");
        fs::create_directories(folder);
        for (int i = 0; i < 10; ++i) {
          std::vector<uint8_t> pixels(20 * 20 * 3);
          for (uint8_t& p : pixels) p = static_cast<uint8_t>(random.below(80) + 150 * c);
          Image(20, 20, 3, pixels).write_png((folder / (std::to_string(i) + ".png")).string());
        }
      }
  }
  std::string vit() const { return folder_ / "vit.safetensors"; }
  std::string data() const { return folder_ / "data"; }
  Arguments learn(const std::string& method, const std::string& out, Arguments more = {}) const {
    Arguments words = {"learn", "--task",   "classify", "--backbone", vit(),         "--method",
                       method,  "--data",   data(),     "-o",         folder_ / out, "--batch",
                       "5",     "--epochs", "8",        "--lr",       "0.02"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  TempDir folder_;
};

TEST_F(LearnClassify, LearnsShowsAndClassifies) {
  const Outcome learned =
      run_beckon(learn("linear", "p.safetensors", {"--json", "--log", folder_ / "log.jsonl"}));
  ASSERT_EQ(learned.code, 0) << learned.err;
  const json report = json::parse(learned.out);
  EXPECT_EQ(report.at("parameters"), 2 * 65);
  EXPECT_EQ(report.at("pictures").at("test"), 20);
  EXPECT_GE(report.at("accuracy").at("test").get<double>(), 0.8);
  EXPECT_EQ(report.at("labels"), json({"dark", "light"}));
  std::ifstream log(folder_ / "log.jsonl");
  int lines = 0, measured = 0;
  for (std::string line; std::getline(log, line); ++lines)
    measured += json::parse(line).contains("validation_accuracy");
  EXPECT_EQ(measured, 8);
  EXPECT_EQ(lines, 8 * 5);  // four steps of five pictures, and the measurement

  const Outcome text = run_beckon(learn("linear", "q.safetensors"));
  ASSERT_EQ(text.code, 0) << text.err;
  EXPECT_NE(text.out.find("test: "), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("130 parameters"), std::string::npos) << text.out;

  const Outcome shown = run_beckon({"prompt", "show", folder_ / "p.safetensors"});
  ASSERT_EQ(shown.code, 0) << shown.err;
  EXPECT_NE(shown.out.find("vit-64x3"), std::string::npos) << shown.out;
  const Outcome json_shown = run_beckon({"prompt", "show", folder_ / "p.safetensors", "--json"});
  const json about = json::parse(json_shown.out);
  EXPECT_EQ(about.at("method"), "linear");
  EXPECT_EQ(about.at("labels"), json({"dark", "light"}));
  EXPECT_EQ(about.at("numbers"), 130);

  const Outcome said =
      run_beckon({"classify", data() + "/test/light/3.png", data() + "/test/dark/4.png", "--prompt",
                  folder_ / "p.safetensors", "--json"});
  ASSERT_EQ(said.code, 0) << said.err;
  const json answer = json::parse(said.out);
  EXPECT_EQ(answer.at("pictures").size(), 2u);
  EXPECT_EQ(answer.at("prompt").at("method"), "linear");
  EXPECT_EQ(answer.at("pictures")[0].at("labels").size(), 2u);
}

// Every element of a page that begins is ended, in order; "" if so, else what is not.
std::string unbalanced(const std::string& page) {
  std::vector<std::string> open;
  for (size_t at = page.find('<'); at != page.npos; at = page.find('<', at + 1)) {
    const size_t end = page.find('>', at);
    if (end == page.npos) return page.substr(at, 40);
    const std::string tag = page.substr(at + 1, end - at - 1);
    if (tag.starts_with("!") || tag.ends_with("/")) continue;
    const std::string name = tag.substr(0, tag.find(' '));
    if (!name.starts_with("/")) {
      open.push_back(name);
    } else {
      if (open.empty() || "/" + open.back() != name) return tag;
      open.pop_back();
    }
  }
  return open.empty() ? "" : open.back();
}

TEST_F(LearnClassify, WritesAReport) {
  // A class whose name would be a program if it were not text.
  const std::string hostile = "<script>alert(\"1\")&'";
  for (const char* part : {"train", "test"})
    fs::rename(fs::path(data()) / part / "light", fs::path(data()) / part / hostile);
  // One that no one can get right: the same pixels as those of the other class.
  fs::copy_file(data() + "/test/dark/0.png", data() + "/test/" + hostile + "/dark.png");
  const Outcome learned =
      run_beckon(learn("pixel-pad", "p.safetensors",
                       {"--prompt-size", "3", "--json", "--report", folder_ / "r.html"}));
  ASSERT_EQ(learned.code, 0) << learned.err;
  const json said = json::parse(learned.out);
  const auto bytes = read_bytes(folder_ / "r.html");
  const std::string page(bytes.begin(), bytes.end());
  EXPECT_EQ(unbalanced(page), "");
  EXPECT_EQ(page.find("http"), page.npos);
  EXPECT_EQ(page.find("<script"), page.npos);
  EXPECT_NE(page.find("&lt;script&gt;alert(&quot;1&quot;)&amp;&#39;"), page.npos);
  EXPECT_NE(page.find("<h2>The prompt</h2>"), page.npos);
  const auto holds = [&](const std::string& text) { return page.find(text) != page.npos; };
  const auto percent = [&](const char* part) {
    char text[32];
    std::snprintf(text, sizeof text, "<td>%.1f%%</td>",
                  100 * said.at("accuracy").at(part).get<double>());
    return std::string(text);
  };
  EXPECT_TRUE(holds("Right in the test</th>" + percent("test")));
  EXPECT_TRUE(holds("Right in training</th>" + percent("training")));
  EXPECT_TRUE(holds("learned</th><td>" + std::to_string(said.at("parameters").get<int>()) + "<"));
  int64_t wrong = 0;
  for (size_t c = 0; c < 2; ++c)
    for (size_t k = 0; k < 2; ++k) {
      const auto count = said.at("confusion")[c][k].get<int64_t>();
      EXPECT_TRUE(holds("transparent)\">" + std::to_string(count) + "</td>"));
      if (c != k) wrong += count;
    }
  ASSERT_GE(wrong, 1);
  int64_t shown = 0;
  for (size_t at = page.find("<figcaption>is "); at != page.npos;
       at = page.find("<figcaption>is ", at + 1))
    ++shown;
  EXPECT_EQ(shown, wrong);

  // The page does not change what is learned.
  const auto prompt = read_bytes(folder_ / "p.safetensors");
  ASSERT_EQ(run_beckon(learn("pixel-pad", "q.safetensors", {"--prompt-size", "3"})).code, 0);
  EXPECT_EQ(read_bytes(folder_ / "q.safetensors"), prompt);

  expect_complaint(run_beckon(learn("linear", "s.safetensors", {"--report", "no/such/r.html"})), 73,
                   "no/such");
  expect_complaint(
      run_beckon(learn("linear", "s.safetensors", {"--report", folder_ / "s.safetensors"})), 2,
      "name the same file");
  expect_complaint(run_beckon({"learn", "--task", "segment", "--data", data(), "-o", folder_ / "s",
                               "--report", folder_ / "s.html"}),
                   2, "--report goes with --task classify");
}

TEST_F(LearnClassify, GoesOnAfterKillsWithTheSameBytes) {
  // Long enough to be killed in the middle.
  const Arguments more = {"--epochs", "60", "--flip", "--dropout", "0.1"};
  Arguments whole = learn("vpt-deep", "whole.safetensors", more);
  whole.erase(std::find(whole.begin(), whole.end(), "--epochs"),
              std::find(whole.begin(), whole.end(), "--epochs") + 2);
  ASSERT_EQ(run_beckon(whole).code, 0);
  Arguments parts = whole;
  *std::find(parts.begin(), parts.end(), folder_ / "whole.safetensors") =
      folder_ / "parts.safetensors";
  parts.insert(parts.end(), {"--checkpoint", folder_ / "c", "--resume"});
  int killed = 0;
  for (int i = 0; i < 40; ++i) {
    const Outcome outcome = run_beckon(
        parts, {.signal = SIGKILL, .signal_after = std::chrono::milliseconds(250 + 60 * i)});
    if (outcome.code == 0) break;
    ASSERT_EQ(outcome.code, 128 + SIGKILL) << outcome.err;
    ++killed;
  }
  EXPECT_GE(killed, 1);
  EXPECT_EQ(read_bytes(folder_ / "parts.safetensors"), read_bytes(folder_ / "whole.safetensors"));
}

TEST_F(LearnClassify, CtrlCLeavesACheckpointAndNoPrompt) {
  Arguments words = learn("vpt-deep", "p.safetensors", {"--checkpoint", folder_ / "c"});
  *(std::find(words.begin(), words.end(), "--epochs") + 1) = "100000";
  const Outcome outcome =
      run_beckon(words, {.signal = SIGINT, .signal_when = [&] {
                           return fs::exists(folder_ / "c") && !fs::is_empty(folder_ / "c");
                         }});
  EXPECT_EQ(outcome.code, 130) << outcome.err;
  EXPECT_TRUE(fs::exists(folder_ / "c"));
  EXPECT_FALSE(fs::exists(folder_ / "p.safetensors"));
}

TEST_F(LearnClassify, ExportsPromptsOfPixels) {
  ASSERT_EQ(run_beckon(learn("pixel-pad", "pad.safetensors", {"--prompt-size", "3"})).code, 0);
  const Outcome png =
      run_beckon({"prompt", "export-png", folder_ / "pad.safetensors", "-o", folder_ / "pad.png"});
  ASSERT_EQ(png.code, 0) << png.err;
  const Image image = Image::read(folder_ / "pad.png");
  EXPECT_EQ(image.size(), (ImageSize{16, 16}));
  EXPECT_EQ(image.row(8)[3 * 8], 128);  // nothing in the middle
  ASSERT_EQ(run_beckon(learn("linear", "linear.safetensors")).code, 0);
  expect_complaint(
      run_beckon({"prompt", "export-png", folder_ / "linear.safetensors", "-o", folder_ / "x.png"}),
      2, "'linear' is no prompt of pixels");
}

TEST_F(LearnClassify, RefusesWhatDoesNotFit) {
  expect_complaint(
      run_beckon({"learn", "--task", "classify", "--data", data(), "-o", folder_ / "p"}), 2,
      "--backbone MODEL");
  expect_complaint(run_beckon(learn("vpt", "p")), 2, "method 'vpt': expected one of");
  expect_complaint(run_beckon(learn("linear", "no/such/folder/p")), 73, "no/such/folder");
  Arguments nowhere = learn("linear", "p");
  *std::find(nowhere.begin(), nowhere.end(), data()) = folder_ / "nowhere";
  expect_complaint(run_beckon(nowhere), 66, "nowhere: there is no such file");
  ASSERT_EQ(run_beckon(learn("linear", "p.safetensors")).code, 0);
  write_small_vit(folder_ / "other.safetensors", 2);
  const std::string picture = data() + "/test/light/3.png";
  expect_complaint(run_beckon({"classify", picture, "--prompt", folder_ / "p.safetensors",
                               "--model", folder_ / "other.safetensors"}),
                   65, "it was learned for vit-64x3");
  expect_complaint(
      run_beckon({"classify", picture, "--prompt", folder_ / "p.safetensors", "--labels", "a,b"}),
      2, "--labels");
  folder_.write("broken.safetensors", std::string("no prompt"));
  expect_complaint(run_beckon({"prompt", "show", folder_ / "broken.safetensors"}), 65, "broken");
  expect_complaint(run_beckon({"classify", picture, "--prompt", folder_ / "broken.safetensors"}),
                   65, "broken");
}

TEST_F(LearnClassify, TheDiskMayBeFull) {
  if (!fs::exists("/dev/full")) GTEST_SKIP();
  Arguments words = learn("linear", "p.safetensors");
  *std::find(words.begin(), words.end(), folder_ / "p.safetensors") = "/dev/full";
  const Outcome outcome = run_beckon(words);
  EXPECT_TRUE(outcome.code == 73 || outcome.code == 75) << outcome.code << outcome.err;
}

TEST_F(LearnClassify, AFileMayNotGrowFurther) {
  // All numbers of the network pass a limit of one block.
  Arguments shell = {"sh", "-c", "ulimit -f 1; exec \"$0\" \"$@\"", BECKON_PROGRAM};
  const Arguments words = learn("full", "p.safetensors");
  shell.insert(shell.end(), words.begin(), words.end());
  expect_complaint(run_program(shell), 73, "p.safetensors");
  for (const auto& entry : fs::directory_iterator(folder_.path()))
    EXPECT_EQ(entry.path().string().find("p.safetensors"), std::string::npos) << entry.path();
}

TEST_F(LearnClassify, CountsWhatIsLeftOut) {
  folder_.write("data/train/dark/broken.png", std::string("no picture"));
  expect_complaint(run_beckon(learn("linear", "p.safetensors")), 65, "broken.png");
  const Outcome outcome = run_beckon(learn("linear", "p.safetensors", {"--skip-broken"}));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("broken.png"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.out.find("left out as broken: 1\n"), std::string::npos) << outcome.out;
}

TEST_F(LearnClassify, ComparesMethods) {
  const Outcome outcome = run_beckon({"compare",
                                      "--methods",
                                      "full,linear,vpt-shallow",
                                      "--backbone",
                                      vit(),
                                      "--data",
                                      data(),
                                      "--seeds",
                                      "2",
                                      "--epochs",
                                      "3",
                                      "--batch",
                                      "5",
                                      "--tokens",
                                      "4",
                                      "--rates",
                                      "0.01,0.02",
                                      "-o",
                                      folder_ / "table.md",
                                      "--json"});
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json report = json::parse(outcome.out);
  ASSERT_EQ(report.at("rows").size(), 3u);
  const double backbone = report.at("backbone_parameters");
  const auto row = [&](size_t i) { return report.at("rows")[i]; };
  EXPECT_EQ(row(1).at("method"), "linear");
  EXPECT_NEAR(row(0).at("total_params"), 1 + 130 / backbone, 1e-9);
  EXPECT_NEAR(row(1).at("total_params"), 1 + 130 / backbone, 1e-9);
  EXPECT_NEAR(row(2).at("total_params"), 1 + (130 + 4 * 64) / backbone, 1e-9);
  EXPECT_EQ(row(2).at("scope"), "input");
  EXPECT_EQ(row(0).at("wins_against_full"), 0);
  for (const json& r : report.at("rows")) {
    const json& task = r.at("tasks")[0];
    EXPECT_EQ(task.at("accuracy").size(), 2u);
    EXPECT_EQ(task.at("on"), "test");
    EXPECT_TRUE(task.at("learning_rate") == 0.01 || task.at("learning_rate") == 0.02);
  }
  const auto bytes = read_bytes(folder_ / "table.md");
  const std::string table(bytes.begin(), bytes.end());
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 5);
  EXPECT_NE(table.find("| linear | 1.00"), std::string::npos) << table;
  expect_complaint(
      run_beckon({"compare", "--methods", "full,full", "--backbone", vit(), "--data", data()}), 2,
      "named twice");
}

}  // namespace
}  // namespace beckon::test
