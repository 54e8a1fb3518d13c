// Training, step by step: losses, learning rates and every trained tensor after each step, as the
// reference's loop has them.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/train.h"
#include "learn/methods/trainable.h"
#include "learn/methods/vit_learner.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

using namespace beckon::learn;
using Chance = beckon::Random;  // not the one for pictures

// The golden's method on its network, with the values training begins with.
std::unique_ptr<VitLearner> learner_of(const Golden& golden, const nlohmann::json& c) {
  const auto backbone = Backbone::load((golden.folder / "weights.safetensors").string());
  VitOptions options;
  options.classes = c.at("classes");
  options.adapter_reduction = c.value("adapter_reduction", 0);
  if (c.contains("NUM_TOKENS")) {
    options.location = VitOptions::Location::prepend;
    options.tokens = c.at("NUM_TOKENS");
    options.deep = c.at("DEEP");
  }
  Chance random(1);
  auto learner = std::make_unique<VitLearner>(backbone, options, random);
  for (const std::string name : golden.json().at("trainable")) {
    Tensor value = learner->parameter(name);
    value.copy_from(tensor(golden.tensors("weights").at(name)));
  }
  learner->let_learn(trainable(c.at("transfer_type"), backbone));
  return learner;
}

TEST(Trainer, MatchesGolden) {
  for (const Golden& golden : goldens("trainer")) {
    SCOPED_TRACE(golden.name);
    const auto& c = golden.json().at("config");
    const Arrays& io = golden.tensors("io");
    const auto learner = learner_of(golden, c);
    std::map<std::string, Tensor> learned;
    for (const nn::Parameter& p : learner->learned()) learned[p.name] = p.tensor;
    EXPECT_EQ(learned.size(), golden.json().at("trainable").size());

    const float decay = c.at("weight_decay");
    const OptimizerKind asked = optimizer_kind(c.at("optimizer"));
    const OptimizerKind kind = vpt_optimizer(asked, decay);
    std::vector<TrainedTensor> trained;
    for (const auto& [name, value] : learned)
      trained.push_back(
          {.name = name, .tensor = value, .weight_decay = vpt_weight_decay(asked, name, decay)});
    Optimizer optimizer({.kind = kind, .momentum = c.at("momentum")}, trained);

    const bool by_step = std::string(c.at("schedule")).starts_with("per step");
    const int64_t warmup = c.at("warmup"), total = c.at("total"), steps = c.at("steps");
    const Tensor images = tensor(io.at("in.images")), targets = tensor(io.at("in.targets"));
    std::vector<float> losses, rates;
    for (int64_t s = 0; s < steps; ++s) {
      const double rate =
          double{c.at("base_lr")} *
          (by_step ? warmup_cosine(s, warmup, total) : warmup_cosine_by_epoch(s, warmup, total));
      rates.push_back(static_cast<float>(rate));
      optimizer.zero_grad();
      const Tensor image = images.select(0, s).permute({0, 2, 3, 1}).contiguous();
      Pass pass{.training = true};
      const Tensor loss = learner->loss(learner->logits(learner->prefix(image), pass),
                                        targets.select(0, s).contiguous());
      losses.push_back(loss.item());
      loss.backward();
      if (s + 1 == steps)
        for (const auto& [name, value] : learned)
          if (io.has("grad.last_step." + name))
            expect_golden(golden, "grad.last_step." + name, value.grad());
      optimizer.step(rate);
      for (const auto& [name, value] : learned)
        expect_golden(golden, "mid.step" + std::to_string(s) + "." + name, value.detach());
    }
    expect_near(losses, io.at("out.loss"), golden.tolerance("out.loss"), "out.loss");
    expect_near(rates, io.at("out.lr"), 1e-6, "out.lr");
  }
}

}  // namespace
}  // namespace beckon::test
