#include "beckon/sam.h"

#include <algorithm>
#include <thread>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "models/sam/query.h"
#include "models/sam/seen.h"
#include "models/sam/selection.h"
#include "models/small_sam.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

const Point kClick{40, 30};

ObjectQuery query(std::initializer_list<Prompt> prompts) { return {prompts, {}}; }

// All numbers of an answer, in the order of its tokens.
std::vector<float> numbers(const Masks& masks) {
  std::vector<PredictedMask> sorted(masks.begin(), masks.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.token() < b.token(); });
  std::vector<float> result;
  for (const PredictedMask& mask : sorted) {
    result.push_back(mask.score());
    result.insert(result.end(), mask.logits().begin(), mask.logits().end());
  }
  return result;
}

void expect_same_bits(const Masks& a, const Masks& b) {
  const auto x = numbers(a), y = numbers(b);
  EXPECT_EQ(x, y);
}

// What the readable decoder says, whatever the form that segment() takes.
std::vector<float> plain(const sam::SamModel& model, const Embedding& seen, const Image& image,
                         const ObjectQuery& query) {
  NoGrad no_grad;
  const auto prompt = sam::to_frame(query, model.frame(seen.image_size()), model.config.prompt, "");
  const int64_t count = prompt.sparse();
  Tensor sparse;
  if (count > 0) {
    Tensor labels = Tensor::empty({1, count}, DType::i64);
    for (int64_t i = 0; i < count; ++i)
      labels.data_as<int64_t>()[i] = static_cast<int64_t>(prompt.labels[static_cast<size_t>(i)]);
    sparse = model.prompt_encoder.tokens(
        Tensor::from(std::span<const float>(prompt.xy), {1, count, 2}), labels);
  }
  const int64_t side = 4 * model.config.prompt.grid_h;
  const Tensor dense = prompt.mask.empty()
                           ? model.prompt_encoder.no_mask()
                           : model.prompt_encoder.dense(Tensor::from(
                                 std::span<const float>(prompt.mask), {1, side, side, 1}));
  const auto output = model.mask_decoder.forward(model.image_encoder().forward(model.input(image)),
                                                 model.prompt_encoder.grid_code(), sparse, dense);
  std::vector<float> result;
  const int64_t plane = side * side;
  for (int64_t i = 0; i < output.iou.dim(1); ++i) {
    result.push_back(std::as_const(output.iou).data()[i]);
    const float* mask = std::as_const(output.masks).data() + i * plane;
    result.insert(result.end(), mask, mask + plane);
  }
  return result;
}

ObjectQuery many_points() {
  ObjectQuery q;
  for (int i = 0; i < 20; ++i)
    q.prompts.emplace_back(Point{4.0 * i, 2.0 * i + 1, i % 3 ? Label::object : Label::background});
  return q;
}

std::vector<ObjectQuery> all_kinds(const Embedding& seen) {
  Mask half(seen.image_size());
  for (int y = 0; y < half.height() / 2; ++y)
    for (int x = 0; x < half.width(); ++x) half.set(x, y, true);
  return {query({kClick}),
          query({}),
          query({Box{5, 6, 50, 40}}),
          query({kClick, Point{1, 2, Label::background}}),
          query({Box{5, 6, 50, 40}, Point{20, 20}}),
          query({MaskPrompt(half)}),
          query({kClick, MaskPrompt(half)}),
          query({Scribble{{{1, 1}, {60, 1}}}}),
          many_points(),
          query({Point{3, 3}}),
          query({kClick, MaskPrompt(half)}),
          query({Box{5, 6, 50, 40}})};
}

TEST(Sam, EveryPromptMatchesTheReadableDecoder) {
  for (const bool tiny : {false, true}) {
    const auto model = small_model(tiny);
    const Image image = small_picture();
    const Embedding seen = Sam(model).encode(image);
    size_t i = 0;
    for (const ObjectQuery& q : all_kinds(seen)) {
      const auto expected = plain(*model, seen, image, q);
      float largest = 0;
      for (const float v : expected) largest = std::max(largest, std::abs(v));
      const auto actual = numbers(seen.segment(q, {.multimask = Multimask::all}));
      expect_near(std::span<const float>(actual), std::span<const float>(expected), 2e-5 * largest,
                  (tiny ? "TinyViT, query " : "ViT, query ") + std::to_string(i++));
    }
  }
}

