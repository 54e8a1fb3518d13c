// beckon convert and boxes2masks: data sets of annotated pictures from one tool's form into
// another's.
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/annotation.h"
#include "beckon/store.h"
#include "compose/boxes_to_masks.h"
#include "files.h"
#include "interrupt.h"
#include "json.h"
#include "picture_progress.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

struct ConvertArguments {
  std::string input, output, from, to, photos;
  bool polygons = false;
  int64_t max_vertices = 0;  // 0: as they are
  bool again = false;
  std::string model = "mobile-sam";
  bool json = false;
  int64_t max_pixels = ReadOptions{}.max_pixels;
};

std::vector<std::string> names() {
  std::vector<std::string> list;
  for (const AnnotationFormat& format : annotation_formats()) list.emplace_back(format.name);
  return list;
}

struct Loaded {
  std::string from;
  Dataset data;
  FormatNotices notices;

  bool left_out() const {
    return std::any_of(notices.list().begin(), notices.list().end(),
                       [](const auto& notice) { return notice.what == kLabelsLeftOut; });
  }
};

Loaded load(const ConvertArguments& options) {
  if (options.max_pixels < 1) fail(Kind::usage, "--max-pixels must be at least 1");
  annotation_format(options.to);
  std::error_code error;
  if (std::filesystem::equivalent(options.input, options.output, error))
    fail(Kind::usage, "{}: is read and written at once; name another place", options.output);
  ReadAnnotationsOptions read{
      .format = options.from, .images = options.photos, .max_pixels = options.max_pixels};
  Loaded loaded;
  if (read.format.empty()) read.format = detect_annotation_format(options.input, read);
  loaded.from = read.format;
  loaded.data = read_annotations(options.input, read, &loaded.notices);
  return loaded;
}

Json json_of(const FormatNotices& notices) {
  Json list = Json::array();
  for (const FormatNotices::Notice& notice : notices.list())
    list.push_back({{"what", notice.what}, {"count", notice.count}, {"first", notice.first}});
  return list;
}

// Simplifies if that was asked for, and writes.
Json finish(const ConvertArguments& options, Loaded& loaded) {
  Json report = {{"input", options.input},
                 {"from", loaded.from},
                 {"output", options.output},
                 {"to", options.to},
                 {"images", loaded.data.images.size()},
                 {"categories", loaded.data.categories.size()},
                 {"annotations", loaded.data.annotations.size()}};
  if (options.max_vertices > 0) {
    const SimplifyReport simple = simplify(loaded.data, options.max_vertices, options.max_pixels);
    report["simplified"] = {{"objects", simple.objects},
                            {"vertices_before", simple.vertices_before},
                            {"vertices_after", simple.vertices_after},
                            {"mean_iou", simple.mean_iou},
                            {"least_iou", simple.least_iou}};
  }
  // Until files are written a signal ends the program at once.
  std::optional<HoldInterrupts> hold;
  PictureProgress progress;
  write_annotations(loaded.data, options.output, options.to,
                    {.polygons = options.polygons || options.max_vertices > 0,
                     .max_pixels = options.max_pixels,
                     .accept =
                         [&](int64_t done, int64_t all) {
                           if (!hold) hold.emplace();
                           progress.update(done, all, done);
                           return !interrupted();
                         }},
                    &loaded.notices);
  stop_if_interrupted();
  report["notices"] = json_of(loaded.notices);
  return report;
}

void tell(const ConvertArguments& options, const Loaded& loaded, const Json& report,
          const std::string& more = "") {
  for (const FormatNotices::Notice& notice : loaded.notices.list()) say("note: " + notice.text());
  if (options.json) return print(text_of(report));
  std::string out =
      fmt::format("{}: {} images, {} annotations, {} categories, {} to {}\n", options.output,
                  loaded.data.images.size(), loaded.data.annotations.size(),
                  loaded.data.categories.size(), loaded.from, options.to);
  if (report.contains("simplified")) {
    const Json& simple = report["simplified"];
    out += fmt::format(
        "{} outlines: {} corners instead of {}, IoU {:.4f} on average, {:.4f} at least\n",
        simple["objects"].get<int64_t>(), simple["vertices_after"].get<int64_t>(),
        simple["vertices_before"].get<int64_t>(), simple["mean_iou"].get<double>(),
        simple["least_iou"].get<double>());
  }
  print(out + more);
}

void run_convert(const ConvertArguments& options) {
  Loaded loaded = load(options);
  const Json report = finish(options, loaded);
  tell(options, loaded, report);
  if (loaded.left_out())
    fail(Kind::input, "photos could not be read; their annotations are left out");
}

