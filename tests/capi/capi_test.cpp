// The C interface, mostly with arguments that make no sense.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "beckon/beckon.h"
#include "beckon/version.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

std::string model_path() {
  return std::string(BECKON_SOURCE_DIR) + "/tests/goldens/sam/odd_75x113/weights.safetensors";
}

class Capi : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(beckon_sam_load(model_path().c_str(), &sam), BECKON_OK) << beckon_last_error();
    pixels.resize(48 * 40 * 3);
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(i * 7 + i / 31);
    ASSERT_EQ(beckon_sam_encode(sam, &image, &seen), BECKON_OK) << beckon_last_error();
  }
  void TearDown() override {
    beckon_masks_free(masks);
    beckon_embedding_free(seen);
    beckon_sam_free(sam);
  }
  void expect_usage(beckon_status status, const std::string& part) {
    EXPECT_EQ(status, BECKON_USAGE);
    EXPECT_NE(std::string(beckon_last_error()).find(part), std::string::npos)
        << beckon_last_error();
  }

  std::vector<uint8_t> pixels = std::vector<uint8_t>(48 * 40 * 3);
  beckon_sam* sam = nullptr;
  beckon_image image{sizeof(beckon_image), pixels.data(), 48, 40, 3, 0};
  beckon_embedding* seen = nullptr;
  beckon_masks* masks = nullptr;
  beckon_point click{20, 20, 1};
  beckon_query query{sizeof(beckon_query), &click, 1, nullptr, nullptr, 0, -1};
  beckon_mask_info info{};
};

TEST_F(Capi, AClickBecomesMasks) {
  EXPECT_STREQ(beckon_version(), version());
  ASSERT_EQ(beckon_embedding_segment(seen, &query, &masks), BECKON_OK) << beckon_last_error();
  ASSERT_EQ(beckon_masks_count(masks), 3u);
  info.struct_size = sizeof info;
  float last = std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_EQ(beckon_masks_info(masks, i, &info), BECKON_OK);
    EXPECT_LE(info.score, last);
    last = info.score;
    EXPECT_EQ(info.image_width, 48);
    EXPECT_EQ(info.image_height, 40);
    std::vector<uint8_t> bitmap(60 * 40, 9);
    ASSERT_EQ(beckon_masks_bitmap(masks, i, bitmap.data(), bitmap.size(), 60), BECKON_OK);
    int64_t area = 0;
    for (int y = 0; y < 40; ++y) {
      for (int x = 0; x < 48; ++x) area += bitmap[static_cast<size_t>(y * 60 + x)];
      if (y < 39) {
        EXPECT_EQ(bitmap[static_cast<size_t>(y * 60 + 48)], 9) << "beyond a row";
      }
    }
    EXPECT_EQ(area, info.area);
    std::vector<float> logits(static_cast<size_t>(info.logits_width * info.logits_height));
    ASSERT_EQ(beckon_masks_logits(masks, i, logits.data(), logits.size()), BECKON_OK);
    const char* counts = nullptr;
    ASSERT_EQ(beckon_masks_rle(masks, i, &counts), BECKON_OK);
    EXPECT_GT(std::strlen(counts), 0u);
    // An answer refines itself.
    beckon_query again = query;
    again.mask_logits = logits.data();
    again.mask_logit_count = logits.size();
    again.multimask = 0;
    beckon_masks* refined = nullptr;
    ASSERT_EQ(beckon_embedding_segment(seen, &again, &refined), BECKON_OK) << beckon_last_error();
    EXPECT_EQ(beckon_masks_count(refined), 1u);
    beckon_masks_free(refined);
  }
}

TEST_F(Capi, ManyObjectsAreSingleOnesTogether) {
  const double box[4] = {3, 4, 30, 33};
  beckon_query queries[3] = {query, {sizeof(beckon_query), nullptr, 0, box, nullptr, 0, -1}, query};
  queries[2].multimask = 0;
  beckon_masks* answers[3] = {};
  ASSERT_EQ(beckon_embedding_segment_many(seen, queries, 3, answers), BECKON_OK)
      << beckon_last_error();
  EXPECT_EQ(beckon_masks_count(answers[0]), 3u);
  EXPECT_EQ(beckon_masks_count(answers[1]), 1u);
  EXPECT_EQ(beckon_masks_count(answers[2]), 1u);
  for (beckon_masks* answer : answers) beckon_masks_free(answer);
  EXPECT_EQ(beckon_embedding_segment_many(seen, nullptr, 0, nullptr), BECKON_OK);
}

