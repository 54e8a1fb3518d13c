#include "learn/segment/checkpoint.h"

#include <charconv>
#include <cmath>
#include <filesystem>
#include <vector>

#include "base/fail.h"
#include "beckon/checkpoint.h"

namespace beckon::learn {
namespace {

constexpr const char* kStateKind = "segment prompt learning 1";

std::string text_in(const Checkpoint& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? "" : found->second;
}

template <typename Number>
Number number_in(const Checkpoint& file, const std::string& key) {
  const std::string text = text_in(file, key);
  Number value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size())
    fail(Kind::input, "{}: metadata '{}' is no number", file.path(), key);
  return value;
}

Tensor tensor_in(const Checkpoint& file, const std::string& name, const Tensor& like) {
  const TensorInfo& info = file.info(name);
  if (!(info.shape == like.shape()) || info.dtype != like.dtype())
    fail(Kind::input, "{}: '{}' is {} {}, expected {} {}", file.path(), name, name_of(info.dtype),
         info.shape.str(), name_of(like.dtype()), like.shape().str());
  Tensor x = Tensor::like(like);
  if (like.dtype() == DType::i64) {
    file.read_i64(name, {x.data_as<int64_t>(), static_cast<size_t>(x.size())});
  } else {
    file.read_f32(name, {x.data(), static_cast<size_t>(x.size())});
  }
  return x;
}

SegmentPromptTensors prompt_in(const Checkpoint& file, const std::string& prefix,
                               const SegmentPromptTensors& like) {
  const auto part = [&](const Tensor& x, const char* name) {
    return x.defined() ? tensor_in(file, prefix + name, x) : Tensor();
  };
  return {part(like.tokens, "tokens"), part(like.dense, "dense"), part(like.direction, "direction"),
          part(like.offset, "offset")};
}

}  // namespace

std::map<std::string, Tensor> named(const SegmentPromptTensors& prompt) {
  std::map<std::string, Tensor> result;
  const auto add = [&](const char* name, const Tensor& x) {
    if (x.defined()) result[name] = x;
  };
  add("tokens", prompt.tokens);
  add("dense", prompt.dense);
  add("direction", prompt.direction);
  add("offset", prompt.offset);
  return result;
}

void save_state(const std::string& path, const LearningState& state, const std::string& settings) {
  std::map<std::string, Tensor> all;
  for (const auto& [name, x] : named(state.now)) all["now." + name] = x;
  for (const auto& [name, x] : named(state.best)) all["best." + name] = x;
  for (const auto& [name, x] : state.optimizer) all["optimizer." + name] = x;
  std::vector<TensorBytes> list;
  for (const auto& [name, x] : all) {
    const std::byte* bytes = x.dtype() == DType::i64
                                 ? reinterpret_cast<const std::byte*>(x.data_as<int64_t>())
                                 : reinterpret_cast<const std::byte*>(x.values().data());
    list.push_back({name,
                    x.dtype(),
                    x.shape(),
                    {bytes, static_cast<size_t>(x.size()) * (x.dtype() == DType::i64 ? 8 : 4)}});
  }
  write_safetensors(path, list,
                    {{"beckon", kStateKind},
                     {"settings", settings},
                     {"step", std::to_string(state.step)},
                     {"best_step", std::to_string(state.best_step)},
                     {"best_iou", fmt::format("{}", state.best_iou)},
                     {"since_best", std::to_string(state.since_best)}});
}

std::optional<LearningState> load_state(const std::string& path, const SegmentPromptTensors& like,
                                        const std::string& settings) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return std::nullopt;
  const Checkpoint file = Checkpoint::open(path);
  if (text_in(file, "beckon") != kStateKind)
    fail(Kind::input, "{}: this is no checkpoint of learning a prompt for a segmenter", path);
  if (text_in(file, "settings") != settings)
    fail(Kind::input, "{}: was made with other options, pictures or another model", path);
  LearningState state;
  state.now = prompt_in(file, "now.", like);
  state.best = prompt_in(file, "best.", like);
  const int64_t zero = 0;
  for (const auto& [name, x] : named(like)) {
    if (!file.contains("optimizer." + name + ".steps")) continue;
    state.optimizer[name + ".steps"] =
        tensor_in(file, "optimizer." + name + ".steps", Tensor::from(std::span(&zero, 1), {1}));
    for (const char* moment : {".first", ".second"})
      if (file.contains("optimizer." + name + moment))
        state.optimizer[name + moment] = tensor_in(file, "optimizer." + name + moment, x);
  }
  state.step = number_in<int64_t>(file, "step");
  state.best_step = number_in<int64_t>(file, "best_step");
  state.best_iou = number_in<double>(file, "best_iou");
  state.since_best = number_in<int64_t>(file, "since_best");
  if (state.step < 0 || state.best_step < 0 || state.since_best < 0 ||
      !std::isfinite(state.best_iou))
    fail(Kind::input, "{}: its numbers make no sense", path);
  return state;
}

}  // namespace beckon::learn
