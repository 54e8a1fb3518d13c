// Whole folders, with a small model of random weights.
#include "beckon/annotate.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

#include "beckon/image.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kPrompts = R"({"beckon": 1, "prompts": [{"type": "point", "at": [20, 15]}]})";

// A picture of which no two are alike.
Image picture(int seed) {
  Image image(48, 36, 3);
  for (int y = 0; y < image.height(); ++y) {
    uint8_t* row = image.mutable_row(y);
    for (int x = 0; x < 3 * image.width(); ++x)
      row[x] = static_cast<uint8_t>((x * (seed + 3) + y * (2 * seed + 1)) % 251);
  }
  return image;
}

// Every file below a folder, by its name.
std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::vector<uint8_t> bytes = read_bytes(entry.path());
    files[fs::relative(entry.path(), folder).string()] = {bytes.begin(), bytes.end()};
  }
  return files;
}

class Annotate : public ::testing::Test {
 protected:
  Annotate() {
    fs::create_directories(photos() + "/sub");
    for (int i = 0; i < 6; ++i)
      picture(i).write_png(photos() + (i % 2 == 0 ? "/" : "/sub/") + std::to_string(i) + ".png");
    options_.model =
        (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/odd_75x113/weights.safetensors").string();
    options_.prompts_file = temp_.write("prompts.json", std::string(kPrompts));
  }

  std::string photos() const { return temp_ / "photos"; }
  std::string out() const { return temp_ / "out"; }
  AnnotateReport run() { return annotate(photos(), out(), options_); }
  AnnotateReport run_shard(int index, int count) {
    AnnotateOptions options = options_;
    options.shard = {index, count};
    return annotate(photos(), out(), options);
  }
  json manifest() const { return json::parse(contents(out()).at("manifest.json")); }

  TempDir temp_;
  AnnotateOptions options_;
};

TEST_F(Annotate, WritesOneResultAPictureAndAManifest) {
  const AnnotateReport report = run();
  EXPECT_EQ(report.pictures, 6);
  EXPECT_EQ(report.made, 6);
  EXPECT_TRUE(report.failures.empty());
  const auto files = contents(out());
  EXPECT_EQ(files.size(), 8u);  // and annotate.json
  const json result = json::parse(files.at("results/sub/1.png.json"));
  EXPECT_EQ(result["image"]["width"], 48);
  EXPECT_EQ(result["annotations"].size(), 1u);
  EXPECT_EQ(result["annotations"][0]["point_coords"], json({{20.0, 15.0}}));
  const json whole = manifest();
  EXPECT_EQ(whole["counts"], json({{"pictures", 6}, {"failed", 0}}));
  EXPECT_EQ(whole["pictures"][0]["path"], "0.png");
  EXPECT_EQ(whole["pictures"][0]["result"], "results/0.png.json");
}

TEST_F(Annotate, GoesOnWithWhatIsThere) {
  run();
  const auto before = contents(out());
  const AnnotateReport again = run();
  EXPECT_EQ(again.kept, 6);
  EXPECT_EQ(again.made, 0);
  EXPECT_TRUE(contents(out()) == before);
  // A result that is gone, one that was edited, and a picture that changed are done again.
  fs::remove(out() + "/results/0.png.json");
  temp_.write("out/results/2.png.json", before.at("results/2.png.json") + " ");
  picture(77).write_png(photos() + "/4.png");
  const AnnotateReport repaired = run();
  EXPECT_EQ(repaired.kept, 3);
  EXPECT_EQ(repaired.made, 3);
  EXPECT_EQ(repaired.remade, 2);
  const auto after = contents(out());
  EXPECT_EQ(after.at("results/0.png.json"), before.at("results/0.png.json"));
  EXPECT_EQ(after.at("results/2.png.json"), before.at("results/2.png.json"));
  EXPECT_NE(after.at("results/4.png.json"), before.at("results/4.png.json"));
}

TEST_F(Annotate, AnyNumberOfShardsAndJobsGivesTheSameBytes) {
  run();
  const auto single = contents(out());
  for (const int count : {1, 2, 5, 16}) {
    fs::remove_all(out());
    options_.jobs = count % 3 + 1;
    for (int i = count - 1; i >= 0; --i) run_shard(i, count);
    merge_annotations(out());
    EXPECT_TRUE(contents(out()) == single) << count << " shards";
    merge_annotations(out());
    EXPECT_TRUE(contents(out()) == single) << "merged again";
  }
}

TEST_F(Annotate, CocoIsTheSameForAnyNumberOfShards) {
  temp_.write("prompts.json", R"({"beckon": 1, "images": {
      "0.png": {"objects": [{"label": "dog", "prompts": [{"type": "point", "at": [5, 5]}]},
                            {"label": "cat", "prompts": [{"type": "point", "at": [9, 9]}]}]},
      "*": {"prompts": [{"type": "box", "xyxy": [2, 2, 20, 20]}]}}})");
  temp_.write("photos/broken.png", "");
  options_.formats = {"coco"};
  run();
  const auto single = contents(out());
  const json coco = json::parse(single.at("coco.json"));
  ASSERT_EQ(coco["images"].size(), 6u);
  EXPECT_EQ(coco["images"][0],
            json({{"id", 1}, {"width", 48}, {"height", 36}, {"file_name", "0.png"}}));
  ASSERT_EQ(coco["annotations"].size(), 7u);
  ASSERT_EQ(coco["categories"].size(), 3u);
  EXPECT_EQ(coco["categories"][0], json({{"id", 1}, {"name", "cat"}}));
  EXPECT_EQ(coco["annotations"][0]["category_id"], 2);  // a dog
  EXPECT_EQ(coco["annotations"][0]["image_id"], 1);
  EXPECT_EQ(coco["annotations"][6]["category_id"], 3);  // an object
  EXPECT_EQ(coco["annotations"][6]["image_id"], 6);
  EXPECT_EQ(json::parse(single.at("manifest.json"))["products"][0]["path"], "coco.json");

  fs::remove_all(out());
  for (const int i : {2, 0, 1}) run_shard(i, 3);
  EXPECT_FALSE(fs::exists(out() + "/coco.json"));
  merge_annotations(out());
  EXPECT_TRUE(contents(out()) == single);
  // Once it is there it is kept true.
  options_.formats = {};
  picture(60).write_png(photos() + "/4.png");
  run();
  EXPECT_FALSE(contents(out()) == single);
  EXPECT_EQ(manifest()["products"].size(), 1u);
  expect_error(Kind::usage, "unknown format 'yolo9', expected", [&] {
    options_.formats = {"yolo9"};
    run();
  });
}

