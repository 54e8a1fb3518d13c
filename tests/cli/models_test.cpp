// beckon models and beckon doctor, without the network.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <regex>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "process.h"
#include "support/golden.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using nlohmann::json;

json parsed(const Outcome& outcome) {
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.err, "");
  return json::parse(outcome.out);
}

// A checkpoint that every checkout has.
std::string small_checkpoint() {
  return (std::filesystem::path(BECKON_SOURCE_DIR) /
          "tests/goldens/prompt_encoder/grid6x8/weights.safetensors")
      .string();
}

TEST(Doctor, ReportsWhatThisProcessUses) {
  const json report = parsed(run_beckon({"doctor", "--json"}, {.set = {{"BECKON_THREADS", "3"}}}));
  EXPECT_EQ(report.at("version"), BECKON_VERSION);
  EXPECT_EQ(report.at("threads"), 3);
  EXPECT_GT(report.at("memory_bytes"), 1 << 20);
  EXPECT_GT(report.at("cpu").at("l2_bytes"), 0);
  EXPECT_NE(report.at("kernels"), "");
  EXPECT_TRUE(report.at("models").at("present").empty());
}

TEST(Doctor, TellsOfABoundOnTheInstructionSet) {
  const json best = parsed(run_beckon({"doctor", "--json"}));
  const json base = parsed(run_beckon({"doctor", "--json"}, {.set = {{"BECKON_CPU", "base"}}}));
  EXPECT_NE(base.at("kernels"), "");
  EXPECT_NE(base.at("kernels"), best.at("kernels"));  // every CPU we build for has vectors
}

TEST(Doctor, SpeaksToPeopleToo) {
  const Outcome outcome = run_beckon({"doctor"});
  EXPECT_EQ(outcome.code, 0);
  for (const char* label : {"version ", "kernels ", "threads ", "models "})
    EXPECT_NE(("\n" + outcome.out).find(std::string("\n") + label), std::string::npos) << label;
  EXPECT_NE(outcome.out.find("beckon models pull mobile-sam"), std::string::npos) << outcome.out;
}

TEST(Models, ListNamesEveryModelAndItsState) {
  const json models = parsed(run_beckon({"models", "list", "--json"}));
  ASSERT_FALSE(models.empty());
  std::string names;
  for (const json& model : models) {
    EXPECT_EQ(model.at("state"), "absent");
    EXPECT_GT(model.at("bytes"), 0);
    names += model.at("name").get<std::string>() + "\n";
  }
  EXPECT_EQ(run_beckon({"models", "list", "--names"}).out, names);
  EXPECT_NE(names.find("mobile-sam\n"), std::string::npos);
}

TEST(Models, ShowDescribesACheckpointOfOnesOwn) {
  const json details = parsed(run_beckon({"models", "show", small_checkpoint(), "--json"}));
  EXPECT_EQ(details.at("format"), "safetensors");
  EXPECT_GT(details.at("tensors"), 0);
  EXPECT_EQ(details.at("sha256"), details.at("files").at(0).at("sha256"));
  EXPECT_EQ(details.at("sha256").get<std::string>().size(), 64u);
}

TEST(Models, AModelThatIsNotHereIsCode69AndSaysHowToGetIt) {
  expect_complaint(run_beckon({"models", "show", "mobile-sam"}), 69,
                   "beckon models pull mobile-sam");
}

TEST(Models, WhatIsNoCheckpointIsCode65AndWhatIsNotThereIs66) {
  const TempDir folder;
  const std::string text = folder.write("notes.txt", "not a checkpoint at all");
  expect_complaint(run_beckon({"models", "show", text}), 65, "notes.txt");
  expect_complaint(run_beckon({"models", "show", folder / "nothing.pth"}), 66, "nothing.pth");
}

TEST(Models, PullWithoutAnySourceIsCode69) {
  const TempDir empty;  // neither npm nor curl is found here
  expect_complaint(
      run_beckon({"models", "pull", "mobile-sam"}, {.set = {{"PATH", empty.path().string()}}}), 69,
      "mobile-sam");
}

