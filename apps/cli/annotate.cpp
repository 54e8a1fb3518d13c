// beckon annotate: a folder of pictures to masks, on one machine or many.
#include "beckon/annotate.h"

#include <algorithm>
#include <cstdlib>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/annotation.h"
#include "generator_arguments.h"
#include "interrupt.h"
#include "json.h"
#include "picture_progress.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

std::vector<std::string> format_names() {
  std::vector<std::string> names;
  for (const AnnotationFormat& format : annotation_formats()) names.emplace_back(format.name);
  return names;
}

constexpr size_t kFailuresShown = 20;

struct AnnotateArguments {
  std::string folder, output;
  std::string merge;  // a folder of results, to be made whole
  std::string shard;  // empty: as the scheduler says
  AnnotateOptions annotate;
  GeneratorArguments generator;
  double idle = -1;
  bool resume = false, everything = false;  // what happens anyway
  bool json = false;
};

// --shard, or what the scheduler says, which is then told.
Shard shard_of(const AnnotateArguments& options) {
  if (options.shard == "none" || options.shard == "1") return {};
  if (!options.shard.empty()) return parse_shard(options.shard);
  const ScheduledShard scheduled = scheduled_shard(&std::getenv);
  if (!scheduled.source.empty())
    say(fmt::format("shard {} of {} (the first is 0), from {}", scheduled.shard.index,
                    scheduled.shard.count, scheduled.source));
  return scheduled.shard;
}

Json json_of(const AnnotateReport& report, const std::string& out, Shard shard) {
  Json failures = Json::array();
  for (const AnnotateFailure& failure : report.failures)
    failures.push_back(
        {{"path", failure.path}, {"kind", kind_name(failure.kind)}, {"message", failure.message}});
  return {{"output", out},
          {"manifest", report.manifest},
          {"shard", {{"index", shard.index}, {"count", shard.count}}},
          {"pictures", report.pictures},
          {"made", report.made},
          {"kept", report.kept},
          {"remade", report.remade},
          {"failed", failures.size()},
          {"without_prompts", report.without_prompts},
          {"links_outside", report.links_outside},
          {"orphans", report.orphans},
          {"failures", std::move(failures)}};
}

std::string counted(int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string readable_annotate(const AnnotateReport& report, bool merged) {
  std::string text = counted(report.pictures, "picture");
  if (!merged) {
    text += fmt::format(": {} done now, {} done before", report.made, report.kept);
    if (report.remade > 0)
      text += fmt::format(" ({} of them again, because they had changed)", report.remade);
  }
  if (!report.failures.empty()) text += fmt::format(", {} failed", report.failures.size());
  return text + "\nmanifest " + report.manifest + "\n";
}

void say_what_was_left_out(const AnnotateReport& report) {
  const auto note = [](int64_t count, const char* what) {
    if (count > 0) say(fmt::format("note: {} {}", count, what));
  };
  note(report.without_prompts, "pictures left out: the prompts file has nothing for them");
  note(report.links_outside, "links left out: they lead out of the folder");
  note(report.orphans, "results belong to no picture (any more): they are in no manifest");
  for (const std::string& text : report.notes) say("note: " + text);
  for (size_t i = 0; i < std::min(report.failures.size(), kFailuresShown); ++i)
    say("failed: " + report.failures[i].message);
  if (report.failures.size() > kFailuresShown)
    say(fmt::format("failed: {} more, see the manifest", report.failures.size() - kFailuresShown));
}

void finish(const AnnotateArguments& options, const AnnotateReport& report, Shard shard) {
  const bool merged = !options.merge.empty();
  say_what_was_left_out(report);
  print(options.json ? text_of(json_of(report, merged ? options.merge : options.output, shard))
                     : readable_annotate(report, merged));
  if (!report.failures.empty())
    fail(Kind::input, "{} of {} pictures failed; the rest is done", report.failures.size(),
         report.pictures);
}

void check_annotate(const AnnotateArguments& options) {
  if (!options.merge.empty()) {
    if (!options.folder.empty() || !options.output.empty())
      fail(Kind::usage, "--merge takes the folder of results alone: beckon annotate --merge OUT");
    return;
  }
  if (options.folder.empty()) fail(Kind::usage, "DIR is missing: the folder of pictures");
  if (options.output.empty()) fail(Kind::usage, "-o OUT is missing: the folder for the results");
  if (options.everything && !options.annotate.prompts_file.empty())
    fail(Kind::usage, "--everything and --prompts: one of them, please");
  if (options.idle >= 0 && !options.annotate.watch) fail(Kind::usage, "--idle is for --watch");
  if (options.annotate.max_pixels < 1) fail(Kind::usage, "--max-pixels must be at least 1");
}

void run_annotate(const AnnotateArguments& given) {
  check_annotate(given);
  AnnotateArguments options = given;
  options.generator.apply_to(options.annotate.everything);
  PictureProgress progress;
  options.annotate.progress = [&](const AnnotateProgress& state) {
    progress.update(state.done, state.total, state.worked);
    return !interrupted();
  };
  // A signal ends the program at once, but for the moments in which a file is put in its place.
  options.annotate.around_write = [](const std::function<void()>& write) {
    {
      const HoldInterrupts hold;
      write();
    }
    exit_if_interrupted();
  };
  if (!options.merge.empty()) {
    finish(options, merge_annotations(options.merge, options.annotate), {});
    return;
  }
  options.annotate.shard = shard_of(options);
  options.annotate.idle_seconds = options.idle;
  finish(options, annotate(options.folder, options.output, options.annotate),
         options.annotate.shard);
}

}  // namespace

