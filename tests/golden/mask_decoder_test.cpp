#include "models/sam/mask_decoder.h"

#include <gtest/gtest.h>

#include "beckon/ops.h"
#include "sam_config.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

TEST(MaskDecoder, MatchesGolden) {
  for (const Golden& golden : goldens("mask_decoder")) {
    SCOPED_TRACE(golden.name);
    const Arrays& io = golden.tensors("io");
    const sam::MaskDecoder decoder(params(golden), mask_decoder_config(golden.json().at("config")));
    const Tensor image = channels_last(tensor(io.at("in.image_embedding")));
    const Tensor code = channels_last(tensor(io.at("in.image_pe")));
    const Tensor sparse = tensor(io.at("in.sparse"));
    const Tensor dense = channels_last(tensor(io.at("in.dense")));

    const auto watch = [&](const std::string& stage, const Tensor& x) {
      expect_golden(golden, "mid." + stage, stage == "upscaled" ? channels_first(x) : x);
    };
    const auto output = decoder.forward(image, code, sparse, dense, watch);
    const int64_t masks = output.iou.dim(1);
    expect_golden(golden, "out.all_masks", output.masks);
    expect_golden(golden, "out.all_iou", output.iou);
    const auto compare = [&](const std::string& name, const Tensor& actual) {
      if (golden.is_own() || io.has(name)) expect_golden(golden, name, actual);
    };
    compare("out.multi.iou", output.iou.slice(1, 1, masks));
    if (io.has("out.multi.masks")) compare("out.multi.masks", output.masks.slice(1, 1, masks));
    compare("out.single.iou", output.iou.slice(1, 0, 1));
    compare("out.single.masks", output.masks.slice(1, 0, 1));

    const auto bare = decoder.forward(image, code, {}, dense);
    compare("out.no_sparse.all_masks", bare.masks);
    compare("out.no_sparse.all_iou", bare.iou);
  }
}

}  // namespace
}  // namespace beckon::test
