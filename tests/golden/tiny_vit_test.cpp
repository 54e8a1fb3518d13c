#include <gtest/gtest.h>

#include "models/sam/image_encoder_tiny_vit.h"
#include "sam_config.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

TEST(TinyVit, MatchesGolden) {
  for (const Golden& golden : goldens("tiny_vit")) {
    SCOPED_TRACE(golden.name);
    const sam::TinyVitEncoder encoder(params(golden), tiny_vit_config(golden.json().at("config")));
    const Tensor image = channels_last(tensor(golden.tensors("io").at("in.image")));
    // Maps are [B,C,H,W] in the convolutional stage and token lists [B,HW,C] after it.
    const auto watch = [&](const std::string& stage, const Tensor& x) {
      const std::string name = "mid." + stage;
      if (!golden.tensors("io").has(name)) return;
      expect_golden(golden, name,
                    golden.tensors("io").at(name).shape.size() == 4 ? channels_first(x) : x);
    };
    expect_golden(golden, "out.embedding", channels_first(encoder.forward(image, watch)));
  }
}

}  // namespace
}  // namespace beckon::test
