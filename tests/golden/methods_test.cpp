// Learned prompts and the baselines: every stage, the loss, and the gradient of all that learns.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/ops.h"
#include "learn/methods/feature_learner.h"
#include "learn/methods/pixel_prompt.h"
#include "learn/methods/reprogram.h"
#include "learn/methods/swin_learner.h"
#include "learn/methods/trainable.h"
#include "learn/methods/vit_learner.h"
#include "support/golden_tensors.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using namespace beckon::learn;
using Chance = beckon::Random;  // not the one for pictures
using nlohmann::json;

std::filesystem::path weights_of(const Golden& golden) {
  const std::string from = golden.json().value("weights_from", "weights.safetensors");
  return golden.folder / from;
}

// The golden's own tensors, which stand beside the network's in its file. The reference's prefix
// "enc." is left out of Swin's prompts.
void take_weights(const Golden& golden, Learner& learner) {
  const Arrays weights = read_safetensors(weights_of(golden));
  size_t taken = 0, own = 0;
  for (const nn::Parameter& p : learner.parameters()) {
    const bool swin_prompt = p.name.starts_with("enc.") && p.name.find("prompt") != p.name.npos;
    const std::string bare = swin_prompt && !weights.has(p.name) ? p.name.substr(4) : p.name;
    own += p.name.starts_with("head.") || p.name.find("prompt") != p.name.npos;
    if (!weights.has(bare)) continue;
    Tensor to = p.tensor;
    ASSERT_EQ(tensor(weights.at(bare)).shape().str(), to.shape().str()) << p.name;
    to.copy_from(tensor(weights.at(bare)));
    ++taken;
  }
  EXPECT_GE(taken, own) << "a tensor of the method is not in the golden";
}

void check_learner(const Golden& golden, Learner& learner, bool training = false) {
  const Arrays& io = golden.tensors("io");
  take_weights(golden, learner);
  learner.watch = [&](const std::string& stage, const Tensor& x) {
    if (io.has("mid." + stage)) expect_golden(golden, "mid." + stage, x);
  };
  const Tensor images = channels_last(tensor(io.at("in.image")));
  const Tensor targets = tensor(io.at("in.target"));
  Pass pass{.training = training};
  const Tensor before = learner.prefix(images);
  EXPECT_FALSE(learner.has_prefix() && before.requires_grad());
  const Tensor logits = learner.logits(before, pass);
  expect_golden(golden, "out.logits", logits);
  const Tensor loss = learner.loss(logits, targets);
  expect_golden(golden, "out.loss", loss);
  loss.backward();
  size_t learning = 0;
  for (const nn::Parameter& p : learner.learned()) {
    if (p.trainable) {
      ASSERT_TRUE(p.tensor.grad().defined()) << p.name;
      // Some gradients of whole networks are left out of the goldens.
      if (golden.is_own() || io.has("grad." + p.name)) {
        expect_golden(golden, "grad." + p.name, p.tensor.grad());
        ++learning;
      }
    } else if (io.has("out." + p.name)) {
      expect_golden(golden, "out." + p.name, p.tensor);
    }
  }
  size_t expected = 0;
  for (const auto& [name, array] : io) expected += name.starts_with("grad.");
  EXPECT_EQ(learning, expected);

  // Nobody watching, less of the last block is computed.
  if (training) return;
  learner.watch = {};
  expect_golden(golden, "out.logits", learner.logits(learner.prefix(images), pass));
}

int64_t pixels_seen(const json& c) {
  const int64_t image = c.at("image");
  return c.value("LOCATION", "") == "pad" ? image + 2 * c.at("NUM_TOKENS").get<int64_t>() : image;
}

VitOptions vit_options(const json& c) {
  VitOptions o;
  o.classes = c.at("classes");
  o.hidden = c.value("mlp_num", 0);
  o.adapter_reduction = c.value("adapter_reduction", 0);
  if (c.contains("LOCATION")) {
    const std::string location = c.at("LOCATION");
    o.location = location == "pad"     ? VitOptions::Location::pad
                 : location == "add"   ? VitOptions::Location::add
                 : location == "add-1" ? VitOptions::Location::add_one
                                       : VitOptions::Location::prepend;
    o.tokens = c.at("NUM_TOKENS");
    o.deep = c.at("DEEP");
    o.project = std::max<int64_t>(0, c.at("PROJECT").get<int64_t>());
    o.dropout = c.at("DROPOUT");
  }
  const std::string pool = c.value("VIT_POOL_TYPE", "original");
  o.pool = pool == "img_pool"         ? VitOptions::Pool::patches
           : pool == "imgprompt_pool" ? VitOptions::Pool::prompts_and_patches
           : pool == "prompt_pool"    ? VitOptions::Pool::prompts
                                      : VitOptions::Pool::original;
  return o;
}

