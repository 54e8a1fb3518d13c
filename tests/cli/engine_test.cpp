// beckon engine as a process, with a small model of random weights.
#include <csignal>
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

namespace fs = std::filesystem;
using nlohmann::json;
using Words = std::vector<std::string>;

std::string in_sources(const std::string& path) {
  return (fs::path(BECKON_SOURCE_DIR) / path).string();
}

const std::string kWeights = in_sources("tests/goldens/sam/odd_75x113/weights.safetensors");

class Engine : public ::testing::Test {
 protected:
  Engine() {
    fs::copy(in_sources("examples/photos/coffee.png"), dir_ / "coffee.png");
    fs::create_directories(dir_ / "sub");
    fs::copy(in_sources("examples/photos/chelsea.png"), dir_ / "sub/chelsea.png");
  }
  std::string folder() const { return dir_.path().string(); }
  Outcome run(Words words, Words more = {}, RunOptions options = {}) const {
    words.insert(words.begin(), "engine");
    words.insert(words.end(), more.begin(), more.end());
    return run_beckon(words, std::move(options));
  }
  json report(Words words, Words more = {}) const {
    more.push_back("--json");
    const Outcome outcome = run(std::move(words), std::move(more));
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return json::parse(outcome.out, nullptr, false);
  }
  // Weights are random: every mask is taken.
  static Words generator(const std::string& side = "2") {
    return {"--model",
            kWeights,
            "--points-per-side",
            side,
            "--pred-iou-thresh",
            "-1",
            "--stability-score-thresh",
            "0",
            "--crop-n-layers",
            "0",
            "--most-cover",
            "1"};
  }
  json automatic(const std::string& stage, Words more = {}) const {
    Words all = generator();
    all.insert(all.end(), more.begin(), more.end());
    return report({"auto", folder(), "--stage", stage}, all);
  }
  json queue(const std::string& next = "1000") const {
    return report({"review", folder(), "--next", next});
  }
  TempDir dir_;
};

TEST_F(Engine, StagesFillTheFolderAndAddNothingTwice) {
  const json empty = report({"status", folder()});
  EXPECT_EQ(empty.at("files"), 2);
  EXPECT_EQ(empty.at("objects"), 0);
  EXPECT_FALSE(fs::exists(dir_ / ".beckon"));  // looking leaves no trace

  const json first = automatic("2");
  EXPECT_EQ(first.at("photos"), 2);
  EXPECT_EQ(first.at("done_now"), 2);
  const int64_t made = first.at("made");
  ASSERT_GE(made, 2);
  EXPECT_EQ(first.at("sent_to_review"), made);
  const json again = automatic("2");
  EXPECT_EQ(again.at("done_now"), 0);
  EXPECT_EQ(again.at("done_before"), 2);
  EXPECT_EQ(again.at("made"), 0);
  EXPECT_EQ(again.at("recipe"), first.at("recipe"));
  // Another stage with the same masks: all of them are there.
  const json third = automatic("3", {"--sample", "0.5", "--seed", "3"});
  EXPECT_EQ(third.at("done_now"), 2);
  EXPECT_EQ(third.at("made"), 0);
  EXPECT_GE(third.at("left_out").at("duplicates"), made);

  const json status = report({"status", folder()});
  EXPECT_EQ(status.at("objects"), made);
  EXPECT_EQ(status.at("pending"), made);
  EXPECT_EQ(status.at("stages").at("2").at("machine").at("objects"), made);
  const Outcome table = run({"status", folder()});
  EXPECT_NE(table.out.find("2 semi-automatic"), std::string::npos) << table.out;
}

