// The re-associated mask decoder against its readable definition.
#include "models/sam/mask_decoder_fast.h"

#include <cmath>
#include <numeric>
#include <random>

#include <gtest/gtest.h>

#include "base/threads.h"

namespace beckon::sam {
namespace {

Tensor random_tensor(const Shape& shape, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  Tensor x = Tensor::empty(shape);
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = normal(generator);
  return x;
}

// A decoder whose attention is far from uniform: freshly initialised weights are too small for
// that.
struct Prepared {
  MaskDecoderConfig config;
  int64_t h, w;
  nn::Params params = nn::Params::random(7);
  MaskDecoder decoder;
  FastMaskDecoder fast;
  Tensor image, no_mask, code;

  Prepared(const MaskDecoderConfig& c, int64_t h_, int64_t w_)
      : config(c), h(h_), w(w_), decoder(grown(params, c)), fast(decoder) {
    image = random_tensor({1, h, w, config.dim}, 1);
    no_mask = random_tensor({config.dim}, 2);
    code = random_tensor({1, h, w, config.dim}, 3);
  }

  static MaskDecoder grown(const nn::Params& params, const MaskDecoderConfig& c) {
    MaskDecoder decoder(params, c);
    uint32_t seed = 100;
    for (nn::Parameter parameter : params.taken()) {
      const bool vector = parameter.tensor.rank() == 1;
      const float fan_in = vector ? 1.0f : static_cast<float>(parameter.tensor.dim(-1));
      const Tensor numbers =
          random_tensor(parameter.tensor.shape(), seed++, vector ? 0.3f : 2.0f / std::sqrt(fan_in));
      parameter.tensor.copy_from(numbers);
    }
    return decoder;
  }