TEST(VptVit, MatchesGolden) {
  for (const Golden& golden : goldens("vpt_vit")) {
    SCOPED_TRACE(golden.name);
    const json& c = golden.json().at("config");
    const auto backbone =
        Backbone::load(weights_of(golden).string(), {.input = static_cast<int>(pixels_seen(c))});
    Chance random(1);
    const std::string type = c.at("transfer_type");
    const bool training = golden.name.find("train_bn") != std::string::npos;
    if (type == "linear" || type == "tinytl-bias") {
      FeatureLearner learner(backbone, {.classes = c.at("classes"), .hidden = c.at("mlp_num")},
                             random);
      learner.head().dropout_probability = 0;
      learner.let_learn(trainable(type, backbone));
      check_learner(golden, learner, training);
    }
    VitLearner learner(
        Backbone::load(weights_of(golden).string(), {.input = static_cast<int>(pixels_seen(c))}),
        vit_options(c), random);
    learner.head().dropout_probability = 0;
    learner.let_learn(trainable(type, learner.backbone()));
    check_learner(golden, learner, training);
  }
}

TEST(VitAdapter, MatchesGolden) {
  for (const Golden& golden : goldens("vit_adapter")) {
    SCOPED_TRACE(golden.name);
    const json& c = golden.json().at("config");
    const auto backbone = Backbone::load(weights_of(golden).string());
    Chance random(1);
    VitLearner learner(backbone, vit_options(c), random);
    learner.let_learn(trainable("adapter", backbone));
    check_learner(golden, learner);
  }
}

TEST(SideTune, MatchesGolden) {
  for (const Golden& golden : goldens("sidetune")) {
    SCOPED_TRACE(golden.name);
    const json& c = golden.json().at("config");
    const auto backbone = Backbone::load(weights_of(golden).string());
    Chance random(1);
    FeatureOptions options{.classes = c.at("classes"), .side = true};
    for (size_t i = 0; i < 5; ++i) options.side_widths[i] = c.at("side_channels").at(i);
    FeatureLearner learner(backbone, options, random);
    learner.let_learn(trainable("side", backbone));
    check_learner(golden, learner);
  }
}

TEST(VptSwin, MatchesGolden) {
  for (const Golden& golden : goldens("vpt_swin")) {
    SCOPED_TRACE(golden.name);
    const json& c = golden.json().at("config");
    const auto backbone = Backbone::load(weights_of(golden).string(), {.input = c.at("img_size")});
    SwinOptions options{
        .classes = c.at("classes"), .tokens = c.at("NUM_TOKENS"), .deep = c.at("DEEP")};
    options.reference_batch_mixing = golden.name.find("quirk") != std::string::npos;
    Chance random(1);
    SwinLearner learner(backbone, options, random);
    learner.let_learn(trainable("prompt", backbone));
    check_learner(golden, learner);
    if (!options.reference_batch_mixing) continue;

    // Without the quirk a picture's result is the same alone as among others.
    options.reference_batch_mixing = false;
    SwinLearner correct(backbone, options, random);
    take_weights(golden, correct);
    const NoGrad no_grad;
    const Tensor images = channels_last(tensor(golden.tensors("io").at("in.image")));
    Pass pass;
    const Tensor together = correct.logits(correct.prefix(images), pass);
    double apart = 0;
    for (int64_t i = 0; i < images.dim(0); ++i) {
      const Tensor one = images.slice(0, i, i + 1).contiguous();
      const Tensor alone = correct.logits(correct.prefix(one), pass);
      expect_near(alone.values(), together.slice(0, i, i + 1).contiguous().values(), 1e-5,
                  "a picture by itself");
      const Tensor mixed = learner.logits(learner.prefix(images), pass).slice(0, i, i + 1);
      apart = std::max(apart, max_difference(alone.values(), mixed.contiguous().values()));
    }
    EXPECT_GT(apart, 1e-3) << "the quirk changes nothing";
  }
}