TEST_F(Annotate, MergeNamesTheShardsThatAreMissing) {
  expect_error(Kind::missing, "out", [&] { merge_annotations(out()); });
  for (const int i : {0, 2, 6}) run_shard(i, 8);
  expect_error(Kind::temporary, "5 of 8 shards are missing: 1, 3-5, 7;",
               [&] { merge_annotations(out()); });
  EXPECT_FALSE(fs::exists(out() + "/manifest.json"));
  for (const int i : {1, 3, 4, 5, 7}) run_shard(i, 8);
  // A manifest of a shard that is not whole counts as none.
  const std::string path = out() + "/shards/3-of-8.json";
  fs::resize_file(path, fs::file_size(path) - 5);
  expect_error(Kind::temporary, "1 of 8 shards are missing: 3;", [&] { merge_annotations(out()); });
  run_shard(3, 8);
  EXPECT_EQ(merge_annotations(out()).pictures, 6);
}

TEST_F(Annotate, MergeChecksEveryResult) {
  for (const int i : {0, 1}) run_shard(i, 2);
  fs::remove(out() + "/results/2.png.json");
  expect_error(Kind::temporary, "1 of 6 results are missing or damaged: 2.png",
               [&] { merge_annotations(out()); });
  for (const int i : {0, 1}) run_shard(i, 2);
  merge_annotations(out());
  temp_.write("out/results/0.png.json", "{}");
  expect_error(Kind::temporary, "0.png", [&] { merge_annotations(out()); });
}

