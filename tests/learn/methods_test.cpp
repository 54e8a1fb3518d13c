// Methods of learning beyond what the goldens show: gradients by finite differences, starting
// values, label maps, the counting task, the arithmetic of parameters.
#include <cmath>
#include <map>
#include <set>

#include <gtest/gtest.h>

#include "beckon/ops.h"
#include "learn/methods/counting_squares.h"
#include "learn/methods/feature_learner.h"
#include "learn/methods/pixel_prompt.h"
#include "learn/methods/reprogram.h"
#include "learn/methods/swin_learner.h"
#include "learn/methods/trainable.h"
#include "learn/methods/vit_learner.h"
#include "learn/small_networks.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using namespace beckon::learn;
using Chance = beckon::Random;  // not the one for pictures

class Methods : public ::testing::Test {
 protected:
  Methods() {
    write_small_vit(folder_ / "vit.safetensors");
    write_small_swin(folder_ / "swin.safetensors");
  }
  Backbone vit(int input = 16) const {
    return Backbone::load(folder_ / "vit.safetensors", {.input = input});
  }
  Backbone swin() const { return Backbone::load(folder_ / "swin.safetensors", {.input = 32}); }
  Tensor pictures(int64_t count, int64_t side) {
    Chance random(5);
    return normal({count, side, side, 3}, 1, random);
  }
  TempDir folder_;
};

// Moves some numbers of every learning tensor and compares what the loss does with its gradient.
void check_gradients(Learner& learner, const Tensor& images) {
  std::vector<int64_t> classes(static_cast<size_t>(images.dim(0)));
  for (size_t i = 0; i < classes.size(); ++i) classes[i] = static_cast<int64_t>(i) % 3;
  const Tensor targets =
      Tensor::from(std::span<const int64_t>(classes), {static_cast<int64_t>(classes.size())});
  const auto loss = [&] {
    Pass pass{.random = Chance(9)};
    return learner.loss(learner.logits(learner.prefix(images), pass), targets);
  };
  loss().backward();
  size_t tensors = 0;
  for (const nn::Parameter& p : learner.learned()) {
    if (!p.trainable) continue;
    Tensor x = p.tensor;
    ASSERT_TRUE(x.grad().defined()) << p.name;
    const Tensor grad = x.grad();
    // In the direction of the gradient: (f(x + h g) - f(x - h g)) / 2h = |g|^2
    double squares = 0;
    for (const float g : std::as_const(grad).values()) squares += static_cast<double>(g) * g;
    if (squares < 1e-12) continue;
    ++tensors;
    const NoGrad no_grad;
    const Tensor before = x.clone();
    const auto h = static_cast<float>(2e-3 / std::sqrt(squares));
    x.copy_from(before + grad * h);
    const double above = loss().item();
    x.copy_from(before - grad * h);
    const double below = loss().item();
    x.copy_from(before);
    EXPECT_NEAR((above - below) / (2 * h), squares, 0.02 * squares + 1e-5) << p.name;
  }
  EXPECT_GE(tensors, 2u);
}

void stir(Learner& learner) {
  Chance random(77);
  for (const nn::Parameter& p : learner.learned())
    if (p.trainable) {
      Tensor x = p.tensor;
      const NoGrad no_grad;
      x.copy_from(x + normal(x.shape(), 0.05, random));
    }
}

TEST_F(Methods, LoraHasTheGradientOfWhatItComputes) {
  Chance random(1);
  VitLearner learner(vit(), {.classes = 3, .lora_rank = 2, .lora_alpha = 3}, random);
  learner.let_learn(trainable("lora", learner.backbone()));
  EXPECT_EQ(learner.learned_count(), 3 * 4 * 2 * 64 + 3 * 65);
  stir(learner);
  check_gradients(learner, pictures(3, 16));
}

TEST_F(Methods, LoraAndAdaptersBeginAsThePlainNetwork) {
  Chance random(1), again(1);
  const Backbone backbone = vit();
  FeatureLearner plain(backbone, {.classes = 3}, random);
  VitLearner lora(backbone, {.classes = 3, .lora_rank = 4}, again);
  VitLearner adapter(backbone, {.classes = 3, .adapter_reduction = 8}, again);
  for (VitLearner* learner : {&lora, &adapter})
    for (const char* name : {"head.last_layer.weight", "head.last_layer.bias"}) {
      Tensor to = learner->parameter(name);
      to.copy_from(plain.parameter(name));
    }
  Pass pass;
  const NoGrad no_grad;
  const Tensor x = pictures(2, 16);
  const Tensor expected = plain.logits(plain.prefix(x), pass);
  for (VitLearner* learner : {&lora, &adapter})
    expect_near(learner->logits(learner->prefix(x), pass).values(), expected.values(), 1e-4,
                "logits");
}

