// The same forward learns: gradients through a frozen model towards what is in input space.
#include <gtest/gtest.h>

#include "beckon/ops.h"
#include "models/small_sam.h"

namespace beckon::test {
namespace {

// Central differences of loss(x) along `direction`, against the gradient's product with it.
void expect_slope(Tensor x, const Tensor& direction, const std::function<Tensor()>& loss,
                  float step, double tolerance) {
  x.set_requires_grad();
  loss().backward();
  const Tensor gradient = x.grad();
  ASSERT_TRUE(gradient.defined());
  double expected = 0;
  for (int64_t i = 0; i < x.size(); ++i)
    expected += double{gradient.data()[i]} * double{direction.data()[i]};
  x.zero_grad();
  x.set_requires_grad(false);

  const Tensor start = x.clone();
  const auto at = [&](float t) {
    NoGrad no_grad;
    Tensor moved = start.clone();
    for (int64_t i = 0; i < x.size(); ++i) moved.data()[i] += t * direction.data()[i];
    x.copy_from(moved);
    return double{loss().item()};
  };
  const double measured = (at(step) - at(-step)) / (2 * double{step});
  x.copy_from(start);
  EXPECT_NEAR(expected, measured, tolerance * std::max(std::abs(measured), 1e-3));
}

class SamGradient : public testing::TestWithParam<bool> {};

TEST_P(SamGradient, ReachesPixelsAndTokens) {
  const auto model = small_model(GetParam());
  for (const nn::Parameter& p : model->parameters()) ASSERT_FALSE(p.tensor.requires_grad());
  const Tensor image = model->input(small_picture());
  const Tensor tokens = random_tensor({1, 3, 32}, 77, 0.5f);
  const Tensor weights =
      random_tensor({1, 4, 4 * model->config.prompt.grid_h, 4 * model->config.prompt.grid_w}, 78);
  const auto loss = [&] {
    const Tensor seen = model->image_encoder().forward(image);
    const auto output = model->mask_decoder.forward(seen, model->prompt_encoder.grid_code(), tokens,
                                                    model->prompt_encoder.no_mask());
    return mean(output.masks * weights) + sum(output.iou);
  };
  // The loss bends quickly along a whole image of noise: a small step.
  expect_slope(image, random_tensor(image.shape(), 79), loss, 2e-4f, 0.015);
  expect_slope(tokens, random_tensor(tokens.shape(), 80), loss, 1e-3f, 0.015);
  // A frozen model keeps no gradients of its own.
  for (const nn::Parameter& p : model->parameters()) EXPECT_FALSE(p.tensor.grad().defined());
}

TEST_P(SamGradient, ReachesParametersThatAreAskedFor) {
  const auto model = small_model(GetParam());
  const Tensor image = model->input(small_picture());
  std::vector<Tensor> trained;
  for (nn::Parameter p : model->parameters()) {
    if (!p.name.ends_with("norm4.bias") && !p.name.ends_with("qkv.weight") &&
        !p.name.ends_with("bn.weight") && !p.name.ends_with("attention_biases") &&
        !p.name.ends_with("rel_pos_h"))
      continue;
    p.tensor.set_requires_grad();
    trained.push_back(p.tensor);
  }
  ASSERT_GE(trained.size(), 4u);
  const auto output = model->mask_decoder.forward(
      model->image_encoder().forward(image), model->prompt_encoder.grid_code(),
      random_tensor({1, 3, 32}, 77), model->prompt_encoder.no_mask());
  mean(output.masks * output.masks).backward();
  for (const Tensor& parameter : trained) {
    ASSERT_TRUE(parameter.grad().defined());
    double square = 0;
    for (const float v : std::as_const(parameter).grad().values()) square += v * v;
    EXPECT_GT(square, 0) << parameter.shape().str();
  }
}

INSTANTIATE_TEST_SUITE_P(Encoders, SamGradient, testing::Bool(),
                         [](const auto& encoder) { return encoder.param ? "TinyViT" : "ViT"; });

}  // namespace
}  // namespace beckon::test