TEST(Models, PullOfADamagedModelGetsItAgain) {
  const TempDir home;
  std::filesystem::create_directories(home / "models/mobile-sam");
  for (const char* name : {"encoder.onnx", "sam.onnx"})
    home.write(std::string("models/mobile-sam/") + name, std::string("not what was published"));
  // Without a source that can only fail, but it must not call the model present.
  const Outcome outcome =
      run_beckon({"models", "pull", "mobile-sam"},
                 {.set = {{"BECKON_HOME", home / ""}, {"PATH", "/nonexistent"}}});
  EXPECT_EQ(outcome.code, 69) << outcome.err;
}

// Files of the right size, which only their hash tells apart, and cut off ones.
TEST(Models, ADamagedModelIsCalledDamaged) {
  const TempDir home;
  const RunOptions options = {.set = {{"BECKON_HOME", home / ""}, {"PATH", "/nonexistent"}}};
  std::filesystem::create_directories(home / "models/mobile-sam");
  for (const auto& [name, bytes] :
       {std::pair{"encoder.onnx", 28'085'517}, {"sam.onnx", 16'501'766}})
    std::filesystem::resize_file(home.write(std::string("models/mobile-sam/") + name, "x"), bytes);
  for (const bool cut_off : {false, true}) {
    SCOPED_TRACE(cut_off);
    if (cut_off) std::filesystem::resize_file(home / "models/mobile-sam/sam.onnx", 1000);
    const json models = parsed(run_beckon({"models", "list", "--json"}, options));
    EXPECT_EQ(models.at(0).at("name"), "mobile-sam");
    EXPECT_EQ(models.at(0).at("state"), "damaged");
    const std::string listed = run_beckon({"models", "list"}, options).out;
    EXPECT_TRUE(std::regex_search(listed, std::regex("^mobile-sam +damaged "))) << listed;

    const json present =
        parsed(run_beckon({"doctor", "--json"}, options)).at("models").at("present");
    ASSERT_EQ(present.size(), 1u);
    EXPECT_EQ(present.at(0).at("state"), "damaged");
    EXPECT_FALSE(present.at(0).contains("sha256"));
    EXPECT_NE(run_beckon({"doctor"}, options).out.find("DAMAGED: "), std::string::npos);
    const Outcome verified = run_beckon({"models", "verify"}, options);
    EXPECT_EQ(verified.code, 65);
    EXPECT_NE(verified.err.find("get it again with: beckon models pull mobile-sam"),
              std::string::npos)
        << verified.err;
  }
}

TEST(Models, VerifyClaimsNothingOfAFileWithoutAPublishedHash) {
  const Outcome outcome = run_beckon({"models", "verify", small_checkpoint()});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const json details = parsed(run_beckon({"models", "show", small_checkpoint(), "--json"}));
  EXPECT_EQ(outcome.out, "hashed  " + details.at("sha256").get<std::string>() + "  " +
                             small_checkpoint() + "\n");
}

TEST(Models, ConvertedCheckpointHasTheSameTensors) {
  const TempDir folder;
  const std::string copy = folder / "copy of it.safetensors";
  const Outcome outcome = run_beckon({"models", "convert", small_checkpoint(), "-o", copy});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const json before = parsed(run_beckon({"models", "show", small_checkpoint(), "--json"}));
  const json after = parsed(run_beckon({"models", "show", copy, "--json"}));
  EXPECT_EQ(after.at("tensors"), before.at("tensors"));
  EXPECT_EQ(after.at("parameters"), before.at("parameters"));
}

TEST(Models, ConvertNeedsAFolderThatCanBeWritten) {
  const TempDir folder;
  expect_complaint(run_beckon({"models", "convert", small_checkpoint(), "-o",
                               folder / "no/such/folder.safetensors"}),
                   73, "folder.safetensors");
}

}  // namespace
}  // namespace beckon::test