TEST_F(Capi, EmbeddingsAreSavedAndLoaded) {
  const TempDir dir;
  ASSERT_EQ(beckon_embedding_save(seen, (dir / "e.safetensors").c_str()), BECKON_OK);
  beckon_embedding* again = nullptr;
  ASSERT_EQ(beckon_sam_load_embedding(sam, (dir / "e.safetensors").c_str(), &again), BECKON_OK);
  int32_t width = 0, height = 0;
  ASSERT_EQ(beckon_embedding_size(again, &width, &height), BECKON_OK);
  EXPECT_EQ(width, 48);
  EXPECT_EQ(height, 40);
  beckon_embedding_free(again);
  EXPECT_EQ(beckon_embedding_save(seen, "/nowhere/e.safetensors"), BECKON_OUTPUT);
  EXPECT_EQ(beckon_sam_encode_file(sam, "/nowhere.jpg", &again), BECKON_MISSING);
  EXPECT_EQ(beckon_sam_encode_file(sam, model_path().c_str(), &again), BECKON_DATA);
}

TEST_F(Capi, NullIsSaid) {
  beckon_sam* other = nullptr;
  expect_usage(beckon_sam_load(nullptr, &other), "name_or_path is NULL");
  expect_usage(beckon_sam_load("x", nullptr), "sam is NULL");
  expect_usage(beckon_sam_encode(nullptr, &image, &seen), "sam is NULL");
  expect_usage(beckon_sam_encode(sam, nullptr, &seen), "image is NULL");
  expect_usage(beckon_sam_encode(sam, &image, nullptr), "embedding is NULL");
  expect_usage(beckon_embedding_segment(nullptr, &query, &masks), "embedding is NULL");
  expect_usage(beckon_embedding_segment(seen, nullptr, &masks), "query is NULL");
  expect_usage(beckon_masks_info(nullptr, 0, &info), "struct_size");
  info.struct_size = sizeof info;
  expect_usage(beckon_masks_info(nullptr, 0, &info), "masks is NULL");
  beckon_query pointless = query;
  pointless.points = nullptr;
  expect_usage(beckon_embedding_segment(seen, &pointless, &masks), "query.points is NULL");
  EXPECT_EQ(beckon_masks_count(nullptr), 0u);
  beckon_masks_free(nullptr);
  beckon_embedding_free(nullptr);
  beckon_sam_free(nullptr);
  EXPECT_EQ(masks, nullptr) << "results stay as they were";
}

