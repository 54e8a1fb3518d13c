#include "learned_prompt.h"

#include <cmath>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/fail.h"
#include "base/files.h"
#include "beckon/draw.h"
#include "beckon/segment_prompt.h"
#include "beckon/store.h"
#include "beckon/version.h"
#include "files.h"
#include "json.h"
#include "picture_progress.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

namespace fs = std::filesystem;

struct Thing {
  Rle mask;
  float score;
};

struct PhotoAnswer {
  std::string photo;
  ImageSize size;
  Rle mask;  // of all things together
  std::vector<Thing> things;
  bool cached = false;
};

PhotoAnswer answer_of(const LearnedPromptTask& task, const SegmentPrompt& prompt,
                      const std::string& path, const Image& photo, const Encoded& seen) {
  PhotoAnswer answer{.photo = path,
                     .size = photo.size(),
                     .mask = Rle(photo.size()),
                     .things = {},
                     .cached = seen.cached};
  if (task.instances) {
    for (const PredictedMask& mask : prompt.instances(seen.embedding))
      if (mask.area() >= task.min_area) answer.things.push_back({mask.rle(), mask.score()});
  } else {
    const PredictedMask mask = prompt.apply(seen.embedding);
    if (!task.parts && mask.area() >= task.min_area && mask.area() > 0)
      answer.things.push_back({mask.rle(), mask.score()});
    if (task.parts)
      for (const Rle& part : separate_parts(mask.mask(), task.min_area))
        answer.things.push_back({part, mask.score()});
  }
  std::vector<Rle> masks;
  for (const Thing& thing : answer.things) masks.push_back(thing.mask);
  if (!masks.empty()) answer.mask = merge(masks);
  return answer;
}

Json json_of_rle(const Rle& rle) {
  return {{"size", {rle.height(), rle.width()}}, {"counts", rle.string()}};
}

Json json_of(const PhotoAnswer& answer) {
  Json masks = Json::array();
  for (const Thing& thing : answer.things) {
    const PixelBox box = thing.mask.bounding_box();
    masks.push_back({{"score", thing.score},
                     {"area", thing.mask.area()},
                     {"bbox", {box.x, box.y, box.width, box.height}},
                     {"segmentation", json_of_rle(thing.mask)}});
  }
  return {{"image",
           {{"path", answer.photo}, {"width", answer.size.width}, {"height", answer.size.height}}},
          {"masks", masks},
          {"cached", answer.cached}};
}

std::vector<uint8_t> picture_of(const LearnedPromptTask& task, const PhotoAnswer& answer,
                                const Image& photo, const std::string& end) {
  if (task.format == "rle") {
    Json list = Json::array();
    for (const Thing& thing : answer.things) list.push_back(json_of_rle(thing.mask));
    const std::string text = list.dump() + "\n";
    return {text.begin(), text.end()};
  }
  Image image;
  if (task.format == "overlay") {
    std::vector<Rle> masks;
    for (const Thing& thing : answer.things) masks.push_back(thing.mask);
    image = overlay(photo, masks);
  } else {
    const Mask mask = Mask::from_rle(answer.mask, INT64_MAX);
    image = task.format == "cutout" ? cutout(photo, mask) : mask.image();
  }
  if (end == ".webp") return image.encode_webp({.lossless = task.format != "overlay"});
  return end == ".jpg" || end == ".jpeg" ? image.encode_jpeg() : image.encode_png();
}

