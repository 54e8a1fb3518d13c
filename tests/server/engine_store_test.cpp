// What the data engine keeps: runs that add nothing twice, human work that stays, the queue.
#include "engine_store.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "annotation_state.h"
#include "beckon/mask.h"
#include "engine_export.h"
#include "prompts.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using server::AnnotationStore;
using server::EngineRun;
using server::EngineStore;
using server::Json;
using server::StoredAnnotation;

constexpr ImageSize kEngineSize{200, 100};
const server::AnnotatedPhoto kFirstPhoto{"p1", "a.png", kEngineSize};
const server::AnnotatedPhoto kSecondPhoto{"p2", "b.png", kEngineSize};

Rle box_at(int x, int y = 10, int side = 20) {
  return Mask::from_box({x, y, side, side}, kEngineSize).rle();
}

GeneratedMask mask_at(int x, float iou = 0.95f, double stability = 0.98) {
  GeneratedMask mask{box_at(x)};
  mask.area = mask.segmentation.area();
  mask.predicted_iou = iou;
  mask.stability_score = stability;
  mask.point = {x + 10.0, 20.0};
  mask.crop_box = {0, 0, kEngineSize.width, kEngineSize.height};
  return mask;
}

std::string human_state(const Rle& rle) {
  Json state = server::read_state({{"label", "mine"}, {"rle", server::rle_json(rle)}}, kEngineSize);
  state["engine"] = {{"stage", 1}};
  return state.dump();
}

EngineRun run_of(int stage, double share = 0) {
  EngineRun run;
  run.stage = stage;
  run.proposals = stage_options(stage);
  run.model = "abc";
  run.share = share;
  return run;
}

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() : path_(dir_ / "a.db"), store_(path_, true), engine_(store_) {}
  std::vector<std::string> reviews(const server::AnnotatedPhoto& photo = kFirstPhoto) const {
    std::vector<std::string> all;
    for (const StoredAnnotation& object : store_.list(photo.id))
      all.emplace_back(server::word_of_state(Json::parse(object.state)));
    return all;
  }
  void expect_whole() const {
    const auto report = store_.check();
    EXPECT_TRUE(report.problems.empty()) << report.problems.front();
  }
  TempDir dir_;
  std::string path_;
  AnnotationStore store_;
  EngineStore engine_;
};

using Words = std::vector<std::string>;

TEST_F(EngineTest, ARunAddsOnce) {
  const EngineRun run = run_of(3);
  EXPECT_FALSE(engine_.done(kFirstPhoto.id, run));
  const auto added = engine_.add(kFirstPhoto, run, {mask_at(0), mask_at(50), mask_at(51)}, 2.5);
  EXPECT_EQ(added.made, 2);
  EXPECT_EQ(added.duplicates, 1);
  EXPECT_EQ(added.in_review, 0);
  EXPECT_TRUE(engine_.done(kFirstPhoto.id, run));
  EXPECT_FALSE(engine_.done(kSecondPhoto.id, run));
  EXPECT_EQ(engine_.add(kFirstPhoto, run, {mask_at(100)}, 1).made, 0);
  EXPECT_EQ(reviews(), (Words{"unreviewed", "unreviewed"}));

  // Another recipe is another run, which adds what is new alone.
  EngineRun other = run;
  other.proposals.least_area = 50;
  EXPECT_NE(other.recipe_id(), run.recipe_id());
  const auto more = engine_.add(kFirstPhoto, other, {mask_at(0), mask_at(100)}, 1);
  EXPECT_EQ(more.made, 1);
  EXPECT_EQ(more.duplicates, 1);
  // Batches and samples are no part of it.
  EngineRun same = run;
  same.proposals.generator.points_per_batch = 3;
  same.share = 1;
  same.seed = 9;
  EXPECT_EQ(same.recipe_id(), run.recipe_id());
  expect_whole();
}

TEST_F(EngineTest, HumanWorkIsNeverTouched) {
  const StoredAnnotation mine = store_.create(kFirstPhoto, human_state(box_at(2)), "ann");
  engine_.add(kFirstPhoto, run_of(3, 1), {mask_at(0, 0.999f, 1), mask_at(60)}, 1);
  EXPECT_EQ(store_.find(mine.id)->state, mine.state);
  EXPECT_EQ(store_.find(mine.id)->version, 1);
  EXPECT_EQ(reviews(), (Words{"made", "pending"}));

  // What a person reviewed stays as well, whatever is run.
  StoredAnnotation object = engine_.queue(std::nullopt, 1).front();
  object = *engine_.accept(object, "ann", 2.0);
  EngineRun again = run_of(3, 1);
  again.proposals.duplicate_iou = 0.6;
  EXPECT_EQ(engine_.add(kFirstPhoto, again, {mask_at(61, 0.999f, 1)}, 1).made, 0);
  EXPECT_EQ(engine_.draw_sample(kFirstPhoto.id, again), 0);
  EXPECT_EQ(store_.find(object.id)->state, object.state);
  EXPECT_EQ(reviews(), (Words{"made", "accepted"}));
  expect_whole();
}

