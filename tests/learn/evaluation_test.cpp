// Evaluation: data sets in every layout, clicks, scores.
#include "beckon/evaluation.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/threads.h"
#include "image/distance.h"
#include "learn/evaluation/mask_data.h"
#include "models/small_sam.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

Mask noise(int width, int height, uint32_t seed, double share) {
  std::mt19937 generator(seed);
  std::bernoulli_distribution object(share);
  Mask mask(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) mask.set(x, y, object(generator));
  return mask;
}

Mask box_mask(int x, int y, int width, int height) {
  return Mask::from_box({x, y, width, height}, {90, 60});
}

TEST(Innermost, IsTheFarthestPixelByTrying) {
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const Mask region = noise(1 + static_cast<int>(seed * 7 % 23), 1 + static_cast<int>(seed % 17),
                              seed, seed % 5 == 0 ? 1.0 : 0.85);
    detail::Peak best;
    for (int y = 0; y < region.height(); ++y) {
      for (int x = 0; x < region.width(); ++x) {
        if (!region.at(x, y)) continue;
        int64_t squared = INT64_MAX;
        for (int v = -1; v <= region.height(); ++v)
          for (int u = -1; u <= region.width(); ++u) {
            const bool inside = u >= 0 && v >= 0 && u < region.width() && v < region.height();
            if (!inside || !region.at(u, v))
              squared = std::min<int64_t>(squared, (u - x) * (u - x) + (v - y) * (v - y));
          }
        if (squared > best.squared) best = {{x, y}, squared};
      }
    }
    const detail::Peak found = detail::innermost(region);
    EXPECT_EQ(found.squared, best.squared) << seed;
    EXPECT_EQ(found.at, best.at) << seed;
  }
}

TEST(NextClick, IgnoresWhatIsUnknownAndWhatWasClicked) {
  const Mask truth = box_mask(10, 10, 21, 21), nothing(ImageSize{90, 60});
  const Click first = next_click(truth, nothing);
  EXPECT_EQ(first.x, 20);
  EXPECT_EQ(first.y, 20);
  EXPECT_TRUE(first.object);
  EXPECT_EQ(first.missed, 11);
  const Click second = next_click(truth, nothing, std::span(&first, 1));
  EXPECT_NE(second.x * 1000 + second.y, first.x * 1000 + first.y);
  const Click none = next_click(truth, nothing, {}, truth);
  EXPECT_EQ(none.missed, 0);
  EXPECT_EQ(none.wrong, 0);
  // As deep a mistake either way counts as one that is wrong.
  const Mask moved = box_mask(50, 10, 21, 21);
  EXPECT_FALSE(next_click(truth, moved).object);
  EXPECT_THROW(next_click(truth, Mask(5, 5)), Error);
}

TEST(Scores, ClicksNeededAndIouOutside) {
  const std::vector<double> ious = {0.5, 0.86, 0.8, 0.95};
  EXPECT_EQ(clicks_needed(ious, 0.85, 20), 2);
  EXPECT_EQ(clicks_needed(ious, 0.95, 20), 4);
  EXPECT_EQ(clicks_needed(ious, 0.96, 20), 20);
  EXPECT_EQ(clicks_needed(ious, 0.95, 3), 3);
  EXPECT_EQ(clicks_needed({}, 0.5, 7), 7);
  const Mask a = box_mask(0, 0, 10, 10), b = box_mask(0, 0, 10, 20);
  EXPECT_DOUBLE_EQ(iou_outside(a, b, {}), 0.5);
  EXPECT_DOUBLE_EQ(iou_outside(a, b, box_mask(0, 10, 10, 10)), 1.0);
}

