// beckon eval: how well a model does on pictures whose answers are known.
#include <algorithm>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/evaluation.h"
#include "beckon/segment_prompt.h"
#include "beckon/store.h"
#include "beckon/version.h"
#include "cached_encoding.h"
#include "json.h"
#include "picture_progress.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

constexpr size_t kFailedPhotosShown = 20;

struct EvalArguments {
  std::vector<std::string> data;
  std::string model = "mobile-sam";
  std::string masks = "auto";
  EvaluationOptions evaluation;
  bool without_boxes = false;
  bool json = false, each = false;
  std::string prompt;  // a learned one; empty: clicks and boxes
  std::string label;
  bool with_label = false;
};

// 0.9 -> "NoC@90", 0.875 -> "NoC@87.5"
std::string name_of_noc(double target) { return fmt::format("NoC@{:.6g}", target * 100); }

std::string name_of_clicks(size_t count) {
  return fmt::format("{} click{}", count, count == 1 ? "" : "s");
}

Json json_of(const SegmentationScores& scores, const EvalArguments& options) {
  Json clicks = Json::object(), noc = Json::array();
  for (size_t k = 0; k < scores.click_miou.size(); ++k)
    clicks[std::to_string(k + 1)] = scores.click_miou[k];
  for (const NocScore& score : scores.noc)
    noc.push_back({{"target", score.target}, {"mean", score.mean}, {"reached", score.reached}});
  Json json = {{"click_miou", clicks}, {"oracle_miou", scores.oracle_miou}};
  if (options.evaluation.boxes) json["box_miou"] = scores.box_miou;
  json["noc"] = noc;
  return json;
}

Json json_of(const ObjectScores& object, const EvalArguments& options) {
  Json clicks = Json::array();
  for (const Click& click : object.clicks)
    clicks.push_back(
        {{"at", {click.x, click.y}}, {"label", click.object ? "object" : "background"}});
  Json json = {{"picture", object.picture},
               {"object", object.object},
               {"area", object.area},
               {"bbox", {object.box.x, object.box.y, object.box.width, object.box.height}},
               {"clicks", clicks},
               {"click_iou", object.click_iou},
               {"oracle_iou", object.oracle_iou}};
  if (options.evaluation.boxes) json["box_iou"] = object.box_iou;
  return json;
}

Json json_of(const DataSetScores& set, const EvalArguments& options) {
  Json json = {{"name", set.name},
               {"path", set.path},
               {"layout", set.layout},
               {"pictures", set.pictures},
               {"objects", set.objects.size()},
               {"left_out", set.left_out},
               {"pictures_without_masks", set.without_masks}};
  json.update(json_of(static_cast<const SegmentationScores&>(set), options));
  Json failures = Json::array();
  for (const PictureFailure& failure : set.failures)
    failures.push_back({{"picture", failure.picture},
                        {"kind", kind_name(failure.kind)},
                        {"message", failure.message}});
  json["failures"] = failures;
  if (options.each) {
    Json& each = json["each"] = Json::array();
    for (const ObjectScores& object : set.objects) each.push_back(json_of(object, options));
  }
  return json;
}

Json json_of(const SegmentationReport& report, const EvalArguments& options) {
  const EvaluationOptions& evaluation = options.evaluation;
  Json json;
  json["version"] = version();
  json["model"] = {{"name", options.model}, {"sha256", Store().sha256(options.model)}};
  json["options"] = {{"clicks", evaluation.clicks},
                     {"max_clicks", evaluation.max_clicks},
                     {"targets", evaluation.targets},
                     {"masks", options.masks}};
  Json& sets = json["data_sets"] = Json::array();
  for (const DataSetScores& set : report.sets) sets.push_back(json_of(set, options));
  json["mean"] = json_of(report.mean, options);
  return json;
}

// How many signs a terminal shows: a UTF-8 character begins with no continuation byte.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// Columns as wide as their longest entry; the first to the left, numbers to the right.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths(rows.front().size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string blank(widths[i] - width_of(row[i]), ' ');
      text += i == 0 ? row[i] + blank : "  " + blank + row[i];
    }
    text += "\n";
  }
  return text;
}

std::vector<std::string> row_of(const SegmentationScores& scores, const EvalArguments& options) {
  std::vector<std::string> row;
  for (size_t k = 0; k < scores.click_miou.size(); ++k) {
    row.push_back(fmt::format("{:.3f}", scores.click_miou[k]));
    if (k == 0) row.push_back(fmt::format("{:.3f}", scores.oracle_miou));
  }
  if (options.evaluation.boxes) row.push_back(fmt::format("{:.3f}", scores.box_miou));
  for (const NocScore& noc : scores.noc) row.push_back(fmt::format("{:.2f}", noc.mean));
  return row;
}