TEST_F(Methods, PromptsAtEveryPlaceHaveTheirGradient) {
  using Location = VitOptions::Location;
  for (const Location location :
       {Location::prepend, Location::add, Location::add_one, Location::pad})
    for (const bool deep : {false, true}) {
      if (deep && location == Location::pad) continue;
      Chance random(1);
      VitLearner learner(vit(location == Location::pad ? 24 : 16),
                         {.classes = 3, .location = location, .tokens = 4, .deep = deep}, random);
      EXPECT_EQ(learner.side(), 16);
      learner.let_learn(trainable("prompt", learner.backbone()));
      check_gradients(learner, pictures(3, 16));
    }
}

TEST_F(Methods, AnAddedPromptOfZerosChangesNothing) {
  Chance random(1);
  const Backbone backbone = vit();
  VitLearner learner(backbone, {.classes = 3, .location = VitOptions::Location::add, .deep = true},
                     random);
  for (const char* name : {"prompt_embeddings", "deep_prompt_embeddings"}) {
    Tensor prompt = learner.parameter(std::string("enc.transformer.") + name);
    prompt.copy_from(Tensor::zeros(prompt.shape()));
  }
  const NoGrad no_grad;
  const Tensor x = pictures(2, 16);
  Pass pass;
  const Tensor expected = linear(backbone.features(x), learner.parameter("head.last_layer.weight"),
                                 learner.parameter("head.last_layer.bias"));
  expect_near(learner.logits(learner.prefix(x), pass).values(), expected.values(), 1e-4, "logits");
}

TEST_F(Methods, SwinsPromptsHaveTheirGradient) {
  for (const bool deep : {false, true}) {
    Chance random(1);
    SwinLearner learner(swin(), {.classes = 3, .tokens = 2, .deep = deep}, random);
    learner.let_learn(trainable("prompt", learner.backbone()));
    check_gradients(learner, pictures(3, 32));
  }
}

TEST_F(Methods, TheReferencesAdaptersLearnTheirLastBiasOnly) {
  for (const bool zeros : {true, false}) {
    Chance random(1);
    VitLearner learner(vit(), {.classes = 3, .adapter_reduction = 8, .adapter_zeros = zeros},
                       random);
    learner.let_learn(trainable("adapter", learner.backbone()));
    Pass pass;
    const Tensor targets =
        Tensor::from(std::span<const int64_t>(std::array<int64_t, 2>{0, 2}), {2});
    learner.loss(learner.logits(learner.prefix(pictures(2, 16)), pass), targets).backward();
    const auto moves = [&](const std::string& name) {
      const Tensor grad = learner.parameter("enc.transformer.encoder.layer.1." + name).grad();
      for (const float g : std::as_const(grad).values())
        if (g != 0) return true;
      return false;
    };
    EXPECT_TRUE(moves("adapter_upsample.bias"));
    EXPECT_EQ(moves("adapter_upsample.weight"), !zeros);
    EXPECT_FALSE(moves("adapter_downsample.weight"));
  }
}

TEST_F(Methods, DropoutOfPromptsKeepsTheirMeanAndOnlyInTraining) {
  const Tensor x = Tensor::full({200, 50}, 1);
  Pass training{.training = true, .random = Chance(4)}, evaluation;
  expect_near(dropout(x, 0.25f, evaluation).values(), x.values(), 0, "evaluation");
  const Tensor y = dropout(x, 0.25f, training);
  std::map<float, int> counts;
  for (const float v : y.values()) ++counts[v];
  ASSERT_EQ(counts.size(), 2u);
  EXPECT_EQ(counts.begin()->first, 0);
  EXPECT_NEAR(counts.begin()->second / 10000.0, 0.25, 0.02);
  EXPECT_NEAR(counts.rbegin()->first, 1 / 0.75, 1e-6);

  Chance random(1);
  VitLearner learner(vit(),
                     {.classes = 3,
                      .location = VitOptions::Location::prepend,
                      .tokens = 4,
                      .deep = true,
                      .dropout = 0.5f},
                     random);
  const NoGrad no_grad;
  const Tensor before = learner.prefix(pictures(1, 16));
  const Tensor twice = concat({before, before}, 0);
  Pass pass{.training = true, .random = Chance(4)};
  const Tensor dropped = learner.logits(twice, pass);
  EXPECT_GT(
      max_difference(dropped.slice(0, 0, 1).values(), dropped.slice(0, 1, 2).contiguous().values()),
      1e-6)
      << "two pictures lose the same numbers";
}

