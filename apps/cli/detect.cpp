// beckon detect: what is where in photos, out of the classes a detector knows.
#include <filesystem>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/annotation.h"
#include "beckon/detector.h"
#include "beckon/draw.h"
#include "beckon/version.h"
#include "compose/annotate/picture_list.h"
#include "files.h"
#include "json.h"
#include "picture_progress.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

namespace fs = std::filesystem;

struct DetectArguments {
  std::vector<std::string> inputs, labels;
  std::string model = "coco-ssd", output, format;
  DetectOptions detect;
  bool json = false;
  int64_t max_pixels = ReadOptions{}.max_pixels;
};

struct Seen {
  std::string path;
  ImageSize size;
  std::vector<Detection> found;
};

bool is_picture(const std::string& path) {
  for (const char* ending : {".png", ".jpg", ".jpeg", ".webp"})
    if (path.ends_with(ending)) return true;
  return false;
}

std::vector<std::string> form_names() {
  std::vector<std::string> list;
  for (const AnnotationFormat& format : annotation_formats())
    if (format.boxes) list.emplace_back(format.name);
  return list;
}

// Folders become the pictures in them.
std::vector<std::string> pictures_of(const DetectArguments& options) {
  std::vector<std::string> paths;
  for (const std::string& input : options.inputs) {
    std::error_code error;
    if (input == "-" || !fs::is_directory(input, error)) {
      paths.push_back(input);
      continue;
    }
    for (const compose::Input& found : compose::list_pictures(input, options.output).inputs)
      paths.push_back((fs::path(input) / found.path).string());
  }
  if (paths.empty()) fail(Kind::input, "{}: no pictures in it", options.inputs.front());
  return paths;
}

// The label's place among those that were asked for; all if none were.
void keep_labels(const DetectArguments& options, std::vector<Detection>& found) {
  if (options.labels.empty()) return;
  std::erase_if(found, [&](const Detection& d) {
    return std::find(options.labels.begin(), options.labels.end(), d.name) == options.labels.end();
  });
}

void check_labels(const DetectArguments& options, const Detector& detector) {
  for (const std::string& label : options.labels) {
    bool known = false;
    for (int64_t i = 0; i < detector.classes(); ++i) known |= detector.class_name(i) == label;
    if (!known)
      fail(Kind::usage, "--labels: '{}' is none of the {} classes of {}", label, detector.classes(),
           detector.path());
  }
}

Json json_of(const Detection& d) {
  return {{"label", d.name},
          {"index", d.label},
          {"score", d.score},
          {"box", {d.box.x0, d.box.y0, d.box.x1, d.box.y1}}};
}

Image drawn(Image photo, const std::vector<Detection>& found) {
  for (size_t i = found.size(); i-- > 0;)  // the best above the others
    draw_box(photo, found[i].box, mask_color(static_cast<int>(found[i].label)));
  return photo;
}

std::vector<uint8_t> encoded(const Image& image, const std::string& path) {
  if (path.ends_with(".png")) return image.encode_png();
  if (path.ends_with(".webp")) return image.encode_webp();
  return image.encode_jpeg();
}

Dataset dataset_of(const std::vector<Seen>& photos, const Detector& detector,
                   const std::string& output) {
  Dataset data;
  for (const Seen& seen : photos) {
    // As seen from the file of annotations, so that other programs find the photo.
    std::error_code error;
    const fs::path folder = fs::absolute(output, error).parent_path();
    const fs::path file = fs::absolute(seen.path, error).lexically_proximate(folder);
    data.images.push_back({file.generic_string(), seen.size.width, seen.size.height});
    for (const Detection& d : seen.found) {
      Annotation a;
      a.image = data.images.size() - 1;
      a.category = data.category(d.name);
      if (detector.classes() == 90)
        data.categories[static_cast<size_t>(a.category)].id = d.label + 1;
      a.shape = BoxShape{d.box.x0, d.box.y0, d.box.x1 - d.box.x0, d.box.y1 - d.box.y0};
      a.score = d.score;
      data.annotations.push_back(std::move(a));
    }
  }
  return data;
}