// What was packed and prepared for earlier prompts is not used after a step of training.
TEST(Sam, TrainedWeightsAreUsedAtOnce) {
  for (const bool tiny_vit : {false, true}) {
    const auto model = small_model(tiny_vit);
    const Sam sam(model);
    const Image image = small_picture();
    const Embedding before = sam.encode(image);
    const ObjectQuery queries[] = {query({kClick}), query({Box{5, 6, 50, 40}})};
    for (const ObjectQuery& q : queries) before.segment(q);
    const auto expect_plain = [&](const Embedding& seen, const char* when) {
      for (const ObjectQuery& q : queries)
        expect_near(numbers(seen.segment(q, {.multimask = Multimask::all})),
                    std::span<const float>(plain(*model, seen, image, q)), 1e-3, when);
    };
    for (nn::Parameter p : model->parameters()) {
      if (!p.trainable || p.name.starts_with("image_encoder.")) continue;
      for (int64_t i = 0; i < p.tensor.size(); ++i) p.tensor.data()[i] *= 1.1f;
    }
    expect_plain(before, "decoder written to");
    for (nn::Parameter p : model->parameters()) {
      if (!p.trainable) continue;
      p.tensor.set_requires_grad();
      for (int64_t i = 0; i < p.tensor.size(); ++i) p.tensor.data()[i] *= 0.95f;
    }
    expect_plain(sam.encode(image), "while it is trained");
    for (nn::Parameter p : model->parameters()) p.tensor.set_requires_grad(false);
    expect_plain(sam.encode(image), "frozen again");
  }
}

TEST(Sam, ABatchGivesTheBitsOfSingles) {
  const Embedding seen = Sam(small_model()).encode(small_picture());
  const auto queries = all_kinds(seen);
  const auto batch = seen.segment(queries);
  ASSERT_EQ(batch.size(), queries.size());
  for (size_t i = 0; i < queries.size(); ++i) {
    SCOPED_TRACE(i);
    expect_same_bits(batch[i], seen.segment(queries[i]));
  }
  EXPECT_TRUE(seen.segment(std::span<const ObjectQuery>()).empty());
}

// Calls with many prompts go through a form of the decoder of their own.
TEST(Sam, ManyPromptsMatchTheReadableDecoder) {
  const auto model = small_model(true, 128);
  const Image image = small_picture();
  const Embedding seen = Sam(model).encode(image);
  std::vector<ObjectQuery> queries;
  for (int i = 0; i < 10; ++i) queries.push_back(query({Point{8.0 * i + 3, 5.0 * i + 1}}));
  for (int i = 0; i < 9; ++i) queries.push_back(query({Box{8.0 * i, 2, 8.0 * i + 20, 30}}));
  queries.push_back(query({}));
  const auto expect_plain = [&](const char* when) {
    const auto answers = seen.segment(queries, {.multimask = Multimask::all});
    ASSERT_EQ(answers.size(), queries.size());
    for (size_t i = 0; i < queries.size(); ++i) {
      const auto expected = plain(*model, seen, image, queries[i]);
      float largest = 0;
      for (const float v : expected) largest = std::max(largest, std::abs(v));
      expect_near(numbers(answers[i]), std::span<const float>(expected), 2e-5 * largest,
                  std::string(when) + ", query " + std::to_string(i));
    }
  };
  expect_plain("as loaded");
  for (nn::Parameter p : model->parameters()) {
    if (!p.trainable || p.name.starts_with("image_encoder.")) continue;
    for (int64_t i = 0; i < p.tensor.size(); ++i) p.tensor.data()[i] *= 1.1f;
  }
  expect_plain("written to");
}

