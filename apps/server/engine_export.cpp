#include "engine_export.h"

#include <fmt/format.h>

#include "annotation_state.h"
#include "beckon/version.h"
#include "engine_state.h"
#include "engine_store.h"
#include "prompts.h"

namespace beckon::server {
namespace {

constexpr int64_t kMostEdits = 1000;  // of an object's history

// The first prompt's points, as requests and as the page have them.
std::vector<Vertex> points_of(const Json& state) {
  std::vector<Vertex> points;
  const auto prompts = state.find("prompts");
  if (prompts == state.end()) return points;
  const Json* list = &*prompts;
  if (list->is_object() && list->contains("prompts")) list = &list->at("prompts");
  if (!list->is_array() || list->empty() || !list->front().is_object()) return points;
  const auto found = list->front().find("points");
  if (found == list->front().end() || !found->is_array()) return points;
  for (const Json& point : *found)
    if (point.is_object() && point.contains("x") && point.contains("y") &&
        point.at("x").is_number() && point.at("y").is_number())
      points.push_back({point.at("x").get<double>(), point.at("y").get<double>()});
  return points;
}

std::optional<double> score_of(const Json& state, std::initializer_list<const char*> names) {
  for (const char* name : names)
    if (state.at("scores").contains(name)) return state.at("scores").at(name).get<double>();
  return std::nullopt;
}

Json provenance(const AnnotationStore& store, const StoredAnnotation& object, const Json& state,
                const char* word) {
  Json extra{{"origin", state.at("origin")}, {"version", object.version}, {"state", word}};
  extra["stage"] = stage_of_state(state);
  if (!state.at("model").get_ref<const std::string&>().empty()) extra["model"] = state.at("model");
  if (state.contains("prompts")) extra["prompts"] = state.at("prompts");
  if (!state.at("scores").empty()) extra["scores"] = state.at("scores");
  if (is_automatic(state))
    for (const char* name : {"doubt", "overlap", "recipe"})
      if (state.at("engine").contains(name)) extra[name] = state.at("engine").at(name);
  Json history = Json::array();
  for (const Edit& edit : store.history(object.id, 0, kMostEdits))
    history.push_back({{"version", edit.version},
                       {"action", edit.action},
                       {"who", edit.who},
                       {"at", utc_text(edit.at_ms)}});
  extra["history"] = std::move(history);
  return extra;
}

Annotation exported(const AnnotationStore& store, const StoredAnnotation& object, const Json& state,
                    const char* word, ImageSize size) {
  Annotation one;
  one.shape = read_rle(state.at("rle"), "rle", size);
  one.id = object.id;
  one.predicted_iou = score_of(state, {"predicted_iou", "score"});
  one.stability = score_of(state, {"stability"});
  one.points = points_of(state);
  if (is_automatic(state) && state.at("engine").contains("crop_box")) {
    const Json& box = state.at("engine").at("crop_box");
    one.crop = BoxShape{box.at(0).get<double>(), box.at(1).get<double>(), box.at(2).get<double>(),
                        box.at(3).get<double>()};
  }
  one.extra = dumped(provenance(store, object, state, word));
  return one;
}

// Beside the whole: what the recipes that objects name are.
Json beside_all(const EngineStore& engine, const EngineFilter& filter) {
  Json recipes = Json::object();
  for (const auto& [id, recipe] : engine.recipes()) recipes[id] = Json::parse(recipe);
  Json beside{{"version", version()}, {"recipes", std::move(recipes)}};
  if (!filter.states.empty()) beside["states"] = filter.states;
  if (!filter.stages.empty()) beside["stages"] = filter.stages;
  return beside;
}

}  // namespace

const std::set<std::string>& engine_states() {
  static const std::set<std::string> words = {"made",     "imported", "unreviewed", "pending",
                                              "accepted", "fixed",    "rejected"};
  return words;
}

Dataset engine_dataset(AnnotationStore& store, const EngineFilter& filter, bool sa1b) {
  const EngineStore engine(store);
  const Json beside = beside_all(engine, filter);
  Dataset data;
  if (!sa1b) data.extra = dumped({{"beckon", beside}});
  for (const AnnotatedPhoto& photo : store.photos()) {
    AnnotatedImage image{photo.name, photo.size.width, photo.size.height,
                         static_cast<int64_t>(data.images.size()) + 1};
    Json extra{{"photo", photo.id}};
    if (sa1b) extra["sa1b"] = {{"beckon", beside}};
    image.extra = dumped(extra);
    data.images.push_back(std::move(image));
    const auto add = [&](const StoredAnnotation& object, bool rejected) {
      const Json state = Json::parse(object.state);
      const char* word = rejected ? "rejected" : word_of_state(state);
      if (filter.states.empty() ? rejected : filter.states.count(word) == 0) return;
      if (!filter.stages.empty() && filter.stages.count(stage_of_state(state)) == 0) return;
      Annotation one = exported(store, object, state, word, photo.size);
      one.image = data.images.size() - 1;
      const auto label = state.at("label").get<std::string>();
      if (!label.empty() || !sa1b) one.category = data.category(label.empty() ? "object" : label);
      data.annotations.push_back(std::move(one));
    };
    for (const StoredAnnotation& object : store.list(photo.id)) add(object, false);
    if (filter.states.count("rejected") > 0)
      for (const StoredAnnotation& object : engine.rejected(photo.id)) add(object, true);
  }
  return data;
}

}  // namespace beckon::server
