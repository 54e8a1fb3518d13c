// A learned classifier as a value: on disk, and classifying.
#include <cmath>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "beckon/checkpoint.h"
#include "beckon/classifier_prompt.h"
#include "beckon/ops.h"
#include "beckon/store.h"
#include "learn/classify/make_learner.h"
#include "learn/classify/prompt_file.h"
#include "learn/classify/tensor_file.h"
#include "learn/methods/pixel_prompt.h"
#include "learn/methods/reprogram.h"
#include "prompt/bounded_json.h"

namespace beckon {
namespace {

using nlohmann::json;

constexpr size_t kMostText = 64 << 20;  // bytes of one entry: 100,000 labels with long names

}  // namespace

namespace learn {

json json_of(const BackboneOptions& options) {
  json j = {{"input", options.input}};
  if (options.mean) j["mean"] = *options.mean;
  if (options.deviation) j["deviation"] = *options.deviation;
  return j;
}

static BackboneOptions backbone_options_of(const json& j, const std::string& name) {
  BackboneOptions options;
  bool fine = j.is_object() && j.contains("input") && j["input"].is_number_integer();
  const auto colours = [&](const char* key, std::optional<std::array<float, 3>>& to) {
    if (!fine || !j.contains(key)) return;
    fine = j[key].is_array() && j[key].size() == 3;
    to.emplace();
    for (size_t c = 0; fine && c < 3; ++c) {
      fine = j[key][c].is_number() && std::isfinite(j[key][c].get<double>());
      if (fine) (*to)[c] = j[key][c].get<float>();
    }
  };
  colours("mean", options.mean);
  colours("deviation", options.deviation);
  const int64_t input = fine ? j["input"].get<int64_t>() : -1;
  if (!fine || input < 0 || input > 4096)
    fail(Kind::input, "{}: 'input' is no input of a network", name);
  options.input = static_cast<int>(input);
  return options;
}

}  // namespace learn

ClassifierPrompt::ClassifierPrompt(std::shared_ptr<const learn::Learner> learner,
                                   std::vector<std::string> labels,
                                   std::map<std::string, std::string> about)
    : learner_(std::move(learner)), labels_(std::move(labels)), about_(std::move(about)) {}

const Backbone& ClassifierPrompt::backbone() const noexcept { return learner_->backbone(); }
int64_t ClassifierPrompt::parameter_count() const { return learner_->learned_count(); }

bool ClassifierPrompt::recognise(const std::string& path) {
  try {
    const auto about = learn::read_about(path);
    const auto kind = about.find("kind");
    return kind != about.end() && kind->second == learn::kPromptKind;
  } catch (const Error&) {
    return false;
  }
}

std::map<std::string, std::string> ClassifierPrompt::describe(const std::string& path) {
  return learn::read_tensor_file(path, learn::kPromptKind).about;
}

void ClassifierPrompt::save(const std::string& path) const {
  learn::TensorFile file;
  file.about = about_;
  for (const nn::Parameter& p : learner_->learned()) file.tensors[p.name] = p.tensor.detach();
  learn::write_tensor_file(path, file);
}

ClassifierPrompt ClassifierPrompt::load(const std::string& path, const std::string& backbone) {
  learn::TensorFile file = learn::read_tensor_file(path, learn::kPromptKind);
  const auto text = [&](const char* key) -> const std::string& {
    const auto found = file.about.find(key);
    if (found == file.about.end()) fail(Kind::input, "{}: it does not say its '{}'", path, key);
    return found->second;
  };
  const auto parsed = [&](const char* key) {
    return parse_bounded_json(text(key), fmt::format("{}: '{}'", path, key), kMostText);
  };
  if (text("beckon") != "1")
    fail(Kind::unsupported, "{}: version {} of this form, expected 1", path, text("beckon"));
  const json labels_json = parsed("labels");
  std::vector<std::string> labels;
  bool fine = labels_json.is_array() && labels_json.size() >= 2 && labels_json.size() <= 100'000;
  for (size_t i = 0; fine && i < labels_json.size(); ++i) {
    fine = labels_json[i].is_string();
    if (fine) labels.push_back(labels_json[i]);
  }
  if (!fine) fail(Kind::input, "{}: 'labels' is no list of 2 to 100000 names", path);
  const ClassifierMethod method = learn::method_of(parsed("method_options"), path);
  const BackboneOptions options = learn::backbone_options_of(parsed("input"), path);

  const std::string& wanted = text("backbone_sha256");
  const std::string from = backbone.empty() ? text("backbone_path") : backbone;
  Backbone net = [&] {
    try {
      // The hash comes first: another network may not even take these options.
      const std::string found = Store().find(from);
      if (Store().sha256(found) != wanted)
        fail(Kind::model, "{}: it was learned for {} (sha256 {}...), {} is another network", path,
             text("backbone"), wanted.substr(0, 12), found);
      return Backbone::load(found, options);
    } catch (const Error& error) {
      if (!backbone.empty() || error.kind() == Kind::model) throw;
      throw Error(error.kind(), fmt::format("{}; name the network that {} was learned for: {}",
                                            error.what(), path, text("backbone")));
    }
  }();

  Random random(0);
  std::shared_ptr<learn::Learner> learner;
  try {
    learner = learn::make_learner(net, method, labels, random);
  } catch (const Error& error) {
    fail(Kind::input, "{}: {}", path, error.what());
  }
  size_t taken = 0;
  for (const nn::Parameter& p : learner->learned()) {
    const auto found = file.tensors.find(p.name);
    if (found == file.tensors.end()) fail(Kind::input, "{}: there is no tensor '{}'", path, p.name);
    const Tensor& from_file = found->second;
    if (from_file.dtype() != DType::f32 || from_file.shape() != p.tensor.shape())
      fail(Kind::input, "{}: tensor '{}' has shape {}, expected {}", path, p.name,
           from_file.shape().str(), p.tensor.shape().str());
    for (const float v : from_file.values())
      if (!std::isfinite(v)) fail(Kind::input, "{}: tensor '{}' holds {}", path, p.name, v);
    Tensor to = p.tensor;
    to.copy_from(from_file);
    ++taken;
  }
  if (taken != file.tensors.size())
    fail(Kind::input, "{}: {} tensors, the method '{}' has {}", path, file.tensors.size(),
         method.name, taken);
  file.about.erase("digest");
  return ClassifierPrompt(std::move(learner), std::move(labels), std::move(file.about));
}

Tensor ClassifierPrompt::logits(std::span<const Image> images) const {
  const NoGrad no_grad;
  learn::Pass pass;
  const auto stretch = about_.find("stretch");
  Preprocessing p = learner_->preprocessing();
  if (stretch != about_.end() && stretch->second == "true") p.fit = Preprocessing::Fit::stretch;
  return learner_->logits(learner_->prefix(learner_->input(images, p)), pass);
}

std::vector<float> ClassifierPrompt::classify(const Image& image) const {
  const Tensor chances = softmax(logits({&image, 1}), 1).contiguous();
  return {chances.values().begin(), chances.values().end()};
}

std::optional<Image> ClassifierPrompt::picture() const {
  const NoGrad no_grad;
  Tensor colours;  // [S,S,3], 0 to 1
  if (const auto* pixel = dynamic_cast<const learn::PixelLearner*>(learner_.get())) {
    // What is added to a picture: grey is nothing.
    learn::Pass pass;
    colours = pixel->prompt().canvas(pass).squeeze(0);
    if (!pixel->in_colours())
      colours = colours * Tensor::from(backbone().preprocessing().deviation, {3});
    colours = colours + 0.5f;
  } else if (const auto* program = dynamic_cast<const learn::ReprogramLearner*>(learner_.get())) {
    colours = (program->program().pixels() + 1.0f) * 0.5f;
  } else {
    return std::nullopt;
  }
  colours = clamp(colours, 0, 1).contiguous();
  std::vector<uint8_t> bytes;
  for (const float v : std::as_const(colours).values())
    bytes.push_back(static_cast<uint8_t>(std::lround(v * 255)));
  return Image(static_cast<int>(colours.dim(1)), static_cast<int>(colours.dim(0)), 3, bytes);
}

}  // namespace beckon