  MaskDecoder::Output plain(const Tensor& sparse, const Tensor& dense = {}) const {
    NoGrad no_grad;
    return decoder.forward(image, code, sparse,
                           dense.defined() ? dense : no_mask.reshape({1, 1, 1, config.dim}));
  }
  FastMaskDecoder::Output quick(const Tensor& sparse, std::vector<int64_t> wanted,
                                const Tensor& dense = {}) const {
    const auto seen = fast.prepare(image, no_mask, code);
    return fast.forward(*seen, sparse, dense,
                        [&](int64_t, std::span<const float>) { return wanted; });
  }
};

std::vector<int64_t> all_masks(const MaskDecoderConfig& c) {
  std::vector<int64_t> list(static_cast<size_t>(c.masks()));
  std::iota(list.begin(), list.end(), 0);
  return list;
}

void expect_close(const Tensor& actual, const Tensor& expected, float relative) {
  ASSERT_EQ(actual.size(), expected.size());
  float largest = 0, worst = 0;
  for (int64_t i = 0; i < actual.size(); ++i) {
    largest = std::max(largest, std::abs(expected.data()[i]));
    worst = std::max(worst, std::abs(actual.data()[i] - expected.data()[i]));
  }
  EXPECT_GT(largest, 0.0f);
  EXPECT_LE(worst, relative * largest);
}

void expect_same_as_plain(const Prepared& s, const Tensor& sparse, const Tensor& dense = {}) {
  const MaskDecoder::Output plain = s.plain(sparse, dense);
  const FastMaskDecoder::Output fast = s.quick(sparse, all_masks(s.config), dense);
  expect_close(fast.iou, plain.iou, 2e-5f);
  ASSERT_EQ(static_cast<int64_t>(fast.masks.size()), plain.masks.dim(0));
  for (int64_t p = 0; p < plain.masks.dim(0); ++p)
    expect_close(fast.masks[static_cast<size_t>(p)], plain.masks.select(0, p).contiguous(), 2e-5f);
}

const MaskDecoderConfig kSmall{.dim = 32, .depth = 2, .heads = 4, .mlp = 48, .iou_hidden = 24};

TEST(FastMaskDecoder, MatchesPlainForOnePrompt) {
  const Prepared s(kSmall, 6, 8);
  expect_same_as_plain(s, random_tensor({1, 2, 32}, 4));
}

TEST(FastMaskDecoder, MatchesPlainWithoutSparseTokens) {
  const Prepared s(kSmall, 6, 8);
  expect_same_as_plain(s, Tensor());
}

TEST(FastMaskDecoder, MatchesPlainForABatchLargerThanAGroup) {
  const Prepared s(kSmall, 5, 7);
  expect_same_as_plain(s, random_tensor({19, 3, 32}, 5));
}

TEST(FastMaskDecoder, MatchesPlainForManyTokens) {
  const Prepared s(kSmall, 6, 8);
  expect_same_as_plain(s, random_tensor({2, 20, 32}, 6));
}

// Odd widths: three heads do not fill a vector, the map does not fill a tile, chunks are several.
TEST(FastMaskDecoder, MatchesPlainForOtherSizes) {
  expect_same_as_plain(
      Prepared({.dim = 48, .depth = 3, .heads = 3, .mlp = 20, .iou_hidden = 8}, 3, 5),
      random_tensor({2, 1, 48}, 7));
  expect_same_as_plain(
      Prepared({.dim = 64, .depth = 1, .heads = 8, .mlp = 64, .iou_hidden = 64}, 37, 29),
      random_tensor({2, 4, 64}, 8));
}

TEST(FastMaskDecoder, MatchesPlainWithMaskPrompts) {
  const Prepared s(kSmall, 25, 24);
  expect_same_as_plain(s, random_tensor({3, 2, 32}, 12), random_tensor({3, 25, 24, 32}, 13));
  expect_same_as_plain(s, Tensor(), random_tensor({2, 25, 24, 32}, 14));
}

TEST(FastMaskDecoder, MatchesPlainAtTheRealSizes) {
  const Prepared s(MaskDecoderConfig{}, 64, 64);
  expect_same_as_plain(s, random_tensor({1, 2, 256}, 9));
}

TEST(FastMaskDecoder, ComputesTheMasksAskedForAndNoOthers) {
  const Prepared s(kSmall, 6, 8);
  const Tensor sparse = random_tensor({3, 2, 32}, 10);
  const auto everything = s.quick(sparse, all_masks(kSmall));
  const auto seen = s.fast.prepare(s.image, s.no_mask, s.code);
  const auto some = s.fast.forward(*seen, sparse, {}, [&](int64_t p, std::span<const float> iou) {
    EXPECT_EQ(iou.size(), 4u);
    EXPECT_EQ(iou[1], everything.iou.data()[p * 4 + 1]);
    return p == 1 ? std::vector<int64_t>{} : std::vector<int64_t>{2};
  });
  EXPECT_FALSE(some.masks[1].defined());
  for (const size_t p : {size_t{0}, size_t{2}}) {
    const Tensor expected = everything.masks[p].select(0, 2).contiguous();
    ASSERT_EQ(some.masks[p].size(), expected.size());
    for (int64_t i = 0; i < expected.size(); ++i)
      ASSERT_EQ(some.masks[p].data()[i], std::as_const(expected).data()[i]);
  }
}

TEST(FastMaskDecoder, GivesTheSameBitsAloneInABatchAndForAnyThreads) {
  const Prepared s(kSmall, 24, 24);
  const Tensor sparse = random_tensor({11, 2, 32}, 11);
  const int before = threads();
  set_threads(1);
  const auto reference = s.quick(sparse, {0, 3});
  for (int count : {2, 4}) {
    set_threads(count);
    const auto again = s.quick(sparse, {0, 3});
    for (size_t p = 0; p < 11; ++p)
      for (int64_t i = 0; i < reference.masks[p].size(); ++i)
        ASSERT_EQ(again.masks[p].data()[i], reference.masks[p].data()[i])
            << count << " threads, prompt " << p;
  }
  for (int64_t p = 0; p < 11; ++p) {
    const auto alone = s.quick(sparse.slice(0, p, p + 1).contiguous(), {0, 3});
    for (int64_t i = 0; i < alone.masks[0].size(); ++i)
      ASSERT_EQ(alone.masks[0].data()[i], reference.masks[static_cast<size_t>(p)].data()[i])
          << "prompt " << p;
  }
  set_threads(before);
}

TEST(FastMaskDecoder, SuitsFewTokens) {
  const Prepared s(MaskDecoderConfig{}, 4, 4);
  EXPECT_TRUE(s.fast.suits(7));
  EXPECT_TRUE(s.fast.suits(16));
  EXPECT_FALSE(s.fast.suits(18));
}

}  // namespace
}  // namespace beckon::sam
