// beckon segment: a photo and a few prompts become masks.
#include <algorithm>
#include <cctype>
#include <chrono>
#include <cmath>
#include <future>
#include <limits>
#include <memory>
#include <optional>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/draw.h"
#include "beckon/polygon.h"
#include "beckon/sam.h"
#include "beckon/store.h"
#include "beckon/version.h"
#include "cached_encoding.h"
#include "everything.h"
#include "files.h"
#include "json.h"
#include "learned_prompt.h"
#include "program.h"
#include "prompt_arguments.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

constexpr const char* kUsualModel = "mobile-sam";

struct SegmentArguments {
  std::vector<std::string> photos;
  std::string photo;  // the only one, but for learned prompts
  bool instances = false, parts = false;
  int64_t min_area = 1;
  std::string model;  // empty: the recipe's, else kUsualModel
  PromptArguments prompts;
  CacheArguments cache;
  bool multimask = false, single = false;  // neither: the recipe's, else automatic
  bool everything = false;
  std::string everything_parameter;  // the first that was given of those
  std::shared_ptr<EverythingArguments> everything_arguments;
  std::string output;
  std::string format;  // empty: mask
  bool json = false;
  int64_t max_pixels = ReadOptions{}.max_pixels;
};

// Milliseconds of each stage, in the order they ran.
class Stopwatch {
 public:
  void lap(const char* stage) {
    const Clock::time_point now = Clock::now();
    stages_[stage] = milliseconds(now - last_);
    last_ = now;
  }
  Json report() const {
    Json report = stages_;
    report["total"] = milliseconds(last_ - start_);
    return report;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double milliseconds(Clock::duration time) {
    // Microseconds are as fine as a report needs.
    return std::chrono::duration_cast<std::chrono::microseconds>(time).count() / 1000.0;
  }

  Clock::time_point start_ = Clock::now();
  Clock::time_point last_ = start_;
  Json stages_ = Json::object();
};

// Everything that one run found out.
struct SegmentResult {
  Image photo;
  std::vector<Prompt> prompts;
  std::string model;
  Multimask multimask;
  std::vector<Masks> objects;  // the readings of each, best first
  bool cached = false;         // the embedding was there already
  Stopwatch time;