void run_detect(const DetectArguments& options) {
  if (options.max_pixels < 1) fail(Kind::usage, "--max-pixels must be at least 1");
  const std::vector<std::string> paths = pictures_of(options);
  const bool overlay = options.format.empty() && is_picture(options.output);
  if (!options.output.empty()) {
    if (overlay && paths.size() != 1)
      fail(Kind::usage, "-o {}: one picture for {} photos; give --format FORMAT for a data set",
           options.output, paths.size());
    if (!overlay && options.format.empty())
      fail(
          Kind::usage,
          "-o {}: a name that ends in .png, .jpg or .webp shows the boxes; or give --format FORMAT",
          options.output);
    expect_other_file(options.output, paths);
    if (overlay) expect_output(options.output);
  } else if (!options.format.empty()) {
    fail(Kind::usage, "--format {}: where to? Give -o OUT", options.format);
  }
  const Detector detector = Detector::load(options.model);
  check_labels(options, detector);

  std::vector<Seen> photos;
  std::vector<std::string> failures;
  std::optional<Kind> kind;
  {
    PictureProgress progress;
    int64_t done = 0;
    for (const std::string& path : paths) {
      try {
        const Image photo = Image::decode(read_input(path), name_of_input(path),
                                          {.max_pixels = options.max_pixels});
        Seen seen{path, photo.size(), detector.detect(photo, options.detect)};
        keep_labels(options, seen.found);
        if (overlay)
          write_output(options.output, encoded(drawn(photo.rgb(), seen.found), options.output));
        photos.push_back(std::move(seen));
      } catch (const Error& error) {
        if (paths.size() == 1 || error.kind() == Kind::output) throw;
        failures.push_back(error.what());
        if (!kind) kind = error.kind();
      }
      ++done;
      progress.update(done, static_cast<int64_t>(paths.size()), done);
    }
  }
  for (const std::string& message : failures) say("failed: " + message);
  if (!options.format.empty()) {
    FormatNotices notices;
    write_annotations(dataset_of(photos, detector, options.output), options.output, options.format,
                      {}, &notices);
    for (const FormatNotices::Notice& notice : notices.list()) say("note: " + notice.text());
  }

  Json list = Json::array();
  std::string text;
  for (const Seen& seen : photos) {
    Json found = Json::array();
    if (paths.size() > 1) text += on_one_line(seen.path) + "\n";
    for (const Detection& d : seen.found) {
      found.push_back(json_of(d));
      text += fmt::format("{:6.2f}%  {:<14} {:.1f},{:.1f},{:.1f},{:.1f}\n", 100 * d.score, d.name,
                          d.box.x0, d.box.y0, d.box.x1, d.box.y1);
    }
    if (seen.found.empty() && paths.size() == 1) text += "nothing\n";
    list.push_back({{"picture", seen.path},
                    {"width", seen.size.width},
                    {"height", seen.size.height},
                    {"objects", found}});
  }
  if (options.json)
    text = text_of({{"version", version()},
                    {"model", {{"name", options.model}, {"sha256", detector.sha256()}}},
                    {"threshold", options.detect.threshold},
                    {"iou", options.detect.iou},
                    {"pictures", list}});
  if (options.output != "-") print(text);
  if (!failures.empty()) fail(*kind, "{} of {} pictures failed", failures.size(), paths.size());
}

}  // namespace

void add_detect(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("detect", "Find things in photos: a name, a score and a box each");
  command->footer(
      "beckon detect street.jpg -o boxes.png\n"
      "beckon detect photos --labels person,dog --format coco -o boxes.json\n"
      "beckon boxes2masks boxes.json masks.json");
  auto options = std::make_shared<DetectArguments>();
  command
      ->add_option("PHOTO", options->inputs,
                   "Photos, or folders with photos in them; - is standard input")
      ->required();
  command
      ->add_option("--model", options->model,
                   "A name of the store or the path of a checkpoint; coco-ssd if not given")
      ->type_name("MODEL");
  command
      ->add_option("--threshold", options->detect.threshold,
                   "Leave out what has a lower score; 0.5 if not given")
      ->type_name("S")
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--iou", options->detect.iou,
                   "Of two boxes of one class that overlap more, keep the better; 0.5 if not given")
      ->type_name("S")
      ->check(CLI::Range(0.0, 1.0));
  command->add_option("--most", options->detect.most, "At most N a photo; 100 if not given")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  command->add_option("--labels", options->labels, "Only things of these names")
      ->type_name("A,B,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      ->add_option("-o,--output", options->output,
                   "The photo with its boxes as a picture, or with --format a data set")
      ->type_name("OUT");
  command->add_option("--format", options->format, "The form of the data set: coco, voc, yolo, ...")
      ->type_name("FORMAT")
      ->check(CLI::IsMember(form_names()));
  command->add_flag("--json", options->json, "Print one JSON object");
  command
      ->add_option("--max-pixels", options->max_pixels,
                   "The largest photo to read, width times height; 100000000 if not given")
      ->type_name("N");
  command->callback([options] { run_detect(*options); });
}

}  // namespace beckon::cli
