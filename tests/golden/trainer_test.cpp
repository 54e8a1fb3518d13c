// Training, step by step: losses, learning rates and every trained tensor after each step, as the
// reference's loop has them. The networks (a ViT with prompt tokens or adapters) are written out
// here, so that the trace pins the optimisers and schedules alone.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/train.h"
#include "models/vit/vit.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

class TrainedVit {
 public:
  TrainedVit(const Golden& golden, const nlohmann::json& c)
      : config_(config_of(c)),
        named_(vit::from_google(params(golden), config_)),
        vit_(named_, config_),
        norm_(named_ / "encoder" / "encoder_norm", config_.dim, config_.norm_eps),
        deep_(c.value("DEEP", false)) {
    for (int64_t i = 0; i < config_.depth; ++i)
      blocks_.emplace_back(named_ / "encoder" / "layer" / i, config_);
    for (const std::string name : golden.json().at("trainable"))
      trained_[name] = tensor(golden.tensors("weights").at(name));
  }

  // image [B,S,S,3] -> [B,classes]
  Tensor logits(const Tensor& image) const {
    const std::string enc = "enc.transformer.";
    Tensor x = vit_.embed(image);
    if (has(enc + "prompt_embeddings")) x = with_prompts(x, at(enc + "prompt_embeddings"), 0);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      const int64_t before = static_cast<int64_t>(i) - 1;
      if (deep_ && i > 0)
        x = with_prompts(x, at(enc + "deep_prompt_embeddings").slice(0, before, before + 1),
                         at(enc + "prompt_embeddings").dim(1));
      const std::string layer = enc + "encoder.layer." + std::to_string(i) + ".adapter_";
      x = has(layer + "downsample.weight") ? adapted(blocks_[i], layer, x) : blocks_[i].forward(x);
    }
    return linear(norm_(x).select(1, 0), at("head.last_layer.weight"), at("head.last_layer.bias"));
  }

  const std::map<std::string, Tensor>& trained() const { return trained_; }

 private:
  static vit::VitConfig config_of(const nlohmann::json& c) {
    vit::VitConfig config;
    config.image = c.at("image");
    config.patch = c.at("patch");
    config.dim = c.at("hidden");
    config.heads = c.at("heads");
    config.depth = c.at("layers");
    config.mlp = c.at("mlp_dim");
    return config;
  }
  bool has(const std::string& name) const { return trained_.contains(name); }
  const Tensor& at(const std::string& name) const { return trained_.at(name); }

  // Prompts [1,p,C] behind the class token, instead of the `replaced` tokens there.
  static Tensor with_prompts(const Tensor& x, const Tensor& prompts, int64_t replaced) {
    const Tensor all = prompts.expand({x.dim(0), prompts.dim(1), prompts.dim(2)});
    return concat({x.slice(1, 0, 1), all, x.slice(1, 1 + replaced, x.dim(1))}, 1);
  }

  Tensor adapted(const vit::VitBlock& block, const std::string& name, const Tensor& x0) const {
    const Tensor x = block.attn.add_to(x0, block.attention_norm, 0);
    const Tensor y = block.ffn(block.ffn_norm(x));
    const Tensor down =
        gelu(linear(y, at(name + "downsample.weight"), at(name + "downsample.bias")));
    return x + y + linear(down, at(name + "upsample.weight"), at(name + "upsample.bias"));
  }

  vit::VitConfig config_;
  nn::Params named_;
  vit::Vit vit_;
  nn::LayerNorm norm_;
  bool deep_;
  std::vector<vit::VitBlock> blocks_;
  std::map<std::string, Tensor> trained_;
};

TEST(Trainer, MatchesGolden) {
  for (const Golden& golden : goldens("trainer")) {
    SCOPED_TRACE(golden.name);
    const auto& c = golden.json().at("config");
    const Arrays& io = golden.tensors("io");
    const TrainedVit model(golden, c);

    const float decay = c.at("weight_decay");
    const OptimizerKind asked = optimizer_kind(c.at("optimizer"));
    const OptimizerKind kind = vpt_optimizer(asked, decay);
    std::vector<TrainedTensor> trained;
    for (const auto& [name, value] : model.trained())
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
      const Tensor loss = cross_entropy(model.logits(image), targets.select(0, s).contiguous());
      losses.push_back(loss.item());
      loss.backward();
      if (s + 1 == steps)
        for (const auto& [name, value] : model.trained())
          if (io.has("grad.last_step." + name))
            expect_golden(golden, "grad.last_step." + name, value.grad());
      optimizer.step(rate);
      for (const auto& [name, value] : model.trained())
        expect_golden(golden, "mid.step" + std::to_string(s) + "." + name, value.detach());
    }
    expect_near(losses, io.at("out.loss"), golden.tolerance("out.loss"), "out.loss");
    expect_near(rates, io.at("out.lr"), 1e-6, "out.lr");
  }
}

}  // namespace
}  // namespace beckon::test
