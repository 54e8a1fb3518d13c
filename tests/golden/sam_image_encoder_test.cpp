#include <gtest/gtest.h>

#include "models/sam/image_encoder_vit.h"
#include "sam_config.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

// One attention layer over a whole map, with tables of relative positions for another size.
void check_attention(const Golden& golden) {
  const auto& c = golden.json().at("config");
  const Arrays& weights = golden.tensors("weights");
  const sam::VitAttention attention(params(golden), c.at("dim"), c.at("num_heads"), 0,
                                    weights.at("rel_pos_h").shape[0],
                                    weights.at("rel_pos_w").shape[0]);
  expect_golden(golden, "out.y",
                attention.forward(tensor(golden.tensors("io").at("in.x")), nullptr));
}

void check_encoder(const Golden& golden) {
  const sam::VitEncoder encoder(params(golden), vit_config(golden.json().at("config")));
  const Tensor image = channels_last(tensor(golden.tensors("io").at("in.image")));
  const auto watch = [&](const std::string& stage, const Tensor& x) {
    expect_golden(golden, "mid." + stage, stage.starts_with("neck") ? channels_first(x) : x);
  };
  expect_golden(golden, "out.embedding", channels_first(encoder.forward(image, watch)));
  expect_golden(golden, "out.embedding", channels_first(encoder.forward(image)));
}

TEST(SamImageEncoder, MatchesGolden) {
  for (const Golden& golden : goldens("sam_image_encoder")) {
    SCOPED_TRACE(golden.name);
    if (golden.json().at("config").contains("table_size")) {
      check_attention(golden);
    } else {
      check_encoder(golden);
    }
  }
}

}  // namespace
}  // namespace beckon::test
