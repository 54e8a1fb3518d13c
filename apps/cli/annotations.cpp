// beckon annotations: what `beckon serve` keeps of a folder, without the server.
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "annotation_store.h"
#include "base/fail.h"
#include "beckon/annotation.h"
#include "interrupt.h"
#include "json.h"
#include "photos.h"
#include "program.h"
#include "store_dataset.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

using server::AnnotationStore;

struct AnnotationsArguments {
  std::string folder, file, output, format;
  bool polygons = false, json = false;
};

std::string store_of(const std::string& folder, bool make = false) {
  if (!std::filesystem::is_directory(folder)) fail(Kind::missing, "{}: is no folder", folder);
  return AnnotationStore::path_in(folder, make);
}

std::string how_many(int64_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

void say_notices(const FormatNotices& notices) {
  for (const auto& notice : notices.list()) say("note: " + notice.text());
}

void run_check(const AnnotationsArguments& arguments) {
  const std::string path = store_of(arguments.folder);
  const AnnotationStore::Report report = AnnotationStore(path, false).check();
  if (arguments.json) {
    print(text_of({{"file", path},
                   {"photos", report.photos},
                   {"objects", report.objects},
                   {"edits", report.edits},
                   {"problems", report.problems}}));
  } else {
    print(fmt::format("{}: {}, {}, {}\n", path, how_many(report.photos, "photo"),
                      how_many(report.objects, "object"), how_many(report.edits, "edit")));
    for (const std::string& problem : report.problems) say(on_one_line(problem));
  }
  if (!report.problems.empty())
    fail(Kind::input, "{}: {} found", path,
         how_many(static_cast<int64_t>(report.problems.size()), "problem"));
}

void run_export(const AnnotationsArguments& arguments) {
  const AnnotationStore store(store_of(arguments.folder), false);
  const Dataset data = server::dataset_of(store);
  FormatNotices notices;
  WriteAnnotationsOptions options;
  options.polygons = arguments.polygons;
  {
    const HoldInterrupts hold;
    options.accept = [](int64_t, int64_t) { return !interrupted(); };
    write_annotations(data, arguments.output, arguments.format, options, &notices);
    stop_if_interrupted();
  }
  say_notices(notices);
  if (arguments.json)
    print(text_of({{"output", arguments.output},
                   {"format", arguments.format},
                   {"images", data.images.size()},
                   {"annotations", data.annotations.size()}}));
}

void run_import(const AnnotationsArguments& arguments) {
  ReadAnnotationsOptions options;
  options.format = arguments.format;
  options.images = arguments.folder;
  FormatNotices notices;
  server::Photos photos(arguments.folder);
  const Dataset data = read_annotations(arguments.file, options, &notices);
  photos.scan([] { return true; });
  const HoldInterrupts hold;
  AnnotationStore store(store_of(arguments.folder, true), true);
  const server::ImportReport report = server::import_dataset(store, photos, data, "import");
  say_notices(notices);
  if (report.without_photo > 0)
    say(fmt::format("note: {} left out, their photos are not in {}",
                    how_many(report.without_photo, "object"), arguments.folder));
  if (report.without_mask > 0)
    say(fmt::format("note: {} left out, they have no mask of the photo's size",
                    how_many(report.without_mask, "object")));
  if (arguments.json)
    print(text_of({{"objects", report.objects},
                   {"without_photo", report.without_photo},
                   {"without_mask", report.without_mask}}));
  else
    print(fmt::format("{}: {} added\n", arguments.folder, how_many(report.objects, "object")));
}

void run_backup(const AnnotationsArguments& arguments) {
  const AnnotationStore store(store_of(arguments.folder), false);
  const HoldInterrupts hold;
  store.backup(arguments.output);
  if (arguments.json)
    print(text_of(
        {{"output", arguments.output}, {"bytes", std::filesystem::file_size(arguments.output)}}));
}

}  // namespace

void add_annotations(CLI::App& program) {
  CLI::App* group =
      program.add_subcommand("annotations", "What `beckon serve` keeps: check, export, import");
  group->require_subcommand(0, 1);
  const auto add = [&](const char* name, const char* about, const char* example,
                       void (*run)(const AnnotationsArguments&)) {
    CLI::App* command = group->add_subcommand(name, about);
    command->footer(example);
    auto arguments = std::make_shared<AnnotationsArguments>();
    command->add_option("folder", arguments->folder, "The folder that was served")
        ->type_name("DIR")
        ->required();
    command->add_flag("--json", arguments->json, "Print one JSON object");
    command->callback([arguments, run] { run(*arguments); });
    return std::pair(command, arguments);
  };
  add("check", "Whether everything is whole", "beckon annotations check photos", run_check);

  const auto [out, exported] = add("export", "Write them in a form that other tools read",
                                   "beckon annotations export photos -o instances.json\n"
                                   "beckon annotations export photos --format yolo-seg -o labels",
                                   run_export);
  out->add_option("-o,--output", exported->output, "The file or new folder")
      ->type_name("OUT")
      ->required();
  exported->format = "coco";
  out->add_option("--format", exported->format, "As `beckon convert --to`; coco if not given")
      ->type_name("FORMAT");
  out->add_flag("--polygons", exported->polygons, "Outlines where the form has both");

  const auto [in, imported] =
      add("import", "Add annotations of another tool, by the names of their photos",
          "beckon annotations import photos instances.json", run_import);
  in->add_option("file", imported->file, "A file or folder of annotations")
      ->type_name("FILE")
      ->required();
  in->add_option("--format", imported->format, "Which form it has; found out if not given")
      ->type_name("FORMAT");

  const auto [copy, saved] =
      add("backup", "A copy of the whole store, also while the server runs",
          "beckon annotations backup photos -o annotations-monday.db", run_backup);
  copy->add_option("-o,--output", saved->output, "The file")->type_name("FILE")->required();
}

}  // namespace beckon::cli