TEST_F(Methods, WhatLearnsIsNotInThePrefix) {
  Chance random(1);
  const Backbone backbone = vit();
  VitLearner learner(backbone, {.classes = 3}, random);
  const Tensor x = pictures(2, 16);
  Pass pass;
  for (const char* type :
       {"partial-1", "partial-2", "partial-3", "cls", "tinytl-bias", "end2end"}) {
    learner.let_learn(trainable(type, backbone));
    const Tensor prefix = learner.prefix(x);
    EXPECT_FALSE(prefix.requires_grad()) << type;
    EXPECT_EQ(learner.has_prefix(), std::string(type).starts_with("partial")) << type;
    FeatureLearner plain(backbone, {.classes = 3}, random);
    const NoGrad no_grad;
    for (const char* name : {"head.last_layer.weight", "head.last_layer.bias"}) {
      Tensor to = plain.parameter(name);
      to.copy_from(learner.parameter(name));
    }
    expect_near(learner.logits(prefix, pass).values(), plain.logits(plain.prefix(x), pass).values(),
                1e-4, type);
  }
}

TEST_F(Methods, ColoursStayColours) {
  Chance random(1);
  const Backbone backbone = vit();
  const PixelTask task{.map = first_labels(3, 1, 12)};
  PixelLearner learner(backbone, {.size = 3, .colours = true}, task, random);
  learner.let_learn([](const std::string& name) { return name.starts_with("pad_"); });
  for (const nn::Parameter& p : learner.learned()) {
    Tensor x = p.tensor;
    const NoGrad no_grad;
    x.copy_from(normal(x.shape(), 2, random));
  }
  const Preprocessing& p = backbone.preprocessing();
  const NoGrad no_grad;
  Pass pass;
  const Tensor images = backbone.normalise(Tensor::full({1, 16, 16, 3}, 0.4f));
  const Tensor colours =
      learner.prompted(images, pass) * Tensor::from(p.deviation, {3}) + Tensor::from(p.mean, {3});
  float lowest = 1, highest = 0;
  for (const float v : colours.values())
    lowest = std::min(lowest, v), highest = std::max(highest, v);
  EXPECT_NEAR(lowest, 0, 1e-5);
  EXPECT_NEAR(highest, 1, 1e-5);
  EXPECT_NEAR(colours.select(1, 8).select(1, 8).contiguous().values()[0], 0.4f, 1e-5);
}