// Asked for by name, the form for many does not depend on how prompts are divided among calls.
TEST(Sam, TheFormForManyGivesTheSameBitsInAnyCall) {
  const auto model = small_model(true, 128);
  const Embedding seen = Sam(model).encode(small_picture());
  std::vector<ObjectQuery> queries;
  for (int i = 0; i < 11; ++i) queries.push_back(query({Point{7.0 * i + 3, 5.0 * i + 1}}));
  const sam::Seen& inside = seen.seen();
  const auto together = inside.segment(queries, {}, sam::DecoderForm::many);
  const auto by_count = inside.segment(queries, {});
  for (size_t i = 0; i < queries.size(); ++i) {
    expect_same_bits(by_count[i], together[i]);
    expect_same_bits(inside.segment(std::span(&queries[i], 1), {}, sam::DecoderForm::many)[0],
                     together[i]);
    const auto few = numbers(seen.segment(queries[i]));
    expect_near(few, std::span<const float>(numbers(together[i])), 1e-4, "few against many");
  }
}

TEST(Sam, ThreadsDoNotChangeABit) {
  for (const bool tiny : {false, true}) {
    const Sam sam(small_model(tiny));
    const int before = threads();
    std::vector<float> embedding;
    std::vector<Masks> answers;
    for (const int count : {1, 2, 4}) {
      set_threads(count);
      const Embedding seen = sam.encode(small_picture());
      const auto again = seen.segment(all_kinds(seen), {.multimask = Multimask::all});
      if (count == 1) {
        embedding = seen.values();
        answers = again;
      }
      EXPECT_EQ(seen.values(), embedding) << count;
      for (size_t i = 0; i < answers.size(); ++i) {
        expect_same_bits(again[i], answers[i]);
        EXPECT_EQ(again[i].best().mask(), answers[i].best().mask());
        EXPECT_EQ(again[i].best().stability(), answers[i].best().stability());
      }
    }
    set_threads(before);
  }
}

TEST(Sam, SeveralThreadsMayPromptOneEmbedding) {
  const Embedding seen = Sam(small_model()).encode(small_picture());
  const auto queries = all_kinds(seen);
  std::vector<Masks> answers(queries.size());
  std::vector<std::thread> pool;
  for (size_t i = 0; i < queries.size(); ++i)
    pool.emplace_back([&, i] {
      answers[i] = seen.segment(queries[i]);
      answers[i].best().area();
    });
  for (std::thread& thread : pool) thread.join();
  for (size_t i = 0; i < queries.size(); ++i)
    expect_same_bits(answers[i], seen.segment(queries[i]));
}

TEST(Sam, ChoosesReadingsForOneClickOnly) {
  const Embedding seen = Sam(small_model()).encode(small_picture());
  const auto tokens = [&](const ObjectQuery& q, Multimask multimask) {
    std::vector<int> list;
    for (const auto& mask : seen.segment(q, {.multimask = multimask})) list.push_back(mask.token());
    std::sort(list.begin(), list.end());
    return list;
  };
  const std::vector<int> one = {0}, three = {1, 2, 3};
  EXPECT_EQ(tokens(query({kClick}), Multimask::automatic), three);
  EXPECT_EQ(tokens(query({kClick, Point{1, 1}}), Multimask::automatic), one);
  EXPECT_EQ(tokens(query({Box{1, 1, 9, 9}}), Multimask::automatic), one);
  EXPECT_EQ(tokens(query({}), Multimask::automatic), one);
  EXPECT_EQ(tokens(query({kClick}), Multimask::single), one);
  EXPECT_EQ(tokens(query({Box{1, 1, 9, 9}}), Multimask::readings), three);
}

TEST(Sam, AnswersAreByFallingScore) {
  const Embedding seen = Sam(small_model()).encode(small_picture());
  const Masks masks = seen.segment(kClick, {.multimask = Multimask::all});
  ASSERT_EQ(masks.size(), 4u);
  for (size_t i = 1; i < 4; ++i) EXPECT_GE(masks[i - 1].score(), masks[i].score());
  EXPECT_EQ(masks.best().token(), masks[0].token());

  // Only what scores higher than the second.
  const Masks best =
      seen.segment(kClick, {.multimask = Multimask::all, .score_above = masks[1].score()});
  ASSERT_EQ(best.size(), 1u);
  EXPECT_EQ(best[0].token(), masks[0].token());
  const Masks none = seen.segment(kClick, {.score_above = 1e9f});
  EXPECT_TRUE(none.empty());
  expect_error(Kind::usage, "no mask", [&] { none.best(); });
  expect_error(Kind::usage, "there is no mask 4", [&] { masks[4]; });
}

