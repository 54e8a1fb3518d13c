#include "engine_state.h"

namespace beckon::server {
namespace {

const Json* engine_of(const Json& state) {
  const auto found = state.is_object() ? state.find("engine") : state.end();
  return found != state.end() && found->is_object() ? &*found : nullptr;
}

}  // namespace

EngineMarks engine_marks(const std::string& state) {
  EngineMarks marks;
  // Most states of a file may be without: those need not be parsed.
  if (state.find("\"engine\"") == std::string::npos) return marks;
  const Json json = Json::parse(state, nullptr, false);
  const Json* engine = json.is_discarded() ? nullptr : engine_of(json);
  if (engine == nullptr) return marks;
  if (const auto stage = engine->find("stage");
      stage != engine->end() && stage->is_number_integer())
    marks.stage = stage->get<int64_t>();
  if (const auto review = engine->find("review"); review != engine->end() && review->is_string())
    marks.review = review->get<std::string>();
  if (const auto doubt = engine->find("doubt"); doubt != engine->end() && doubt->is_number())
    marks.doubt = doubt->get<double>();
  return marks;
}

bool is_automatic(const Json& state) {
  const Json* engine = engine_of(state);
  return engine != nullptr && engine->contains("automatic") && engine->at("automatic") == true;
}

const char* word_of_state(const Json& state) {
  if (is_automatic(state)) {
    const Json* engine = engine_of(state);
    for (const char* word : {"pending", "accepted", "fixed"})
      if (engine->contains("review") && engine->at("review") == word) return word;
    return "unreviewed";
  }
  return stage_of_state(state) == 0 ? "imported" : "made";
}

int stage_of_state(const Json& state) {
  if (const Json* engine = engine_of(state)) {
    const auto stage = engine->find("stage");
    return stage != engine->end() && (*stage == 2 || *stage == 3) ? stage->get<int>() : 1;
  }
  const auto origin = state.is_object() ? state.find("origin") : state.end();
  return origin != state.end() && *origin == "import" ? 0 : 1;
}

void carry_engine(const Json& before, Json& after) {
  after.erase("engine");
  const Json* engine = engine_of(before);
  if (engine == nullptr) return;
  after["engine"] = *engine;
  if (is_automatic(before) && before.at("rle") != after.at("rle"))
    after["engine"]["review"] = "fixed";
}

}  // namespace beckon::server