TEST_F(Methods, RandomPatchesLieEverywhereButLast) {
  Chance random(1);
  Tensor patch;
  const PixelPrompt prompt(PixelPrompt::Kind::random_patch, 6, 4, 1, random,
                           [&](const std::string&, Tensor t, bool) { return patch = t; });
  std::set<std::pair<int, int>> places;
  Pass pass{.random = Chance(3)};
  for (int i = 0; i < 100; ++i) {
    const Tensor canvas = prompt.canvas(pass).contiguous();
    for (int y = 0; y < 6; ++y)
      for (int x = 0; x < 6; ++x)
        if (canvas.values()[static_cast<size_t>(y * 6 + x) * 3] == patch.values()[0])
          places.insert({y, x});
  }
  EXPECT_EQ(places, (std::set<std::pair<int, int>>{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));
}

TEST_F(Methods, ReprogrammingLearnsThroughTheNetworksOwnColours) {
  Chance random(1);
  ReprogramLearner learner(vit(), {.small = 6, .map = {{0, 5}, {1, 2, 3}, {7}}, .lambda = 1e-4f},
                           random);
  learner.let_learn([](const std::string& name) { return name == "program.W"; });
  Chance noise(5);
  const Tensor small = uniform({3, 6, 6, 3}, 1, noise);
  const Tensor targets =
      Tensor::from(std::span<const int64_t>(std::array<int64_t, 3>{0, 1, 2}), {3});
  Pass pass;
  const auto loss = [&] { return learner.loss(learner.logits(small, pass), targets); };
  Tensor w = learner.parameter("program.W");
  loss().backward();
  const Tensor grad = w.grad();
  double squares = 0;
  for (const float g : std::as_const(grad).values()) squares += static_cast<double>(g) * g;
  ASSERT_GT(squares, 1e-10);
  const NoGrad no_grad;
  const Tensor before = w.clone();
  const auto h = static_cast<float>(2e-2 / std::sqrt(squares));
  w.copy_from(before + grad * h);
  const double above = loss().item();
  w.copy_from(before - grad * h);
  EXPECT_NEAR((above - loss().item()) / (2 * h), squares, 0.02 * squares);
}

TEST(LabelMaps, FirstFrequentAndGiven) {
  EXPECT_EQ(first_labels(2, 2, 4), (LabelMap{{0, 1}, {2, 3}}));
  expect_error(Kind::usage, "3 classes of 2 labels", [] { first_labels(3, 2, 5); });
  // Class 0 is seen as 2 most often; class 1 too, but less: it gets its next.
  EXPECT_EQ(frequent_labels({{1, 0, 9}, {3, 0, 8}}), (LabelMap{{2}, {0}}));
  expect_error(Kind::usage, "the network has 1", [] { frequent_labels({{1}, {2}}); });
  expect_error(Kind::usage, "stands for label 4", [] { check({{0}, {4}}, 4); });
  expect_error(Kind::usage, "two classes", [] { check({{1}, {1}}, 4); });
  expect_error(Kind::usage, "no label", [] { check({{1}, {}}, 4); });

  const Tensor logits = Tensor::from({1, 2, 3, 100, 100, 0}, {2, 3});
  const Tensor y = mapped(logits, {{2}, {0, 1}});
  expect_near(
      y.values(),
      std::array{3.0f, std::log(std::exp(1.0f) + std::exp(2.0f)), 0.0f, 100 + std::log(2.0f)}, 1e-4,
      "log of sums");
}

TEST(CountingSquares, HasAsManyAsItSays) {
  Chance random(8);
  std::map<int64_t, int> seen;
  for (int i = 0; i < 2000; ++i) {
    const CountedSquares task = counting_squares(random);
    ASSERT_EQ(task.image.size(), (ImageSize{36, 36}));
    int64_t squares = 0, white = 0;
    for (int y = 0; y < 36; ++y)
      for (int x = 0; x < 36; ++x) {
        const uint8_t value = task.image.row(y)[3 * x];
        ASSERT_TRUE(value == 0 || value == 255);
        white += value == 255;
        squares += value == 255 && x % 9 == 1 && y % 9 == 1;
      }
    EXPECT_EQ(squares, task.squares);
    EXPECT_EQ(white, task.squares * 49);
    ++seen[task.squares];
  }
  ASSERT_EQ(seen.size(), 10u);
  EXPECT_EQ(seen.begin()->first, 1);
  for (const auto& [squares, times] : seen) EXPECT_NEAR(times, 200, 60) << squares;
}

// The table of the VPT paper, recomputed: 24 tasks on ViT-B/16, 2113 classes.
TEST(TotalParams, AreThePapers) {
  constexpr int64_t kVit = 85'798'656, kHeads = 2113 * 769;
  const auto ratio = [&](int64_t extra, bool full = false) {
    std::vector<int64_t> added(24, full ? 0 : extra);
    added[0] += kHeads;
    return total_params(kVit, added, full);
  };
  EXPECT_NEAR(ratio(0, true), 24.019, 5e-4);                    // full
  EXPECT_NEAR(ratio(0), 1.019, 5e-4);                           // linear
  EXPECT_NEAR(ratio(7'087'872 + 1'536), 3.002, 5e-4);           // partial-1
  EXPECT_NEAR(ratio(2 * (768 * 769 + 1'536)), 1.350, 5e-4);     // MLP-3
  EXPECT_NEAR(ratio(2'469'696 + 9216 * 768 + 1), 3.690, 5e-4);  // side-tuning
  EXPECT_NEAR(ratio(102'912), 1.048, 5e-4);                     // bias
  EXPECT_NEAR(ratio(12 * 768 * 50), 1.148, 5e-4);               // VPT deep, 50 tokens
  EXPECT_NEAR(ratio(768 * 200), 1.062, 5e-4);                   // VPT shallow, 200 tokens
}

TEST_F(Methods, RefuseWhatTheyCannotDo) {
  Chance random(1);
  const Backbone of_vit = vit(), of_swin = swin();
  expect_error(Kind::usage, "is for a Swin", [&] { SwinLearner(of_vit, {}, random); });
  expect_error(Kind::usage, "is for a ViT", [&] { VitLearner(of_swin, {}, random); });
  expect_error(Kind::usage, "partial-4: vit-64x3 has 3 blocks",
               [&] { trainable("partial-4", of_vit); });
  expect_error(Kind::usage, "'partial-x' trains nothing", [&] { trainable("partial-x", of_vit); });
  expect_error(Kind::usage, "no class token", [&] { trainable("cls", of_swin); });
  expect_error(Kind::usage, "neither",
               [&] { PixelLearner(of_swin, {.size = 2}, {.map = first_labels(2, 1, 9)}, random); });
  expect_error(Kind::usage, "expected 1 to 7",
               [&] { PixelLearner(of_vit, {.size = 8}, {.map = first_labels(2, 1, 12)}, random); });
  expect_error(Kind::usage, "neither deep nor", [&] {
    VitLearner(of_vit, {.location = VitOptions::Location::pad, .tokens = 2, .deep = true}, random);
  });
  expect_error(Kind::usage, "needs prompts",
               [&] { VitLearner(of_vit, {.pool = VitOptions::Pool::prompts}, random); });
  FeatureLearner mlp(of_vit, {.classes = 2, .hidden = 1}, random);
  Pass pass{.training = true};
  expect_error(Kind::usage, "batches of 2 or more", [&] {
    mlp.logits(Tensor::zeros({1, 64}), pass);
  });
}

}  // namespace
}  // namespace beckon::test