TEST_F(Engine, ReviewsAreOrderedAndKept) {
  automatic("2", {"--duplicate-iou", "1", "--box-nms-thresh", "1"});
  const json list = queue().at("reviews");
  ASSERT_GE(list.size(), 3u);
  double last = 2;
  for (const json& one : list) {
    EXPECT_LE(one.at("doubt").get<double>(), last);
    last = one.at("doubt");
    const auto cut = [](double v) { return std::min(1.0, std::max(0.0, v)); };
    EXPECT_NEAR(last,
                1 - cut(one.at("predicted_iou")) * cut(one.at("stability")) *
                        (1 - one.at("overlap").get<double>()),
                1e-6);
  }
  EXPECT_EQ(queue("1").at("reviews").size(), 1u);
  const auto id = [&](size_t i) { return std::to_string(list[i].at("id").get<int64_t>()); };
  // All or none: the second of these does not exist.
  expect_complaint(run({"review", folder(), "--accept", id(0) + ",999999"}), 66, "object 999999");
  EXPECT_EQ(queue().at("pending"), list.size());
  const json done = report({"review", folder(), "--accept", id(0), "--reject", id(1)},
                           {"--seconds", "3", "--who", "ann"});
  EXPECT_EQ(done.at("pending"), list.size() - 2);
  expect_complaint(run({"review", folder(), "--reject", id(1)}), 66, "rejected");
  const json people = report({"status", folder()}).at("stages").at("2").at("people");
  EXPECT_EQ(people.at("seconds"), 3.0);
  EXPECT_EQ(people.at("objects"), 2);

  // A mask of one's own, and the model's answer to points.
  const ImageSize size = list[2].at("photo") == "coffee.png"
                             ? ImageSize{600, 400}
                             : Image::read(dir_ / "sub/chelsea.png").size();
  const std::string mask = dir_ / "mask.PNG.txt";  // the content says what it is
  Mask::from_box({5, 6, 7, 8}, size).image().write_png(mask);
  report({"review", folder(), "--fix", id(2), "--mask", mask});
  const Outcome points = run({"review", folder(), "--fix", id(0), "--point", "20,20"},
                             {"--background", "90,90", "--model", kWeights});
  EXPECT_EQ(points.code, 0) << points.err;
  const json states = report({"status", folder()}).at("stages").at("2").at("states");
  EXPECT_EQ(states.at("fixed"), 2);
  EXPECT_EQ(states.at("rejected"), 1);

  // What people said is not run over.
  const json more = automatic("2", {"--duplicate-iou", "0.69"});
  EXPECT_EQ(more.at("done_now"), 2);
  const json after = report({"status", folder()}).at("stages").at("2").at("states");
  EXPECT_EQ(after.at("fixed"), 2);
  EXPECT_EQ(after.at("rejected"), 1);
  EXPECT_EQ(run_beckon({"annotations", "check", folder()}).code, 0);
}

TEST_F(Engine, ReviewRefusesWhatMakesNoSense) {
  automatic("2");
  const std::string id = std::to_string(queue().at("reviews")[0].at("id").get<int64_t>());
  const auto review = [&](Words more) { return run({"review", folder()}, std::move(more)); };
  expect_complaint(review({"--fix", id}), 2, "--mask FILE");
  expect_complaint(review({"--mask", "x.png"}), 2, "--fix");
  expect_complaint(review({"--point", "1,2"}), 2, "--fix");
  expect_complaint(review({"--fix", id, "--mask", "x.png", "--point", "1,2"}), 2, "--mask");
  expect_complaint(review({"--fix", id, "--mask", dir_ / "none.png"}), 66, "none.png");
  expect_complaint(review({"--fix", id, "--mask", dir_.write("no.png", std::string("x"))}), 65,
                   "no.png");
  Mask::from_box({0, 0, 2, 2}, {9, 9}).image().write_png(dir_ / "small.png");
  expect_complaint(review({"--fix", id, "--mask", dir_ / "small.png"}), 65, "9x9");
  expect_complaint(review({"--accept", id, "--reject", id}), 2, "twice");
  expect_complaint(review({"--accept", id, "--seconds", "-1"}), 2, "--seconds");
  expect_complaint(review({"--accept", id, "--seconds", "nan"}), 2, "--seconds");
  expect_complaint(review({"--accept", id, "--who", ""}), 2, "--who");
  EXPECT_EQ(review({"--accept", "x"}).code, 2);
  EXPECT_EQ(review({"--next", "0"}).code, 2);
  EXPECT_EQ(queue().at("reviews")[0].at("version"), 1);
  expect_complaint(run({"review", dir_ / "sub"}), 66, "no annotations");
  expect_complaint(run({"review", dir_ / "nowhere"}), 66, "nowhere");
}