void add_annotate(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "annotate", "Turn a folder of pictures into masks, on one machine or many");
  command->footer(
      "beckon annotate photos -o masks --everything\n"
      "beckon annotate photos -o masks --prompts prompts.json\n"
      "beckon annotate photos -o masks --everything --shard 3/16\n"
      "beckon annotate --merge masks");
  auto options = std::make_shared<AnnotateArguments>();
  AnnotateOptions& annotate = options->annotate;
  command->add_option("DIR", options->folder, "The pictures; sub-folders are looked through");
  command
      ->add_option("-o,--output", options->output,
                   "The folder for the results; a run goes on with what is there")
      ->type_name("OUT");
  command
      ->add_option("--model", annotate.model,
                   "A name of the store or the path of a checkpoint; mobile-sam if not given")
      ->type_name("MODEL");
  command->add_flag("--everything", options->everything,
                    "All that is to be seen in each picture; so it is without --prompts");
  CLI::Option* prompts = command
                             ->add_option("--prompts", annotate.prompts_file,
                                          "Prompts as JSON, for every picture or by their names")
                             ->type_name("FILE");
  command
      ->add_option("--format", annotate.formats,
                   "Write the whole in this form as well, when all is there: coco, labelme, ... as "
                   "'beckon convert' knows them; sa1b: the results themselves")
      ->type_name("FORMAT")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->check(CLI::IsMember(format_names()));
  command
      ->add_option("--shard", options->shard,
                   "Only this part of the folder, from 0/N to N-1/N; none switches off what a "
                   "scheduler says")
      ->type_name("I/N");
  command
      ->add_option("--merge", options->merge,
                   "Make the shards in this folder one whole, or say which are missing")
      ->type_name("OUT");
  command->add_flag("--resume", options->resume,
                    "Go on with what is there, which is what happens anyway");
  command->add_flag("--replace", annotate.replace,
                    "Make results of another recipe anew instead of refusing them");
  command->add_flag("--watch", annotate.watch, "Go on looking for new and changed pictures");
  command->add_option("--idle", options->idle, "End a watch after so many seconds without work")
      ->type_name("SECONDS")
      ->check(CLI::Range(0.0, 1e9));
  command
      ->add_option("--jobs", annotate.jobs,
                   "Pictures in flight; 1 if not given, which all processors work on")
      ->type_name("N")
      ->check(CLI::Range(1, 256));
  command
      ->add_option("--log", annotate.log_file,
                   "Add a line of JSON here when a picture is begun and done")
      ->type_name("FILE");
  command->add_flag("--json", options->json, "Print the summary as JSON");
  command
      ->add_option("--max-pixels", annotate.max_pixels,
                   "The largest picture to read, width times height; 100000000 if not given")
      ->type_name("N");
  for (CLI::Option* option :
       add_generator_arguments(*command, options->generator, "Everything mode"))
    option->excludes(prompts);
  command->callback([options] { run_annotate(*options); });
}

}  // namespace beckon::cli