TEST(Sam, FullSizeIsConsistent) {
  const Embedding seen = Sam(small_model()).encode(small_picture(90, 61));
  const PredictedMask best = seen.segment(kClick).best();
  const auto logits = best.full_logits();
  const Mask expected = Mask::from_logits(logits, 90, 61);
  EXPECT_EQ(best.mask(), expected);
  EXPECT_EQ(best.area(), expected.area());
  EXPECT_EQ(best.bounding_box(), expected.bounding_box());
  EXPECT_EQ(best.rle(), expected.rle());
  for (const float offset : {1.0f, 0.25f})
    EXPECT_DOUBLE_EQ(best.stability(offset), sam::stability_score(logits, offset));
  const TempDir dir;
  best.write_png(dir / "mask.png");
  EXPECT_EQ(Mask::read(dir / "mask.png"), expected);
}

TEST(Sam, LogitsOfAnAnswerRefineIt) {
  const Embedding seen = Sam(small_model()).encode(small_picture());
  const PredictedMask first = seen.segment(kClick).best();
  ObjectQuery again = query({kClick});
  again.mask_logits.assign(first.logits().begin(), first.logits().end());
  const Masks refined = seen.segment(again);
  EXPECT_EQ(refined.best().token(), 0) << "a click with a mask is not ambiguous";
  EXPECT_NE(numbers(refined), numbers(seen.segment(kClick, {.multimask = Multimask::single})));
}

// A mask of the whole image, of its left half, of nothing: logits in the frame.
TEST(Sam, MaskPromptsBecomeLogits) {
  const auto model = small_model();  // a frame of 96, low-res logits 24 x 24
  const sam::Frame frame = model->frame({90, 60});
  EXPECT_EQ(frame.resized, (ImageSize{96, 64}));
  const auto logits = [&](const Mask& mask) {
    return sam::mask_logits(mask, frame, model->config.prompt);
  };
  const Mask empty(90, 60);
  for (const float v : logits(empty)) EXPECT_EQ(v, -10.0f);
  const auto full = logits(~empty);
  EXPECT_EQ(full[0], 10.0f);
  EXPECT_EQ(full[15 * 24 + 23], 10.0f);  // the last row within the image
  EXPECT_EQ(full[16 * 24], -10.0f);      // padding
  Mask left(90, 60);
  for (int y = 0; y < 60; ++y)
    for (int x = 0; x < 45; ++x) left.set(x, y, true);
  const auto half = logits(left);
  EXPECT_EQ(half[5 * 24 + 11 - 1], 10.0f);
  EXPECT_EQ(half[5 * 24 + 12 + 1], -10.0f);
}

TEST(Sam, RefusesWhatItCannotUse) {
  const Embedding seen = Sam(small_model()).encode(small_picture());
  const auto refuse = [&](Kind kind, const ObjectQuery& q, const std::string& part) {
    expect_error(kind, part, [&] { seen.segment(q); });
  };
  refuse(Kind::unsupported, query({kClick, TextPrompt{"a cat"}}),
         "prompt 2: SAM cannot use a prompt of type 'text'");
  refuse(Kind::unsupported, query({LearnedPrompt{"x"}}), "'learned'");
  refuse(Kind::usage, query({Point{std::nan(""), 1}}), "prompt 1: x=nan");
  refuse(Kind::usage, query({Box{1, 1, 2, 2}, Box{1, 1, 2, 2}}), "prompt 2: a second box");
  refuse(Kind::usage, query({MaskPrompt(Mask(3, 4))}), "the mask is 3x4, the image 90x60");
  const MaskPrompt mask{Mask(90, 60)};
  refuse(Kind::usage, query({mask, mask}), "prompt 2: a second mask");
  refuse(Kind::usage, {{}, std::vector<float>(7)}, "7 mask logits, expected 576 (24x24)");
  refuse(Kind::usage, {{mask}, std::vector<float>(576)}, "a mask and mask logits");
  refuse(Kind::usage, {{}, std::vector<float>(576, std::nanf(""))}, "not a finite number");
  const std::vector<ObjectQuery> two = {query({kClick}), query({TextPrompt{"a"}})};
  expect_error(Kind::unsupported, "object 2: prompt 1", [&] { seen.segment(two); });
  expect_error(Kind::usage, "without pixels", [&] { Sam(small_model()).encode(Image()); });
}

