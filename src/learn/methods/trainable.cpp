#include "learn/methods/trainable.h"

#include <charconv>
#include <set>

#include "base/fail.h"
#include "learn/methods/learner.h"
#include "models/backbone/network.h"
#include "models/swin/swin.h"
#include "models/vit/vit.h"

namespace beckon::learn {
namespace {

bool holds(const std::string& name, const char* part) { return name.find(part) != name.npos; }

// Prefixes of what the last k blocks are made of, with the last norm.
std::set<std::string> last_blocks(const Backbone& backbone, int64_t k) {
  std::set<std::string> result;
  const auto too_many = [&](int64_t depth) {
    fail(Kind::usage, "partial-{}: {} has {} blocks", k, backbone.name(), depth);
  };
  if (const vit::Vit* model = backbone.network().as_vit()) {
    const int64_t depth = model->config().depth;
    if (k > depth) too_many(depth);
    for (int64_t i = depth - k; i < depth; ++i)
      result.insert(fmt::format("enc.transformer.encoder.layer.{}.", i));
    result.insert("enc.transformer.encoder.encoder_norm.");
    return result;
  }
  const swin::Swin* model = backbone.network().as_swin();
  if (!model)
    fail(Kind::usage, "partial-{} is for ViT and Swin, {} is a {}", k, backbone.path(),
         backbone.name());
  // From the end; the merging between two stages goes with the blocks before it.
  const auto& config = model->config();
  int64_t left = k;
  for (size_t s = config.stages.size(); s-- > 0 && left > 0;) {
    if (s + 1 < config.stages.size())
      result.insert(fmt::format("enc.layers.{}.downsample.", config.timm ? s + 1 : s));
    for (int64_t i = config.stages[s].depth; i-- > 0 && left > 0; --left)
      result.insert(fmt::format("enc.layers.{}.blocks.{}.", s, i));
  }
  if (left > 0) too_many(k - left);
  result.insert("enc.norm.");
  return result;
}

}  // namespace

std::function<bool(const std::string&)> trainable(const std::string& type,
                                                  const Backbone& backbone) {
  using Rule = std::function<bool(const std::string&)>;
  const auto or_head = [](Rule rule) -> Rule {
    return [rule = std::move(rule)](const std::string& name) {
      return name.starts_with("head.") || rule(name);
    };
  };
  const auto prompt = [](const std::string& name) { return holds(name, "prompt"); };
  const auto bias = [](const std::string& name) { return holds(name, "bias"); };
  const auto cls = [](const std::string& name) { return name.ends_with(".cls_token"); };
  if (type == "end2end") return [](const std::string&) { return true; };
  if (type == "linear" || type == "prompt-noupdate")
    return or_head([](const std::string&) { return false; });
  if (type == "tinytl-bias") return or_head(bias);
  if (type == "side")
    return or_head([](const std::string& name) { return name.starts_with("side"); });
  if (type == "adapter")
    return or_head([](const std::string& name) { return holds(name, "adapter_"); });
  if (type == "lora") return or_head([](const std::string& name) { return holds(name, ".lora_"); });
  if (type == "prompt") return or_head(prompt);
  if (type == "prompt+bias")
    return or_head([=](const std::string& name) { return prompt(name) || bias(name); });
  if (type == "cls" || type == "cls+prompt") {
    if (!backbone.network().as_vit())
      fail(Kind::usage, "{}: {} has no class token to train", backbone.path(), backbone.name());
    if (type == "cls") return or_head(cls);
    return or_head([=](const std::string& name) { return prompt(name) || cls(name); });
  }
  if (type.starts_with("partial-")) {
    int64_t k = 0;
    const char* end = type.data() + type.size();
    const auto read = std::from_chars(type.data() + 8, end, k);
    if (read.ec == std::errc() && read.ptr == end && k >= 1)
      return or_head([parts = last_blocks(backbone, k)](const std::string& name) {
        for (const std::string& part : parts)
          if (name.starts_with(part)) return true;
        return false;
      });
  }
  fail(Kind::usage,
       "'{}' trains nothing that is known; expected end2end, linear, partial-K, tinytl-bias, side, "
       "adapter, lora, prompt, prompt+bias, prompt-noupdate, cls or cls+prompt",
       type);
}

double total_params(int64_t backbone, std::span<const int64_t> added, bool full) {
  if (backbone < 1) fail(Kind::usage, "a backbone of {} parameters", backbone);
  double sum = full ? 0 : static_cast<double>(backbone);
  for (const int64_t task : added)
    sum += static_cast<double>(task) + (full ? static_cast<double>(backbone) : 0);
  return sum / static_cast<double>(backbone);
}

}  // namespace beckon::learn
