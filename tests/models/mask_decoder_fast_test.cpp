// The re-associated mask decoder against its readable definition.
#include "models/sam/mask_decoder_fast.h"

#include <gtest/gtest.h>

#include "base/threads.h"
#include "models/grown_decoder.h"

namespace beckon::sam {
namespace {

void expect_same_as_plain(const Prepared& s, const Tensor& sparse, const Tensor& dense = {}) {
  expect_same(s.quick(sparse, all_masks(s.config), dense), s.plain(sparse, dense), 2e-5f);
}

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