TEST_F(Annotate, ShardsThatSawDifferentFoldersAreNotMerged) {
  run_shard(0, 2);
  picture(50).write_png(photos() + "/new.png");
  run_shard(1, 2);
  expect_error(Kind::temporary, "1 of 2 shards saw another folder or had another recipe: 0;",
               [&] { merge_annotations(out()); });
  run_shard(0, 2);
  EXPECT_EQ(merge_annotations(out()).pictures, 7);
}

TEST_F(Annotate, AnotherRecipeIsRefusedOrReplaced) {
  run();
  options_.model =
      (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/tall_shrink_301x187/weights.safetensors")
          .string();
  const auto before = contents(out());
  expect_error(Kind::usage, "another recipe (other: model)", [&] { run(); });
  EXPECT_TRUE(contents(out()) == before);
  options_.replace = true;
  EXPECT_EQ(run().made, 6);
  EXPECT_EQ(run().kept, 6);  // and goes on as ever
  const json first = json::parse(contents(out()).at("results/0.png.json"));
  EXPECT_NE(first["beckon"]["recipe"],
            json::parse(before.at("results/0.png.json"))["beckon"]["recipe"]);
}

TEST_F(Annotate, OtherPromptsAreDoneAgainForThePicturesTheyConcern) {
  const std::string own = R"({"beckon": 1, "images": {
      "*": {"prompts": [{"type": "point", "at": [20, 15]}]},
      "0.png": {"prompts": [{"type": "point", "at": [X, 5]}]}}})";
  const auto with = [&](const char* x) {
    std::string text = own;
    text.replace(text.find('X'), 1, x);
    temp_.write("prompts.json", text);
    return run();
  };
  EXPECT_EQ(with("5").made, 6);
  const AnnotateReport changed = with("9");
  EXPECT_EQ(changed.remade, 1);
  EXPECT_EQ(changed.kept, 5);
}

TEST_F(Annotate, EverythingTakesNoPrompts) {
  options_.prompts_file.clear();
  options_.everything.points_per_side = 3;
  options_.everything.pred_iou_thresh = 0;
  options_.everything.stability_score_thresh = 0;
  EXPECT_EQ(run().made, 6);
  const auto before = contents(out());
  const json result = json::parse(before.at("results/0.png.json"));
  EXPECT_GT(result["annotations"].size(), 0u);
  EXPECT_EQ(result["annotations"][0]["point_coords"].size(), 1u);
  EXPECT_EQ(result["beckon"]["recipe"]["shared"]["options"]["points_per_side"], 3);
  // In whatever batches; other thresholds are another recipe.
  options_.everything.points_per_batch = 2;
  EXPECT_EQ(run().kept, 6);
  fs::remove_all(out());
  run();
  EXPECT_TRUE(contents(out()) == before);
  options_.everything.pred_iou_thresh = 0.5f;
  expect_error(Kind::usage, "another recipe (other: options)", [&] { run(); });
  options_.everything.points_per_side = -1;
  expect_error(Kind::usage, "points_per_side", [&] { run(); });
}

