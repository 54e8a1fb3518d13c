#include "engine_store.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "annotation_state.h"
#include "base/fail.h"
#include "base/sha256.h"
#include "beckon/draw.h"
#include "beckon/version.h"
#include "encoding.h"
#include "prompts.h"
#include "store_sql.h"

namespace beckon::server {
namespace {

constexpr const char* kEngine = "engine";  // who
constexpr const char* kQueueColumns =
    "SELECT id, photo, version, state, created, modified FROM annotations WHERE review='pending' ";

Json number_json(double value) { return std::isfinite(value) ? Json(value) : Json(0); }

Json box_json(const PixelBox& box) { return {box.x, box.y, box.width, box.height}; }

// The state of an object that the model made by itself.
Json proposed_state(const Proposal& proposal, const EngineRun& run, const std::string& recipe,
                    int number, bool in_review) {
  const GeneratedMask& mask = proposal.mask;
  const Color color = mask_color(number % 7);
  Json body{{"rle", rle_json(mask.segmentation)},
            {"origin", "model"},
            {"color", fmt::format("#{:02x}{:02x}{:02x}", color.red, color.green, color.blue)},
            {"model", run.model}};
  Json point{{"x", mask.point.x}, {"y", mask.point.y}, {"label", 1}};
  body["prompts"] = Json::array({Json{{"points", Json::array({std::move(point)})}}});
  body["scores"] = {{"predicted_iou", number_json(mask.predicted_iou)},
                    {"stability", number_json(mask.stability_score)}};
  Json state = read_state(body, mask.segmentation.size());
  state["engine"] = {{"stage", run.stage},
                     {"automatic", true},
                     {"review", in_review ? "pending" : "none"},
                     {"doubt", proposal.doubt},
                     {"overlap", proposal.overlap},
                     {"crop_box", box_json(mask.crop_box)},
                     {"recipe", recipe}};
  return state;
}

}  // namespace

Json EngineRun::recipe() const {
  const MaskGeneratorOptions& g = proposals.generator;
  return {{"beckon", version()},
          {"stage", stage},
          {"model", model},
          {"points_per_side", g.points_per_side},
          {"pred_iou_thresh", g.pred_iou_thresh},
          {"stability_score_thresh", g.stability_score_thresh},
          {"stability_score_offset", g.stability_score_offset},
          {"box_nms_thresh", g.box_nms_thresh},
          {"crop_n_layers", g.crop_n_layers},
          {"crop_nms_thresh", g.crop_nms_thresh},
          {"crop_overlap_ratio", g.crop_overlap_ratio},
          {"crop_n_points_downscale_factor", g.crop_n_points_downscale_factor},
          {"min_mask_region_area", g.min_mask_region_area},
          {"duplicate_iou", proposals.duplicate_iou},
          {"most_cover", proposals.most_cover},
          {"least_area", proposals.least_area}};
}

std::string EngineRun::recipe_id() const {
  constexpr size_t kDigits = 16;
  const std::string text = dumped(recipe());
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size()))).substr(0, kDigits);
}

double share_of_stage(int stage) { return stage == 2 ? 1 : 0.05; }

bool EngineStore::done(const std::string& photo, const EngineRun& run) const {
  std::lock_guard lock(store_.mutex_);
  AnnotationStore::Statement query(store_,
                                   "SELECT 1 FROM runs WHERE photo=? AND stage=? AND recipe=?");
  return query.bind(photo).bind(run.stage).bind(run.recipe_id()).step();
}

// Objects that are there, and the last masks of those that people took away.
std::vector<Rle> EngineStore::present(const AnnotatedPhoto& photo) const {
  AnnotationStore::Statement query(
      store_,
      "SELECT coalesce(a.state, (SELECT e.state FROM edits e WHERE e.annotation=a.id AND e.state "
      "IS NOT NULL ORDER BY e.version DESC LIMIT 1)) FROM annotations a WHERE a.photo=? AND "
      "(a.state IS NOT NULL OR (SELECT e.action FROM edits e WHERE e.annotation=a.id AND "
      "e.version=a.version) IN ('delete', 'reject')) ORDER BY a.id");
  query.bind(photo.id);
  std::vector<Rle> masks;
  while (query.step()) {
    const Json state = Json::parse(query.text(0));
    masks.push_back(read_rle(state.at("rle"), "rle", photo.size));
  }
  return masks;
}

