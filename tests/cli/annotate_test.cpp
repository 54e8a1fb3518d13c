// beckon annotate as a program: codes, words, signals. What it writes is tests/compose's business.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/image.h"
#include "process.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

class AnnotateCommand : public ::testing::Test {
 protected:
  AnnotateCommand() {
    fs::create_directories(photos());
    for (int i = 0; i < 5; ++i) {
      Image image(40, 30, 3);
      for (int y = 0; y < 30; ++y)
        for (int x = 0; x < 120; ++x)
          image.mutable_row(y)[x] = static_cast<uint8_t>(x * (i + 2) + y * 5);
      image.write_png(photos() + "/" + std::to_string(i) + ".png");
    }
    prompts_ = temp_.write(
        "prompts.json",
        std::string(R"({"beckon": 1, "prompts": [{"type": "point", "at": [20, 15]}]})"));
    // Schedulers that the tests may run under.
    for (const char* name : {"SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "OMPI_COMM_WORLD_RANK",
                             "PMI_RANK", "MV2_COMM_WORLD_RANK", "BECKON_SHARDS"})
      options_.set[name] = "";
  }

  std::string photos() const { return temp_ / "photos"; }
  std::string out() const { return temp_ / "out"; }
  Words words(const Words& more = {}) const {
    Words all = {"annotate", photos(), "-o", out(), "--model", model(), "--prompts", prompts_};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
  Outcome run(const Words& more = {}) const { return run_beckon(words(more), options_); }
  static std::string model() {
    return (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/odd_75x113/weights.safetensors")
        .string();
  }

  TempDir temp_;
  std::string prompts_;
  RunOptions options_;
};

TEST_F(AnnotateCommand, SaysWhatWasDoneAndThatItGoesOn) {
  const Outcome first = run();
  EXPECT_EQ(first.code, 0) << first.err;
  EXPECT_EQ(first.out,
            "5 pictures: 5 done now, 0 done before\nmanifest " + out() + "/manifest.json\n");
  EXPECT_EQ(first.err, "");
  const Outcome again = run({"--resume", "--json"});
  EXPECT_EQ(again.code, 0) << again.err;
  const json report = json::parse(again.out);
  EXPECT_EQ(report["kept"], 5);
  EXPECT_EQ(report["made"], 0);
  EXPECT_EQ(report["manifest"], out() + "/manifest.json");
}

TEST_F(AnnotateCommand, EveryFormIsTheSameHoweverManyShards) {
  const Outcome whole = run({"--format", "labelme,yolo", "--format", "voc", "--format", "cvat"});
  EXPECT_EQ(whole.code, 0) << whole.err;
  EXPECT_NE(whole.err.find("note: yolo cannot carry masks"), std::string::npos) << whole.err;
  const auto bytes_of = [&](const std::string& file) { return read_bytes(file); };
  const std::vector<std::string> files = {"labelme/3.json", "yolo/data.yaml", "cvat.xml",
                                          "manifest.json"};
  std::vector<std::vector<uint8_t>> first;
  for (const std::string& file : files) first.push_back(bytes_of(out() + "/" + file));
  EXPECT_TRUE(fs::exists(out() + "/voc/Annotations"));
  fs::remove_all(out());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(run({"--shard", std::to_string(i) + "/3"}).code, 0);
  EXPECT_EQ(
      run_beckon({"annotate", "--merge", out(), "--format", "labelme,yolo,voc,cvat"}, options_)
          .code,
      0);
  for (size_t i = 0; i < files.size(); ++i)
    EXPECT_EQ(bytes_of(out() + "/" + files[i]), first[i]) << files[i];
  // What is there is kept up to date without being asked for.
  Image(40, 30, 3).write_png(photos() + "/9.png");
  EXPECT_EQ(run().code, 0);
  EXPECT_TRUE(fs::exists(out() + "/labelme/9.json"));
  expect_complaint(run({"--format", "tiff"}), 2, "tiff");
}

TEST_F(AnnotateCommand, BrokenPicturesAreCode65AndTheRestIsDone) {
  temp_.write("photos/broken\n.jpg", "no picture");
  const Outcome outcome = run();
  EXPECT_EQ(outcome.code, 65);
  EXPECT_EQ(outcome.out.substr(0, outcome.out.find('\n')),
            "6 pictures: 5 done now, 0 done before, 1 failed");
  EXPECT_NE(outcome.err.find("failed: broken\\n.jpg: "), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.err.find("beckon: 1 of 6 pictures failed"), std::string::npos) << outcome.err;
  EXPECT_TRUE(fs::exists(out() + "/manifest.json"));
}

TEST_F(AnnotateCommand, ShardsMergeOnceAllAreThere) {
  EXPECT_EQ(run({"--shard", "0/2"}).code, 0);
  expect_complaint(run_beckon({"annotate", "--merge", out()}, options_), 75,
                   "1 of 2 shards are missing: 1;");
  EXPECT_EQ(run({"--shard", "1/2"}).code, 0);
  const Outcome merged = run_beckon({"annotate", "--merge", out()}, options_);
  EXPECT_EQ(merged.code, 0) << merged.err;
  EXPECT_EQ(merged.out, "5 pictures\nmanifest " + out() + "/manifest.json\n");
}

TEST_F(AnnotateCommand, SchedulersAreHeardUnlessToldOtherwise) {
  options_.set["JOB_COMPLETION_INDEX"] = "1";
  options_.set["JOB_COMPLETIONS"] = "3";
  const Outcome scheduled = run();
  EXPECT_EQ(scheduled.code, 0);
  EXPECT_EQ(scheduled.err,
            "shard 1 of 3 (the first is 0), from JOB_COMPLETION_INDEX and JOB_COMPLETIONS\n");
  EXPECT_TRUE(fs::exists(out() + "/shards/1-of-3.json"));
  for (const char* shard : {"none", "1", "0/1"}) {
    const Outcome whole = run({"--shard", shard});
    EXPECT_EQ(whole.err, "");
    EXPECT_TRUE(fs::exists(out() + "/manifest.json"));
  }
  options_.set["JOB_COMPLETION_INDEX"] = "7";
  expect_complaint(run(), 2, "index 7 of 3");
}

TEST_F(AnnotateCommand, ArgumentsThatMakeNoSenseAreCode2) {
  const auto complain = [&](const Words& given, const std::string& part) {
    SCOPED_TRACE(part);
    expect_complaint(run_beckon(given, options_), 2, part);
  };
  complain({"annotate"}, "DIR is missing");
  complain({"annotate", photos()}, "-o OUT is missing");
  complain({"annotate", photos(), "-o", ""}, "-o OUT is missing");
  complain({"annotate", photos(), "--merge", out()}, "--merge takes the folder of results alone");
  complain(words({"--shard", "4/4"}), "shard '4/4': expected INDEX/COUNT");
  complain(words({"--shard", "2"}), "shard '2'");
  complain(words({"--jobs", "0"}), "--jobs");
  complain(words({"--idle", "5"}), "--idle is for --watch");
  complain(words({"--max-pixels", "0"}), "--max-pixels");
  complain(words({"--shrad", "0/1"}), "did you mean '--shard'");
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(AnnotateCommand, FoldersAndFilesThatAreNotThere) {
  expect_complaint(
      run_beckon({"annotate", temp_ / "no", "-o", out(), "--model", model(), "--prompts", prompts_},
                 options_),
      66, "no: cannot open: No such file or directory");
  expect_complaint(run_beckon({"annotate", "--merge", temp_ / "no"}, options_), 66, "no");
  expect_complaint(run_beckon({"annotate", "--merge", photos()}, options_), 66,
                   "not a folder of beckon annotate");
  Words without_prompts = words();
  without_prompts.back() = temp_ / "no.json";
  expect_complaint(run_beckon(without_prompts, options_), 66, "no.json: cannot open");
  Words without_model = words();
  without_model[5] = "sam-vit-h";
  expect_complaint(run_beckon(without_model, options_), 69, "beckon models pull sam-vit-h");
  expect_complaint(
      run_beckon({"annotate", photos(), "-o", prompts_, "--model", model(), "--prompts", prompts_},
                 options_),
      73, "prompts.json: is a file, expected a folder");
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(AnnotateCommand, AnotherRecipeIsCode2) {
  EXPECT_EQ(run().code, 0);
  const std::string other =
      (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/tall_shrink_301x187/weights.safetensors")
          .string();
  Words changed = words();
  changed[5] = other;
  expect_complaint(run_beckon(changed, options_), 2, "holds results of another recipe");
  changed.push_back("--replace");
  EXPECT_EQ(run_beckon(changed, options_).code, 0);
}

TEST_F(AnnotateCommand, ALockedShardIsCode75) {
  fs::create_directories(out() + "/shards");
  // flock(1) holds the lock for as long as the program under it runs.
  Words held = {"flock", out() + "/shards/0-of-2.lock", BECKON_PROGRAM};
  const Words inner = words({"--shard", "0/2"});
  held.insert(held.end(), inner.begin(), inner.end());
  expect_complaint(run_program(held, options_), 75, "another process works on 0-of-2");
}

TEST_F(AnnotateCommand, AFullDiskIsCode75AndTheRunGoesOnLater) {
  fs::create_directories(out());
  // A file system of 64 KiB in a namespace of its own, which is filled but for a little.
  std::string script = "mount -t tmpfs -o size=64k tmpfs " + out() + " && touch " + out() +
                       "/mounted && head -c 49152 /dev/zero > " + out() + "/filler; ";
  const std::string command = [&] {
    std::string text = std::string("'") + BECKON_PROGRAM + "'";
    for (const std::string& word : words()) text += " '" + word + "'";
    return text;
  }();
  script += "test -e " + out() + "/mounted || exit 99; " + command + "; first=$?; rm " + out() +
            "/filler; " + command + " >&2; echo $first $?; ls -A " + out();
  const Outcome outcome = run_program(
      {"unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script}, options_);
  if (outcome.code != 0 && outcome.out.empty())
    GTEST_SKIP() << "no file systems can be mounted here: " << outcome.err;
  EXPECT_NE(outcome.err.find("cannot write: No space left on device"), std::string::npos)
      << outcome.err;
  EXPECT_EQ(outcome.out, "75 0\nannotate.json\nmanifest.json\nmounted\nresults\n") << outcome.err;
}

TEST_F(AnnotateCommand, CtrlCEndsAtOnceWithCode130AndLeavesNothingHalfWritten) {
  // Many pictures, so that there is work for longer than it takes to be stopped.
  for (int i = 0; i < 3000; ++i)
    fs::create_hard_link(photos() + "/0.png", photos() + "/x" + std::to_string(i) + ".png");
  options_.signal = SIGINT;
  options_.signal_when = [&] {
    return fs::exists(out() + "/results") && !fs::is_empty(out() + "/results");
  };
  const auto start = std::chrono::steady_clock::now();
  expect_complaint(run(), 130, "interrupted");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));
  size_t done = 0;
  for (const auto& file : fs::directory_iterator(out() + "/results")) {
    EXPECT_TRUE(file.path().string().ends_with(".json"));
    const std::vector<uint8_t> bytes = read_bytes(file.path());
    EXPECT_TRUE(json::accept(bytes.begin(), bytes.end())) << file.path();
    ++done;
  }
  EXPECT_GT(done, 0u);
  EXPECT_FALSE(fs::exists(out() + "/manifest.json"));
  for (const auto& file : fs::directory_iterator(out() + "/shards"))
    EXPECT_FALSE(file.path().filename().string().starts_with("unfinished")) << file.path();
}

TEST_F(AnnotateCommand, AWatchEndsByCtrlCWithEverythingWritten) {
  options_.signal = SIGINT;
  options_.signal_when = [&] { return fs::exists(out() + "/manifest.json"); };
  const Outcome outcome = run({"--watch"});
  EXPECT_EQ(outcome.code, 130);
  EXPECT_TRUE(fs::exists(out() + "/manifest.json"));
}

TEST_F(AnnotateCommand, AWatchLeavesFilesThatAreStillWritten) {
  // A picture that arrives in two pieces, the second after the watch has met the first.
  const std::vector<uint8_t> bytes = read_bytes(photos() + "/0.png");
  temp_.write("whole", bytes);
  const std::string script =
      "(sleep 1; head -c 100 whole > photos/slow.png; sleep 1; "
      "tail -c +101 whole >> photos/slow.png) & exec \"$0\" \"$@\"";
  Words given = {"sh", "-c", script, BECKON_PROGRAM};
  const Words inner = words({"--watch", "--idle", "2.5", "--log", temp_ / "log"});
  given.insert(given.end(), inner.begin(), inner.end());
  options_.folder = temp_.path().string();
  const Outcome outcome = run_program(given, options_);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out.substr(0, outcome.out.find('\n')), "6 pictures: 6 done now, 0 done before");
  std::ifstream log(temp_ / "log");
  const std::string text((std::istreambuf_iterator<char>(log)), {});
  EXPECT_EQ(text.find("failed"), std::string::npos) << text;
}

}  // namespace
}  // namespace beckon::test