TEST_F(EngineTest, WhatWasRejectedDoesNotComeAgain) {
  engine_.add(kFirstPhoto, run_of(2, 1), {mask_at(0), mask_at(50)}, 1);
  const auto list = store_.list(kFirstPhoto.id);
  EXPECT_TRUE(engine_.reject(list[0], "ann", 1.5));
  EXPECT_FALSE(engine_.reject(list[0], "ann", 1.5));  // another version by now
  EXPECT_TRUE(store_.remove(list[1].id, 1, "ann"));   // on the page, say
  EXPECT_EQ(engine_.add(kFirstPhoto, run_of(3), {mask_at(0), mask_at(50)}, 1).made, 0);
  EXPECT_EQ(engine_.status().stages.at(2).states.at("rejected"), 2);
  EXPECT_EQ(engine_.rejected(kFirstPhoto.id).size(), 2u);
  EXPECT_EQ(store_.history(list[0].id, 0, 10).back().action, "reject");

  // Undo brings back what a person took away, not more.
  EXPECT_TRUE(store_.undo(kFirstPhoto.id, "ann"));
  EXPECT_TRUE(store_.undo(kFirstPhoto.id, "ann"));
  EXPECT_FALSE(store_.undo(kFirstPhoto.id, "ann"));
  EXPECT_EQ(reviews(), (Words{"pending", "pending"}));
  EXPECT_EQ(engine_.pending(), 2);
  expect_whole();
}

TEST_F(EngineTest, APersonsUndoneObjectIsNoRejection) {
  store_.create(kFirstPhoto, human_state(box_at(0)), "ann");
  store_.undo(kFirstPhoto.id, "ann");
  EXPECT_EQ(engine_.add(kFirstPhoto, run_of(3), {mask_at(0)}, 1).made, 1);
}

TEST_F(EngineTest, TheQueueBeginsWithTheLargestDoubt) {
  engine_.add(kFirstPhoto, run_of(2, 1),
              {mask_at(0, 0.95f), mask_at(50, 0.99f), mask_at(100, 0.93f)}, 1);
  engine_.add(kSecondPhoto, run_of(2, 1), {mask_at(0, 0.95f), mask_at(60, 0.5f)}, 1);
  std::vector<double> doubts;
  std::vector<int64_t> ids;
  std::optional<server::QueuePlace> after;
  for (int page = 0; page < 5; ++page) {
    const auto list = engine_.queue(after, 2);
    for (const StoredAnnotation& object : list) {
      doubts.push_back(*server::engine_marks(object.state).doubt);
      ids.push_back(object.id);
    }
    if (list.size() < 2) break;
    after = {doubts.back(), ids.back()};
  }
  ASSERT_EQ(doubts.size(), 5u);
  EXPECT_TRUE(std::is_sorted(doubts.rbegin(), doubts.rend()));
  EXPECT_NEAR(doubts[0], 1 - 0.5 * 0.98, 1e-6);
  EXPECT_EQ(doubts[2], doubts[3]);  // the same masks of two photos
  EXPECT_LT(ids[2], ids[3]);
  EXPECT_EQ(std::set<int64_t>(ids.begin(), ids.end()).size(), 5u);
}

TEST_F(EngineTest, ASampleCanBeMadeLarger) {
  std::vector<GeneratedMask> masks;
  for (int i = 0; i < 8; ++i) masks.push_back(mask_at(22 * i));
  const auto added = engine_.add(kFirstPhoto, run_of(3, 0.3), masks, 1);
  EXPECT_EQ(added.made, 8);
  EXPECT_EQ(engine_.pending(), added.in_review);
  EXPECT_EQ(engine_.draw_sample(kFirstPhoto.id, run_of(3, 0.3)), 0);
  EXPECT_EQ(engine_.draw_sample(kFirstPhoto.id, run_of(2, 1)), 0);  // of another stage
  EXPECT_EQ(engine_.draw_sample(kFirstPhoto.id, run_of(3, 1)), 8 - added.in_review);
  EXPECT_EQ(engine_.pending(), 8);
  EXPECT_FALSE(store_.undo(kFirstPhoto.id, "ann"));  // nothing of it was a person's
  expect_whole();
}

