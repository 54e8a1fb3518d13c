// beckon embed, beckon cache, and what segment makes of both, as processes.
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
using Words = std::vector<std::string>;

class CacheCommand : public testing::Test {
 protected:
  static std::string photo(const std::string& name) {
    return (fs::path(BECKON_SOURCE_DIR) / "examples/photos" / name).string();
  }
  Outcome run(Words words) const {
    return run_beckon(std::move(words), {.set = {{"BECKON_CACHE", dir / "cache"}}});
  }
  Outcome with_model(Words words) const {
    words.insert(words.end(), {"--model", model});
    return run(std::move(words));
  }
  json answer(const Outcome& outcome) const {
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out);
  }
  json segment(Words more = {}) const {
    Words words = {"segment", photo("coffee.png"), "--point", "300,200", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return answer(with_model(words));
  }

  TempDir dir;
  std::string model =
      (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/odd_75x113/weights.safetensors").string();
};

TEST_F(CacheCommand, SegmentSeesAPhotoOnce) {
  const json uncached = segment({"--no-cache"});
  EXPECT_FALSE(fs::exists(dir / "cache"));
  const json first = segment(), second = segment();
  EXPECT_FALSE(first.at("cached"));
  EXPECT_TRUE(second.at("cached"));
  EXPECT_EQ(first.at("masks"), uncached.at("masks"));
  EXPECT_EQ(second.at("masks"), uncached.at("masks"));

  const json show = answer(run({"cache", "show", "--json"}));
  EXPECT_EQ(show.at("entries"), 1);
  EXPECT_EQ(show.at("folder"), dir / "cache");
  EXPECT_EQ(show.at("models").at(0).at("origin"), model);
  EXPECT_NE(run({"cache", "show"}).out.find("1 photo, "), std::string::npos);
  EXPECT_EQ(run({"cache", "path"}).out, dir / "cache\n");
  EXPECT_EQ(answer(run({"cache", "clear", "--json"})).at("removed"), 1);
  EXPECT_FALSE(segment().at("cached"));
}

TEST_F(CacheCommand, EmbedPreparesAFolder) {
  fs::create_directory(dir / "photos");
  for (const char* name : {"coffee.png", "chelsea.png"})
    fs::copy_file(photo(name), dir / (std::string("photos/") + name));
  std::ofstream(dir / "photos/broken.jpg") << "\xff\xd8\xff no picture";
  const Outcome outcome = with_model({"embed", dir / "photos", "--json"});
  EXPECT_EQ(outcome.code, 65);
  EXPECT_NE(outcome.err.find("broken.jpg"), std::string::npos);
  EXPECT_NE(outcome.err.find("1 of 3 photos failed"), std::string::npos);
  const json report = json::parse(outcome.out);
  ASSERT_EQ(report.at("images").size(), 2u);
  EXPECT_EQ(report.at("failed").size(), 1u);
  EXPECT_TRUE(segment().at("cached"));
  fs::remove(dir / "photos/broken.jpg");
  const json again = answer(with_model({"embed", dir / "photos", "--json"}));
  for (const json& image : again.at("images")) EXPECT_TRUE(image.at("cached"));
}

TEST_F(CacheCommand, AnEmbeddingAsAFileStandsForThePhoto) {
  const std::string file = dir / "coffee.safetensors";
  answer(with_model({"embed", photo("coffee.png"), "-o", file, "--json"}));
  EXPECT_EQ(segment({"--embedding", file}).at("masks"), segment({"--no-cache"}).at("masks"));
  const std::string half = dir / "half.safetensors";
  answer(with_model({"embed", photo("coffee.png"), "-o", half, "--f16", "--json"}));
  EXPECT_LT(fs::file_size(half), fs::file_size(file));
  EXPECT_EQ(segment({"--embedding", half}).at("masks").size(), 3u);

  expect_complaint(
      with_model({"segment", photo("chelsea.png"), "--point", "5,5", "--embedding", file}), 65,
      "of another photo");
  expect_complaint(
      run({"segment", photo("coffee.png"), "--point", "5,5", "--embedding", file, "--model",
           (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/tall_150x60/weights.safetensors")
               .string()}),
      66, "");
  expect_complaint(
      with_model({"segment", photo("coffee.png"), "--point", "5,5", "--embedding", "no"}), 66,
      "no");
}

TEST_F(CacheCommand, FoldersOfResultsMirrorThePhotos) {
  fs::create_directories(dir / "photos/sub");
  fs::copy_file(photo("coffee.png"), dir / "photos/sub/coffee.png");
  fs::copy_file(photo("chelsea.png"), dir / "photos/chelsea.png");
  answer(with_model({"embed", dir / "photos", "-o", dir / "out", "--json"}));
  EXPECT_TRUE(fs::exists(dir / "out/chelsea.png.safetensors"));
  EXPECT_TRUE(fs::exists(dir / "out/sub/coffee.png.safetensors"));
  expect_complaint(with_model({"embed", dir / "photos", "-o", dir / "one.safetensors"}), 2,
                   "one file for 2 photos");
}

TEST_F(CacheCommand, ACacheThatCannotBeIsANote) {
  dir.write("cache", "a file where the folder would be");
  const Outcome outcome = with_model({"segment", photo("coffee.png"), "--point", "300,200"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_NE(outcome.err.find("not kept"), std::string::npos) << outcome.err;
  EXPECT_EQ(with_model({"embed", photo("coffee.png")}).code, 73);
}

TEST_F(CacheCommand, WrongArgumentsAreOneLine) {
  expect_complaint(run({"embed"}), 2, "PHOTO");
  expect_complaint(with_model({"embed", dir / "nothing.jpg"}), 66, "nothing.jpg");
  expect_complaint(run({"cache", "clear", "--older-than", "soon"}), 2, "--older-than");
  expect_complaint(run({"cache", "clear", "--model", "../x"}), 2, "--model");
  expect_complaint(with_model({"segment", photo("coffee.png"), "--point", "1,1", "--no-cache",
                               "--embedding", "x"}),
                   2, "--no-cache");
  expect_complaint(run_beckon({"cache", "show"}, {.set = {{"BECKON_CACHE_SIZE", "much"}}}), 2,
                   "BECKON_CACHE_SIZE");
}

}  // namespace
}  // namespace beckon::test
