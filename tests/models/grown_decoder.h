// A mask decoder whose attention is far from uniform (freshly initialised weights are too small for
// that), with an image: for tests that compare the forms of it.
#pragma once

#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "models/sam/mask_decoder_fast.h"
#include "models/sam/mask_decoder_low_rank.h"

namespace beckon::sam {

inline Tensor random_tensor(const Shape& shape, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  Tensor x = Tensor::empty(shape);
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = normal(generator);
  return x;
}

struct Prepared {
  MaskDecoderConfig config;
  int64_t h, w;
  nn::Params params = nn::Params::random(7);
  MaskDecoder decoder;
  FastMaskDecoder fast;
  LowRankMaskDecoder low_rank;
  Tensor image, no_mask, code;

  Prepared(const MaskDecoderConfig& c, int64_t h_, int64_t w_)
      : config(c), h(h_), w(w_), decoder(grown(params, c)), fast(decoder), low_rank(decoder) {
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
  FastMaskDecoder::Output quickest(const Tensor& sparse, std::vector<int64_t> wanted) const {
    const auto seen = low_rank.prepare(*fast.prepare(image, no_mask, code));
    return low_rank.forward(*seen, sparse, [&](int64_t, std::span<const float>) { return wanted; });
  }
  FastMaskDecoder::Output quick(const Tensor& sparse, std::vector<int64_t> wanted,
                                const Tensor& dense = {}) const {
    const auto seen = fast.prepare(image, no_mask, code);
    return fast.forward(*seen, sparse, dense,
                        [&](int64_t, std::span<const float>) { return wanted; });
  }
};

inline std::vector<int64_t> all_masks(const MaskDecoderConfig& c) {
  std::vector<int64_t> list(static_cast<size_t>(c.masks()));
  std::iota(list.begin(), list.end(), 0);
  return list;
}

inline void expect_close(const Tensor& actual, const Tensor& expected, float relative) {
  ASSERT_EQ(actual.size(), expected.size());
  float largest = 0, worst = 0;
  for (int64_t i = 0; i < actual.size(); ++i) {
    largest = std::max(largest, std::abs(expected.data()[i]));
    worst = std::max(worst, std::abs(actual.data()[i] - expected.data()[i]));
  }
  EXPECT_GT(largest, 0.0f);
  EXPECT_LE(worst, relative * largest);
}

inline void expect_same(const FastMaskDecoder::Output& fast, const MaskDecoder::Output& plain,
                        float relative) {
  expect_close(fast.iou, plain.iou, relative);
  ASSERT_EQ(static_cast<int64_t>(fast.masks.size()), plain.masks.dim(0));
  for (int64_t p = 0; p < plain.masks.dim(0); ++p)
    expect_close(fast.masks[static_cast<size_t>(p)], plain.masks.select(0, p).contiguous(),
                 relative);
}

inline const MaskDecoderConfig kSmall{
    .dim = 32, .depth = 2, .heads = 4, .mlp = 48, .iou_hidden = 24};

}  // namespace beckon::sam