// Where the picture of each photo goes; empty: nowhere.
std::vector<std::string> outputs_of(const LearnedPromptTask& task) {
  if (task.output.empty()) return std::vector<std::string>(task.photos.size());
  if (task.photos.size() == 1 && !fs::is_directory(task.output)) {
    const std::string end = fs::path(task.output).extension().string();
    const bool jpeg = end == ".jpg" || end == ".jpeg";
    if (task.output != "-" && task.format != "rle" && end != ".png" && end != ".webp" &&
        !(jpeg && task.format == "overlay"))
      fail(Kind::usage, "-o {}: expected a name that ends in .png or .webp{}, or a folder",
           task.output, task.format == "overlay" ? ", or .jpg" : "");
    expect_output(task.output);
    return {task.output};
  }
  if (task.output == "-")
    fail(Kind::usage, "-o -: {} photos cannot share standard output", task.photos.size());
  std::vector<std::string> outputs;
  std::set<std::string> names;
  for (const std::string& photo : task.photos) {
    if (photo == "-") fail(Kind::usage, "standard input cannot be one of several photos");
    const std::string name =
        fs::path(photo).stem().string() + (task.format == "rle" ? ".json" : ".png");
    if (!names.insert(name).second)
      fail(Kind::usage, "two photos would be written to {}/{}", task.output, name);
    outputs.push_back((fs::path(task.output) / name).string());
  }
  std::error_code error;
  fs::create_directories(task.output, error);
  if (error) fail(Kind::output, "{}: cannot create the folder: {}", task.output, error.message());
  return outputs;
}

std::string readable_answer(const PhotoAnswer& answer) {
  std::string text = fmt::format("{}: {} of {} px\n", on_one_line(answer.photo), answer.mask.area(),
                                 int64_t{answer.size.width} * answer.size.height);
  for (const Thing& thing : answer.things) {
    const PixelBox box = thing.mask.bounding_box();
    text += fmt::format("  score {:.3f}  area {} px  box {},{} {}x{}\n", thing.score,
                        thing.mask.area(), box.x, box.y, box.width, box.height);
  }
  return text;
}

}  // namespace

bool is_learned_prompt(const std::string& path) {
  if (path.empty() || path == "-") return false;
  return path.ends_with(".safetensors") || SegmentPrompt::recognise(path);
}

void run_learned_prompt(const LearnedPromptTask& given) {
  LearnedPromptTask task = given;
  if (task.format.empty()) task.format = "mask";
  if (task.format != "mask" && task.format != "overlay" && task.format != "cutout" &&
      task.format != "rle")
    fail(Kind::usage,
         "--format {} does not go with a learned prompt; mask, overlay, cutout, rle do",
         task.format);
  if (task.instances && task.parts) fail(Kind::usage, "--instances and --parts exclude each other");
  if (task.json && task.output == "-")
    fail(Kind::usage, "--json and -o - cannot both have standard output");
  if (task.photos.size() > 1 && !task.cache.embedding.empty())
    fail(Kind::usage, "--embedding goes with one photo");
  const std::vector<std::string> outputs = outputs_of(task);
  const Sam sam = Sam::load(task.model);
  const SegmentPrompt prompt = SegmentPrompt::load(sam, task.prompt);

  Json photos = Json::array();
  std::string text;
  {
    PictureProgress progress;
    for (size_t i = 0; i < task.photos.size(); ++i) {
      const std::string& path = task.photos[i];
      const Image photo =
          Image::decode(read_input(path), name_of_input(path), {.max_pixels = task.max_pixels});
      const PhotoAnswer answer =
          answer_of(task, prompt, path, photo, encode(sam, photo, task.cache));
      if (!outputs[i].empty())
        write_output(outputs[i],
                     picture_of(task, answer, photo, fs::path(outputs[i]).extension().string()));
      if (task.json)
        photos.push_back(json_of(answer));
      else
        text += readable_answer(answer);
      if (task.photos.size() > 1)
        progress.update(static_cast<int64_t>(i) + 1, static_cast<int64_t>(task.photos.size()),
                        static_cast<int64_t>(i) + 1);
    }
  }
  if (task.json) {
    Json about = Json::object();
    for (const auto& [key, value] : prompt.about()) about[key] = value;
    print(text_of({{"version", version()},
                   {"model", {{"name", task.model}, {"sha256", Store().sha256(task.model)}}},
                   {"prompt", {{"path", task.prompt}, {"about", about}}},
                   {"photos", photos}}));
  } else if (task.output != "-") {
    print(text);
  }
}

}  // namespace beckon::cli