TEST_F(Capi, NonsenseIsSaid) {
  beckon_sam* none = nullptr;
  EXPECT_EQ(beckon_sam_load("/nowhere/sam.pth", &none), BECKON_MISSING);
  EXPECT_EQ(beckon_sam_load("no-such-model", &none), BECKON_UNAVAILABLE);
  const auto with = [&](auto change) {
    beckon_image bad = image;
    change(bad);
    beckon_embedding* result = nullptr;
    const beckon_status status = beckon_sam_encode(sam, &bad, &result);
    EXPECT_EQ(result, nullptr);
    return status;
  };
  expect_usage(with([](auto& i) { i.struct_size = 8; }), "struct_size");
  expect_usage(with([](auto& i) { i.width = 0; }), "0x40");
  expect_usage(with([](auto& i) { i.height = -5; }), "48x-5");
  expect_usage(with([](auto& i) { i.width = i.height = 1'000'000; }), "1000000x1000000");
  expect_usage(with([](auto& i) { i.channels = 2; }), "2 channels");
  expect_usage(with([](auto& i) { i.stride = 100; }), "stride of 100");
  expect_usage(with([](auto& i) { i.pixels = nullptr; }), "image.pixels is NULL");

  const auto ask = [&](auto change) {
    beckon_query bad = query;
    change(bad);
    return beckon_embedding_segment(seen, &bad, &masks);
  };
  beckon_point odd{1, 1, 7}, lost{NAN, 1, 1};
  const double box[4] = {0, 0, INFINITY, 5};
  const float logits[3] = {1, 2, 3};
  expect_usage(ask([&](auto& q) { q.points = &odd; }), "label 7");
  EXPECT_EQ(ask([&](auto& q) { q.points = &lost; }), BECKON_USAGE);
  EXPECT_EQ(ask([&](auto& q) { q.box = box; }), BECKON_USAGE);
  EXPECT_EQ(ask([&](auto& q) { q.mask_logits = logits, q.mask_logit_count = 3; }), BECKON_USAGE);
  expect_usage(ask([&](auto& q) { q.multimask = 5; }), "multimask is 5");
  expect_usage(ask([&](auto& q) { q.point_count = SIZE_MAX; }), "points");
  EXPECT_EQ(masks, nullptr);

  ASSERT_EQ(beckon_embedding_segment(seen, &query, &masks), BECKON_OK);
  info.struct_size = sizeof info;
  expect_usage(beckon_masks_info(masks, 3, &info), "no mask 3");
  uint8_t small[10];
  expect_usage(beckon_masks_bitmap(masks, 0, small, sizeof small, 0), "do not hold");
  expect_usage(beckon_masks_bitmap(masks, 0, small, SIZE_MAX, 3), "do not hold");
  float few[10];
  expect_usage(beckon_masks_logits(masks, 0, few, 10), "room for 10");
}

TEST_F(Capi, EverythingModeAndItsProgress) {
  beckon_generator_options options;
  ASSERT_EQ(beckon_generator_options_init(&options, sizeof options), BECKON_OK);
  EXPECT_EQ(options.points_per_side, 32);
  options.points_per_side = 3;
  options.points_per_batch = 3;
  options.pred_iou_thresh = -1;
  options.stability_score_thresh = 0;
  int calls = 0;
  const auto count = [](int64_t, int64_t, void* user) { return ++*static_cast<int*>(user), 0; };
  ASSERT_EQ(beckon_sam_generate(sam, &image, &options, count, &calls, &masks), BECKON_OK)
      << beckon_last_error();
  EXPECT_GE(calls, 3);
  ASSERT_GT(beckon_masks_count(masks), 0u);
  info.struct_size = sizeof info;
  ASSERT_EQ(beckon_masks_info(masks, 0, &info), BECKON_OK);
  EXPECT_EQ(info.token, -1);
  EXPECT_TRUE(std::isfinite(info.point_x));
  float logit;
  expect_usage(beckon_masks_logits(masks, 0, &logit, 1), "no logits");
  beckon_masks* none = nullptr;
  EXPECT_EQ(beckon_sam_generate(
                sam, &image, &options, [](int64_t, int64_t, void*) { return 1; }, nullptr, &none),
            BECKON_INTERRUPTED);
  options.points_per_side = -4;
  EXPECT_EQ(beckon_sam_generate(sam, &image, &options, nullptr, nullptr, &none), BECKON_USAGE);
  expect_usage(beckon_generator_options_init(&options, 12), "struct_size is 12");
  EXPECT_EQ(none, nullptr);
}

TEST_F(Capi, ErrorsBelongToTheirThread) {
  expect_usage(beckon_sam_load(nullptr, &sam), "NULL");
  std::string other = "?";
  std::thread([&] { other = beckon_last_error(); }).join();
  EXPECT_EQ(other, "");
}

TEST_F(Capi, HandlesKeepWhatTheyNeed) {
  beckon_sam_free(sam);
  sam = nullptr;
  ASSERT_EQ(beckon_embedding_segment(seen, &query, &masks), BECKON_OK);
  beckon_embedding_free(seen);
  seen = nullptr;
  info.struct_size = sizeof info;
  EXPECT_EQ(beckon_masks_info(masks, 2, &info), BECKON_OK);
}

}  // namespace
}  // namespace beckon::test
