// beckon engine auto: the stages that the model works through alone.
#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/engine.h"
#include "beckon/mask_generator.h"
#include "beckon/sam.h"
#include "engine.h"
#include "engine_store.h"
#include "generator_arguments.h"
#include "interrupt.h"
#include "json.h"
#include "photos.h"
#include "picture_progress.h"
#include "problem.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

using server::EngineRun;
using server::EngineStore;

struct AutoArguments {
  std::string folder, model = "mobile-sam";
  int stage = 0;
  std::optional<double> sample, duplicate_iou, most_cover;
  std::optional<int64_t> least_area;
  uint64_t seed = 1;
  int64_t most_photos = 0;
  int64_t max_pixels = 100'000'000;
  GeneratorArguments generator;
  bool resume = false, json = false;
};

struct AutoReport {
  int64_t photos = 0, done_before = 0, done_now = 0;
  EngineStore::Added added;
  double seconds = 0;
  std::vector<std::string> failures;
};

EngineRun run_of(const AutoArguments& arguments) {
  EngineRun run;
  run.stage = arguments.stage;
  run.proposals = stage_options(arguments.stage);
  arguments.generator.apply_to(run.proposals.generator);
  if (arguments.duplicate_iou) run.proposals.duplicate_iou = *arguments.duplicate_iou;
  if (arguments.most_cover) run.proposals.most_cover = *arguments.most_cover;
  if (arguments.least_area) run.proposals.least_area = *arguments.least_area;
  check(run.proposals);
  run.share = arguments.sample.value_or(server::share_of_stage(arguments.stage));
  if (!(run.share >= 0 && run.share <= 1))
    fail(Kind::usage, "--sample {}, expected 0 to 1", run.share);
  run.seed = arguments.seed;
  return run;
}

void work_on(const server::Photo& photo, const server::Photos& photos, const Sam& sam,
             const EngineRun& run, const AutoArguments& arguments, EngineStore& engine,
             AutoReport& report) {
  const auto start = std::chrono::steady_clock::now();
  const Image image = photos.read(photo, arguments.max_pixels);
  std::vector<GeneratedMask> masks =
      MaskGenerator(sam, run.proposals.generator).generate(image, [](int64_t, int64_t) {
        return !interrupted();
      });
  stop_if_interrupted();
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const EngineStore::Added added =
      engine.add({photo.id, photo.name, photo.size}, run, std::move(masks), seconds);
  report.added.made += added.made;
  report.added.in_review += added.in_review;
  report.added.duplicates += added.duplicates;
  report.added.too_large += added.too_large;
  report.added.too_small += added.too_small;
  report.seconds += seconds;
  ++report.done_now;
}

// What is wrong with one photo is said, and the others go on.
bool is_of_one_photo(Kind kind) {
  return kind == Kind::input || kind == Kind::missing || kind == Kind::unsupported ||
         kind == Kind::resource;
}

Json json_of(const AutoReport& report, const AutoArguments& arguments, const EngineRun& run) {
  return {{"folder", arguments.folder},
          {"stage", run.stage},
          {"recipe", run.recipe_id()},
          {"photos", report.photos},
          {"done_now", report.done_now},
          {"done_before", report.done_before},
          {"made", report.added.made},
          {"sent_to_review", report.added.in_review},
          {"left_out",
           {{"duplicates", report.added.duplicates},
            {"too_large", report.added.too_large},
            {"too_small", report.added.too_small}}},
          {"seconds", report.seconds},
          {"failures", report.failures}};
}

std::string readable_auto(const AutoReport& report, int stage) {
  return fmt::format(
      "stage {}: {}, {} done now, {} done before\n"
      "{} made, {} sent to review; left out: {} duplicates, {} too large, {} too small\n",
      stage, counted_things(report.photos, "photo"), report.done_now, report.done_before,
      counted_things(report.added.made, "object"), report.added.in_review, report.added.duplicates,
      report.added.too_large, report.added.too_small);
}