TEST(PixelPrompt, MatchesGolden) {
  for (const Golden& golden : goldens("pixel_prompt")) {
    SCOPED_TRACE(golden.name);
    const Arrays& io = golden.tensors("io");
    const json& c = golden.json().at("config");
    const auto kind = golden.name.find("padding") != std::string::npos ? PixelPrompt::Kind::padding
                      : io.has("in.offset_row_col") ? PixelPrompt::Kind::random_patch
                                                    : PixelPrompt::Kind::fixed_patch;
    Chance random(1);
    std::map<std::string, Tensor> parts;
    const PixelPrompt prompt(kind, c.at("image_size"), c.at("prompt_size"), 1, random,
                             [&](const std::string& name, Tensor t, bool) {
                               t.copy_from(tensor(io.at("in." + name)));
                               return parts[name] = t.set_requires_grad();
                             });
    int64_t count = 0;
    for (const auto& [name, part] : parts) count += part.size();
    EXPECT_EQ(count, c.at("parameters").get<int64_t>());

    Pass pass;
    const auto offset = io.has("in.offset_row_col") ? io.at("in.offset_row_col").as_ints()
                                                    : std::vector<int64_t>{0, 0};
    const Tensor canvas = kind == PixelPrompt::Kind::random_patch
                              ? prompt.canvas_at(offset[0], offset[1])
                              : prompt.canvas(pass);
    const Tensor seen = channels_first(channels_last(tensor(io.at("in.image"))) + canvas);
    expect_golden(golden, "out.image", seen);
    const Tensor logits =
        linear(seen.reshape({seen.dim(0), -1}), tensor(io.at("in.classifier_weight")),
               tensor(io.at("in.classifier_bias")));
    expect_golden(golden, "out.logits", logits);
    const Tensor loss = cross_entropy(logits, tensor(io.at("in.target")));
    expect_golden(golden, "out.loss", loss);
    loss.backward();
    for (const auto& [name, part] : parts) expect_golden(golden, "grad." + name, part.grad());
  }
}

TEST(AdversarialReprogramming, MatchesGolden) {
  for (const Golden& golden : goldens("adversarial_reprogramming")) {
    SCOPED_TRACE(golden.name);
    const Arrays& io = golden.tensors("io");
    const json& c = golden.json().at("config");
    // The golden's network sees -1 to 1 as it is.
    const auto backbone =
        Backbone::load(weights_of(golden).string(), {.input = c.at("canvas"),
                                                     .mean = std::array{0.5f, 0.5f, 0.5f},
                                                     .deviation = std::array{0.5f, 0.5f, 0.5f}});
    ReprogramOptions options;
    options.small = c.at("small");
    options.lambda = c.at("lambda_");
    options.map =
        first_labels(c.at("task_classes"), c.at("labels_per_class"), c.at("source_classes"));
    Chance random(1);
    ReprogramLearner learner(backbone, options, random);
    learner.let_learn([](const std::string& name) { return name == "program.W"; });
    Tensor w = learner.parameter("program.W");
    w.copy_from(tensor(io.at("in.W")));
    expect_golden(golden, "out.program", learner.program().pixels().permute({2, 0, 1}));
    const Tensor small = channels_last(tensor(io.at("in.small_image")));
    const Tensor adversarial = learner.program().around(small);
    expect_golden(golden, "out.adversarial_image", channels_first(adversarial));
    expect_golden(golden, "out.source_logits", backbone.logits(backbone.features(adversarial)));
    Pass pass;
    const Tensor chances = learner.logits(small, pass);
    expect_golden(golden, "out.task_logprob", chances);
    const Tensor targets = tensor(io.at("in.target"));
    expect_golden(golden, "out.nll", negative_log_likelihood(chances, targets));
    const Tensor loss = learner.loss(chances, targets);
    expect_golden(golden, "out.loss", loss);
    loss.backward();
    expect_golden(golden, "grad.W", w.grad());
  }
}