TEST_F(Annotate, BrokenPicturesAreNamedAndTheRestGoesOn) {
  temp_.write("photos/zero.jpg", "");
  temp_.write("photos/broken.png", "\x89PNG\r\n\x1a\n and no more");
  temp_.write("photos/animated.gif", "GIF89a");
  temp_.write("photos/notes.txt", "not a picture");
  const AnnotateReport report = run();
  EXPECT_EQ(report.pictures, 9);
  EXPECT_EQ(report.made, 6);
  ASSERT_EQ(report.failures.size(), 3u);
  for (const AnnotateFailure& failure : report.failures) {
    EXPECT_TRUE(failure.message.starts_with(failure.path + ": ")) << failure.message;
    EXPECT_EQ(failure.message.find(temp_.path().string()), std::string::npos) << failure.message;
  }
  EXPECT_EQ(manifest()["counts"]["failed"], 3);
  // Once it is repaired it is done; once it breaks, its old result is gone.
  picture(9).write_png(photos() + "/broken.png");
  temp_.write("photos/0.png", "no picture any more");
  EXPECT_EQ(run().failures.size(), 3u);
  EXPECT_FALSE(fs::exists(out() + "/results/0.png.json"));
  EXPECT_TRUE(fs::exists(out() + "/results/broken.png.json"));
}

TEST_F(Annotate, NamesAreTakenAsTheyAre) {
  const char* const names[] = {"\xc3\xbc \xe2\x82\xac.png",
                               "new\nline.png",
                               "caf\xe9.png",
                               "-o.png",
                               "a.jpg.png",
                               "quo\"te'.png",
                               "%41.png"};
  for (const char* name : names) picture(3).write_png(photos() + "/" + name);
  picture(4).write_jpeg(photos() + "/a.jpg");
  picture(4).write_png(photos() + "/a.png");
  picture(5).write_png(photos() + "/no_ending");
  picture(5).write_png(photos() + "/" + std::string(240, 'x') + ".png");
  picture(5).write_png(photos() + "/" + std::string(251, 'x') + ".png");
  fs::create_directories(photos() + "/a.jpg.json");  // where the result of a.jpg would be
  picture(6).write_png(photos() + "/a.jpg.json/b.png");
  const AnnotateReport report = run();
  EXPECT_TRUE(report.failures.empty()) << report.failures[0].message;
  EXPECT_EQ(report.made, 6 + 7 + 6);
  EXPECT_EQ(run().kept, 19);
  EXPECT_EQ(merge_annotations(out()).orphans, 0);
}

TEST_F(Annotate, LinksAreFollowedInsideOnly) {
  picture(8).write_png(temp_ / "outside.png");
  fs::create_directories(temp_ / "elsewhere");
  picture(8).write_png(temp_ / "elsewhere/e.png");
  fs::create_symlink(temp_ / "outside.png", photos() + "/outside.png");
  fs::create_symlink("../elsewhere", photos() + "/elsewhere");
  fs::create_symlink("0.png", photos() + "/inside.png");
  fs::create_symlink(".", photos() + "/loop");
  fs::create_symlink("..", photos() + "/sub/up");
  fs::create_symlink("nowhere", photos() + "/dangling.png");
  ASSERT_EQ(::mkfifo((photos() + "/pipe.png").c_str(), 0600), 0);
  const AnnotateReport report = run();
  EXPECT_EQ(report.links_outside, 2);
  EXPECT_EQ(report.made, 7);
  ASSERT_EQ(report.failures.size(), 1u);
  EXPECT_EQ(report.failures[0].message, "dangling.png: a link that leads nowhere");
  EXPECT_FALSE(fs::exists(out() + "/results/outside.png.json"));
}

TEST_F(Annotate, TheFolderOfResultsMayLieInside) {
  const AnnotateReport report = annotate(photos(), photos() + "/out", options_);
  EXPECT_EQ(report.made, 6);
  EXPECT_EQ(annotate(photos(), photos() + "/out", options_).kept, 6);
  expect_error(Kind::usage, "another folder",
               [&] { annotate(photos(), photos() + "/.", options_); });
}

TEST_F(Annotate, FoldersThatAreNoneAreRefused) {
  expect_error(Kind::missing, "nothing", [&] { annotate(temp_ / "nothing", out(), options_); });
  expect_error(Kind::missing, "expected a folder",
               [&] { annotate(photos() + "/0.png", out(), options_); });
  temp_.write("file", "");
  expect_error(Kind::output, "expected a folder",
               [&] { annotate(photos(), temp_ / "file", options_); });
  expect_error(Kind::output, "cannot write",
               [&] { annotate(photos(), temp_ / "file/out", options_); });
  EXPECT_FALSE(fs::exists(out()));
}