TEST(Sam, TakesGreyAlphaAndExtremeSizes) {
  const Sam sam(small_model());
  EXPECT_EQ(sam.encode(Image(3, 500, 1)).segment(Point{1, 400}).best().mask().size(),
            (ImageSize{3, 500}));
  EXPECT_EQ(sam.encode(Image(2000, 1, 4)).segment(Point{1, 0}).best().mask().size(),
            (ImageSize{2000, 1}));
  EXPECT_EQ(sam.encode(Image(1, 1, 3)).segment(Point{0, 0}).size(), 3u);
}

TEST(Embedding, SurvivesSavingAndLoading) {
  const Sam sam(small_model());
  const Embedding seen = sam.encode(small_picture());
  EXPECT_EQ(seen.channels(), 32);
  EXPECT_EQ(seen.grid(), (ImageSize{6, 6}));
  const TempDir dir;
  seen.save(dir / "seen.safetensors");
  const Embedding again = sam.load_embedding(dir / "seen.safetensors");
  EXPECT_EQ(again.image_size(), (ImageSize{90, 60}));
  EXPECT_EQ(again.values(), seen.values());
  expect_same_bits(again.segment(kClick), seen.segment(kClick));

  const Sam other(small_model(true));
  expect_error(Kind::model, "made by another model",
               [&] { other.load_embedding(dir / "seen.safetensors"); });
  expect_error(Kind::input, "no image embedding", [&] {
    const float x = 1;
    const TensorBytes tensor{"x", DType::f32, {1}, std::as_bytes(std::span(&x, 1))};
    write_safetensors(dir / "other.safetensors", std::span(&tensor, 1));
    sam.load_embedding(dir / "other.safetensors");
  });
  const std::string broken = dir.write("broken", std::string("not a file"));
  EXPECT_THROW(sam.load_embedding(broken), Error);
  // A claim of 40,000 x 40,000 pixels must not lead to masks of that size.
  expect_error(Kind::resource, "40000x40000", [&] {
    const std::vector<float> planes = seen.values();
    const TensorBytes tensor{
        "image_embedding", DType::f32, {1, 32, 6, 6}, std::as_bytes(std::span(planes))};
    write_safetensors(dir / "vast.safetensors", std::span(&tensor, 1),
                      {{"beckon", "sam image embedding 1"},
                       {"model_hash", sam.model_hash()},
                       {"image_width", "40000"},
                       {"image_height", "40000"}});
    sam.load_embedding(dir / "vast.safetensors");
  });
}

TEST(Selection, StabilityIsAShareOfPixels) {
  const std::vector<float> logits = {2.0f, 1.5f, 0.5f, -0.5f, -2.0f, 1.0f};
  EXPECT_DOUBLE_EQ(sam::stability_score(logits), 2.0 / 5);
  EXPECT_TRUE(std::isnan(sam::stability_score(std::vector<float>{-3.0f})));
}

TEST(Selection, ExportedDecoderTakesMaskZeroOfSeveralPrompts) {
  const std::vector<float> scores = {0.99f, 0.2f, 0.7f, 0.7f};
  EXPECT_EQ(sam::exported_choice(scores, 2), 2);
  EXPECT_EQ(sam::exported_choice(scores, 3), 0);
}

}  // namespace
}  // namespace beckon::test
