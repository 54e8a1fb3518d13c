// The data engine's arithmetic: doubt, duplicates, samples, made pictures, simulated annotators.
#include "beckon/engine.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "beckon/annotation.h"
#include "beckon/error.h"
#include "beckon/mask.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

constexpr ImageSize kSize{100, 80};

Rle box_mask(int x, int y, int width, int height, ImageSize size = kSize) {
  return Mask::from_box({x, y, width, height}, size).rle();
}

GeneratedMask generated(const Rle& mask, float iou = 0.9f, double stability = 0.96) {
  GeneratedMask made{mask};
  made.area = mask.area();
  made.predicted_iou = iou;
  made.stability_score = stability;
  return made;
}

void expect_usage(const std::function<void()>& work, const std::string& part) {
  expect_error(Kind::usage, part, work);
}

TEST(Doubt, IsWhatTheDocumentSays) {
  EXPECT_DOUBLE_EQ(doubt_of(1, 1, 0), 0);
  EXPECT_DOUBLE_EQ(doubt_of(0.9, 0.8, 0), 1 - 0.72);
  EXPECT_DOUBLE_EQ(doubt_of(0.9, 0.8, 0.5), 1 - 0.36);
  EXPECT_DOUBLE_EQ(doubt_of(1.3, 1, 0), 0);  // models think so now and then
  EXPECT_DOUBLE_EQ(doubt_of(-0.2, 1, 0), 1);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double d : {doubt_of(nan, 1, 0), doubt_of(1, nan, 0), doubt_of(1, 1, nan)})
    EXPECT_DOUBLE_EQ(d, 1);
}

TEST(StageOptions, AreStricterInStage2) {
  const ProposalOptions two = stage_options(2), three = stage_options(3);
  EXPECT_GT(two.generator.pred_iou_thresh, three.generator.pred_iou_thresh);
  EXPECT_GT(two.generator.stability_score_thresh, three.generator.stability_score_thresh);
  EXPECT_EQ(three.generator.points_per_side, 32);
  EXPECT_GE(three.generator.crop_n_layers, 1);
  expect_usage([] { stage_options(1); }, "stage 1");
  ProposalOptions wrong = three;
  for (const double value : {0.0, 1.1, std::nan("")}) {
    wrong = three;
    wrong.duplicate_iou = value;
    expect_usage([&] { check(wrong); }, "duplicate IoU");
    wrong = three;
    wrong.most_cover = value;
    expect_usage([&] { check(wrong); }, "most cover");
  }
  wrong = three;
  wrong.least_area = -1;
  expect_usage([&] { check(wrong); }, "least area");
}

TEST(Proposals, LeaveOutWhatIsThereTooLargeOrTooSmall) {
  const std::vector<Rle> present = {box_mask(0, 0, 20, 20)};
  const Proposals chosen = select_proposals(
      {
          generated(box_mask(1, 0, 20, 20)),           // 380 / 420 of what is there
          generated(box_mask(50, 50, 5, 5)),           // 25 pixels
          generated(box_mask(0, 0, 100, 78)),          // 97.5 % of the photo
          generated(box_mask(60, 10, 20, 20), 0.88f),  // the worse of two
          generated(box_mask(60, 11, 20, 20), 0.95f),
          generated(box_mask(10, 0, 20, 20), 0.99f),  // 200 / 600 of what is there
      },
      present, stage_options(3));
  EXPECT_EQ(chosen.duplicates, 2);
  EXPECT_EQ(chosen.too_small, 1);
  EXPECT_EQ(chosen.too_large, 1);
  ASSERT_EQ(chosen.kept.size(), 2u);
  EXPECT_EQ(chosen.kept[0].mask.segmentation, box_mask(60, 11, 20, 20));
  EXPECT_EQ(chosen.kept[0].overlap, 0);
  EXPECT_NEAR(chosen.kept[0].doubt, 1 - 0.95 * 0.96, 1e-6);
  EXPECT_DOUBLE_EQ(chosen.kept[1].overlap, 1.0 / 3);
  EXPECT_NEAR(chosen.kept[1].doubt, 1 - 0.99 * 0.96 * (2.0 / 3), 1e-6);
}

