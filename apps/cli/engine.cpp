// beckon engine: SAM's data engine in a folder of photos. Here its status and its exports.
#include "engine.h"

#include <filesystem>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/annotation.h"
#include "engine_export.h"
#include "engine_store.h"
#include "interrupt.h"
#include "json.h"
#include "photos.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {

using server::AnnotationStore;
using server::EngineStore;

std::unique_ptr<AnnotationStore> open_engine(const std::string& folder, bool make) {
  if (!std::filesystem::is_directory(folder)) fail(Kind::missing, "{}: is no folder", folder);
  return std::make_unique<AnnotationStore>(AnnotationStore::path_in(folder, make), make);
}

std::string counted_things(int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

namespace {

struct StatusArguments {
  std::string folder;
  bool json = false;
};

std::string row_of(const std::string& name, const EngineStore::Stage& stage) {
  const auto count = [&](const char* word) {
    const auto found = stage.states.find(word);
    return found == stage.states.end() ? 0 : found->second;
  };
  const auto each = [](double seconds, int64_t objects) {
    return objects == 0 ? std::string("-")
                        : fmt::format("{:.1f}", seconds / static_cast<double>(objects));
  };
  return fmt::format("{:<18} {:>7} {:>10} {:>7} {:>8} {:>6} {:>8} {:>8} {:>9}\n", name,
                     count("made") + count("imported"), count("unreviewed"), count("pending"),
                     count("accepted"), count("fixed"), count("rejected"),
                     each(stage.seconds, stage.timed), each(stage.machine_seconds, stage.proposed));
}

void run_status(const StatusArguments& arguments) {
  const server::Photos photos(arguments.folder);
  const std::string path = AnnotationStore::path_in(arguments.folder, false);
  EngineStore::Status status;
  if (std::filesystem::exists(path)) {
    AnnotationStore store(path, false);
    status = EngineStore(store).status();
  } else {
    for (int stage = 0; stage <= 3; ++stage) status.stages[stage];
  }
  const int64_t files = photos.count_files();
  if (arguments.json) {
    server::Json json = server::status_json(status);
    json["folder"] = arguments.folder;
    json["files"] = files;
    print(json.dump(2, ' ', false, server::Json::error_handler_t::replace) + "\n");
    return;
  }
  print(fmt::format("{}: {}, {} with objects; {}, {}\n", arguments.folder,
                    counted_things(files, "photo"), status.photos,
                    counted_things(status.objects, "object"),
                    status.pending == 1 ? "1 waits for review"
                                        : fmt::format("{} wait for review", status.pending)));
  print(fmt::format("{:<18} {:>7} {:>10} {:>7} {:>8} {:>6} {:>8} {:>8} {:>9}\n", "stage", "by hand",
                    "unreviewed", "pending", "accepted", "fixed", "rejected", "s/object",
                    "machine s"));
  print(row_of("1 assisted", status.stages[1]) + row_of("2 semi-automatic", status.stages[2]) +
        row_of("3 automatic", status.stages[3]) + row_of("imported", status.stages[0]));
}

void add_status(CLI::App& group) {
  CLI::App* command =
      group.add_subcommand("status", "Objects by stage and state, and what they took");
  command->footer(
      "beckon engine status photos\n"
      "beckon engine status photos --json");
  auto arguments = std::make_shared<StatusArguments>();
  command->add_option("folder", arguments->folder, "The folder of photos")
      ->type_name("DIR")
      ->required();
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->callback([arguments] { run_status(*arguments); });
}

struct EngineExportArguments {
  std::string folder, output, format = "sa-1b";
  std::vector<std::string> states, stages;
  bool polygons = false, json = false;
};

server::EngineFilter filter_of(const EngineExportArguments& arguments) {
  server::EngineFilter filter;
  for (const std::string& word : arguments.states) {
    if (word == "all") {
      filter.states = server::engine_states();
      continue;
    }
    if (server::engine_states().count(word) == 0) {
      std::string words = "all";
      for (const std::string& known : server::engine_states()) words += ", " + known;
      fail(Kind::usage, "--state '{}', expected {}", word, words);
    }
    filter.states.insert(word);
  }
  for (const std::string& word : arguments.stages) {
    if (word != "1" && word != "2" && word != "3" && word != "imported")
      fail(Kind::usage, "--stage '{}', expected 1, 2, 3 or imported", word);
    filter.stages.insert(word == "imported" ? 0 : word[0] - '0');
  }
  return filter;
}

void run_engine_export(const EngineExportArguments& arguments) {
  const server::EngineFilter filter = filter_of(arguments);
  const std::string format = arguments.format == "sa-1b" ? "sa1b" : arguments.format;
  static_cast<void>(annotation_format(format));  // before the work
  const auto store = open_engine(arguments.folder, false);
  const Dataset data = server::engine_dataset(*store, filter, format == "sa1b");
  FormatNotices notices;
  WriteAnnotationsOptions options;
  options.polygons = arguments.polygons;
  {
    const HoldInterrupts hold;
    options.accept = [](int64_t, int64_t) { return !interrupted(); };
    write_annotations(data, arguments.output, format, options, &notices);
    stop_if_interrupted();
  }
  for (const auto& notice : notices.list()) say("note: " + notice.text());
  const int64_t pending = filter.states.empty() ? EngineStore(*store).pending() : 0;
  if (pending > 0)
    say(fmt::format("note: {} in it wait{} for review; --state leaves them out",
                    counted_things(pending, "object"), pending == 1 ? "s" : ""));
  if (arguments.json)
    print(text_of({{"output", arguments.output},
                   {"format", format},
                   {"images", data.images.size()},
                   {"annotations", data.annotations.size()}}));
}

void add_engine_export(CLI::App& group) {
  CLI::App* command = group.add_subcommand(
      "export", "Objects of any stage and state as SA-1B or COCO, with where they are from");
  command->footer(
      "beckon engine export photos -o sa1b\n"
      "beckon engine export photos -o reviewed.json --format coco --state made,accepted,fixed\n"
      "beckon engine export photos -o rejected.json --format coco --state rejected --stage 3");
  auto arguments = std::make_shared<EngineExportArguments>();
  command->add_option("folder", arguments->folder, "The folder of photos")
      ->type_name("DIR")
      ->required();
  command->add_option("-o,--output", arguments->output, "The file or new folder")
      ->type_name("OUT")
      ->required();
  command
      ->add_option("--format", arguments->format,
                   "sa-1b, coco, or another form of `beckon convert`; sa-1b if not given")
      ->type_name("FORMAT");
  command
      ->add_option("--state", arguments->states,
                   "made, imported, unreviewed, pending, accepted, fixed, rejected, or all; all "
                   "but rejected if not given")
      ->type_name("STATE")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--stage", arguments->stages, "1, 2, 3, imported; all if not given")
      ->type_name("STAGE")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_flag("--polygons", arguments->polygons, "Outlines where the form has both");
  command->add_flag("--json", arguments->json, "Print one JSON object");
  command->callback([arguments] { run_engine_export(*arguments); });
}

}  // namespace

void add_engine(CLI::App& program) {
  CLI::App* group = program.add_subcommand(
      "engine", "The data engine: masks made alone, reviewed by people, counted and exported");
  group->footer(
      "beckon engine auto photos --stage 3 --sample 0.05\n"
      "beckon engine review photos\n"
      "beckon help engine auto");
  group->require_subcommand(0, 1);
  add_status(*group);
  add_engine_auto(*group);
  add_engine_review(*group);
  add_engine_export(*group);
  add_engine_simulate(*group);
}

}  // namespace beckon::cli
