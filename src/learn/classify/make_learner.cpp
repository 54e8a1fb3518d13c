#include "learn/classify/make_learner.h"

#include <algorithm>
#include <charconv>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "learn/methods/feature_learner.h"
#include "learn/methods/pixel_prompt.h"
#include "learn/methods/reprogram.h"
#include "learn/methods/swin_learner.h"
#include "learn/methods/trainable.h"
#include "learn/methods/vit_learner.h"

namespace beckon::learn {
namespace {

using nlohmann::json;

constexpr const char* kMethods[] = {
    "linear", "mlp-K",       "partial-K", "full",      "bias",        "sidetune",     "adapter",
    "lora",   "vpt-shallow", "vpt-deep",  "pixel-pad", "pixel-patch", "pixel-random", "reprogram"};

// "mlp-3" -> 3; 0 if the name does not begin so or no number of 1 to 64 follows.
int64_t number_after(const std::string& name, const std::string& before) {
  if (!name.starts_with(before)) return 0;
  int64_t value = 0;
  const char* end = name.data() + name.size();
  const auto read = std::from_chars(name.data() + before.size(), end, value);
  return read.ec == std::errc() && read.ptr == end && value >= 1 && value <= 64 ? value : 0;
}

VitOptions::Location location_of(const std::string& name) {
  if (name == "prepend") return VitOptions::Location::prepend;
  if (name == "add") return VitOptions::Location::add;
  if (name == "add-1") return VitOptions::Location::add_one;
  if (name == "pad") return VitOptions::Location::pad;
  fail(Kind::usage, "prompts at '{}': expected prepend, add, add-1 or pad", name);
}

VitOptions::Pool pool_of(const std::string& name) {
  if (name == "original") return VitOptions::Pool::original;
  if (name == "imgprompt_pool") return VitOptions::Pool::prompts_and_patches;
  if (name == "img_pool") return VitOptions::Pool::patches;
  if (name == "prompt_pool") return VitOptions::Pool::prompts;
  fail(Kind::usage, "pool '{}': expected original, imgprompt_pool, img_pool or prompt_pool", name);
}

std::unique_ptr<Learner> make_vpt(const Backbone& backbone, const ClassifierMethod& m,
                                  int64_t classes, Random& random) {
  const bool deep = m.name == "vpt-deep";
  if (backbone.family() == "swin") {
    if (m.location != "prepend" || m.project != 0 || m.pool != "original")
      fail(Kind::usage, "on a Swin prompts are prepended, without projection and pooled with all");
    return std::make_unique<SwinLearner>(
        backbone,
        SwinOptions{.classes = classes,
                    .tokens = m.tokens,
                    .deep = deep,
                    .dropout = m.dropout,
                    .reference_batch_mixing = m.reference_batch_mixing},
        random);
  }
  return std::make_unique<VitLearner>(backbone,
                                      VitOptions{.classes = classes,
                                                 .location = location_of(m.location),
                                                 .tokens = m.tokens,
                                                 .deep = deep,
                                                 .project = m.project,
                                                 .dropout = m.dropout,
                                                 .pool = pool_of(m.pool)},
                                      random);
}

LabelMap map_of(const ClassifierMethod& m, int64_t classes, int64_t source) {
  if (m.label_map.empty()) return first_labels(classes, m.labels_per_class, source);
  if (static_cast<int64_t>(m.label_map.size()) != classes)
    fail(Kind::usage, "a label map for {} classes, the data have {}", m.label_map.size(), classes);
  check(m.label_map, source);
  return m.label_map;
}

}  // namespace

BackboneOptions backbone_options(const ClassifierMethod& m, BackboneOptions options,
                                 int64_t usual_input) {
  if (m.name == "vpt-shallow" && m.location == "pad") {
    const int64_t input = (options.input > 0 ? options.input : usual_input) + 2 * m.tokens;
    options.input = static_cast<int>(std::clamp<int64_t>(input, 1, 1 << 14));
  }
  return options;
}

bool changes_backbone(const ClassifierMethod& m) {
  return m.name == "full" || m.name == "bias" || m.name.starts_with("partial-");
}

double usual_learning_rate(const ClassifierMethod& m, OptimizerKind optimizer) {
  const bool pixels = m.name.starts_with("pixel-");
  // SGD: the references' middle of the grid, for a batch of 32.
  if (optimizer == OptimizerKind::sgd)
    return pixels                  ? (m.colours ? 4 : 40)
           : m.name == "reprogram" ? 10
           : m.name == "full"      ? 0.001
                                   : 0.05;
  if (m.name == "full" || m.name.starts_with("partial-")) return 2e-4;
  if (m.name == "reprogram") return 0.05;
  if (pixels) return m.colours ? 0.005 : 0.05;
  if (m.name == "linear" || m.name.starts_with("mlp-")) return 0.005;
  return 0.002;
}

std::unique_ptr<Learner> make_learner(const Backbone& backbone, const ClassifierMethod& m,
                                      const std::vector<std::string>& labels, Random& random) {
  const auto classes = static_cast<int64_t>(labels.size());
  if (classes < 2) fail(Kind::usage, "{} classes, at least two are needed", classes);
  const int64_t layers = number_after(m.name, "mlp-");
  const int64_t blocks = number_after(m.name, "partial-");
  const bool pixels = m.name == "pixel-pad" || m.name == "pixel-patch" || m.name == "pixel-random";
  std::unique_ptr<Learner> learner;
  std::string type;
  if (m.name == "vpt-shallow" || m.name == "vpt-deep") {
    learner = make_vpt(backbone, m, classes, random);
    type = "prompt";
  } else if (m.name == "adapter" || m.name == "lora") {
    VitOptions options{.classes = classes};
    if (m.name == "lora") {
      options.lora_rank = std::max<int64_t>(m.rank, 1);
      options.lora_alpha = m.lora_alpha;
    } else {
      if (m.reduction < 1) fail(Kind::usage, "adapters of 1/{} of the width", m.reduction);
      options.adapter_reduction = m.reduction;
      options.adapter_zeros = m.adapter_zeros;
    }
    learner = std::make_unique<VitLearner>(backbone, options, random);
    type = m.name;
  } else if (blocks > 0 && backbone.family() == "vit") {
    // Features of the blocks before are computed once.
    learner = std::make_unique<VitLearner>(backbone, VitOptions{.classes = classes}, random);
    type = m.name;
  } else if (m.name == "linear" || layers > 0 || blocks > 0 || m.name == "full" ||
             m.name == "bias" || m.name == "sidetune") {
    FeatureOptions options{.classes = classes, .hidden = std::max<int64_t>(layers - 1, 0)};
    options.side = m.name == "sidetune";
    learner = std::make_unique<FeatureLearner>(backbone, options, random);
    type = blocks > 0             ? m.name
           : m.name == "full"     ? "end2end"
           : m.name == "bias"     ? "tinytl-bias"
           : m.name == "sidetune" ? "side"
                                  : "linear";
    if (options.side && !m.side_weights.empty())
      static_cast<FeatureLearner&>(*learner).load_side(Checkpoint::open(m.side_weights));
  } else if (pixels) {
    PixelTask task{.labels = labels, .sentence = m.sentence};
    if (backbone.family() != "clip" && backbone.classes() > 0)
      task.map = map_of(m, classes, backbone.classes());
    learner = std::make_unique<PixelLearner>(
        backbone,
        PixelOptions{.kind = m.name == "pixel-pad"     ? PixelPrompt::Kind::padding
                             : m.name == "pixel-patch" ? PixelPrompt::Kind::fixed_patch
                                                       : PixelPrompt::Kind::random_patch,
                     .size = m.prompt_size,
                     .colours = m.colours},
        task, random);
    learner->let_learn(
        [](const std::string& name) { return name.starts_with("pad_") || name == "patch"; });
    return learner;
  } else if (m.name == "reprogram") {
    ReprogramOptions options{.small = m.small, .lambda = m.lambda};
    if (backbone.classes() > 0) options.map = map_of(m, classes, backbone.classes());
    if (options.small == 0) options.small = std::min(36, backbone.input_size() / 2);
    if (!(m.lambda >= 0)) fail(Kind::usage, "lambda {}, expected 0 or more", m.lambda);
    learner = std::make_unique<ReprogramLearner>(backbone, options, random);
    learner->let_learn([](const std::string& name) { return name == "program.W"; });
    return learner;
  } else {
    std::string known;
    for (const char* method : kMethods) known += (known.empty() ? "" : ", ") + std::string(method);
    fail(Kind::usage, "method '{}': expected one of {}", m.name, known);
  }
  learner->let_learn(trainable(type, backbone));
  return learner;
}

json json_of(const ClassifierMethod& m) {
  // Only what has a meaning for the method: a file says no more than it must.
  json j = {{"name", m.name}};
  if (m.name.starts_with("vpt-")) {
    j["tokens"] = m.tokens;
    j["project"] = m.project;
    j["dropout"] = m.dropout;
    j["location"] = m.location;
    j["pool"] = m.pool;
    j["reference_batch_mixing"] = m.reference_batch_mixing;
  } else if (m.name == "adapter") {
    j["reduction"] = m.reduction;
    j["adapter_zeros"] = m.adapter_zeros;
  } else if (m.name == "lora") {
    j["rank"] = m.rank;
    j["lora_alpha"] = m.lora_alpha;
  } else if (m.name.starts_with("pixel-")) {
    j["prompt_size"] = m.prompt_size;
    j["colours"] = m.colours;
    j["sentence"] = m.sentence;
  } else if (m.name == "reprogram") {
    j["small"] = m.small;
    j["lambda"] = m.lambda;
  }
  if (m.name.starts_with("pixel-") || m.name == "reprogram") {
    j["labels_per_class"] = m.labels_per_class;
    j["labels_from"] = m.labels_from;
    j["label_map"] = m.label_map;
  }
  return j;
}

ClassifierMethod method_of(const json& j, const std::string& name) {
  ClassifierMethod m;
  if (!j.is_object()) fail(Kind::input, "{}: the method is no object", name);
  const auto take = [&](const char* key, auto& value, int64_t most) {
    using T = std::decay_t<decltype(value)>;
    if (!j.contains(key)) return;
    const json& v = j.at(key);
    bool fine = false;
    if constexpr (std::is_same_v<T, bool>) {
      fine = v.is_boolean();
    } else if constexpr (std::is_same_v<T, int64_t>) {
      fine = v.is_number_integer() && v.get<double>() >= 0 &&
             v.get<double>() <= static_cast<double>(most);
    } else if constexpr (std::is_same_v<T, float>) {
      fine = v.is_number() && v.get<double>() >= 0 && v.get<double>() <= static_cast<double>(most);
    } else {
      fine = v.is_string() && v.get_ref<const std::string&>().size() <= static_cast<size_t>(most);
    }
    if (!fine) fail(Kind::input, "{}: '{}' of the method is {}", name, key, v.dump().substr(0, 60));
    value = v.get<T>();
  };
  take("name", m.name, 64);
  take("tokens", m.tokens, 4096);
  take("project", m.project, 1 << 14);
  take("dropout", m.dropout, 1);
  take("location", m.location, 64);
  take("pool", m.pool, 64);
  take("reference_batch_mixing", m.reference_batch_mixing, 1);
  take("reduction", m.reduction, 1 << 20);
  take("adapter_zeros", m.adapter_zeros, 1);
  take("rank", m.rank, 1 << 14);
  take("lora_alpha", m.lora_alpha, 1 << 20);
  take("prompt_size", m.prompt_size, 1 << 14);
  take("colours", m.colours, 1);
  take("sentence", m.sentence, 10000);
  take("small", m.small, 1 << 14);
  take("lambda", m.lambda, 1 << 20);
  take("labels_per_class", m.labels_per_class, 1 << 20);
  take("labels_from", m.labels_from, 64);
  if (j.contains("label_map")) {
    const json& map = j.at("label_map");
    bool fine = map.is_array() && map.size() <= 100'000;
    for (size_t c = 0; fine && c < map.size(); ++c) {
      fine = map[c].is_array() && map[c].size() <= 100'000;
      if (!fine) break;
      auto& labels = m.label_map.emplace_back();
      for (const json& label : map[c]) {
        fine = fine && label.is_number_integer();
        if (fine) labels.push_back(label.get<int64_t>());
      }
    }
    if (!fine) fail(Kind::input, "{}: 'label_map' is no list of lists of numbers", name);
  }
  return m;
}

}  // namespace beckon::learn