class Evaluation : public ::testing::Test {
 protected:
  Evaluation() : sam_(small_model()) {
    picture().write_png(make("set/images/a.png"));
    picture().write_png(make("set/images/b.png"));
  }
  static Image picture() { return small_picture(); }
  // A path below the folder, whose own folder is there.
  std::string make(const std::string& path) const {
    const fs::path full = temp_.path() / path;
    fs::create_directories(full.parent_path());
    return full.string();
  }
  SegmentationReport run(const std::string& path, EvaluationOptions options = {}) const {
    options.max_clicks = std::min(options.max_clicks, 6);
    options.clicks = std::min(options.clicks, options.max_clicks);
    const std::vector<std::string> data = {(temp_.path() / path).string()};
    return evaluate_segmentation(sam_, data, options);
  }
  void expect_refused(const std::string& path, Kind kind, const std::string& part) const {
    try {
      run(path);
      ADD_FAILURE() << path << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  // Two objects: 1 in the left half, 2 in the right.
  static Image numbered() {
    Image image(90, 60, 1);
    for (int y = 10; y < 40; ++y)
      for (int x = 10; x < 70; ++x) image.mutable_row(y)[x] = x < 40 ? 1 : 2;
    return image;
  }

  TempDir temp_;
  Sam sam_;
};

TEST_F(Evaluation, AgreesWithClickingByHand) {
  const Mask truth = box_mask(20, 10, 40, 30);
  truth.write_png(make("set/masks/a.png"));
  const SegmentationReport report = run("set");
  ASSERT_EQ(report.sets.size(), 1u);
  const DataSetScores& set = report.sets[0];
  EXPECT_EQ(set.name, "set");
  EXPECT_EQ(set.layout, "folders");
  EXPECT_EQ(set.pictures, 1);
  EXPECT_EQ(set.without_masks, 1);
  ASSERT_EQ(set.objects.size(), 1u);
  const ObjectScores& object = set.objects[0];
  EXPECT_EQ(object.area, truth.area());

  const Embedding embedding = sam_.encode(picture());
  EXPECT_DOUBLE_EQ(
      object.box_iou,
      iou(truth,
          embedding.segment(Box{20, 10, 60, 40}, {.multimask = Multimask::single}).best().mask()));
  ObjectQuery query;
  std::vector<Click> clicks;
  Mask seen(truth.size());
  for (size_t k = 0; k < object.click_iou.size(); ++k) {
    clicks.push_back(next_click(truth, seen, clicks));
    query.prompts.emplace_back(Point{static_cast<double>(clicks[k].x),
                                     static_cast<double>(clicks[k].y),
                                     clicks[k].object ? Label::object : Label::background});
    const Masks answer =
        embedding.segment(query, {.multimask = k == 0 ? Multimask::readings : Multimask::single});
    seen = answer.best().mask();
    EXPECT_EQ(object.clicks[k].x, clicks[k].x);
    EXPECT_EQ(object.clicks[k].y, clicks[k].y);
    EXPECT_DOUBLE_EQ(object.click_iou[k], iou(truth, seen)) << k;
    if (k == 0) {
      double oracle = 0;
      for (const PredictedMask& mask : answer) oracle = std::max(oracle, iou(truth, mask.mask()));
      EXPECT_DOUBLE_EQ(object.oracle_iou, oracle);
    }
    query.mask_logits.assign(answer.best().logits().begin(), answer.best().logits().end());
  }
  EXPECT_EQ(object.click_iou.size(), 6u);  // random weights reach no target
  EXPECT_DOUBLE_EQ(set.click_miou.at(0), object.click_iou.at(0));
  EXPECT_DOUBLE_EQ(set.click_miou.at(4), object.click_iou.at(4));
  ASSERT_EQ(set.noc.size(), 3u);
  EXPECT_EQ(set.noc[2].mean, 6);
  EXPECT_EQ(set.noc[2].reached, 0);
  EXPECT_DOUBLE_EQ(report.mean.box_miou, object.box_iou);
}

TEST_F(Evaluation, ThreadsAndGroupsDoNotMatter) {
  numbered().write_png(make("set/masks/a.png"));
  numbered().write_png(make("set/masks/b.png"));
  set_threads(1);
  const SegmentationReport one = run("set");
  set_threads(3);
  const SegmentationReport three = run("set");
  set_threads(0);
  ASSERT_EQ(one.sets[0].objects.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(one.sets[0].objects[i].click_iou, three.sets[0].objects[i].click_iou);
    EXPECT_EQ(one.sets[0].objects[i].box_iou, three.sets[0].objects[i].box_iou);
  }
}

TEST_F(Evaluation, NumbersInMasksAreObjectsAnd255IsUnknown) {
  Image mask = numbered();
  mask.mutable_row(0)[0] = 255;
  mask.write_png(make("set/masks/a.png"));
  std::optional<Mask> ignored;
  const auto read = [&](MaskKind kind) {
    ignored.reset();
    return learn::read_objects(make("set/masks/a.png"), "", kind, {}, ignored);
  };
  const auto objects = read(MaskKind::automatic);
  ASSERT_EQ(objects.size(), 2u);
  EXPECT_EQ(objects[0].name, "1");
  EXPECT_EQ(objects[0].mask, box_mask(10, 10, 30, 30).rle());
  EXPECT_EQ(objects[1].mask, box_mask(40, 10, 30, 30).rle());
  ASSERT_TRUE(ignored);
  EXPECT_EQ(ignored->area(), 1);
  const auto whole = read(MaskKind::binary);
  ASSERT_EQ(whole.size(), 1u);
  EXPECT_EQ(whole[0].mask.area(), 1801);
  EXPECT_FALSE(ignored);
}

TEST_F(Evaluation, BlurredEdgesAreOneObject) {
  Image mask(90, 60, 1);
  for (int y = 0; y < 60; ++y)
    for (int x = 0; x < 90; ++x)
      mask.mutable_row(y)[x] = static_cast<uint8_t>(std::min(255, 6 * x));
  mask.write_png(make("set/masks/a.png"));
  std::optional<Mask> ignored;
  const auto objects =
      learn::read_objects(make("set/masks/a.png"), "", MaskKind::automatic, {}, ignored);
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_EQ(objects[0].mask.area(), (90 - 22) * 60);  // 6 * 22 = 132 is the first above 127
}

TEST_F(Evaluation, ReadsAnIndexInEveryForm) {
  const Mask left = box_mask(10, 10, 20, 20), right = box_mask(50, 10, 30, 30);
  left.write_png(make("index/m/left 1.png"));
  right.write_png(make("index/m/right.png"));
  picture().write_png(make("index/a.png"));
  const std::pair<const char*, const char*> forms[] = {
      {"index.csv", "image,mask,label\na.png,\"m/left 1.png\",one\r\na.png,m/right.png,two\n"},
      {"index.csv", "\xef\xbb\xbflabel;mask;image\none;m/left 1.png;a.png\ntwo;m/right.png;a.png"},
      {"index.tsv", "a.png\tm/left 1.png\tone\n\na.png\tm/right.png\ttwo\n"},
      {"index.txt", "# pictures\na.png \"m/left 1.png\" one\na.png   m/right.png two\n"},
      {"index.json",
       R"([{"image": "a.png", "masks": [{"mask": "m/left 1.png", "label": "one"},
                                        {"path": "m/right.png", "label": "two"}]}])"},
      {"index.json", R"({"items": [{"image": "a.png", "mask": "m/left 1.png", "label": "one"},
                                   {"image": "a.png", "mask": "m/right.png", "label": "two"}]})"},
      {"index.json", R"({"a.png": [{"mask": "m/left 1.png", "label": "one"},
                                   {"mask": "m/right.png", "label": "two"}]})"},
      {"index.jsonl",
       "{\"image\": \"a.png\", \"mask\": \"m/left 1.png\", \"label\": \"one\"}\n"
       "{\"image\": \"a.png\", \"mask\": \"m/right.png\", \"label\": \"two\"}\n"}};
  for (const auto& [name, text] : forms) {
    SCOPED_TRACE(std::string(name) + ": " + text);
    const std::string file = temp_.write(std::string("index/") + name, std::string(text));
    const auto data =
        learn::open_mask_data((temp_.path() / "index").string(), "", MaskKind::automatic);
    ASSERT_EQ(data.size(), 1u);
    ASSERT_EQ(data[0]->size(), 1u);
    const learn::Example example = data[0]->load(0, {});
    ASSERT_EQ(example.objects.size(), 2u);
    EXPECT_EQ(example.objects[0].name, "one");
    EXPECT_EQ(example.objects[0].mask, left.rle());
    EXPECT_EQ(example.objects[1].name, "two");
    EXPECT_EQ(example.objects[1].mask, right.rle());
    fs::remove(file);
  }
}

