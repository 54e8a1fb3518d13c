#include "models/sam/prompt_encoder.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/ops.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

TEST(PromptEncoder, MatchesGolden) {
  for (const Golden& golden : goldens("prompt_encoder")) {
    SCOPED_TRACE(golden.name);
    const auto& c = golden.json().at("config");
    sam::PromptEncoderConfig config;
    config.dim = c.at("embed_dim");
    config.grid_h = c.at("image_embedding_size").at(0);
    config.grid_w = c.at("image_embedding_size").at(1);
    config.image_h = c.at("input_image_size").at(0);
    config.image_w = c.at("input_image_size").at(1);
    config.mask_channels = c.at("mask_in_chans");
    const sam::PromptEncoder encoder(params(golden), config);

    const Arrays& io = golden.tensors("io");
    const Tensor points = tensor(io.at("in.points")), labels = tensor(io.at("in.labels"));
    const Tensor boxes = tensor(io.at("in.boxes"));
    const Tensor masks = channels_last(tensor(io.at("in.masks")));
    expect_golden(golden, "out.dense_pe", channels_first(encoder.grid_code()));

    // A combination's name says what is given: "points_boxes_masks".
    int compared = 0;
    for (const auto& [name, array] : io) {
      if (!name.starts_with("out.") || name == "out.dense_pe") continue;
      const auto has = [&](const char* what) { return name.find(what) != std::string::npos; };
      ++compared;
      if (name.ends_with(".sparse")) {
        expect_golden(
            golden, name,
            encoder.sparse(has("points") ? points : Tensor(), has("points") ? labels : Tensor(),
                           has("boxes") ? boxes : Tensor()));
      } else if (has("masks")) {
        expect_golden(golden, name, channels_first(encoder.dense(masks)));
      } else {
        const Tensor none = encoder.no_mask().expand({1, config.grid_h, config.grid_w, config.dim});
        expect_golden(golden, name, channels_first(none));
      }
    }
    EXPECT_GE(compared, 2);
    EXPECT_FALSE(encoder.sparse({}, {}, {}).defined());
  }
}

}  // namespace
}  // namespace beckon::test
