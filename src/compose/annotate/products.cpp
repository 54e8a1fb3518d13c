#include "compose/annotate/products.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <optional>
#include <utility>

#include <unistd.h>

#include "annotation/format.h"
#include "base/fail.h"
#include "base/sha256.h"
#include "prompt/bounded_json.h"

namespace beckon::compose {
namespace {

using nlohmann::json;

constexpr const char* kCocoFile = "coco.json";
// Of masks that nobody named.
constexpr const char* kUnnamed = "object";
constexpr size_t kLongestResult = size_t{1} << 30;

json read_result(const OutFolder& out, const Entry& entry) {
  const std::string file = result_path(entry.path);
  return parse_bounded_json(out.read(file).value_or(""), out.full(file), kLongestResult);
}

// COCO's instances, with run lengths: images and annotations are numbered from 1 in the order of
// the paths, categories in the order of their names.
class CocoFile {
 public:
  CocoFile(const OutFolder& out, const std::vector<Entry>& pictures)
      : out_(out), pictures_(pictures) {}

  void write(const OutFolder::Sink& sink) {
    sink("{\"images\":[");
    for_each_picture([&](const Entry& entry, size_t number) {
      Json path;
      put_path(path, entry.path);
      const Json image = {{"id", number},
                          {"width", entry.size.width},
                          {"height", entry.size.height},
                          {"file_name", path.front()}};
      sink((number == 1 ? "\n" : ",\n") + image.dump());
      const json result = read_result(out_, entry);
      for (const json& object : result.at("annotations")) categories_[label_of(object)] = 0;
    });
    int64_t number = 0;
    for (auto& [label, id] : categories_) {
      ++number;
      id = number;
    }

    sink("],\n\"annotations\":[");
    number = 0;
    for_each_picture([&](const Entry& entry, size_t image) {
      const json result = read_result(out_, entry);
      for (const json& object : result.at("annotations")) {
        ++number;
        sink((number == 1 ? "\n" : ",\n") + annotation(object, number, image).dump());
      }
    });

    sink("],\n\"categories\":[");
    for (const auto& [label, id] : categories_)
      sink((id == 1 ? "\n" : ",\n") + Json{{"id", id}, {"name", label}}.dump());
    sink("]}\n");
  }

 private:
  static std::string label_of(const json& object) { return object.value("label", kUnnamed); }

  template <typename Do>
  void for_each_picture(Do action) const {
    size_t number = 0;
    for (const Entry& entry : pictures_) {
      if (!entry.failed()) action(entry, ++number);
    }
  }

  Json annotation(const json& object, int64_t number, size_t image) const {
    const json& segmentation = object.at("segmentation");
    const json& size = segmentation.at("size");
    const Rle rle = Rle::from_string({size.at(1), size.at(0)},
                                     segmentation.at("counts").get_ref<const std::string&>());
    // Everything mode counts sides as the reference does, one pixel less: COCO counts pixels.
    const PixelBox box = rle.bounding_box();
    return {{"id", number},
            {"image_id", image},
            {"category_id", categories_.at(label_of(object))},
            {"segmentation", {{"size", size}, {"counts", segmentation.at("counts")}}},
            {"area", rle.area()},
            {"bbox", {box.x, box.y, box.width, box.height}},
            {"iscrowd", 0},
            {"score", object.at("predicted_iou")}};
  }