  // The best mask of each object.
  std::vector<Rle> best() const {
    std::vector<Rle> masks;
    for (const Masks& object : objects) masks.push_back(object.best().rle());
    return masks;
  }
};

bool is_text(const std::string& format) { return format == "rle" || format == "polygon"; }

const char* name_of(Multimask multimask) {
  switch (multimask) {
    case Multimask::automatic:
      return "automatic";
    case Multimask::single:
      return "single";
    case Multimask::readings:
      return "readings";
    case Multimask::all:
      return "all";
  }
  return "automatic";
}

// What the command line says goes before what a recipe says.
Multimask multimask_of(const SegmentArguments& options, const Request& request) {
  if (options.multimask) return Multimask::readings;
  if (options.single) return Multimask::single;
  if (request.multimask.empty()) return Multimask::automatic;
  for (Multimask multimask : {Multimask::automatic, Multimask::single, Multimask::readings})
    if (request.multimask == name_of(multimask)) return multimask;
  fail(Kind::input, "{}: recipe: 'multimask' must be \"automatic\", \"single\" or \"readings\"",
       name_of_input(options.prompts.file));
}

std::string model_of(const SegmentArguments& options, const Request& request) {
  if (!options.model.empty()) return options.model;
  return request.model.empty() ? kUsualModel : request.model;
}

// What follows the last dot, in small letters.
std::string ending(const std::string& path) {
  const size_t dot = path.rfind('.');
  std::string end = dot == std::string::npos ? "" : path.substr(dot + 1);
  std::transform(end.begin(), end.end(), end.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return end;
}

// What can be refused before a second is spent on it.
void check_segment(const SegmentArguments& options) {
  if (options.json && options.output == "-")
    fail(Kind::usage, "--json and -o - cannot both have standard output");
  expect_other_file(options.output, {options.photo, options.prompts.file, options.prompts.mask});
  if (is_text(options.format)) {
    if (options.json && options.output.empty())
      fail(Kind::usage, "--json and --format {} cannot both have standard output; give -o FILE",
           options.format);
    return;
  }
  if (options.output.empty() && options.format != "mask")
    fail(Kind::usage, "--format {} needs -o FILE (-o - for standard output)", options.format);
  if (options.output.empty() || options.output == "-") return;
  const std::string end = ending(options.output);
  if (end == "png" || end == "webp") return;
  if (end == "jpg" || end == "jpeg") {
    if (options.format == "overlay") return;
    fail(Kind::usage, "-o {}: JPEG would blur the edge of a {}; use .png or .webp", options.output,
         options.format);
  }
  fail(Kind::usage, "-o {}: expected a name that ends in .png or .webp{}", options.output,
       options.format == "overlay" ? ", or .jpg" : "");
}

SegmentResult segment(const SegmentArguments& options, const Request& request) {
  SegmentResult result;
  result.model = model_of(options, request);
  result.multimask = multimask_of(options, request);
  result.prompts = request.prompts;
  const std::vector<ObjectQuery> queries = queries_of(request, options.prompts);
  // Of the two the photo is looked at first: what is wrong with it is said first.
  std::future<Sam> loading = std::async(std::launch::async, &Sam::load, result.model);
  const std::vector<uint8_t> bytes = read_input(options.photo);
  result.photo =
      Image::decode(bytes, name_of_input(options.photo), {.max_pixels = options.max_pixels});
  check_masks(request, result.photo.size(), options.prompts);
  for (const std::string& line : doubts(result.prompts, result.photo.size())) say(line);
  result.time.lap("read");

  const Sam sam = loading.get();
  if (!request.sha256.empty() && Store().sha256(result.model) != request.sha256)
    say("note: the recipe was made with other weights than those of " + result.model);
  result.time.lap("load");
  const auto [embedding, cached] = encode(sam, result.photo, options.cache);
  result.cached = cached;
  result.time.lap("encode");
  result.objects = embedding.segment(queries, {.multimask = result.multimask});
  result.time.lap("prompt");
  for (const Masks& object : result.objects) object.best().rle();  // at the size of the photo
  result.time.lap("mask");
  return result;
}

Json json_of(const Rle& rle) {
  return {{"size", {rle.height(), rle.width()}}, {"counts", rle.string()}};
}

Json json_of(const PixelBox& box) { return {box.x, box.y, box.width, box.height}; }

Json json_of(const Ring& ring) {
  Json list = Json::array();
  for (const Vertex& vertex : ring) list.push_back({vertex.x, vertex.y});
  return list;
}

Json json_of(const std::vector<Polygon>& polygons) {
  Json list = Json::array();
  for (const Polygon& polygon : polygons) {
    Json holes = Json::array();
    for (const Ring& hole : polygon.holes) holes.push_back(json_of(hole));
    list.push_back({{"outer", json_of(polygon.outer)}, {"holes", holes}});
  }
  return list;
}

// Of a photo that was read: its size needs no limit.
Mask unpacked(const Rle& rle) { return Mask::from_rle(rle, std::numeric_limits<int64_t>::max()); }

// The best mask of each object as `--format rle` and `--format polygon` write it.
Json outlines(const SegmentResult& result, const std::string& format) {
  Json list = Json::array();
  for (const Rle& rle : result.best()) {
    if (format == "rle")
      list.push_back(json_of(rle));
    else
      list.push_back({{"size", {rle.height(), rle.width()}},
                      {"polygons", json_of(polygons_of(unpacked(rle)))}});
  }
  return list;
}

Json report(const SegmentArguments& options, const SegmentResult& result) {
  Json report;
  report["image"] = {
      {"path", options.photo}, {"width", result.photo.width()}, {"height", result.photo.height()}};
  report["model"] = {{"name", result.model}, {"sha256", Store().sha256(result.model)}};
  Json& masks = report["masks"] = Json::array();
  for (size_t i = 0; i < result.objects.size(); ++i) {
    for (const PredictedMask& mask : result.objects[i]) {
      // Nothing is above the threshold: NaN, which JSON has no word for.
      const double stability = mask.stability();
      masks.push_back({{"object", i},
                       {"score", mask.score()},
                       {"stability", std::isfinite(stability) ? Json(stability) : Json()},
                       {"area", mask.area()},
                       {"bbox", json_of(mask.bounding_box())},
                       {"segmentation", json_of(mask.rle())}});
    }
  }
  report["timing"] = result.time.report();
  report["cached"] = result.cached;
  // A prompt file itself: `beckon segment PHOTO --prompt` reads it.
  Json recipe = Json::parse(to_json(result.prompts));
  recipe["version"] = version();
  recipe["command"] = "segment";
  recipe["model"] = report["model"];
  recipe["image"] = options.photo;
  recipe["options"] = {{"multimask", name_of(result.multimask)}};
  report["recipe"] = std::move(recipe);
  return report;
}

std::string readable_segment(const SegmentResult& result) {
  std::string out;
  for (size_t i = 0; i < result.objects.size(); ++i) {
    for (const PredictedMask& mask : result.objects[i]) {
      const PixelBox box = mask.bounding_box();
      if (result.objects.size() > 1) out += fmt::format("object {}  ", i + 1);
      const double stability = mask.stability();
      out += fmt::format("score {:.3f}  stability {}  area {} px  box {},{} {}x{}\n", mask.score(),
                         std::isfinite(stability) ? fmt::format("{:.3f}", stability) : "none",
                         mask.area(), box.x, box.y, box.width, box.height);
    }
  }
  return out;
}

// The clicks and boxes that were asked about, so that the picture tells why it looks as it does.
void draw_prompts(Image& picture, std::span<const Prompt> prompts) {
  constexpr Color kBoxColor = {255, 255, 255};
  for (const Prompt& prompt : prompts) {
    if (const auto* point = std::get_if<Point>(&prompt))
      draw_point(picture, point->x, point->y, point->label == Label::object);
    if (const auto* box = std::get_if<Box>(&prompt))
      draw_box(picture,
               {static_cast<float>(box->x0), static_cast<float>(box->y0),
                static_cast<float>(box->x1), static_cast<float>(box->y1)},
               kBoxColor);
  }
}

// What -o and --format ask for; pictures hold all objects together.
std::vector<uint8_t> encoded(const SegmentArguments& options, const SegmentResult& result) {
  if (is_text(options.format)) {
    const std::string text = outlines(result, options.format).dump() + "\n";
    return {text.begin(), text.end()};
  }
  const std::vector<Rle> masks = result.best();
  Image image;
  if (options.format == "overlay") {
    image = overlay(result.photo, masks);
    draw_prompts(image, result.prompts);
  } else {
    const Mask all = unpacked(merge(masks));
    image = options.format == "cutout" ? cutout(result.photo, all) : all.image();
  }
  const std::string end = ending(options.output);
  if (end == "webp") return image.encode_webp({.lossless = options.format != "overlay"});
  return end == "jpg" || end == "jpeg" ? image.encode_jpeg() : image.encode_png();
}

// Everything mode, asked for by the flag or by a recipe of it. Returns false if it is not.
bool ran_everything(const SegmentArguments& options, const Request& request) {
  if (!options.everything && request.everything.empty()) {
    if (!options.everything_parameter.empty())
      fail(Kind::usage, "{} needs --everything", options.everything_parameter);
    return false;
  }
  const PromptArguments& p = options.prompts;
  const char* prompt = !p.points.empty()        ? "--point"
                       : !p.backgrounds.empty() ? "--background"
                       : !p.boxes.empty()       ? "--box"
                       : !p.mask.empty()        ? "--mask"
                       : options.multimask      ? "--multimask"
                       : options.single         ? "--single"
                                                : nullptr;
  if (prompt) fail(Kind::usage, "--everything asks by itself: it does not go with {}", prompt);
  if (!request.prompts.empty())
    fail(Kind::input, "{}: there are prompts in it, with which --everything has nothing to do",
         name_of_input(p.file));
  run_everything({.photo = options.photo,
                  .model = model_of(options, request),
                  .sha256 = request.sha256,
                  .recipe = request.everything,
                  .recipe_name = name_of_input(p.file),
                  .output = options.output,
                  .format = options.format,
                  .json = options.json,
                  .max_pixels = options.max_pixels,
                  .cache = options.cache},
                 *options.everything_arguments);
  return true;
}

// --prompt with a file that was learned. Returns false if it is none.
bool ran_learned_prompt(const SegmentArguments& options) {
  const PromptArguments& p = options.prompts;
  if (!is_learned_prompt(p.file)) {
    if (options.photos.size() > 1)
      fail(Kind::usage,
           "several photos: --prompt with a learned prompt is needed, prompts with "
           "places are of one photo");
    const char* other = options.instances ? "--instances" : options.parts ? "--parts" : nullptr;
    if (other) fail(Kind::usage, "{} needs --prompt with a learned prompt", other);
    return false;
  }
  const char* other = !p.points.empty()        ? "--point"
                      : !p.backgrounds.empty() ? "--background"
                      : !p.boxes.empty()       ? "--box"
                      : !p.mask.empty()        ? "--mask"
                      : options.multimask      ? "--multimask"
                      : options.single         ? "--single"
                      : options.everything     ? "--everything"
                                               : nullptr;
  if (other) fail(Kind::usage, "{} does not go with a learned prompt", other);
  run_learned_prompt({.photos = options.photos,
                      .model = options.model.empty() ? kUsualModel : options.model,
                      .prompt = p.file,
                      .instances = options.instances,
                      .parts = options.parts,
                      .min_area = options.min_area,
                      .output = options.output,
                      .format = options.format,
                      .json = options.json,
                      .max_pixels = options.max_pixels,
                      .cache = options.cache});
  return true;
}

void run_segment(SegmentArguments options) {
  if (options.max_pixels < 1) fail(Kind::usage, "--max-pixels must be at least 1");
  if (ran_learned_prompt(options)) return;
  options.photo = options.photos.front();
  if (options.photo == "-" && options.prompts.file == "-")
    fail(Kind::usage, "the photo and --prompt cannot both come from standard input");
  const bool no_file = options.everything && options.prompts.file.empty();
  Request request;
  if (!no_file) request = read_request(options.prompts);
  if (ran_everything(options, request)) return;
  if (options.format.empty()) options.format = "mask";
  if (options.format == "masks" || options.format == "sa1b")
    fail(Kind::usage, "--format {} needs --everything", options.format);
  check_segment(options);
  expect_output(options.output);
  const SegmentResult result = segment(options, request);
  // Outlines are text: without another place they are the answer.
  const bool to_stdout =
      options.output == "-" || (options.output.empty() && is_text(options.format));
  if (to_stdout || !options.output.empty())
    write_output(to_stdout ? "-" : options.output, encoded(options, result));
  if (options.json)
    print(text_of(report(options, result)));
  else if (!to_stdout)
    print(readable_segment(result));
}

// An option that takes one value each time it is given: the next word may be the photo.
void add_repeated(CLI::App& command, const char* name, std::vector<std::string>& values,
                  const char* shape, const char* summary) {
  command.add_option(name, values, summary)
      ->type_name(shape)
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

}  // namespace

void add_segment(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("segment", "Turn a photo and a few prompts into masks");
  command->footer(
      "beckon segment truck.jpg --point 500,375 -o mask.png\n"
      "beckon segment truck.jpg --box 425,600,700,875 --background 575,750 --format overlay -o "
      "see.png\n"
      "beckon segment truck.jpg --point 500,375 --json\n"
      "beckon segment a.jpg b.jpg --prompt mine.safetensors -o masks\n"
      "beckon segment truck.jpg --everything -o all.png");
  auto options = std::make_shared<SegmentArguments>();
  command
      ->add_option("PHOTO", options->photos,
                   "JPEG, PNG or WebP; - is standard input. With a learned prompt: one or more")
      ->required();
  command
      ->add_option("--model", options->model,
                   "A name of the store or the path of a checkpoint; mobile-sam if not given")
      ->type_name("MODEL");
  add_repeated(*command, "--point", options->prompts.points, "X,Y",
               "A pixel of the object; x to the right, y down");
  add_repeated(*command, "--background", options->prompts.backgrounds, "X,Y",
               "A pixel that is not of the object");
  add_repeated(*command, "--box", options->prompts.boxes, "X0,Y0,X1,Y1",
               "A box around the object; several boxes are several objects");
  command
      ->add_option("--mask", options->prompts.mask,
                   "A picture that is white about where the object is, of the size of the photo")
      ->type_name("FILE");
  command
      ->add_option("--prompt", options->prompts.file,
                   "Prompts as JSON, - is standard input; or what beckon learn wrote")
      ->type_name("FILE");
  command->add_flag("--instances", options->instances,
                    "With a learned prompt: things one by one, by falling score");
  command->add_flag("--parts", options->parts,
                    "With a learned prompt: connected parts of the mask one by one");
  command
      ->add_option("--smallest", options->min_area,
                   "With a learned prompt: leave out what has fewer pixels")
      ->type_name("N")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  CLI::Option* multimask =
      command->add_flag("--multimask", options->multimask, "Three readings of every object");
  command
      ->add_flag("--single", options->single,
                 "One mask of every object; without either: three for a lone point")
      ->excludes(multimask);
  command
      ->add_option("-o,--output", options->output,
                   "Write the best mask here: .png or .webp; - is standard output")
      ->type_name("FILE");
  command->add_option("--format", options->format, "What to write; mask if not given")
      ->type_name("FORMAT")
      ->check(CLI::IsMember({"mask", "overlay", "cutout", "rle", "polygon", "masks", "sa1b"}));
  command->add_flag("--json", options->json,
                    "Print one JSON object: masks, scores, times and the recipe");
  command
      ->add_option("--max-pixels", options->max_pixels,
                   "The largest photo to read, width times height; 100000000 if not given")
      ->type_name("N");
  add_cache_arguments(*command, options->cache);
  const CLI::Option* everything = add_everything(*command, options->everything_arguments);
  command->callback([options, command, everything] {
    options->everything = everything->count() > 0;
    for (const CLI::Option* option : command->get_options())
      if (option != everything && option->get_group() == everything->get_group() &&
          option->count() > 0 && options->everything_parameter.empty())
        options->everything_parameter = option->get_name();
    run_segment(*options);
  });
}

}  // namespace beckon::cli
