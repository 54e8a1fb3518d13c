// The data engine: its status, and runs of its automatic stages. A run is one photo at a time on
// the worker, behind whatever waits, so that people can go on meanwhile.
#include <chrono>

#include <fmt/format.h>

#include "app.h"
#include "beckon/engine.h"
#include "beckon/mask_generator.h"
#include "engine_store.h"
#include "fields.h"
#include "generator_fields.h"

namespace beckon::server {
namespace {

constexpr size_t kMostFailures = 100;  // that a result names

struct RunUnderWay {
  std::shared_ptr<Job> job;
  EngineRun run;
  std::vector<Photo> photos;
  size_t at = 0;
  int64_t done_now = 0, done_before = 0;
  EngineStore::Added added;
  double seconds = 0;
  Json failures = Json::array();
  int64_t failed = 0;
};

Json result_of(const RunUnderWay& run) {
  return {{"stage", run.run.stage},
          {"recipe", run.run.recipe_id()},
          {"photos", run.photos.size()},
          {"done_now", run.done_now},
          {"done_before", run.done_before},
          {"made", run.added.made},
          {"sent_to_review", run.added.in_review},
          {"left_out",
           {{"duplicates", run.added.duplicates},
            {"too_large", run.added.too_large},
            {"too_small", run.added.too_small}}},
          {"seconds", run.seconds},
          {"failed", run.failed},
          {"failures", run.failures}};
}

void run_photo(App& app, RunUnderWay& run, const Photo& photo, EngineStore& engine) {
  const auto start = std::chrono::steady_clock::now();
  const auto sam = app.model();
  const Image image = app.photos.read(photo, app.options.max_pixels);
  const Embedding seen = app.embedding_of(photo);
  std::vector<GeneratedMask> masks =
      MaskGenerator(*sam, run.run.proposals.generator).generate(seen, image, [&](int64_t, int64_t) {
        app.worker.interlude();
        return !run.job->cancelled() && !app.stopping;
      });
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const EngineStore::Added added =
      engine.add({photo.id, photo.name, photo.size}, run.run, std::move(masks), seconds);
  run.added.made += added.made;
  run.added.in_review += added.in_review;
  run.added.duplicates += added.duplicates;
  run.added.too_large += added.too_large;
  run.added.too_small += added.too_small;
  run.seconds += seconds;
  ++run.done_now;
}

// Goes on with the photos that are left until one took work, then steps back behind what waits.
void go_on(App& app, const std::shared_ptr<RunUnderWay>& run) {
  Job& job = *run->job;
  try {
    EngineStore engine(*app.store(true));
    while (run->at < run->photos.size()) {
      if (job.cancelled() || app.stopping) return job.cancel();
      const Photo photo = run->photos[run->at];
      job.progress(static_cast<int64_t>(run->at), static_cast<int64_t>(run->photos.size()));
      ++run->at;
      const bool done = engine.done(photo.id, run->run);
      try {
        if (done)
          ++run->done_before;
        else
          run_photo(app, *run, photo, engine);
        run->added.in_review += engine.draw_sample(photo.id, run->run);
      } catch (...) {
        if (job.cancelled() || app.stopping) return job.cancel();
        const Failure failure = failure_of(std::current_exception());
        // What is wrong with the machine is wrong for every photo.
        if (failure.status >= 500) throw;
        ++run->failed;
        if (run->failures.size() < kMostFailures)
          run->failures.push_back({{"image", photo.id}, {"detail", failure.detail}});
      }
      if (!done && run->at < run->photos.size() &&
          app.worker.post([&app, run] { go_on(app, run); }))
        return;
    }
    job.finish(dumped(result_of(*run)));
  } catch (...) {
    job.fail(failure_of(std::current_exception()));
  }
}

Response start_run(App& app, const Request& request) {
  const Json body = json_of(request);
  const Fields fields(body, "");
  fields.only({"stage", "sample", "seed", "images", "duplicate_iou", "most_cover", "least_area",
               "points_per_side", "pred_iou_thresh", "stability_score_thresh",
               "stability_score_offset", "box_nms_thresh", "crop_n_layers", "crop_nms_thresh",
               "crop_n_points_downscale_factor", "min_mask_region_area"});
  auto run = std::make_shared<RunUnderWay>();
  const auto stage = fields.integer("stage", 2, 3);
  if (!stage) out_of_range("stage: expected 2 or 3");
  run->run.stage = static_cast<int>(*stage);
  run->run.proposals = stage_options(run->run.stage);
  MaskGeneratorOptions& generator = run->run.proposals.generator;
  generator.points_per_batch = 16;  // whoever hovers meanwhile waits for one batch at most
  read_generator(fields, generator);
  constexpr double kLeastIou = 0.01;
  constexpr int64_t kMostArea = int64_t{1} << 40, kMostSeed = int64_t{1} << 53;
  ProposalOptions& proposals = run->run.proposals;
  proposals.duplicate_iou =
      fields.number("duplicate_iou", kLeastIou, 1).value_or(proposals.duplicate_iou);
  proposals.most_cover = fields.number("most_cover", kLeastIou, 1).value_or(proposals.most_cover);
  proposals.least_area = fields.integer("least_area", 0, kMostArea).value_or(proposals.least_area);
  run->run.share = fields.number("sample", 0, 1).value_or(share_of_stage(run->run.stage));
  run->run.seed = static_cast<uint64_t>(fields.integer("seed", 0, kMostSeed).value_or(1));
  check(proposals);
  if (const Json* list = fields.list("images", Photos::kMost)) {
    for (const Json& id : *list) {
      if (!id.is_string()) out_of_range("images: expected ids");
      run->photos.push_back(app.photo(id.get<std::string>()));
    }
  } else {
    if (!app.photos.scanned())
      throw HttpError(503, "scanning", "the folder is being looked through",
                      {{"Retry-After", "1"}});
    bool more = false;
    run->photos = app.photos.list("", Photos::kMost, more);
  }
  run->run.model = app.model()->model_hash();
  std::lock_guard lock(app.engine_mutex);
  if (app.engine_job && !app.engine_job->ended())
    throw HttpError(409, "engine-running", "the engine is running: wait for it or end its job",
                    {{"Location", "/v1/jobs/" + app.engine_job->id()}});
  run->job = app.jobs.create("engine");
  run->job->progress(0, static_cast<int64_t>(run->photos.size()));
  if (!app.worker.post([&app, run] { go_on(app, run); })) {
    run->job->cancel();
    too_many("too many tasks wait");
  }
  app.engine_job = run->job;
  return accepted(*run->job);
}

Response engine_status(App& app) {
  EngineStore::Status status;
  if (AnnotationStore* store = app.store(false)) {
    status = EngineStore(*store).status();
  } else {
    for (int stage = 0; stage <= 3; ++stage) status.stages[stage];
  }
  Json json = status_json(status);
  std::lock_guard lock(app.engine_mutex);
  const bool running = app.engine_job && !app.engine_job->ended();
  json["running"] = running ? Json(app.engine_job->id()) : Json(nullptr);
  return json_response(200, dumped(json));
}

}  // namespace

void add_engine_routes(App& app) {
  app.router.add({"GET", "/v1/engine", BodyKind::none, 0,
                  [&app](Request&&, const auto&, const Responder& answer) {
                    app.on_files(answer, [&app] { return engine_status(app); });
                  }});
  app.router.add({"POST", "/v1/engine/runs", BodyKind::json, kMostJson,
                  [&app](Request&& request, const auto&, const Responder& answer) {
                    answer(start_run(app, request));
                  }});
}

}  // namespace beckon::server