  const OutFolder& out_;
  const std::vector<Entry>& pictures_;
  std::map<std::string, int64_t> categories_;
};

// Where the other forms go: a folder of their name, or a file.
std::string place_of(const AnnotationFormat& format) {
  std::string name = format.name;
  if (format.folder) return name;
  return name + (name == "cvat" ? ".xml" : ".json");
}

// All results as one data set, in the order of the paths.
Dataset all_results(const OutFolder& out, const std::vector<Entry>& pictures) {
  Dataset data;
  for (const Entry& entry : pictures) {
    if (entry.failed()) continue;
    const std::string file = result_path(entry.path);
    annotation::parse_sa1b(out.read(file).value_or(""), out.full(file), data);
    // What the result says of itself is no part of the annotations.
    data.images.back().file = entry.path;
    data.images.back().extra.clear();
    data.extra.clear();
  }
  for (Annotation& one : data.annotations) {
    if (one.category < 0) one.category = data.category(kUnnamed);
    // One number, in the place where other tools look; what else SAM says of a mask is in its
    // result. SA-1B's boxes are a pixel less wide than their masks.
    one.score = std::exchange(one.predicted_iou, std::nullopt);
    one.stability.reset();
    one.points.clear();
    one.crop.reset();
    one.box.reset();
  }
  return data;
}

// Of a file, or of the paths and bytes of all files of a folder.
std::string hash_of_file(const std::filesystem::path& place) {
  namespace fs = std::filesystem;
  if (!fs::is_directory(place)) return sha256_of_file(place.string());
  std::vector<fs::path> files;
  for (const auto& item : fs::recursive_directory_iterator(place))
    if (item.is_regular_file()) files.push_back(item.path());
  std::sort(files.begin(), files.end());
  Sha256 hash;
  for (const fs::path& file : files) {
    const std::string line =
        file.lexically_relative(place).string() + "\n" + sha256_of_file(file.string()) + "\n";
    hash.update(std::as_bytes(std::span(line)));
  }
  return hash.hex();
}

// Made among the working files and moved: a kill leaves no half of it, and what was there before
// goes as a whole.
Product write_form(const OutFolder& out, const AnnotationFormat& format, const Dataset& data,
                   FormatNotices& notices) {
  namespace fs = std::filesystem;
  const std::string place = place_of(format);
  const fs::path made = out.full(fmt::format("{}/form-{}-{}", kShardsFolder, ::getpid(), place));
  std::error_code error;
  fs::create_directories(made.parent_path(), error);
  fs::remove_all(made, error);
  write_annotations(data, made.string(), format.name, {}, &notices);
  const std::string hash = hash_of_file(made);
  const fs::path target = out.full(place), old = made.string() + "-before";
  if (fs::is_directory(target)) fs::rename(target, old, error);
  fs::rename(made, target, error);
  if (error) fail(Kind::output, "{}: cannot be put in place: {}", target.string(), error.message());
  fs::remove_all(old, error);
  return {place, hash};
}

}  // namespace

void check_formats(const std::vector<std::string>& formats) {
  for (const std::string& format : formats) annotation_format(format);
}

std::vector<Product> write_products(const OutFolder& out, const std::vector<Entry>& pictures,
                                    const std::vector<std::string>& formats,
                                    std::vector<std::string>& notes) {
  std::vector<Product> products;
  const auto asked = [&](const std::string& format) {
    return std::find(formats.begin(), formats.end(), format) != formats.end();
  };
  if (asked("coco") || out.has(kCocoFile)) {
    Sha256 hash;
    out.write_in_pieces(kCocoFile, [&](const OutFolder::Sink& sink) {
      CocoFile(out, pictures).write([&](std::string_view text) {
        hash.update(std::as_bytes(std::span(text)));
        sink(text);
      });
    });
    products.push_back({kCocoFile, hash.hex()});
  }
  std::optional<Dataset> data;
  FormatNotices notices;
  for (const AnnotationFormat& format : annotation_formats()) {
    const std::string name = format.name;
    if (name == "coco" || name == "sa1b") continue;
    if (!asked(name) && !std::filesystem::exists(out.full(place_of(format)))) continue;
    if (!data) data = all_results(out, pictures);
    products.push_back(write_form(out, format, *data, notices));
  }
  for (const FormatNotices::Notice& notice : notices.list()) notes.push_back(notice.text());
  return products;
}

}  // namespace beckon::compose
