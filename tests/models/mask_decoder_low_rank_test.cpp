// The mask decoder that makes no image tokens against its readable definition.
#include "models/sam/mask_decoder_low_rank.h"

#include <gtest/gtest.h>

#include "base/threads.h"
#include "models/grown_decoder.h"

namespace beckon::sam {
namespace {

// A width of which eight tokens of four heads are well below half.
const MaskDecoderConfig kWide{.dim = 96, .depth = 2, .heads = 4, .mlp = 48, .iou_hidden = 24};

void expect_low_rank_is_plain(const Prepared& s, const Tensor& sparse, float relative = 2e-5f) {
  expect_same(s.quickest(sparse, all_masks(s.config)), s.plain(sparse), relative);
}

TEST(LowRankMaskDecoder, MatchesPlainForOnePrompt) {
  const Prepared s(kWide, 6, 8);
  expect_low_rank_is_plain(s, random_tensor({1, 2, 96}, 4));
}

TEST(LowRankMaskDecoder, MatchesPlainWithoutSparseTokens) {
  const Prepared s(kWide, 6, 8);
  expect_low_rank_is_plain(s, Tensor());
}

// A map that does not fill its last panel, nor its rows whole vectors; more prompts than a group.
TEST(LowRankMaskDecoder, MatchesPlainForABatchOnAnOddMap) {
  const Prepared s(kWide, 37, 29);
  expect_low_rank_is_plain(s, random_tensor({11, 3, 96}, 5));
}

TEST(LowRankMaskDecoder, MatchesPlainForOtherHeads) {
  expect_low_rank_is_plain(
      Prepared({.dim = 48, .depth = 2, .heads = 3, .mlp = 20, .iou_hidden = 8}, 3, 5),
      random_tensor({2, 1, 48}, 7));
}

TEST(LowRankMaskDecoder, MatchesPlainAtTheRealSizes) {
  const Prepared s(MaskDecoderConfig{}, 64, 64);
  expect_low_rank_is_plain(s, random_tensor({2, 2, 256}, 9));
}

TEST(LowRankMaskDecoder, ComputesTheMasksAskedForAndNoOthers) {
  const Prepared s(kWide, 6, 8);
  const Tensor sparse = random_tensor({3, 2, 96}, 10);
  const auto everything = s.quickest(sparse, all_masks(kWide));
  const auto seen = s.low_rank.prepare(*s.fast.prepare(s.image, s.no_mask, s.code));
  const auto some = s.low_rank.forward(*seen, sparse, [&](int64_t p, std::span<const float> iou) {
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

TEST(LowRankMaskDecoder, GivesTheSameBitsAloneInABatchAndForAnyThreads) {
  const Prepared s(kWide, 40, 40);
  const Tensor sparse = random_tensor({11, 2, 96}, 11);
  set_threads(1);
  const auto reference = s.quickest(sparse, {0, 3});
  const auto expect_equal = [&](const Tensor& actual, size_t p) {
    for (int64_t i = 0; i < actual.size(); ++i)
      ASSERT_EQ(std::as_const(actual).data()[i], reference.masks[p].data()[i]) << "prompt " << p;
  };
  for (int count : {2, 4}) {
    set_threads(count);
    const auto again = s.quickest(sparse, {0, 3});
    for (size_t p = 0; p < 11; ++p) expect_equal(again.masks[p], p);
  }
  for (size_t p = 0; p < 11; ++p) {
    const auto from = static_cast<int64_t>(p);
    expect_equal(s.quickest(sparse.slice(0, from, from + 1).contiguous(), {0, 3}).masks[0], p);
  }
  set_threads(0);
}

TEST(LowRankMaskDecoder, SuitsTwoBlocksAndFewTokens) {
  const Prepared s(MaskDecoderConfig{}, 4, 4);
  EXPECT_TRUE(s.low_rank.suits(7));
  EXPECT_TRUE(s.low_rank.suits(16));
  EXPECT_FALSE(s.low_rank.suits(17));
  const Prepared three({.dim = 48, .depth = 3, .heads = 3, .mlp = 20, .iou_hidden = 8}, 3, 5);
  EXPECT_FALSE(three.low_rank.suits(6));
}

}  // namespace
}  // namespace beckon::sam