json coco() {
  return {{"images",
           {{{"id", 7}, {"file_name", "a.png"}, {"width", 90}, {"height", 60}},
            {{"id", 8}, {"file_name", "b.png"}, {"width", 90}, {"height", 60}}}},
          {"categories", {{{"id", 3}, {"name", "thing"}}}},
          {"annotations",
           {{{"id", 1},
             {"image_id", 7},
             {"category_id", 3},
             {"iscrowd", 0},
             {"segmentation", {{10, 10, 30, 10, 30, 30, 10, 30}}}},
            {{"id", 2},
             {"image_id", 7},
             {"iscrowd", 0},
             {"segmentation",
              {{"size", {60, 90}}, {"counts", box_mask(50, 10, 30, 30).rle().string()}}}},
            {{"id", 3},
             {"image_id", 7},
             {"iscrowd", 1},
             {"segmentation", {{"size", {60, 90}}, {"counts", {5400}}}}}}}};
}

TEST_F(Evaluation, ReadsCoco) {
  for (const char* place : {"coco/instances.json", "coco/annotations/instances_images.json"}) {
    SCOPED_TRACE(place);
    fs::remove_all(temp_.path() / "coco");
    picture().write_png(make("coco/images/a.png"));
    picture().write_png(make("coco/images/b.png"));
    make(place);
    const std::string file = temp_.write(place, coco().dump());
    for (const std::string& path : {(temp_.path() / "coco").string(), file}) {
      const auto data = learn::open_mask_data(path, "", MaskKind::automatic);
      ASSERT_EQ(data.size(), 1u);
      EXPECT_STREQ(data[0]->layout(), "coco");
      EXPECT_EQ(data[0]->size(), 1u);
      EXPECT_EQ(data[0]->pictures_without_masks, 1);
      const learn::Example example = data[0]->load(0, {});
      ASSERT_EQ(example.objects.size(), 2u);
      EXPECT_EQ(example.objects[0].name, "thing");
      EXPECT_EQ(example.objects[0].mask, box_mask(10, 10, 20, 20).rle());
      EXPECT_EQ(example.objects[1].mask, box_mask(50, 10, 30, 30).rle());
      EXPECT_EQ(example.left_out, 1);
    }
  }
}