TEST_F(Annotate, AnEmptyFolderIsComplete) {
  fs::create_directories(temp_ / "empty");
  const AnnotateReport report = annotate(temp_ / "empty", out(), options_);
  EXPECT_EQ(report.pictures, 0);
  EXPECT_TRUE(fs::exists(report.manifest));
}

TEST_F(Annotate, PicturesThePromptsNameMustBeThere) {
  temp_.write("prompts.json", R"({"beckon": 1, "images": {
      "sub/1.png": {"prompts": [{"type": "point", "at": [5, 5]}]},
      "gone.png": {"prompts": [{"type": "point", "at": [5, 5]}]}}})");
  const AnnotateReport report = run();
  EXPECT_EQ(report.made, 1);
  EXPECT_EQ(report.without_prompts, 5);
  ASSERT_EQ(report.failures.size(), 1u);
  EXPECT_EQ(report.failures[0].path, "gone.png");
}

TEST_F(Annotate, AModelThatIsBrokenIsNotThePicturesFault) {
  options_.model = temp_.write("model.safetensors", "no model");
  expect_error(Kind::model, "model.safetensors", [&] { run(); });
  options_.model = temp_ / "nothing.safetensors";
  expect_error(Kind::missing, "nothing.safetensors", [&] { run(); });
}

TEST_F(Annotate, FilesOfTheFolderThatWereEditedAreRefused) {
  run();
  temp_.write("out/annotate.json", contents(out()).at("annotate.json") + " ");
  expect_error(Kind::input, "annotate.json: damaged", [&] { run(); });
  expect_error(Kind::input, "annotate.json: damaged", [&] { merge_annotations(out()); });
  options_.replace = true;
  EXPECT_EQ(run().kept, 6);
  temp_.write("out/manifest.json", "{}");
  expect_error(Kind::temporary, "manifest.json: damaged", [&] { merge_annotations(out()); });
  options_.replace = false;
  EXPECT_EQ(run().kept, 6);
  EXPECT_EQ(manifest()["counts"]["pictures"], 6);
}

TEST_F(Annotate, AResultWhosePictureIsGoneIsInNoManifest) {
  run();
  fs::remove(photos() + "/0.png");
  const AnnotateReport report = run();
  EXPECT_EQ(report.pictures, 5);
  EXPECT_EQ(report.orphans, 1);
  EXPECT_EQ(manifest()["counts"]["pictures"], 5);
}

TEST_F(Annotate, AStoppedRunGoesOnLater) {
  options_.jobs = 1;
  options_.progress = [](const AnnotateProgress&) { return false; };
  options_.around_write = [](const std::function<void()>& write) {
    write();
    std::this_thread::sleep_for(std::chrono::milliseconds(150));
  };
  expect_error(Kind::interrupted, "stopped", [&] { run(); });
  EXPECT_FALSE(fs::exists(out() + "/manifest.json"));
  options_.progress = {};
  options_.around_write = {};
  const AnnotateReport rest = run();
  EXPECT_GT(rest.kept, 0);
  EXPECT_GT(rest.made, 0);
}

TEST_F(Annotate, WatchDoesWhatComesAndEndsWhenIdle) {
  options_.watch = true;
  options_.idle_seconds = 1;
  std::thread late([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(700));
    picture(30).write_png(photos() + "/late.png");
  });
  const AnnotateReport report = run();
  late.join();
  EXPECT_EQ(report.pictures, 7);
  EXPECT_EQ(report.made, 7);
  EXPECT_EQ(manifest()["counts"]["pictures"], 7);
}

}  // namespace
}  // namespace beckon::test