TEST(Proposals, MeasureOverlapAmongThemselves) {
  const Proposals chosen =
      select_proposals({generated(box_mask(10, 10, 20, 20)), generated(box_mask(20, 10, 20, 20))},
                       {}, stage_options(3));
  ASSERT_EQ(chosen.kept.size(), 2u);
  for (const Proposal& proposal : chosen.kept) EXPECT_DOUBLE_EQ(proposal.overlap, 1.0 / 3);
}

TEST(Proposals, RefuseObjectsOfAnotherSize) {
  const std::vector<Rle> other = {box_mask(0, 0, 9, 9, {50, 50})};
  expect_usage(
      [&] { select_proposals({generated(box_mask(0, 0, 20, 20))}, other, stage_options(3)); },
      "50x50");
}

TEST(Sample, IsRandomAndGrows) {
  int small = 0, large = 0, other = 0, same = 0;
  for (int i = 0; i < 1000; ++i) {
    const Rle mask = box_mask(i % 40, i / 40, 10, 10);
    const bool in_small = in_sample("photo", mask, 0.1, 7);
    const bool in_large = in_sample("photo", mask, 0.4, 7);
    const bool in_other = in_sample("photo", mask, 0.4, 8);
    EXPECT_TRUE(in_large || !in_small);
    small += in_small;
    large += in_large;
    other += in_other;
    same += in_large && in_other;
    EXPECT_FALSE(in_sample("photo", mask, 0, 7));
    EXPECT_TRUE(in_sample("photo", mask, 1, 7));
  }
  // Four standard deviations, which are at most 16.
  EXPECT_NEAR(small, 100, 40);
  EXPECT_NEAR(large, 400, 64);
  EXPECT_NEAR(other, 400, 64);
  EXPECT_NEAR(same, 160, 64);
}

TEST(MadePictures, AreTheSameForTheSameSeed) {
  const MadeSetOptions options{.pictures = 2, .objects = 5, .size = {160, 120}, .seed = 3};
  const auto first = make_pictures(options), again = make_pictures(options);
  ASSERT_EQ(first.size(), 2u);
  EXPECT_FALSE(first[0].image == first[1].image);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(first[i].image == again[i].image);
    ASSERT_FALSE(first[i].objects.empty());
    Mask taken(options.size);
    for (const Rle& object : first[i].objects) {
      EXPECT_GE(object.area(), 200);
      const Mask mask = Mask::from_rle(object);
      EXPECT_EQ((mask & taken).area(), 0);  // what is to be seen belongs to one object
      taken = taken | mask;
    }
  }
  MadeSetOptions other = options;
  other.seed = 4;
  EXPECT_FALSE(make_pictures(other)[0].image == first[0].image);
  for (const MadeSetOptions& wrong :
       {MadeSetOptions{.pictures = 0}, MadeSetOptions{.objects = 101},
        MadeSetOptions{.size = {63, 480}}, MadeSetOptions{.size = {640, 4097}}})
    expect_usage([&] { make_pictures(wrong); }, "expected");
}

class Simulation : public ::testing::Test {
 protected:
  Simulation()
      : sam_(Sam::load(
            (fs::path(BECKON_SOURCE_DIR) / "tests/goldens/sam/odd_75x113/weights.safetensors")
                .string())) {
    options_.most_clicks = 2;
    options_.proposals.generator.points_per_side = 3;
    options_.proposals.generator.pred_iou_thresh = 0;
    options_.proposals.generator.stability_score_thresh = 0;
  }
  // A square of 40 pixels, so that its outline has four corners.
  static MadePicture square() {
    Image image(120, 100, 3);
    for (int y = 30; y < 70; ++y) {
      uint8_t* row = image.mutable_row(y);
      for (int x = 3 * 40; x < 3 * 80; ++x) row[x] = 200;
    }
    return {image, {Mask::from_box({40, 30, 40, 40}, {120, 100}).rle()}};
  }
  Sam sam_;
  SimulationOptions options_;
};