EngineStore::Added EngineStore::add(const AnnotatedPhoto& photo, const EngineRun& run,
                                    std::vector<GeneratedMask> masks, double seconds) {
  const std::string recipe = run.recipe_id();
  Added added;
  store_.together([&] {
    if (done(photo.id, run)) return;  // another process was faster
    store_.know(photo);
    const Proposals chosen = select_proposals(std::move(masks), present(photo), run.proposals);
    int number = static_cast<int>(store_.count(photo.id));
    for (const Proposal& proposal : chosen.kept) {
      const bool in_review = in_sample(photo.id, proposal.mask.segmentation, run.share, run.seed);
      const Json state = proposed_state(proposal, run, recipe, number++, in_review);
      store_.create(photo, dumped(state), kEngine, "", AnnotationStore::Undo::none);
      added.in_review += in_review;
    }
    added.made = static_cast<int64_t>(chosen.kept.size());
    added.duplicates = chosen.duplicates;
    added.too_large = chosen.too_large;
    added.too_small = chosen.too_small;
    AnnotationStore::Statement(store_, "INSERT OR IGNORE INTO recipes(id, recipe) VALUES(?,?)")
        .bind(recipe)
        .bind(dumped(run.recipe()))
        .step();
    AnnotationStore::Statement(store_,
                               "INSERT INTO runs(photo, stage, recipe, made, left_out, seconds, "
                               "at) VALUES(?,?,?,?,?,?,?)")
        .bind(photo.id)
        .bind(run.stage)
        .bind(recipe)
        .bind(added.made)
        .bind(chosen.duplicates + chosen.too_large + chosen.too_small)
        .bind_real(seconds)
        .bind(now_ms())
        .step();
  });
  return added;
}

int64_t EngineStore::draw_sample(const std::string& photo, const EngineRun& run) {
  if (run.share <= 0) return 0;
  {
    // Most photos of a run that goes on have nothing left to draw from.
    std::lock_guard lock(store_.mutex_);
    AnnotationStore::Statement query(
        store_, "SELECT 1 FROM annotations WHERE photo=? AND review='none' AND stage=? LIMIT 1");
    if (!query.bind(photo).bind(run.stage).step()) return 0;
  }
  int64_t drawn = 0;
  store_.together([&] {
    for (const StoredAnnotation& object : store_.list(photo)) {
      const EngineMarks marks = engine_marks(object.state);
      if (marks.review != "none" || marks.stage != run.stage) continue;
      Json state = Json::parse(object.state);
      const Json& size = state.at("rle").at("size");
      const Rle mask =
          read_rle(state.at("rle"), "rle", {size.at(1).get<int>(), size.at(0).get<int>()});
      if (!in_sample(photo, mask, run.share, run.seed)) continue;
      state["engine"]["review"] = "pending";
      drawn += store_
                   .change(object.id, object.version, dumped(state), kEngine,
                           AnnotationStore::Undo::none)
                   .has_value();
    }
  });
  return drawn;
}

int64_t EngineStore::pending() const {
  std::lock_guard lock(store_.mutex_);
  return store_.number("SELECT count(*) FROM annotations WHERE review='pending'");
}

std::vector<StoredAnnotation> EngineStore::queue(const std::optional<QueuePlace>& after,
                                                 int64_t limit) const {
  std::lock_guard lock(store_.mutex_);
  const std::string sql =
      std::string(kQueueColumns) +
      (after ? "AND (doubt < ?1 OR (doubt = ?1 AND id > ?2)) ORDER BY doubt DESC, id LIMIT ?3"
             : "ORDER BY doubt DESC, id LIMIT ?1");
  AnnotationStore::Statement query(store_, sql.c_str());
  if (after) query.bind_real(after->doubt).bind(after->id);
  query.bind(limit);
  std::vector<StoredAnnotation> list;
  while (query.step())
    list.push_back({query.integer(0), query.text(1), query.integer(2), query.text(3),
                    query.integer(4), query.integer(5)});
  return list;
}