void run_auto(const AutoArguments& arguments) {
  EngineRun run = run_of(arguments);
  const HoldInterrupts hold;  // ends between two batches of points; what is stored is whole
  server::Photos photos(arguments.folder);
  const Sam sam = Sam::load(arguments.model);
  run.model = sam.model_hash();
  photos.scan([] { return !interrupted(); });
  stop_if_interrupted();
  bool more = false;
  const std::vector<server::Photo> list = photos.list("", server::Photos::kMost, more);
  const auto store = open_engine(arguments.folder, true);
  EngineStore engine(*store);
  AutoReport report;
  report.photos = static_cast<int64_t>(list.size());
  PictureProgress progress;
  int64_t looked_at = 0;
  for (const server::Photo& photo : list) {
    progress.update(looked_at++, report.photos, report.done_now);
    stop_if_interrupted();
    try {
      if (engine.done(photo.id, run)) {
        ++report.done_before;
      } else if (arguments.most_photos == 0 || report.done_now < arguments.most_photos) {
        work_on(photo, photos, sam, run, arguments, engine, report);
      } else {
        continue;
      }
      report.added.in_review += engine.draw_sample(photo.id, run);
    } catch (const Error& error) {
      if (!is_of_one_photo(error.kind())) throw;
      report.failures.push_back(on_one_line(error.what()));
    } catch (const server::HttpError& error) {  // the photo went away meanwhile
      report.failures.push_back(on_one_line(photo.name + ": " + error.what()));
    }
  }
  print(arguments.json ? text_of(json_of(report, arguments, run))
                       : readable_auto(report, run.stage));
  constexpr size_t kFailuresShown = 20;
  for (size_t i = 0; i < std::min(report.failures.size(), kFailuresShown); ++i)
    say("failed: " + report.failures[i]);
  if (!report.failures.empty())
    fail(Kind::input, "{} of {} failed; the rest is done", report.failures.size(),
         counted_things(report.photos, "photo"));
}

}  // namespace

void add_engine_auto(CLI::App& group) {
  CLI::App* command = group.add_subcommand(
      "auto", "Stage 2 or 3: masks that the model makes alone, some of them sent to review");
  command->footer(
      "beckon engine auto photos --stage 2\n"
      "beckon engine auto photos --stage 3 --sample 0.05\n"
      "beckon engine auto photos --stage 3 --crop-n-layers 2");
  auto arguments = std::make_shared<AutoArguments>();
  command->add_option("folder", arguments->folder, "The folder of photos")
      ->type_name("DIR")
      ->required();
  command
      ->add_option("--stage", arguments->stage,
                   "2: few and sure, for a person who adds the rest (16 points a side, no crops, "
                   "predicted IoU above 0.92, stability 0.97); 3: all, as said below")
      ->type_name("2|3")
      ->check(CLI::Range(2, 3))
      ->required();
  command
      ->add_option("--model", arguments->model,
                   "A name of the store or the path of a checkpoint; mobile-sam if not given")
      ->type_name("MODEL");
  command
      ->add_option("--sample", arguments->sample,
                   "The share of the masks that is sent to review, 0 to 1; 1 in stage 2, 0.05 in "
                   "stage 3. A larger one later sends more")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--seed", arguments->seed, "Another random sample; 1 if not given")
      ->type_name("N");
  command
      ->add_option("--duplicate-iou", arguments->duplicate_iou,
                   "Masks with this IoU with an object that is there are left out; 0.7")
      ->type_name("X")
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--most-cover", arguments->most_cover,
                   "Masks of this share of the photo are left out; 0.95")
      ->type_name("X")
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--least-area", arguments->least_area, "Masks of fewer pixels are left out; 100")
      ->type_name("N")
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  command
      ->add_option("--photos", arguments->most_photos,
                   "End after so many photos; the next run goes on from there")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  command->add_flag("--resume", arguments->resume,
                    "Go on with what is there, which is what happens anyway");
  command
      ->add_option("--max-pixels", arguments->max_pixels,
                   "The largest photo to read, width times height; 100000000 if not given")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 40));
  command->add_flag("--json", arguments->json, "Print the summary as JSON");
  add_generator_arguments(*command, arguments->generator, "Masks (defaults of stage 3)",
                          stage_options(3).generator);
  command->callback([arguments] { run_auto(*arguments); });
}

}  // namespace beckon::cli