TEST_F(Simulation, CountsWhatAPersonDoes) {
  const MadePicture picture = square();
  const SimulationReport report = simulate_annotator(sam_, std::span(&picture, 1), options_);
  EXPECT_EQ(report.pictures, 1);
  EXPECT_EQ(report.objects, 1);
  // Find it, four corners, judge it, a key.
  EXPECT_EQ(report.polygons.clicks, 4);
  EXPECT_EQ(report.polygons.keystrokes, 1);
  EXPECT_NEAR(report.polygons.seconds, 1.35 + 4 * (1.1 + 0.2) + 1.35 + 0.28, 1e-9);
  EXPECT_DOUBLE_EQ(report.polygons.mean_iou, 1);
  EXPECT_EQ(report.polygons.by_hand, 1);
  // Random weights are of no help: two clicks, each looked at, and the outline after all.
  EXPECT_EQ(report.assisted.by_hand, 1);
  EXPECT_EQ(report.assisted.clicks, 2 + 4);
  EXPECT_NEAR(report.assisted.seconds, report.polygons.seconds + 2 * (1.3 + 1.35), 1e-9);
  const AnnotationCost& semi = report.semi_automatic;
  EXPECT_EQ(semi.accepted + semi.fixed + semi.rejected, semi.proposed);
  EXPECT_EQ(semi.by_hand, 1);
  EXPECT_EQ(semi.keystrokes, semi.proposed + 1);
}

TEST_F(Simulation, AnythingIsGoodEnoughForALowTarget) {
  const MadePicture picture = square();
  options_.target = 1e-9;
  options_.most_clicks = 10;
  const SimulationReport report = simulate_annotator(sam_, std::span(&picture, 1), options_);
  EXPECT_EQ(report.polygons.clicks, 3);  // no outline has fewer corners
  EXPECT_EQ(report.assisted.by_hand, 0);
  EXPECT_GT(report.assisted.mean_iou, 0);
  EXPECT_EQ(report.assisted.keystrokes, 1);
  EXPECT_NEAR(report.assisted.seconds,
              1.35 + static_cast<double>(report.assisted.clicks) * (1.3 + 1.35) + 0.28, 1e-9);
}

TEST_F(Simulation, ReadsDataSetsAndNamesWhatFails) {
  const TempDir dir;
  const MadePicture picture = square();
  picture.image.write_png(dir / "a.png");
  dir.write("b.png", std::string("no picture"));
  Dataset data;
  for (const char* name : {"a.png", "b.png"}) {
    data.images.push_back({name, 120, 100, 0, {}});
    Annotation one;
    one.image = data.images.size() - 1;
    one.category = data.category("square");
    one.shape = picture.objects[0];
    data.annotations.push_back(one);
  }
  write_annotations(data, dir / "instances.json", "coco");
  int64_t last = -1;
  options_.progress = [&](int64_t done, int64_t total) {
    EXPECT_EQ(total, 2);
    last = done;
    return true;
  };
  const SimulationReport report = simulate_annotator(sam_, dir.path().string(), options_);
  EXPECT_EQ(last, 2);
  EXPECT_EQ(report.pictures, 1);
  ASSERT_EQ(report.failures.size(), 1u);
  EXPECT_NE(report.failures[0].message.find("b.png"), std::string::npos);
  EXPECT_EQ(report.polygons.clicks, 4);
  options_.progress = [](int64_t, int64_t) { return false; };
  EXPECT_THROW(simulate_annotator(sam_, dir.path().string(), options_), Error);
}

TEST_F(Simulation, RefusesWhatIsOutOfRange) {
  const MadePicture picture = square();
  const auto with = [&](auto change, const std::string& part) {
    SimulationOptions wrong = options_;
    change(wrong);
    expect_usage([&] { simulate_annotator(sam_, std::span(&picture, 1), wrong); }, part);
  };
  with([](auto& o) { o.target = 0; }, "target");
  with([](auto& o) { o.target = std::nan(""); }, "target");
  with([](auto& o) { o.most_clicks = 0; }, "most clicks");
  with([](auto& o) { o.repairable = 2; }, "repairable");
  with([](auto& o) { o.time.think = -1; }, "seconds");
  with([](auto& o) { o.time.point = std::nan(""); }, "seconds");
  with([](auto& o) { o.proposals.generator.points_per_side = -1; }, "points");
  expect_usage([&] { simulate_annotator(sam_, std::span<const MadePicture>(), options_); },
               "no picture");
}

}  // namespace
}  // namespace beckon::test