std::string readable_eval(const SegmentationReport& report, const EvalArguments& options) {
  std::vector<std::string> head = {"data set", "pictures", "objects"};
  for (size_t k = 0; k < report.mean.click_miou.size(); ++k) {
    head.push_back(name_of_clicks(k + 1));
    if (k == 0) head.push_back("oracle");
  }
  if (options.evaluation.boxes) head.push_back("box");
  for (const NocScore& noc : report.mean.noc) head.push_back(name_of_noc(noc.target));

  std::vector<std::vector<std::string>> rows = {head};
  int64_t pictures = 0;
  size_t objects = 0;
  const auto add = [&](const std::string& name, int64_t picture_count, size_t object_count,
                       const SegmentationScores& scores) {
    std::vector<std::string> row = {on_one_line(name), std::to_string(picture_count),
                                    std::to_string(object_count)};
    // Nothing was measured: no number would be true.
    std::vector<std::string> numbers = row_of(scores, options);
    if (object_count == 0) std::fill(numbers.begin(), numbers.end(), "-");
    row.insert(row.end(), numbers.begin(), numbers.end());
    rows.push_back(std::move(row));
  };
  for (const DataSetScores& set : report.sets) {
    add(set.name, set.pictures, set.objects.size(), set);
    pictures += set.pictures;
    objects += set.objects.size();
  }
  add("mean", pictures, objects, report.mean);
  return table(rows);
}

void say_what_was_left_out(const SegmentationReport& report) {
  size_t shown = 0, failed = 0;
  for (const DataSetScores& set : report.sets) {
    if (set.left_out > 0)
      say(fmt::format("note: {}: {} left out: crowds, boxes without a mask, or no known pixel",
                      on_one_line(set.name), set.left_out));
    if (set.without_masks > 0)
      say(fmt::format("note: {}: {} pictures have no masks", on_one_line(set.name),
                      set.without_masks));
    for (const PictureFailure& failure : set.failures)
      if (++failed; shown++ < kFailedPhotosShown) say("failed: " + failure.message);
  }
  if (failed > kFailedPhotosShown)
    say(fmt::format("failed: {} more, see --json", failed - kFailedPhotosShown));
}

// A learned prompt instead of clicks and boxes.
void run_eval_prompt(const EvalArguments& options) {
  if (options.data.size() != 1) fail(Kind::usage, "--prompt goes with one --data");
  ExampleSelection selection{.annotations = options.evaluation.annotations,
                             .masks = options.evaluation.masks,
                             .most_pictures = options.evaluation.most_pictures,
                             .max_pixels = options.evaluation.max_pixels,
                             .skip_broken = true};
  selection.encode = [](const Sam& sam, const Image& image) {
    return encode(sam, image, {}).embedding;
  };
  const Sam sam = Sam::load(options.model);
  const SegmentPrompt prompt = SegmentPrompt::load(sam, options.prompt);
  const auto label = prompt.about().find("label");
  selection.label = options.with_label              ? options.label
                    : label != prompt.about().end() ? label->second
                                                    : "";
  SegmentPromptScores scores;
  {
    PictureProgress progress;
    scores = evaluate_segment_prompt(sam, prompt, options.data.front(), selection,
                                     [&](int64_t done, int64_t total) {
                                       progress.update(done, total, done);
                                       return true;
                                     });
  }
  for (const PictureFailure& failure : scores.failures) say("failed: " + failure.message);
  if (options.json) {
    Json failures = Json::array();
    for (const PictureFailure& failure : scores.failures)
      failures.push_back({{"picture", failure.picture},
                          {"kind", kind_name(failure.kind)},
                          {"message", failure.message}});
    Json report = {{"version", version()},
                   {"model", {{"name", options.model}, {"sha256", Store().sha256(options.model)}}},
                   {"prompt", options.prompt},
                   {"data", options.data.front()},
                   {"label", selection.label},
                   {"pictures", scores.pictures.size()},
                   {"miou", scores.miou},
                   {"pooled_iou", scores.pooled_iou},
                   {"failures", failures}};
    if (options.each) {
      Json& each = report["each"] = Json::array();
      for (const PromptPictureScore& picture : scores.pictures)
        each.push_back({{"picture", picture.picture},
                        {"iou", picture.iou},
                        {"area", picture.area},
                        {"true_area", picture.true_area}});
    }
    print(text_of(report));
  } else {
    print(table({{"data", "pictures", "mIoU", "pooled IoU"},
                 {on_one_line(options.data.front()), std::to_string(scores.pictures.size()),
                  fmt::format("{:.3f}", scores.miou), fmt::format("{:.3f}", scores.pooled_iou)}}));
  }
  if (!scores.failures.empty())
    fail(Kind::input, "{} of {} pictures failed; the rest is measured", scores.failures.size(),
         scores.failures.size() + scores.pictures.size());
}

