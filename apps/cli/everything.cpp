#include "everything.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <optional>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "beckon/draw.h"
#include "beckon/mask_generator.h"
#include "beckon/store.h"
#include "beckon/version.h"
#include "files.h"
#include "generator_arguments.h"
#include "interrupt.h"
#include "json.h"
#include "picture_progress.h"
#include "terminal.h"

namespace beckon::cli {

namespace fs = std::filesystem;

struct EverythingArguments {
  bool asked = false;
  GeneratorArguments generator;
  std::string point_grids;
  std::string output_mode = "coco_rle";
  bool tile = false;
  std::optional<int> tile_size, tile_overlap;
};

namespace {

constexpr int kTileSize = 2048;
constexpr int kTileOverlap = 512;

// All that decides the masks, and so the recipe.
struct Settings {
  MaskGeneratorOptions generator;
  int tile = 0;  // 0: the photo as a whole
  int overlap = kTileOverlap;
};

std::vector<std::vector<Vertex>> grids_of(const Json& value, const std::string& place) {
  const auto refuse = [&] {
    fail(Kind::input, "{}: expected a list of grids (one for each layer) of points [x, y], 0 to 1",
         place);
  };
  std::vector<std::vector<Vertex>> grids;
  if (!value.is_array()) refuse();
  for (const Json& grid : value) {
    if (!grid.is_array()) refuse();
    grids.emplace_back();
    for (const Json& point : grid) {
      if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_number())
        refuse();
      grids.back().push_back({point[0].get<double>(), point[1].get<double>()});
    }
  }
  return grids;
}

// Each parameter with its name in a recipe: visit(name, value).
template <typename Generator, typename Visit>
void each_parameter(Generator& g, Visit&& visit) {
  visit("points_per_side", g.points_per_side);
  visit("points_per_batch", g.points_per_batch);
  visit("pred_iou_thresh", g.pred_iou_thresh);
  visit("stability_score_thresh", g.stability_score_thresh);
  visit("stability_score_offset", g.stability_score_offset);
  visit("box_nms_thresh", g.box_nms_thresh);
  visit("crop_n_layers", g.crop_n_layers);
  visit("crop_nms_thresh", g.crop_nms_thresh);
  visit("crop_overlap_ratio", g.crop_overlap_ratio);
  visit("crop_n_points_downscale_factor", g.crop_n_points_downscale_factor);
  visit("min_mask_region_area", g.min_mask_region_area);
}

template <typename T>
void read_number(const Json& value, const std::string& place, T& to) {
  const bool whole = std::is_integral_v<T>;
  if (whole ? !value.is_number_integer() : !value.is_number())
    fail(Kind::input, "{} is {}, expected {}", place, value.type_name(),
         whole ? "a whole number" : "a number");
  const auto number = value.get<double>();
  if (std::abs(number) > 1e9) fail(Kind::input, "{} is {}, out of range", place, number);
  to = value.get<T>();
}

Settings settings_of_recipe(const EverythingTask& task) {
  Settings settings;
  if (task.recipe.empty()) return settings;
  const Json options = Json::parse(task.recipe);
  const std::string place = task.recipe_name + ": options.everything";
  if (!options.is_object())
    fail(Kind::input, "{} is {}, expected an object", place, options.type_name());
  for (const auto& [name, value] : options.items()) {
    const std::string at = place + "." + name;
    bool known = false;
    each_parameter(settings.generator, [&](const char* parameter, auto& to) {
      if (name != parameter) return;
      known = true;
      read_number(value, at, to);
    });
    if (name == "tile") {
      read_number(value, at, settings.tile);
    } else if (name == "tile_overlap") {
      read_number(value, at, settings.overlap);
    } else if (name == "point_grids") {
      settings.generator.point_grids = grids_of(value, at);
    } else if (!known) {
      fail(Kind::input, "{} is not known", at);
    }
  }
  return settings;
}

Settings settings_of(const EverythingTask& task, const EverythingArguments& a) {
  Settings settings = settings_of_recipe(task);
  try {
    check(settings.generator);
  } catch (const Error& error) {
    fail(Kind::input, "{}: {}", task.recipe_name, error.what());
  }
  MaskGeneratorOptions& g = settings.generator;
  a.generator.apply_to(g);
  if (a.generator.points_per_side) {
    if (*a.generator.points_per_side == 0 && a.point_grids.empty())
      fail(Kind::usage, "--points-per-side is 0, expected 1 to 1024");
    g.point_grids.clear();
  }
  if (!a.point_grids.empty() && a.generator.points_per_side)
    fail(Kind::usage,
         "--points-per-side and --point-grids both say where the points lie; give one");
  if (!a.point_grids.empty()) {
    const std::vector<uint8_t> bytes = read_input(a.point_grids);
    const std::string name = name_of_input(a.point_grids);
    const Json grids = Json::parse(bytes, nullptr, false);
    if (grids.is_discarded()) fail(Kind::input, "{}: this is not JSON", name);
    g.point_grids = grids_of(grids, name);
    if (!a.generator.points_per_side) g.points_per_side = 0;
    try {
      check(g);
    } catch (const Error& error) {
      fail(Kind::input, "{}: {}", name, error.what());
    }
  }
  check(g);
  if (a.tile && settings.tile == 0) settings.tile = kTileSize;
  if (a.tile_size && *a.tile_size < 64)
    fail(Kind::usage, "--tile-size {}, expected 64 to 1048576", *a.tile_size);
  if (a.tile_size) settings.tile = *a.tile_size;
  if (a.tile_overlap) settings.overlap = *a.tile_overlap;
  if (!a.tile_overlap && settings.tile > 0)
    settings.overlap = std::min(settings.overlap, settings.tile / 4);
  if (settings.tile != 0 && (settings.tile < 64 || settings.tile > 1 << 20))
    fail(Kind::usage, "--tile-size {}, expected 64 to 1048576", settings.tile);
  if (settings.tile != 0 && (settings.overlap < 0 || settings.overlap > settings.tile / 2))
    fail(Kind::usage, "--tile-overlap {}, expected 0 to {} (half of the tile)", settings.overlap,
         settings.tile / 2);
  return settings;
}

// A line on a terminal's stderr: points done, and the time it still takes.
class PointProgress {
 public:
  ~PointProgress() {
    if (drawn_) show("\r\x1b[K");
  }
  void update(int64_t done, int64_t all) {
    if (!stderr_is_terminal() || all == 0) return;
    constexpr int kWidth = 28;
    const double part = static_cast<double>(done) / static_cast<double>(all);
    const int filled = static_cast<int>(part * kWidth);
    std::string line = fmt::format("\r\x1b[K[{:=<{}}{: <{}}]  {} of {} points", "", filled, "",
                                   kWidth - filled, done, all);
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (done > 0) line += "  " + clock_time(std::lround(seconds / part * (1 - part))) + " to go";
    show(line);
    drawn_ = true;
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  bool drawn_ = false;
};

struct EverythingResult {
  Image photo;
  std::vector<GeneratedMask> masks;
  Json timing = Json::object();
};

Json box_json(const PixelBox& box) { return {box.x, box.y, box.width, box.height}; }

Json segmentation_json(const Rle& rle, const std::string& mode) {
  if (mode == "binary_mask") {
    const Mask mask = Mask::from_rle(rle, int64_t{rle.width()} * rle.height());
    Json rows = Json::array();
    for (int y = 0; y < mask.height(); ++y)
      rows.push_back(std::vector<int>(mask.row(y), mask.row(y) + mask.width()));
    return rows;
  }
  Json json = {{"size", {rle.height(), rle.width()}}};
  if (mode == "uncompressed_rle")
    json["counts"] = std::vector<uint32_t>(rle.counts().begin(), rle.counts().end());
  else
    json["counts"] = rle.string();
  return json;
}

// The fields of the reference's records, which are SA-1B's.
Json record(const GeneratedMask& mask, const std::string& mode) {
  return {{"segmentation", segmentation_json(mask.segmentation, mode)},
          {"area", mask.area},
          {"bbox", box_json(mask.bbox)},
          {"predicted_iou", mask.predicted_iou},
          {"point_coords", Json::array({Json::array({mask.point.x, mask.point.y})})},
          {"stability_score",
           std::isfinite(mask.stability_score) ? Json(mask.stability_score) : Json()},
          {"crop_box", box_json(mask.crop_box)}};
}

Json records(const EverythingResult& result, const std::string& mode, bool numbered) {
  Json list = Json::array();
  for (size_t i = 0; i < result.masks.size(); ++i) {
    Json one = record(result.masks[i], mode);
    if (numbered) one["id"] = i;
    list.push_back(std::move(one));
  }
  return list;
}

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

std::string sa1b(const EverythingTask& task, const EverythingResult& result,
                 const std::string& mode) {
  const Json file = {
      {"image",
       {{"image_id", 0},
        {"width", result.photo.width()},
        {"height", result.photo.height()},
        {"file_name", task.photo == "-" ? "" : fs::path(task.photo).filename().string()}}},
      {"annotations", records(result, mode, true)}};
  return file.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Before the work, not after it.
void expect_new_folder(const std::string& path) {
  std::error_code code;
  if (fs::exists(path, code) && !(fs::is_directory(path, code) && fs::is_empty(path, code)))
    fail(Kind::output, "{}: is there already; masks go to a new or an empty folder", path);
  const fs::path parent = fs::absolute(path).lexically_normal().parent_path();
  if (!fs::is_directory(parent, code))
    fail(Kind::output, "{}: there is no folder {}", path, parent.string());
}

// One picture a mask and a table of them, as the reference's program writes. The folder appears
// when all is in it.
void write_folder(const std::string& path, const EverythingResult& result) {
  std::error_code code;
  const fs::path target = fs::absolute(path).lexically_normal();
  const fs::path place = target.has_filename() ? target : target.parent_path();
  const fs::path temporary =
      place.parent_path() / fmt::format(".{}.{}.part", place.filename().string(), ::getpid());
  struct Removal {
    fs::path path;
    ~Removal() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  } const removal{temporary};
  if (!fs::create_directory(temporary, code))
    fail(Kind::output, "{}: cannot be made: {}", path, code ? code.message() : "it is in use");
  std::string table =
      "id,area,bbox_x0,bbox_y0,bbox_w,bbox_h,point_input_x,point_input_y,predicted_iou,"
      "stability_score,crop_box_x0,crop_box_y0,crop_box_w,crop_box_h\n";
  for (size_t i = 0; i < result.masks.size(); ++i) {
    stop_if_interrupted();
    const GeneratedMask& m = result.masks[i];
    const int64_t pixels = int64_t{m.segmentation.width()} * m.segmentation.height();
    write_file_atomic((temporary / fmt::format("{}.png", i)).string(),
                      Mask::from_rle(m.segmentation, pixels).image().encode_png());
    table += fmt::format("{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n", i, m.area, m.bbox.x,
                         m.bbox.y, m.bbox.width, m.bbox.height, m.point.x, m.point.y,
                         m.predicted_iou, m.stability_score, m.crop_box.x, m.crop_box.y,
                         m.crop_box.width, m.crop_box.height);
  }
  write_file_atomic((temporary / "metadata.csv").string(), bytes_of(table));
  fs::rename(temporary, place, code);
  if (code) fail(Kind::output, "{}: cannot be written: {}", path, code.message());
}

Json recipe_of(const EverythingTask& task, const Settings& settings, const Json& model) {
  Json options = Json::object();
  MaskGeneratorOptions generator = settings.generator;
  each_parameter(generator, [&](const char* name, const auto& value) { options[name] = value; });
  if (!generator.point_grids.empty()) {
    Json grids = Json::array();
    for (const auto& grid : generator.point_grids) {
      Json points = Json::array();
      for (const Vertex& p : grid) points.push_back({p.x, p.y});
      grids.push_back(std::move(points));
    }
    options["point_grids"] = std::move(grids);
  }
  if (settings.tile > 0) {
    options["tile"] = settings.tile;
    options["tile_overlap"] = settings.overlap;
  }
  return {{"beckon", 1},
          {"prompts", Json::array()},
          {"version", version()},
          {"command", "segment"},
          {"model", model},
          {"image", task.photo},
          {"options", {{"everything", std::move(options)}}}};
}

std::string lower_ending(const std::string& path) {
  std::string end = fs::path(path).extension().string();
  std::transform(end.begin(), end.end(), end.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return end;
}

// What --format leaves open is told by the output's name.
std::string format_of(const EverythingTask& task) {
  const std::string end = lower_ending(task.output);
  const bool picture = end == ".png" || end == ".webp" || end == ".jpg" || end == ".jpeg";
  std::string format = task.format;
  if (format.empty()) {
    if (task.output.empty()) return "";
    format = picture || task.output == "-" ? "overlay" : end == ".json" ? "sa1b" : "masks";
  }
  if (format != "overlay" && format != "masks" && format != "sa1b")
    fail(Kind::usage, "--format {} is for prompts; with --everything it is overlay, masks or sa1b",
         format);
  if (format == "sa1b") {
    if (task.json && (task.output.empty() || task.output == "-"))
      fail(Kind::usage, "--json and --format sa1b cannot both have standard output; give -o FILE");
    return format;
  }
  if (task.output.empty())
    fail(Kind::usage, "--format {} needs -o {}", format, format == "masks" ? "FOLDER" : "FILE");
  if (task.json && task.output == "-")
    fail(Kind::usage, "--json and -o - cannot both have standard output");
  if (format == "masks" && task.output == "-")
    fail(Kind::usage, "--format masks writes a folder; give -o FOLDER");
  if (format == "overlay" && task.output != "-" && !picture)
    fail(Kind::usage, "-o {}: expected a name that ends in .png, .webp or .jpg", task.output);
  return format;
}

void write(const EverythingTask& task, const EverythingArguments& arguments,
           const EverythingResult& result, const std::string& format) {
  if (format.empty()) return;
  if (format == "masks") return write_folder(task.output, result);
  const std::string to = task.output.empty() ? "-" : task.output;
  if (format == "sa1b")
    return write_output(to, bytes_of(sa1b(task, result, arguments.output_mode)));
  std::vector<Rle> masks;
  for (const GeneratedMask& mask : result.masks) masks.push_back(mask.segmentation);
  const Image picture = overlay(result.photo, masks, {.opacity = 0.45f, .outline = 1});
  const std::string end = lower_ending(task.output);
  write_output(to, end == ".webp"                    ? picture.encode_webp()
                   : end == ".jpg" || end == ".jpeg" ? picture.encode_jpeg()
                                                     : picture.encode_png());
}

std::string readable_everything(const EverythingResult& result) {
  std::string out = fmt::format("{} masks\n", result.masks.size());
  constexpr size_t kShown = 20;
  for (size_t i = 0; i < std::min(kShown, result.masks.size()); ++i) {
    const GeneratedMask& m = result.masks[i];
    out += fmt::format("predicted IoU {:.3f}  stability {:.3f}  area {} px  box {},{} {}x{}\n",
                       m.predicted_iou, m.stability_score, m.area, m.bbox.x, m.bbox.y,
                       m.bbox.width + 1, m.bbox.height + 1);
  }
  if (result.masks.size() > kShown)
    out += fmt::format("and {} more: --json has all of them\n", result.masks.size() - kShown);
  return out;
}

}  // namespace

CLI::Option* add_everything(CLI::App& command, std::shared_ptr<EverythingArguments>& arguments) {
  arguments = std::make_shared<EverythingArguments>();
  EverythingArguments& a = *arguments;
  const char* group = "Everything mode";
  CLI::Option* everything = command.add_flag(
      "--everything", a.asked, "All that is to be seen, without prompts: a grid of points asks");
  everything->group(group);
  const auto add = [&](const char* name, auto& value, const char* type, const char* summary) {
    command.add_option(name, value, summary)->type_name(type)->group(group);
  };
  add_generator_arguments(command, a.generator, group);
  add("--point-grids", a.point_grids, "FILE",
      "Points as JSON instead of a grid: for each layer a list of [x, y], 0 to 1");
  command
      .add_option("--output-mode", a.output_mode,
                  "How JSON holds masks: coco_rle if not given, uncompressed_rle, binary_mask")
      ->type_name("MODE")
      ->check(CLI::IsMember({"coco_rle", "uncompressed_rle", "binary_mask"}))
      ->group(group);
  command
      .add_flag("--tile", a.tile,
                "For very large photos: look at tiles and join what they show; memory of one tile")
      ->group(group);
  add("--tile-size", a.tile_size, "N", "Side of a tile in pixels; 2048");
  add("--tile-overlap", a.tile_overlap, "N", "How far tiles overlap; 512, at most half a tile");
  return everything;
}

void run_everything(const EverythingTask& task, const EverythingArguments& arguments) {
  const Settings settings = settings_of(task, arguments);
  const std::string format = format_of(task);
  expect_other_file(task.output, {task.photo, arguments.point_grids});
  if (format == "masks")
    expect_new_folder(task.output);
  else
    expect_output(task.output);
  using Clock = std::chrono::steady_clock;
  const Clock::time_point start = Clock::now();
  Clock::time_point last = start;
  EverythingResult result;
  const auto milliseconds = [](Clock::duration time) {
    return static_cast<double>(
               std::chrono::duration_cast<std::chrono::microseconds>(time).count()) /
           1000.0;
  };
  const auto lap = [&](const char* stage) {
    const Clock::time_point now = Clock::now();
    result.timing[stage] = milliseconds(now - last);
    last = now;
  };

  const std::vector<uint8_t> bytes = read_input(task.photo);
  result.photo = Image::decode(bytes, name_of_input(task.photo), {.max_pixels = task.max_pixels});
  lap("read");
  const Sam sam = Sam::load(task.model);
  if (!task.sha256.empty() && Store().sha256(task.model) != task.sha256)
    say("note: the recipe was made with other weights than those of " + task.model);
  lap("load");
  const HoldInterrupts hold;
  {
    PointProgress progress;
    const auto go_on = [&](int64_t done, int64_t all) {
      progress.update(done, all);
      return !interrupted();
    };
    const MaskGenerator generator(sam, settings.generator);
    if (settings.tile > 0) {
      result.masks = generator.generate_tiled(result.photo, settings.tile, settings.overlap, go_on);
    } else {
      const Encoded seen = encode(sam, result.photo, task.cache);
      lap("encode");
      result.masks = generator.generate(seen.embedding, result.photo, go_on);
    }
  }
  lap("generate");
  result.timing["total"] = milliseconds(last - start);
  stop_if_interrupted();
  write(task, arguments, result, format);
  if (task.json) {
    const Json model = {{"name", task.model}, {"sha256", Store().sha256(task.model)}};
    print(text_of({{"image",
                    {{"path", task.photo},
                     {"width", result.photo.width()},
                     {"height", result.photo.height()}}},
                   {"model", model},
                   {"masks", records(result, arguments.output_mode, false)},
                   {"timing", result.timing},
                   {"recipe", recipe_of(task, settings, model)}}));
  } else if (!(format == "sa1b" && (task.output.empty() || task.output == "-")) &&
             task.output != "-") {
    print(readable_everything(result));
  }
}

}  // namespace beckon::cli
