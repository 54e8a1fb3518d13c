#include "nn/params.h"

#include <cmath>

#include <gtest/gtest.h>

#include "beckon/ops.h"
#include "nn/layers.h"
#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/file_makers.h"

namespace beckon::test {
namespace {

using nn::Params;

// {"a.weight": [2,3] = 0..5, "a.bias": [2], "blocks.0.x": [1], "blocks.1.x": [1], "blocks.10.x"}
Params small() {
  const Tensor one = Tensor::zeros({1});
  return Params::from({{"a.weight", Tensor::from({0, 1, 2, 3, 4, 5}, {2, 3})},
                       {"a.bias", Tensor::from({7, 8}, {2})},
                       {"blocks.0.x", one},
                       {"blocks.1.x", one},
                       {"blocks.10.x", one}},
                      "small.pth");
}

TEST(Params, PathsJoinWithDots) {
  const Params p = small();
  EXPECT_TRUE(p.has("a.weight"));
  EXPECT_TRUE((p / "blocks" / 1).has("x"));
  EXPECT_FALSE((p / "blocks").has("x"));
  EXPECT_EQ((p / "a").tensor("weight", {2, 3}).data()[4], 4.0f);
  EXPECT_EQ(p.count("blocks"), 2);  // 10 does not follow 1
  EXPECT_EQ(p.count("nothing"), 0);
}

TEST(Params, ErrorsNameFileTensorAndShapes) {
  const Params p = small().with_hint("is this a ViT-H file?");
  expect_error(Kind::model, "small.pth: there is no tensor 'a.wieght' (is this a ViT-H file?)",
               [&] {
                 (p / "a").tensor("wieght", {2, 3});
               });
  expect_error(Kind::model,
               "small.pth: tensor 'a.weight' has shape [2,3], expected [3,2] (is this a ViT-H",
               [&] {
                 (p / "a").tensor("weight", {3, 2});
               });
}

TEST(Params, RemembersWhatItGaveOut) {
  const Params p = small();
  const nn::Linear linear(p / "a", 3, 2);
  const Tensor buffer = (p / "blocks" / 0).buffer("x", {1});
  const auto taken = p.taken();
  ASSERT_EQ(taken.size(), 3u);
  EXPECT_EQ(taken[0].name, "a.weight");
  EXPECT_EQ(taken[1].name, "a.bias");
  EXPECT_TRUE(taken[1].trainable);
  EXPECT_EQ(taken[2].name, "blocks.0.x");
  EXPECT_FALSE(taken[2].trainable);

  Tensor weight = taken[0].tensor;
  weight.set_requires_grad();
  EXPECT_TRUE(linear.weight.requires_grad()) << "the handle is shared with the layer";
  EXPECT_EQ((p / "a").tensor("weight", {2, 3}).impl(), weight.impl()) << "asked twice, one tensor";
}

TEST(Params, RandomDependsOnSeedAndNameOnly) {
  const Params a = Params::random(1), b = Params::random(1), c = Params::random(2);
  b.tensor("other", {5});
  const Tensor x = a.tensor("w", {100, 10}), y = b.tensor("w", {100, 10}),
               z = c.tensor("w", {100, 10}), other = a.tensor("v", {100, 10});
  EXPECT_EQ(max_difference(x.values(), y.values()), 0);
  EXPECT_GT(max_difference(x.values(), z.values()), 0);
  EXPECT_GT(max_difference(x.values(), other.values()), 0);
  double square = 0;
  for (const float v : x.values()) {
    EXPECT_LE(std::abs(v), 0.04f);  // cut at two deviations of 0.02
    square += v * v;
  }
  EXPECT_NEAR(std::sqrt(square / 1000), 0.0176, 0.0015);  // of a normal cut there: 0.88 * 0.02
  EXPECT_EQ(a.tensor("gamma", {2}, nn::Init::ones).data()[1], 1.0f);
  EXPECT_EQ(a.tensor("beta", {2}, nn::Init::zeros).data()[1], 0.0f);
  EXPECT_EQ(Params::zeros().tensor("w", {2}).data()[1], 0.0f);
}

TEST(Params, ReadsFromTheFileWithoutACopyWhereItCan) {
  const TempDir dir;
  const std::string path =
      dir.write("x.safetensors",
                safetensors(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                            R"("h":{"dtype":"F16","shape":[2],"data_offsets":[8,12]}})",
                            bytes_of<float>({1.5f, -2.0f}) + bytes_of<uint16_t>({0x3c00, 0xc000})));
  const Checkpoint file = Checkpoint::open(path);
  const Params p = Params::from(file);
  const Tensor w = p.tensor("w", {2}), h = p.tensor("h", {2});
  EXPECT_EQ(w.data()[0], 1.5f);
  EXPECT_EQ(static_cast<const void*>(w.data()), static_cast<const void*>(file.raw("w")->data));
  EXPECT_EQ(h.data()[0], 1.0f);
  EXPECT_EQ(h.data()[1], -2.0f);
  EXPECT_EQ(p.origin(), path);
}

// Training changes what lies in the file in memory, and there only.
TEST(Params, MappedOnesCanBeWritten) {
  const TempDir dir;
  const std::string path = dir / "w.safetensors";
  const float values[] = {1, 2, 3, 4};
  const TensorBytes tensor{"w", DType::f32, {4}, std::as_bytes(std::span(values))};
  write_safetensors(path, std::span(&tensor, 1));
  {
    Tensor w = Params::from(Checkpoint::open(path)).tensor("w", {4});
    w.data()[2] = 30;
    w.copy_from(w + 1.0f);
    EXPECT_EQ(w.data()[2], 31.0f);
  }
  const Tensor again = Params::from(Checkpoint::open(path)).tensor("w", {4});
  expect_near(again.values(), std::span<const float>(values), 0.0, "the file");
}

// A convolution with a batch norm behind it, and the two folded into one.
TEST(ConvBN, FoldedEqualsConvolutionAndNorm) {
  const Params p = Params::random(3);
  const nn::ConvBN layer(p / "l", 4, 6, 3, Conv().padding(1));
  std::map<std::string, Tensor> t;
  for (const auto& parameter : p.taken()) {
    Tensor tensor = parameter.tensor;
    t[parameter.name] = tensor;
    for (int64_t i = 0; i < tensor.size(); ++i)
      tensor.data()[i] =
          0.5f + 0.3f * std::sin(static_cast<float>(i) + static_cast<float>(t.size()));
  }
  Tensor x = Tensor::empty({1, 5, 4, 4});
  for (int64_t i = 0; i < x.size(); ++i) x.data()[i] = std::cos(static_cast<float>(i));
  const Tensor expected =
      batch_norm(conv2d(x, t.at("l.c.weight"), {}, Conv().padding(1)), t.at("l.bn.running_mean"),
                 t.at("l.bn.running_var"), t.at("l.bn.weight"), t.at("l.bn.bias"), 1e-5f);
  expect_near(layer(x).values(), expected.values(), 1e-5, "folded");

  // Written to while frozen, it is folded again.
  for (const char* name : {"l.bn.running_var", "l.c.weight", "l.bn.bias"}) {
    Tensor changed = t.at(name);
    for (int64_t i = 0; i < changed.size(); ++i) changed.data()[i] *= 1.5f;
    expect_near(
        layer(x).values(),
        batch_norm(conv2d(x, t.at("l.c.weight"), {}, Conv().padding(1)), t.at("l.bn.running_mean"),
                   t.at("l.bn.running_var"), t.at("l.bn.weight"), t.at("l.bn.bias"), 1e-5f)
            .values(),
        1e-5, name);
  }

  // Trained, it is on the tape, and what was kept before is not used any more.
  Tensor weight = t.at("l.c.weight"), gamma = t.at("l.bn.weight");
  weight.set_requires_grad();
  gamma.set_requires_grad();
  sum(layer(x)).backward();
  EXPECT_TRUE(weight.grad().defined());
  EXPECT_TRUE(gamma.grad().defined());
  for (int64_t i = 0; i < gamma.size(); ++i) gamma.data()[i] *= 2;
  weight.set_requires_grad(false);
  gamma.set_requires_grad(false);
  const Tensor doubled =
      batch_norm(conv2d(x, weight, {}, Conv().padding(1)), t.at("l.bn.running_mean"),
                 t.at("l.bn.running_var"), gamma, t.at("l.bn.bias"), 1e-5f);
  expect_near(layer(x).values(), doubled.values(), 1e-5, "after training");
}

}  // namespace
}  // namespace beckon::test