// A file with a network of random numbers.
template <typename Model, typename Config>
std::string write_network(const TempDir& folder, const std::string& name, const Config& config) {
  const nn::Params params = nn::Params::random(3);
  const Model model(params, config);
  std::vector<nn::Parameter> taken = params.taken();
  std::vector<TensorBytes> bytes;
  for (const nn::Parameter& p : taken)
    bytes.push_back(
        {p.name, DType::f32, p.tensor.shape(), std::as_bytes(std::as_const(p.tensor).values())});
  const std::string path = (folder.path() / name).string();
  write_safetensors(path, bytes);
  return path;
}

TEST(TransferTypes, TrainTheReferencesTensors) {
  const TempDir folder;
  for (const Golden& golden : goldens("transfer_types")) {
    const json& c = golden.json().at("config");
    const json& v = c.at("vit");
    vit::VitConfig vit;
    vit.image = v.at("image");
    vit.patch = v.at("patch");
    vit.dim = v.at("h");
    vit.heads = 1;  // the file does not say, and it counts nothing
    vit.depth = v.at("layers");
    vit.mlp = v.at("mlp");
    const json& s = c.at("swin");
    swin::SwinConfig swin;
    swin.image = s.at("img_size");
    swin.patch = s.at("patch_size");
    swin.dim = s.at("embed_dim");
    swin.mlp_ratio = 2;
    for (size_t i = 0; i < s.at("depths").size(); ++i) {
      // The reference makes windows no larger than the map, with a table to match.
      const int64_t window =
          std::min<int64_t>(s.at("window_size").get<int64_t>(), (swin.image / swin.patch) >> i);
      swin.stages.push_back({s.at("depths").at(i), s.at("num_heads").at(i), window});
    }
    const std::string vit_file = write_network<vit::Vit>(folder, "vit.safetensors", vit);
    const std::string swin_file = write_network<swin::Swin>(folder, "swin.safetensors", swin);

    for (const char* family : {"vit", "swin"}) {
      const bool is_vit = family == std::string("vit");
      const json& cases = golden.json().at(family);
      EXPECT_GE(cases.size(), 11u);
      for (const json& expected : cases) {
        const std::string type = expected.at("transfer_type");
        SCOPED_TRACE(family + (" " + type));
        const auto backbone =
            Backbone::load(is_vit ? vit_file : swin_file,
                           {.input = static_cast<int>(is_vit ? vit.image : swin.image)});
        const json& common = c.at(family);
        const bool prompts = type.find("prompt") != type.npos;
        Chance random(1);
        std::unique_ptr<Learner> learner;
        if (is_vit && (prompts || type == "adapter")) {
          VitOptions o{.classes = common.at("classes")};
          if (prompts) o.location = VitOptions::Location::prepend;
          o.tokens = common.at("prompt_tokens");
          o.deep = expected.at("deep");
          if (!prompts) o.adapter_reduction = common.at("adapter_reduction");
          learner = std::make_unique<VitLearner>(backbone, o, random);
        } else if (prompts) {
          learner = std::make_unique<SwinLearner>(backbone,
                                                  SwinOptions{.classes = common.at("classes"),
                                                              .tokens = common.at("prompt_tokens"),
                                                              .deep = expected.at("deep")},
                                                  random);
        } else {
          FeatureOptions o{.classes = common.at("classes"), .hidden = expected.value("mlp_num", 0)};
          o.side = type == "side";
          if (o.side && is_vit)
            for (size_t i = 0; i < 5; ++i) o.side_widths[i] = common.at("side_channels").at(i);
          learner = std::make_unique<FeatureLearner>(backbone, o, random);
        }
        learner->let_learn(trainable(type, backbone));

        std::set<std::string> names;
        int64_t total = 0, learning = 0;
        for (const nn::Parameter& p : learner->parameters()) {
          // For Swin the golden leaves the side network's convolutions out.
          if (!is_vit && p.name.starts_with("side.features.")) continue;
          if (p.trainable) total += p.tensor.size();
          if (!p.tensor.requires_grad()) continue;
          names.insert(p.name);
          learning += p.tensor.size();
        }
        EXPECT_EQ(names, expected.at("trainable").get<std::set<std::string>>());
        EXPECT_EQ(learning, expected.at("trainable_count").get<int64_t>());
        EXPECT_EQ(total, expected.at("total_count").get<int64_t>());
      }
    }
  }
}

}  // namespace
}  // namespace beckon::test