std::vector<StoredAnnotation> EngineStore::rejected(const std::string& photo) const {
  std::lock_guard lock(store_.mutex_);
  AnnotationStore::Statement query(
      store_,
      "SELECT a.id, a.photo, a.version, (SELECT e.state FROM edits e WHERE e.annotation=a.id AND "
      "e.state IS NOT NULL ORDER BY e.version DESC LIMIT 1), a.created, a.modified FROM "
      "annotations a WHERE a.photo=? AND a.state IS NULL AND (SELECT e.action FROM edits e WHERE "
      "e.annotation=a.id AND e.version=a.version) IN ('delete', 'reject') ORDER BY a.id");
  query.bind(photo);
  std::vector<StoredAnnotation> list;
  while (query.step()) {
    if (!is_automatic(Json::parse(query.text(3), nullptr, false))) continue;
    list.push_back({query.integer(0), query.text(1), query.integer(2), query.text(3),
                    query.integer(4), query.integer(5)});
  }
  return list;
}

std::optional<StoredAnnotation> EngineStore::accept(const StoredAnnotation& now,
                                                    const std::string& who,
                                                    std::optional<double> seconds) {
  Json state = Json::parse(now.state);
  // One that was fixed stays so: accepting it again says nothing new.
  if (state.at("engine").value("review", "") != "fixed") state["engine"]["review"] = "accepted";
  std::optional<StoredAnnotation> changed;
  store_.together([&] {
    changed = store_.change(now.id, now.version, dumped(state), who);
    if (changed && seconds) log(*changed, stage_of_state(state), "accept", *seconds, who);
  });
  return changed;
}

bool EngineStore::reject(const StoredAnnotation& now, const std::string& who,
                         std::optional<double> seconds) {
  const int stage = stage_of_state(Json::parse(now.state));
  bool done = false;
  store_.together([&] {
    done = store_.remove(now.id, now.version, who, "reject");
    if (done && seconds) log(now, stage, "reject", *seconds, who);
  });
  return done;
}

std::optional<StoredAnnotation> EngineStore::fix(const StoredAnnotation& now, Json state,
                                                 const std::string& who,
                                                 std::optional<double> seconds) {
  state["engine"] = Json::parse(now.state).at("engine");
  state["engine"]["review"] = "fixed";
  std::optional<StoredAnnotation> changed;
  store_.together([&] {
    changed = store_.change(now.id, now.version, dumped(state), who);
    if (changed && seconds) log(*changed, stage_of_state(state), "fix", *seconds, who);
  });
  return changed;
}

int EngineStore::stage_of_person(const std::string& photo) const {
  std::lock_guard lock(store_.mutex_);
  AnnotationStore::Statement query(store_, "SELECT 1 FROM runs WHERE photo=? LIMIT 1");
  return query.bind(photo).step() ? 2 : 1;
}

void EngineStore::log(const StoredAnnotation& object, int stage, const std::string& action,
                      double seconds, const std::string& who) {
  store_.together([&] {
    // A request that is asked twice with one key made one object, and took its time once.
    if (action == "create" &&
        AnnotationStore::Statement(store_,
                                   "SELECT 1 FROM work WHERE annotation=? AND action='create'")
            .bind(object.id)
            .step())
      return;
    AnnotationStore::Statement(store_,
                               "INSERT INTO work(photo, annotation, stage, action, seconds, who, "
                               "at) VALUES(?,?,?,?,?,?,?)")
        .bind(object.photo)
        .bind(object.id)
        .bind(stage)
        .bind(action)
        .bind_real(seconds)
        .bind(who)
        .bind(now_ms())
        .step();
  });
}

}  // namespace beckon::server
