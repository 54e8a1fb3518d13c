// The plain ViT: every stage, the loss, and its gradient for every parameter and for the image.
#include "models/vit/vit.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

vit::VitConfig config_of(const Golden& golden) {
  const auto& c = golden.json().at("config");
  vit::VitConfig config;
  config.image = c.at("image");
  config.patch = c.at("patch");
  config.dim = c.at("hidden");
  config.heads = c.at("heads");
  config.depth = c.at("layers");
  config.mlp = c.at("mlp_dim");
  return config;
}

TEST(Vit, MatchesGolden) {
  for (const Golden& golden : goldens("vit")) {
    SCOPED_TRACE(golden.name);
    const Arrays& io = golden.tensors("io");
    const nn::Params file = params(golden);
    const vit::VitConfig config = config_of(golden);
    const vit::VitConfig found = vit::detect_google(file, config.image);
    EXPECT_EQ(found.dim, config.dim);
    EXPECT_EQ(found.depth, config.depth);
    EXPECT_EQ(found.heads, config.heads);
    EXPECT_EQ(found.mlp, config.mlp);
    EXPECT_EQ(found.patch, config.patch);

    const nn::Params named = vit::from_google(file, config);
    const vit::Vit model(named, config);
    const nn::Linear head(file / "head" / "last_layer", config.dim,
                          golden.json().at("config").at("classes"));

    // Names as the reference's task model has them.
    std::map<std::string, Tensor> parameters;
    for (const auto& p : named.taken()) parameters["enc.transformer." + p.name] = p.tensor;
    parameters["head.last_layer.weight"] = head.weight;
    parameters["head.last_layer.bias"] = head.bias;
    if (io.has("mid.position_embeddings"))
      expect_golden(golden, "mid.position_embeddings",
                    parameters.at("enc.transformer.embeddings.position_embeddings"));

    Tensor planes = tensor(io.at("in.image"));
    for (const auto& [name, array] : io) {
      if (!name.starts_with("grad.")) continue;
      if (name == "grad.image") {
        planes.set_requires_grad();
      } else {
        parameters.at(name.substr(5)).set_requires_grad();
      }
    }

    const auto watch = [&](const std::string& stage, const Tensor& x) {
      expect_golden(golden, "mid." + stage, x);
    };
    const Tensor feature = model.forward(planes.permute({0, 2, 3, 1}), watch);
    expect_golden(golden, "mid.feature", feature);
    const Tensor logits = head(feature);
    expect_golden(golden, "out.logits", logits);
    const Tensor loss = cross_entropy(logits, tensor(io.at("in.target")));
    expect_golden(golden, "out.loss", loss);
    // Without anyone watching the last block does less.
    expect_golden(golden, "mid.feature", model.forward(planes.permute({0, 2, 3, 1})));

    if (!loss.requires_grad() && !golden.is_own()) continue;  // a case of the forward pass alone
    loss.backward();
    int compared = 0;
    for (const auto& [name, array] : io) {
      if (!name.starts_with("grad.")) continue;
      const Tensor& x = name == "grad.image" ? planes : parameters.at(name.substr(5));
      ASSERT_TRUE(x.grad().defined()) << name;
      expect_golden(golden, name, x.grad());
      ++compared;
    }
    EXPECT_GE(compared, 2);
  }
}

}  // namespace
}  // namespace beckon::test