void run_boxes2masks(ConvertArguments options) {
  if (options.photos.empty()) {
    const std::filesystem::path input = options.input;
    std::error_code error;
    options.photos = std::filesystem::is_directory(input, error) ? input.string()
                     : input.has_parent_path()                   ? input.parent_path().string()
                                                                 : ".";
  }
  Loaded loaded = load(options);
  compose::BoxesToMasksReport made;
  {
    const Sam sam = Sam::load(options.model);
    PictureProgress progress;
    made = compose::boxes_to_masks(
        sam, loaded.data,
        {.photos = options.photos,
         .again = options.again,
         .max_pixels = options.max_pixels,
         .progress = [&](int64_t done, int64_t all) {
           progress.update(done, all, done);
           return true;  // nothing is being written: a signal ends the program at once
         }});
  }
  for (const auto& failure : made.failures) complain(failure.message);
  if (made.without_box > 0)
    loaded.notices.add("no mask is made where there is no box with pixels of the photo", {},
                       made.without_box);
  Json report = finish(options, loaded);
  report["model"] = {{"name", options.model}, {"sha256", Store().sha256(options.model)}};
  report["masks"] = made.masks;
  report["kept"] = made.kept;
  report["without_box"] = made.without_box;
  report["failed"] = Json::array();
  for (const auto& failure : made.failures) report["failed"].push_back(failure.message);
  tell(options, loaded, report,
       fmt::format("{} masks made, {} annotations as they were\n", made.masks, made.kept));
  // Forms that need a photo's size lost it on the way in.
  if (made.failures.empty() && loaded.left_out())
    fail(Kind::input, "photos could not be read; their annotations are left out");
  if (!made.failures.empty())
    fail(made.failures.front().kind, "{} of {} photos failed; their annotations are as they were",
         made.failures.size(), loaded.data.images.size());
}

void add_common(CLI::App& command, ConvertArguments& options) {
  command.add_option("IN", options.input, "A file or folder of annotations")->required();
  command.add_option("OUT", options.output, "Where the result goes: a file, or a new folder")
      ->required();
  command
      .add_option("--from", options.from, "The form of IN; found out by its content if not given")
      ->type_name("FORMAT")
      ->check(CLI::IsMember(names()));
  command
      .add_option("--photos", options.photos,
                  "Where the photos lie: for sizes that IN does not say, and orientations")
      ->type_name("DIR");
  command.add_flag("--polygons", options.polygons,
                   "Outlines instead of run lengths, where a form has both");
  command
      .add_option("--max-vertices", options.max_vertices,
                  "Outlines of at most so many corners an object; says the IoU it costs")
      ->type_name("N")
      ->check(CLI::Range(int64_t{3}, int64_t{1'000'000}));
  command.add_flag("--json", options.json, "Print one JSON object");
  command
      .add_option("--max-pixels", options.max_pixels,
                  "The largest picture, width times height; 100000000 if not given")
      ->type_name("N");
}

}  // namespace

void add_convert(CLI::App& program) {
  CLI::App* command = program.add_subcommand("convert", "Annotations from one form into another");
  command->footer(
      "beckon convert instances.json labels --to yolo-seg\n"
      "beckon convert dataset/data.yaml coco.json --to coco --photos dataset/images\n"
      "beckon convert coco.json outlines.json --to label-studio --max-vertices 60");
  auto options = std::make_shared<ConvertArguments>();
  add_common(*command, *options);
  command->add_option("--to", options->to, "The form of OUT")
      ->type_name("FORMAT")
      ->required()
      ->check(CLI::IsMember(names()));
  command->callback([options] { run_convert(*options); });
}

void add_boxes2masks(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("boxes2masks", "A data set with boxes becomes one with masks");
  command->footer(
      "beckon boxes2masks instances.json masks.json --photos photos\n"
      "beckon boxes2masks dataset labels --to yolo-seg --photos dataset/images");
  auto options = std::make_shared<ConvertArguments>();
  options->to = "coco";
  add_common(*command, *options);
  command->add_option("--to", options->to, "The form of OUT; coco if not given")
      ->type_name("FORMAT")
      ->check(CLI::IsMember(names()));
  command
      ->add_option("--model", options->model,
                   "A name of the store or the path of a checkpoint; mobile-sam if not given")
      ->type_name("MODEL");
  command->add_flag("--again", options->again,
                    "Masks that are there are made anew from their boxes");
  command->callback([options] { run_boxes2masks(*options); });
}

}  // namespace beckon::cli