TEST_F(Evaluation, MalformedCocoIsAnErrorThatSaysWhere) {
  const auto refuse = [&](const json& document, const std::string& part) {
    make("bad/x");
    temp_.write("bad/a.json", document.dump());
    expect_refused("bad", Kind::input, part);
  };
  json bad = coco();
  bad["images"][0]["width"] = -1;
  refuse(bad, "image 1: 'width'");
  bad = coco();
  bad["images"][1]["id"] = 7;
  refuse(bad, "image 2: its id");
  bad = coco();
  bad["annotations"][1]["image_id"] = 99;
  refuse(bad, "annotation 2: there is no image");
  bad = coco();
  bad["annotations"][0]["segmentation"] = {{1, 2, 3}};
  refuse(bad, "annotation 1: a polygon");
  bad = coco();
  bad["annotations"][0]["segmentation"] = "x";
  refuse(bad, "annotation 1: 'segmentation'");
  bad = coco();
  bad["annotations"][0] = 5;
  refuse(bad, "annotation 1: 'image_id' is missing");
}

TEST_F(Evaluation, BrokenPicturesAreFailuresAndTheRestIsMeasured) {
  numbered().write_png(make("set/masks/a.png"));
  temp_.write("set/masks/b.png", std::string("no picture"));
  Image(50, 50, 3).write_png(make("set/images/c.png"));
  box_mask(1, 1, 20, 20).write_png(make("set/masks/c.png"));
  const SegmentationReport report = run("set", {.max_clicks = 5});
  EXPECT_EQ(report.sets[0].objects.size(), 2u);
  ASSERT_EQ(report.sets[0].failures.size(), 2u);
  EXPECT_EQ(report.sets[0].failures[0].picture, "b.png");
  EXPECT_NE(report.sets[0].failures[1].message.find("50x50 pixels, but its masks are 90x60"),
            std::string::npos)
      << report.sets[0].failures[1].message;
}

TEST_F(Evaluation, AFolderOfDataSetsIsEachWithTheSameWeight) {
  box_mask(20, 10, 40, 30).write_png(make("all/one/masks/a.png"));
  picture().write_png(make("all/one/images/a.png"));
  numbered().write_png(make("all/two/masks/a.png"));
  picture().write_png(make("all/two/images/a.png"));
  const SegmentationReport report = run("all");
  ASSERT_EQ(report.sets.size(), 2u);
  EXPECT_EQ(report.sets[1].name, "two");
  EXPECT_DOUBLE_EQ(report.mean.click_miou[0],
                   (report.sets[0].click_miou[0] + report.sets[1].click_miou[0]) / 2);
  EXPECT_DOUBLE_EQ(report.mean.noc[0].mean,
                   (report.sets[0].noc[0].mean + report.sets[1].noc[0].mean) / 2);
}

TEST_F(Evaluation, RefusesWhatIsNoDataSetAndOptionsOutOfRange) {
  make("empty/x");
  expect_refused("empty", Kind::input, "no data set found");
  expect_refused("absent", Kind::missing, "no such folder");
  make("broken/x");
  temp_.write("broken/index.csv", std::string("image,mask\nonly one\n"));
  expect_refused("broken", Kind::input, "index.csv: line 2");
  temp_.write("broken/index.csv", std::string("a,\"b\n"));
  expect_refused("broken", Kind::input, "a quote that does not end");
  numbered().write_png(make("set/masks/a.png"));
  for (const EvaluationOptions& options :
       {EvaluationOptions{.clicks = 0}, EvaluationOptions{.max_clicks = 0},
        EvaluationOptions{.targets = {}}, EvaluationOptions{.targets = {0}},
        EvaluationOptions{.targets = {1.5}}, EvaluationOptions{.targets = {std::nan("")}}}) {
    const std::vector<std::string> data = {(temp_.path() / "set").string()};
    EXPECT_THROW(evaluate_segmentation(sam_, data, options), Error);
  }
}

TEST_F(Evaluation, StopsWhenAskedTo) {
  numbered().write_png(make("set/masks/a.png"));
  EvaluationOptions options;
  options.progress = [](int64_t, int64_t) { return false; };
  try {
    run("set", options);
    ADD_FAILURE() << "went on";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Kind::interrupted);
  }
}

}  // namespace
}  // namespace beckon::test
