// What there is of each stage, counted.
#include <algorithm>

#include "engine_store.h"
#include "store_sql.h"

namespace beckon::server {
namespace {

double mean_or_zero(double sum, int64_t count) {
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

Json stage_json(const EngineStore::Stage& stage) {
  Json states = Json::object();
  int64_t objects = 0;
  for (const auto& [word, count] : stage.states) {
    states[word] = count;
    if (word != "rejected") objects += count;
  }
  Json work = Json::object();
  for (const auto& [action, done] : stage.work)
    work[action] = {{"acts", done.acts},
                    {"seconds", done.seconds},
                    {"seconds_each", mean_or_zero(done.seconds, done.acts)}};
  return {{"objects", objects},
          {"states", std::move(states)},
          {"people",
           {{"objects", stage.timed},
            {"seconds", stage.seconds},
            {"seconds_per_object", mean_or_zero(stage.seconds, stage.timed)},
            {"acts", std::move(work)}}},
          {"machine",
           {{"photos", stage.photos},
            {"objects", stage.proposed},
            {"seconds", stage.machine_seconds},
            {"seconds_per_object", mean_or_zero(stage.machine_seconds, stage.proposed)}}}};
}

const char* word_of_review(const std::string& review, int64_t stage) {
  if (review == "none") return "unreviewed";
  for (const char* word : {"pending", "accepted", "fixed"})
    if (review == word) return word;
  return stage == 0 ? "imported" : "made";
}

}  // namespace

EngineStore::Status EngineStore::status() const {
  std::lock_guard lock(store_.mutex_);
  Status status;
  for (int stage = 0; stage <= 3; ++stage) status.stages[stage];
  status.photos =
      store_.number("SELECT count(DISTINCT photo) FROM annotations WHERE state IS NOT NULL");
  status.pending = pending();
  {
    // Objects that the engine knows nothing of are told apart by their origin.
    AnnotationStore::Statement query(
        store_,
        "SELECT coalesce(stage, CASE WHEN json_valid(state) AND json_extract(state, "
        "'$.origin')='import' THEN 0 ELSE 1 END), coalesce(review, ''), count(*) FROM annotations "
        "WHERE state IS NOT NULL GROUP BY 1, 2");
    while (query.step()) {
      const int64_t stage = std::clamp<int64_t>(query.integer(0), 0, 3);
      status.stages[static_cast<int>(stage)].states[word_of_review(query.text(1), stage)] +=
          query.integer(2);
      status.objects += query.integer(2);
    }
  }
  {
    // An automatic object that was deleted by hand is rejected just as well.
    AnnotationStore::Statement query(
        store_,
        "SELECT json_extract(last, '$.engine.stage'), count(*) FROM (SELECT (SELECT e.state FROM "
        "edits e WHERE e.annotation=a.id AND e.state IS NOT NULL ORDER BY e.version DESC LIMIT 1) "
        "AS last FROM annotations a WHERE a.state IS NULL AND (SELECT e.action FROM edits e WHERE "
        "e.annotation=a.id AND e.version=a.version) IN ('delete', 'reject')) WHERE "
        "json_valid(last) AND json_extract(last, '$.engine.automatic')=1 GROUP BY 1");
    while (query.step())
      status.stages[static_cast<int>(std::clamp<int64_t>(query.integer(0), 0, 3))]
          .states["rejected"] += query.integer(1);
  }
  {
    AnnotationStore::Statement query(
        store_, "SELECT stage, action, count(*), sum(seconds) FROM work GROUP BY stage, action");
    while (query.step()) {
      Stage& stage = status.stages[static_cast<int>(std::clamp<int64_t>(query.integer(0), 0, 3))];
      stage.work[query.text(1)] = {query.integer(2), query.real(3)};
      stage.seconds += query.real(3);
    }
  }
  {
    AnnotationStore::Statement query(
        store_, "SELECT stage, count(DISTINCT annotation) FROM work GROUP BY stage");
    while (query.step())
      status.stages[static_cast<int>(std::clamp<int64_t>(query.integer(0), 0, 3))].timed +=
          query.integer(1);
  }
  {
    AnnotationStore::Statement query(
        store_,
        "SELECT stage, count(DISTINCT photo), sum(made), sum(seconds) FROM runs GROUP BY stage");
    while (query.step()) {
      Stage& stage = status.stages[static_cast<int>(std::clamp<int64_t>(query.integer(0), 0, 3))];
      stage.photos += query.integer(1);
      stage.proposed += query.integer(2);
      stage.machine_seconds += query.real(3);
    }
  }
  return status;
}

std::map<std::string, std::string> EngineStore::recipes() const {
  std::lock_guard lock(store_.mutex_);
  AnnotationStore::Statement query(store_, "SELECT id, recipe FROM recipes");
  std::map<std::string, std::string> all;
  while (query.step()) all[query.text(0)] = query.text(1);
  return all;
}

Json status_json(const EngineStore::Status& status) {
  Json stages = Json::object();
  for (const auto& [number, stage] : status.stages)
    stages[number == 0 ? "imported" : std::to_string(number)] = stage_json(stage);
  return {{"photos", status.photos},
          {"objects", status.objects},
          {"pending", status.pending},
          {"stages", std::move(stages)}};
}

}  // namespace beckon::server
