#include "learn/classify/state.h"

#include <filesystem>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "learn/classify/prompt_file.h"
#include "learn/classify/tensor_file.h"
#include "prompt/bounded_json.h"

namespace beckon::learn {
namespace {

using nlohmann::json;

}  // namespace

void save_state(const std::string& path, const ClassifierState& state,
                const std::string& settings) {
  TensorFile file;
  for (const auto& [name, tensor] : state.now) file.tensors["now." + name] = tensor;
  for (const auto& [name, tensor] : state.best) file.tensors["best." + name] = tensor;
  for (const auto& [name, tensor] : state.optimizer) file.tensors["optimizer." + name] = tensor;
  json epochs = json::array();
  for (const auto& e : state.epochs)
    epochs.push_back({e.loss, e.accuracy, e.validation_loss, e.validation_accuracy});
  // Numbers are written with as many digits as they have: they come back as they were.
  const json progress = {
      {"epoch", state.epoch}, {"step", state.step}, {"loss_sum", state.loss_sum},
      {"right", state.right}, {"seen", state.seen}, {"best_epoch", state.best_epoch},
      {"epochs", epochs}};
  file.about = {
      {"kind", kStateKind}, {"beckon", "1"}, {"settings", settings}, {"progress", progress.dump()}};
  write_tensor_file(path, file);
}

std::optional<ClassifierState> load_classifier_state(const std::string& path,
                                                     const std::string& settings) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  TensorFile file = read_tensor_file(path, kStateKind);
  if (file.about["settings"] != settings)
    fail(Kind::input, "{}: the checkpoint is of other options, data or another network", path);
  ClassifierState state;
  try {
    const json p = parse_bounded_json(file.about["progress"], path, 64 << 20);
    state.epoch = p.at("epoch");
    state.step = p.at("step");
    state.loss_sum = p.at("loss_sum");
    state.right = p.at("right");
    state.seen = p.at("seen");
    state.best_epoch = p.at("best_epoch");
    for (const json& e : p.at("epochs"))
      state.epochs.push_back({e.at(0), e.at(1), e.at(2), e.at(3)});
  } catch (const json::exception&) {
    fail(Kind::input, "{}: the checkpoint does not say how far it is", path);
  }
  const auto ended = static_cast<int64_t>(state.epochs.size());
  if (state.epoch != ended || state.step < 0 || state.step > int64_t{1} << 40 ||
      (ended == 0 ? state.best_epoch != -1 : state.best_epoch < 0 || state.best_epoch >= ended) ||
      state.right < 0 || state.seen < state.right || (state.step > 0 && state.seen < 1))
    fail(Kind::input, "{}: the checkpoint contradicts itself about how far it is", path);
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with("now.")) state.now[name.substr(4)] = tensor;
    if (name.starts_with("best.")) state.best[name.substr(5)] = tensor;
    if (name.starts_with("optimizer.")) state.optimizer[name.substr(10)] = tensor;
  }
  return state;
}

}  // namespace beckon::learn