TEST_F(Engine, AutoRefusesWhatIsOutOfRange) {
  const auto with = [&](Words more) {
    more.insert(more.begin(), {"--model", kWeights});
    return run({"auto", folder()}, more);
  };
  EXPECT_EQ(with({}).code, 2);
  EXPECT_EQ(with({"--stage", "1"}).code, 2);
  EXPECT_EQ(with({"--stage", "3", "--sample", "1.1"}).code, 2);
  expect_complaint(with({"--stage", "3", "--sample", "nan"}), 2, "--sample");
  expect_complaint(with({"--stage", "3", "--duplicate-iou", "0"}), 2, "duplicate IoU");
  expect_complaint(with({"--stage", "3", "--points-per-side", "-1"}), 2, "points_per_side");
  EXPECT_EQ(with({"--stage", "3", "--photos", "0"}).code, 2);
  EXPECT_FALSE(fs::exists(dir_ / ".beckon"));
  expect_complaint(run({"auto", dir_ / "none", "--stage", "3"}, {"--model", kWeights}), 66, "none");
}

TEST_F(Engine, ABrokenPhotoIsNamedAndTheRestIsDone) {
  // A header without pixels.
  std::ifstream whole(dir_ / "coffee.png", std::ios::binary);
  std::string head(100, ' ');
  whole.read(head.data(), 100);
  dir_.write("broken.png", head);
  Words words = {"auto", folder(), "--stage", "2", "--json"};
  const Outcome outcome = run(words, generator());
  EXPECT_EQ(outcome.code, 65);
  EXPECT_NE(outcome.err.find("broken.png"), std::string::npos) << outcome.err;
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report.at("done_now"), 2);
  EXPECT_EQ(report.at("failures").size(), 1u);
}

TEST_F(Engine, InterruptedItGoesOnWhereItWas) {
  const json one = automatic("2", {"--photos", "1"});
  EXPECT_EQ(one.at("done_now"), 1);
  Words slow = generator("60");
  const Outcome stopped = run({"auto", folder(), "--stage", "3"}, slow,
                              {.signal = SIGINT, .signal_after = std::chrono::milliseconds(500)});
  EXPECT_EQ(stopped.code, 130) << stopped.out;
  EXPECT_EQ(run_beckon({"annotations", "check", folder()}).code, 0);
  const json status = report({"status", folder()});
  EXPECT_EQ(status.at("stages").at("3").at("machine").at("photos"), 0);
  const json rest = automatic("2");
  EXPECT_EQ(rest.at("done_before"), 1);
  EXPECT_EQ(rest.at("done_now"), 1);
}

