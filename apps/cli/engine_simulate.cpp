// beckon engine simulate: what outlines, clicks and proposals cost a person, reckoned.
#include <filesystem>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/annotation.h"
#include "beckon/engine.h"
#include "beckon/sam.h"
#include "engine.h"
#include "generator_arguments.h"
#include "interrupt.h"
#include "json.h"
#include "picture_progress.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

struct SimulateArguments {
  std::string data, write, model = "mobile-sam";
  std::optional<int> pictures;
  MadeSetOptions made;
  SimulationOptions simulation;
  GeneratorArguments generator;
  bool json = false;
};

// The made pictures as a data set that `beckon eval` reads too.
void write_made_set(const std::string& folder, const std::vector<MadePicture>& pictures) {
  std::error_code code;
  const std::filesystem::path target(folder);
  if (std::filesystem::exists(target, code) &&
      !(std::filesystem::is_directory(target, code) && std::filesystem::is_empty(target, code)))
    fail(Kind::output, "{}: is there already; the set goes to a new or an empty folder", folder);
  std::filesystem::create_directory(target, code);
  if (code) fail(Kind::output, "{}: cannot be made: {}", folder, code.message());
  Dataset data;
  for (size_t i = 0; i < pictures.size(); ++i) {
    stop_if_interrupted();
    const Image& image = pictures[i].image;
    const std::string name = fmt::format("made-{:03}.png", i + 1);
    image.write_png((target / name).string());
    data.images.push_back({name, image.width(), image.height(), static_cast<int64_t>(i) + 1, {}});
    for (const Rle& mask : pictures[i].objects) {
      Annotation one;
      one.image = i;
      one.category = data.category("shape");
      one.shape = mask;
      data.annotations.push_back(std::move(one));
    }
  }
  write_annotations(data, (target / "instances.json").string(), "coco");
}

double each_of(double sum, int64_t objects) {
  return objects == 0 ? 0 : sum / static_cast<double>(objects);
}

Json cost_json(const AnnotationCost& cost, int64_t objects, bool proposals) {
  Json json{{"clicks", cost.clicks},
            {"keystrokes", cost.keystrokes},
            {"seconds", cost.seconds},
            {"clicks_per_object", each_of(static_cast<double>(cost.clicks), objects)},
            {"seconds_per_object", each_of(cost.seconds, objects)},
            {"mean_iou", cost.mean_iou},
            {"outlined_by_hand", cost.by_hand},
            {"machine_seconds", cost.machine_seconds}};
  if (proposals)
    json["proposals"] = {{"made", cost.proposed},
                         {"accepted", cost.accepted},
                         {"fixed", cost.fixed},
                         {"rejected", cost.rejected}};
  return json;
}

Json simulation_json(const SimulationReport& report, const SimulateArguments& arguments) {
  const SimulationOptions& options = arguments.simulation;
  Json failures = Json::array();
  for (const PictureFailure& failure : report.failures)
    failures.push_back({{"picture", failure.picture},
                        {"kind", kind_name(failure.kind)},
                        {"message", failure.message}});
  return {{"data", arguments.data.empty() ? "made" : arguments.data},
          {"model", arguments.model},
          {"pictures", report.pictures},
          {"objects", report.objects},
          {"left_out", report.left_out},
          {"target", options.target},
          {"most_clicks", options.most_clicks},
          {"time_model",
           {{"source", "keystroke-level model (Card, Moran, Newell 1980)"},
            {"think", options.time.think},
            {"point", options.time.point},
            {"button", options.time.button},
            {"keystroke", options.time.keystroke},
            {"click", options.time.click()}}},
          {"polygons", cost_json(report.polygons, report.objects, false)},
          {"stage_1", cost_json(report.assisted, report.objects, false)},
          {"stage_2", cost_json(report.semi_automatic, report.objects, true)},
          {"failures", std::move(failures)}};
}

std::string readable_simulation(const SimulationReport& report, double target) {
  std::string text = fmt::format("{}, {}, IoU {:.2f} wished\n{:<18} {:>13} {:>14} {:>6} {:>8}\n",
                                 counted_things(report.pictures, "picture"),
                                 counted_things(report.objects, "object"), target, "",
                                 "clicks/object", "seconds/object", "IoU", "by hand");
  const auto row = [&](const char* name, const AnnotationCost& cost) {
    text += fmt::format("{:<18} {:>13.1f} {:>14.1f} {:>6.3f} {:>8}\n", name,
                        each_of(static_cast<double>(cost.clicks), report.objects),
                        each_of(cost.seconds, report.objects), cost.mean_iou, cost.by_hand);
  };
  row("polygons by hand", report.polygons);
  row("1 assisted", report.assisted);
  row("2 semi-automatic", report.semi_automatic);
  const AnnotationCost& cost = report.semi_automatic;
  return text + fmt::format("{} proposed: {} accepted, {} fixed, {} rejected\n", cost.proposed,
                            cost.accepted, cost.fixed, cost.rejected);
}