void run_eval(const EvalArguments& given) {
  EvalArguments options = given;
  EvaluationOptions& evaluation = options.evaluation;
  evaluation.boxes = !options.without_boxes;
  evaluation.masks = options.masks == "binary"    ? MaskKind::binary
                     : options.masks == "objects" ? MaskKind::objects
                                                  : MaskKind::automatic;
  if (options.each && !options.json) fail(Kind::usage, "--each is for --json");
  if (options.with_label && options.prompt.empty())
    fail(Kind::usage, "--label needs --prompt with a learned prompt");
  if (!options.prompt.empty()) return run_eval_prompt(options);
  if (!evaluation.annotations.empty() && options.data.size() != 1)
    fail(Kind::usage, "--annotations goes with one --data");
  SegmentationReport report;
  {
    PictureProgress progress;
    evaluation.progress = [&](int64_t done, int64_t total) {
      progress.update(done, total, done);
      return true;  // a signal ends the program at once: nothing is being written
    };
    const Sam sam = Sam::load(options.model);
    report = evaluate_segmentation(sam, options.data, evaluation);
  }
  say_what_was_left_out(report);
  size_t objects = 0, failures = 0;
  int64_t pictures = 0;
  for (const DataSetScores& set : report.sets) {
    objects += set.objects.size();
    failures += set.failures.size();
    pictures += set.pictures;
  }
  if (objects == 0)
    fail(Kind::input, "nothing to measure: no picture with a mask could be read ({} failed)",
         failures);
  print(options.json ? text_of(json_of(report, options)) : readable_eval(report, options));
  if (failures > 0)
    fail(Kind::input, "{} of {} pictures failed; the rest is measured", failures,
         pictures + static_cast<int64_t>(failures));
}

void add_eval_segment(CLI::App& eval) {
  CLI::App* command =
      eval.add_subcommand("segment", "Simulated clicks and boxes on pictures with known masks");
  command->footer(
      "beckon eval segment --data photos_and_masks\n"
      "beckon eval segment --data coco --annotations coco/annotations/val2017.json "
      "--pictures 100\n"
      "beckon eval segment --data berkeley --data grabcut --json > scores.json\n"
      "beckon eval segment --data others --prompt mine.safetensors");
  auto options = std::make_shared<EvalArguments>();
  EvaluationOptions& evaluation = options->evaluation;
  command
      ->add_option("--data", options->data,
                   "A data set: COCO, an index of pictures and masks, or folders images and masks; "
                   "or a folder of data sets")
      ->type_name("DIR")
      ->required()
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option("--model", options->model,
                   "A name of the store or the path of a checkpoint; mobile-sam if not given")
      ->type_name("MODEL");
  command
      ->add_option("--annotations", evaluation.annotations,
                   "The COCO file, where the folder has several")
      ->type_name("FILE");
  command
      ->add_option("--masks", options->masks,
                   "Whether mask pictures hold one object, or one for each value; auto looks at "
                   "each")
      ->type_name("KIND")
      ->check(CLI::IsMember({"auto", "binary", "objects"}));
  command
      ->add_option("--clicks", evaluation.clicks, "Report mIoU after 1 to N clicks; 5 if not given")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--max-clicks", evaluation.max_clicks,
                   "Clicks an object gets at most, and what NoC then counts; 20 if not given")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  command
      ->add_option("--targets", evaluation.targets,
                   "IoUs for NoC, the number of clicks; 0.85,0.9,0.95 if not given")
      ->type_name("IOU,...")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_flag("--no-boxes", options->without_boxes, "Clicks only");
  command
      ->add_option("--pictures", evaluation.most_pictures,
                   "Only the first N pictures of each data set")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  command
      ->add_option("--prompt", options->prompt,
                   "Measure this learned prompt instead of clicks and boxes")
      ->type_name("FILE");
  const CLI::Option* label =
      command
          ->add_option(
              "--label", options->label,
              "With --prompt: the category that is meant, if not the one it was learned of")
          ->type_name("NAME");
  command->add_flag("--json", options->json, "Print one JSON object");
  command->add_flag("--each", options->each, "With --json: every object, its clicks and IoUs");
  command
      ->add_option("--max-pixels", evaluation.max_pixels,
                   "The largest picture to read, width times height; 100000000 if not given")
      ->type_name("N");
  command->callback([options, label] {
    options->with_label = label->count() > 0;
    run_eval(*options);
  });
}

}  // namespace

void add_eval(CLI::App& program) {
  CLI::App* eval =
      program.add_subcommand("eval", "Measure how well a model does, against known answers");
  eval->require_subcommand(0, 1);
  add_eval_segment(*eval);
}

}  // namespace beckon::cli