TEST_F(Engine, ExportsCarryProvenance) {
  automatic("2");
  const json list = queue().at("reviews");
  const auto id = [&](size_t i) { return std::to_string(list[i].at("id").get<int64_t>()); };
  report({"review", folder(), "--accept", id(0), "--reject", id(1)});
  const auto exported = [&](Words more) {
    const std::string file = dir_ / "out.json";
    fs::remove(file);
    more.insert(more.begin(), {"-o", file, "--format", "coco"});
    const Outcome outcome = run({"export", folder()}, more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    std::ifstream in(file);
    return json::parse(in);
  };
  EXPECT_EQ(exported({}).at("annotations").size(), list.size() - 1);
  EXPECT_EQ(exported({"--state", "all"}).at("annotations").size(), list.size());
  EXPECT_EQ(exported({"--stage", "3"}).at("annotations").size(), 0u);
  const json accepted = exported({"--state", "accepted"});
  ASSERT_EQ(accepted.at("annotations").size(), 1u);
  const json& one = accepted.at("annotations")[0];
  EXPECT_EQ(one.at("id"), list[0].at("id"));
  EXPECT_EQ(one.at("state"), "accepted");
  EXPECT_EQ(one.at("history").size(), 2u);
  EXPECT_TRUE(one.contains("point_coords"));
  EXPECT_EQ(accepted.at("beckon").at("recipes").at(one.at("recipe").get<std::string>()).at("stage"),
            2);

  EXPECT_EQ(run({"export", folder(), "-o", dir_ / "sa"}).code, 0);
  ASSERT_TRUE(fs::exists(dir_ / "sa/coffee.json"));
  std::ifstream in(dir_ / "sa/coffee.json");
  const json sa = json::parse(in);
  EXPECT_EQ(sa.at("image").at("file_name"), "coffee.png");
  EXPECT_TRUE(sa.at("beckon").contains("recipes"));
  for (const char* key : {"segmentation", "bbox", "area", "predicted_iou", "stability_score",
                          "point_coords", "crop_box", "id"})
    EXPECT_TRUE(sa.at("annotations")[0].contains(key)) << key;
  // Other programs of ours read it.
  EXPECT_EQ(run_beckon({"convert", dir_ / "sa", dir_ / "c.json", "--to", "coco"}).code, 0);

  expect_complaint(run({"export", folder(), "-o", dir_ / "x"}, {"--state", "maybe"}), 2, "maybe");
  expect_complaint(run({"export", folder(), "-o", dir_ / "x"}, {"--stage", "4"}), 2, "4");
  expect_complaint(run({"export", folder(), "-o", dir_ / "x"}, {"--format", "what"}), 2, "what");
  EXPECT_FALSE(fs::exists(dir_ / "x"));
}

TEST_F(Engine, SimulatesAnAnnotator) {
  const Words small = {"--model",           kWeights, "--pictures",    "1", "--objects", "3",
                       "--points-per-side", "2",      "--most-clicks", "2"};
  const json made = report({"simulate"}, small);
  EXPECT_EQ(made.at("data"), "made");
  EXPECT_EQ(made.at("pictures"), 1);
  EXPECT_GE(made.at("objects"), 1);
  EXPECT_DOUBLE_EQ(made.at("time_model").at("click").get<double>(), 1.3);
  for (const char* way : {"polygons", "stage_1", "stage_2"})
    EXPECT_GT(made.at(way).at("seconds_per_object").get<double>(), 0) << way;
  const json again = report({"simulate"}, small);
  for (const char* way : {"polygons", "stage_1", "stage_2"})
    EXPECT_EQ(again.at(way).at("seconds"), made.at(way).at("seconds"));

  // The set that it makes is a data set like others.
  const std::string set = dir_ / "set";
  EXPECT_EQ(run({"simulate", "--write", set}, {"--pictures", "1", "--objects", "3"}).code, 0);
  const json read = report({"simulate", set}, small);
  EXPECT_EQ(read.at("objects"), made.at("objects"));
  EXPECT_EQ(read.at("polygons").at("clicks"), made.at("polygons").at("clicks"));
  expect_complaint(run({"simulate", "--write", set}), 73, "is there already");
  expect_complaint(run({"simulate", set, "--write", dir_ / "b"}), 2, "--write");
  expect_complaint(run({"simulate"}, {"--model", kWeights, "--target", "2"}), 2, "target");
  expect_complaint(run({"simulate"}, {"--model", kWeights, "--think", "-1"}), 2, "seconds");
  expect_complaint(run({"simulate"}, {"--model", kWeights, "--objects", "0"}), 2, "objects");
  expect_complaint(run({"simulate", dir_ / "none"}, {"--model", kWeights}), 66, "none");
}

}  // namespace
}  // namespace beckon::test