TEST_F(EngineTest, SecondsAreCountedByStage) {
  const StoredAnnotation first = store_.create(kFirstPhoto, human_state(box_at(150)), "ann");
  engine_.log(first, 1, "create", 8, "ann");
  engine_.log(first, 1, "create", 8, "ann");  // the same request again
  engine_.log(first, 1, "change", 2, "ann");
  engine_.add(kFirstPhoto, run_of(2, 1), {mask_at(0), mask_at(50), mask_at(100)}, 6);
  EXPECT_EQ(engine_.stage_of_person(kFirstPhoto.id), 2);
  EXPECT_EQ(engine_.stage_of_person(kSecondPhoto.id), 1);
  const auto list = engine_.queue(std::nullopt, 3);
  ASSERT_EQ(list.size(), 3u);
  const auto accepted = engine_.accept(list[0], "ann", 1);
  Json state = Json::parse(list[1].state);
  state["rle"] = server::rle_json(box_at(101, 12));
  const auto fixed = engine_.fix(list[1], server::read_state(state, kEngineSize), "ann", 5);
  ASSERT_TRUE(fixed);
  EXPECT_EQ(server::word_of_state(Json::parse(fixed->state)), std::string("fixed"));
  engine_.reject(list[2], "ann", std::nullopt);
  const EngineStore::Status status = engine_.status();
  EXPECT_EQ(status.stages.at(1).timed, 1);
  EXPECT_EQ(status.stages.at(1).seconds, 10);
  EXPECT_EQ(status.stages.at(2).timed, 2);
  EXPECT_EQ(status.stages.at(2).seconds, 6);
  EXPECT_EQ(status.stages.at(2).work.at("fix").seconds, 5);
  EXPECT_EQ(status.stages.at(2).proposed, 3);
  EXPECT_EQ(status.stages.at(2).machine_seconds, 6);
  EXPECT_EQ(status.stages.at(2).states,
            (std::map<std::string, int64_t>{{"accepted", 1}, {"fixed", 1}, {"rejected", 1}}));
  EXPECT_EQ(status.pending, 0);
  EXPECT_EQ(status.objects, 3);
  // A fixed one that is accepted again stays fixed.
  const auto again = engine_.accept(*fixed, "bob", std::nullopt);
  EXPECT_EQ(server::word_of_state(Json::parse(again->state)), std::string("fixed"));
  EXPECT_FALSE(engine_.accept(list[0], "bob", std::nullopt));
  expect_whole();
}

TEST_F(EngineTest, ExportsSayWhereMasksAreFrom) {
  store_.create(kFirstPhoto, human_state(box_at(150)), "ann");
  const EngineRun run = run_of(2, 1);
  engine_.add(kFirstPhoto, run, {mask_at(0), mask_at(50, 0.93f), mask_at(100, 0.92f)}, 6);
  const auto list = engine_.queue(std::nullopt, 3);
  engine_.reject(list[0], "ann", std::nullopt);
  engine_.accept(list[1], "bob", 2);

  const Dataset all = server::engine_dataset(store_, {}, true);
  EXPECT_EQ(all.annotations.size(), 3u);
  const Dataset reviewed = server::engine_dataset(store_, {{"accepted"}, {}}, true);
  ASSERT_EQ(reviewed.annotations.size(), 1u);
  const Annotation& one = reviewed.annotations.front();
  EXPECT_FLOAT_EQ(static_cast<float>(*one.predicted_iou), 0.93f);
  EXPECT_DOUBLE_EQ(*one.stability, 0.98);
  ASSERT_EQ(one.points.size(), 1u);
  EXPECT_EQ(one.points[0].x, 60);
  EXPECT_EQ(one.crop->width, kEngineSize.width);
  EXPECT_EQ(one.category, -1);
  const Json extra = Json::parse(one.extra);
  EXPECT_EQ(extra.at("state"), "accepted");
  EXPECT_EQ(extra.at("stage"), 2);
  EXPECT_EQ(extra.at("model"), "abc");
  EXPECT_EQ(extra.at("recipe"), run.recipe_id());
  EXPECT_EQ(extra.at("history")[0].at("who"), "engine");
  EXPECT_EQ(extra.at("history")[1].at("who"), "bob");
  const Json beside = Json::parse(reviewed.images.front().extra).at("sa1b").at("beckon");
  EXPECT_EQ(beside.at("recipes").at(run.recipe_id()), run.recipe());

  EXPECT_EQ(server::engine_dataset(store_, {{"rejected"}, {}}, false).annotations.size(), 1u);
  EXPECT_EQ(server::engine_dataset(store_, {{}, {1}}, false).annotations.size(), 1u);
  EXPECT_EQ(server::engine_dataset(store_, {server::engine_states(), {}}, false).annotations.size(),
            4u);
}

TEST_F(EngineTest, CountsSeeWhatOtherProcessesWrite) {
  EXPECT_EQ(store_.count(kFirstPhoto.id), 0);
  AnnotationStore other(path_, true);
  EngineStore(other).add(kFirstPhoto, run_of(3), {mask_at(0)}, 1);
  EXPECT_EQ(store_.count(kFirstPhoto.id), 1);
}

}  // namespace
}  // namespace beckon::test
