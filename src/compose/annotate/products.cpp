#include "compose/annotate/products.h"

#include <algorithm>
#include <map>

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

}  // namespace

void check_formats(const std::vector<std::string>& formats) {
  for (const std::string& format : formats) {
    if (format != "sa1b" && format != "coco")
      fail(Kind::usage, "format '{}': expected sa1b or coco", format);
  }
}

std::vector<Product> write_products(const OutFolder& out, const std::vector<Entry>& pictures,
                                    const std::vector<std::string>& formats) {
  std::vector<Product> products;
  const bool asked = std::find(formats.begin(), formats.end(), "coco") != formats.end();
  if (asked || out.has(kCocoFile)) {
    Sha256 hash;
    out.write_in_pieces(kCocoFile, [&](const OutFolder::Sink& sink) {
      CocoFile(out, pictures).write([&](std::string_view text) {
        hash.update(std::as_bytes(std::span(text)));
        sink(text);
      });
    });
    products.push_back({kCocoFile, hash.hex()});
  }
  return products;
}

}  // namespace beckon::compose