void run_simulate(const SimulateArguments& given) {
  SimulateArguments arguments = given;
  if (!arguments.data.empty() && !arguments.write.empty())
    fail(Kind::usage, "--write is for the made set; DATA is there already");
  if (arguments.pictures) {
    arguments.made.pictures = *arguments.pictures;
    arguments.simulation.most_pictures = *arguments.pictures;
  }
  const HoldInterrupts hold;
  if (!arguments.write.empty()) {
    write_made_set(arguments.write, make_pictures(arguments.made));
    if (arguments.json)
      print(text_of({{"output", arguments.write}, {"pictures", arguments.made.pictures}}));
    return;
  }
  SimulationOptions& options = arguments.simulation;
  arguments.generator.apply_to(options.proposals.generator);
  PictureProgress progress;
  options.progress = [&](int64_t done, int64_t total) {
    progress.update(done, total, done);
    return !interrupted();
  };
  check(options.proposals);
  const std::vector<MadePicture> made =
      arguments.data.empty() ? make_pictures(arguments.made) : std::vector<MadePicture>();
  const Sam sam = Sam::load(arguments.model);
  const SimulationReport report = arguments.data.empty()
                                      ? simulate_annotator(sam, made, options)
                                      : simulate_annotator(sam, arguments.data, options);
  for (const PictureFailure& failure : report.failures) say("failed: " + failure.message);
  print(arguments.json ? text_of(simulation_json(report, arguments))
                       : readable_simulation(report, options.target));
  if (!report.failures.empty())
    fail(Kind::input, "{} failed; the rest is measured",
         counted_things(static_cast<int64_t>(report.failures.size()), "picture"));
}

}  // namespace

void add_engine_simulate(CLI::App& group) {
  CLI::App* command = group.add_subcommand(
      "simulate", "A simulated annotator: clicks and seconds an object, three ways");
  command->footer(
      "beckon engine simulate --json\n"
      "beckon engine simulate val2017 --pictures 20\n"
      "beckon engine simulate --write made");
  auto arguments = std::make_shared<SimulateArguments>();
  SimulationOptions& options = arguments->simulation;
  command
      ->add_option("data", arguments->data,
                   "A data set as `beckon eval` reads it; without one, pictures are made")
      ->type_name("DATA");
  command
      ->add_option("--write", arguments->write,
                   "Write the made pictures and their masks (COCO) there, and leave")
      ->type_name("DIR");
  command
      ->add_option("--model", arguments->model,
                   "A name of the store or the path of a checkpoint; mobile-sam if not given")
      ->type_name("MODEL");
  command
      ->add_option("--pictures", arguments->pictures,
                   "How many are made (6 if not given), or taken of DATA")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--objects", arguments->made.objects, "Shapes in a made picture; 8")
      ->type_name("N");
  command->add_option("--seed", arguments->made.seed, "Other made pictures; 1")->type_name("N");
  command->add_option("--target", options.target, "The IoU that is good enough; 0.9")
      ->type_name("X");
  command
      ->add_option("--most-clicks", options.most_clicks,
                   "On one object, before it is outlined by hand; 10")
      ->type_name("N");
  const auto time = [&](const char* name, double& to, const std::string& what) {
    command->add_option(name, to, what)->type_name("SECONDS")->group("Seconds of a person");
  };
  time("--think", options.time.think, "To find an object or judge a mask; 1.35");
  time("--point", options.time.point, "To move the pointer to a place; 1.1");
  time("--button", options.time.button, "To press or release the mouse button; 0.1");
  time("--keystroke", options.time.keystroke, "For a key; 0.28");
  command->add_flag("--json", arguments->json, "Print one JSON object");
  add_generator_arguments(*command, arguments->generator, "Proposals of stage 2",
                          stage_options(2).generator);
  command->callback([arguments] { run_simulate(*arguments); });
}

}  // namespace beckon::cli
