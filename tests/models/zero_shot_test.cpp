// Words for pictures: how texts become features, and what is refused.
#include "beckon/zero_shot.h"

#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "beckon/error.h"
#include "beckon/ops.h"
#include "support/pictures.h"
#include "support/small_clip.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using Words = std::vector<std::string>;

class ZeroShotTest : public ::testing::Test {
 protected:
  ZeroShotTest() : clip_(load(folder_)) {}
  static Backbone load(const TempDir& folder) {
    write_small_clip(folder / "clip.safetensors");
    return Backbone::load(folder / "clip.safetensors");
  }
  template <typename Call>
  void expect_error(Kind kind, const std::string& part, Call&& call) const {
    try {
      call();
      ADD_FAILURE() << "no error; expected '" << part << "'";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  }
  TempDir folder_;
  Backbone clip_;
};

std::vector<double> unit(std::span<const float> v) {
  double sum = 0;
  for (const float x : v) sum += double{x} * x;
  std::vector<double> result;
  for (const float x : v) result.push_back(x / std::sqrt(sum));
  return result;
}

TEST_F(ZeroShotTest, TemplatesAreAveragedOnTheSphere) {
  const Words templates = {"a photo of a {}.", "art of the {}."};
  const ZeroShot judge(clip_, {"cat", "red car"}, {.templates = templates});
  const Tensor texts = encode_texts(clip_, Words{"a photo of a cat.", "art of the cat.",
                                                 "a photo of a red car.", "art of the red car."});
  const int64_t e = clip_.feature_dim();
  ASSERT_EQ(texts.shape(), Shape({4, e}));
  ASSERT_EQ(judge.label_features().shape(), Shape({2, e}));
  const auto row = [&](const Tensor& t, int64_t i) {
    return std::as_const(t).values().subspan(static_cast<size_t>(i * e), static_cast<size_t>(e));
  };
  for (int64_t label = 0; label < 2; ++label) {
    const auto a = unit(row(texts, 2 * label)), b = unit(row(texts, 2 * label + 1));
    std::vector<float> mean;
    for (size_t i = 0; i < a.size(); ++i) mean.push_back(static_cast<float>((a[i] + b[i]) / 2));
    const auto wanted = unit(mean);
    for (size_t i = 0; i < wanted.size(); ++i)
      EXPECT_NEAR(row(judge.label_features(), label)[i], wanted[i], 1e-5);
  }
}

TEST_F(ZeroShotTest, ProbabilitiesAreTheScaledCosines) {
  const ZeroShot judge(clip_, {"cat", "dog", "a very red car"});
  const Image photo = noise(50, 40, 3);
  const std::vector<float> chances = judge.classify(photo);
  ASSERT_EQ(chances.size(), 3u);
  EXPECT_NEAR(std::accumulate(chances.begin(), chances.end(), 0.0), 1, 1e-5);
  const Tensor seen = clip_.features(clip_.input(photo));
  const auto picture = unit(std::as_const(seen).values());
  std::vector<double> weights;
  for (size_t label = 0; label < 3; ++label) {
    double cosine = 0;
    for (size_t i = 0; i < picture.size(); ++i)
      cosine +=
          picture[i] * std::as_const(judge.label_features()).values()[label * picture.size() + i];
    weights.push_back(std::exp(std::exp(3.0) * cosine));
  }
  const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(chances[i], weights[i] / total, 1e-4);
  // Labels are told apart.
  EXPECT_GT(std::abs(chances[0] - chances[1]), 1e-4);
}

TEST_F(ZeroShotTest, ATextIsTheSameAloneAndAmongOthers) {
  const Tensor together = encode_texts(clip_, Words{"cat", "a much longer text, with a comma"});
  const Tensor alone = encode_texts(clip_, Words{"cat"});
  for (int64_t i = 0; i < clip_.feature_dim(); ++i)
    EXPECT_NEAR(std::as_const(together).values()[static_cast<size_t>(i)],
                std::as_const(alone).values()[static_cast<size_t>(i)], 1e-6);
}

TEST_F(ZeroShotTest, WhatMakesNoSenseIsSaid) {
  expect_error(Kind::usage, "no labels", [&] { ZeroShot(clip_, {}); });
  expect_error(Kind::usage, "no template", [&] { ZeroShot(clip_, {"a"}, {.templates = {}}); });
  expect_error(Kind::usage, "has no {}", [&] { ZeroShot(clip_, {"a"}, {.templates = {"x"}}); });
  const std::string text = "1 2 3 4 5 6 7 8 9 10 11 12 13 14";
  expect_error(Kind::usage, "at most 12", [&] { ZeroShot(clip_, {text}); });
  EXPECT_NO_THROW(ZeroShot(clip_, {text}, {.truncate = true}));
  write_small_clip(folder_ / "other.safetensors", 100);
  const Backbone other = Backbone::load(folder_ / "other.safetensors");
  expect_error(Kind::model, "token_embedding.weight", [&] { ZeroShot(other, {"a"}); });
}

}  // namespace
}  // namespace beckon::test
