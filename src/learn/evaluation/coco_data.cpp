// COCO's instance annotations: polygons and run lengths.
#include <filesystem>
#include <map>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "base/files.h"
#include "beckon/polygon.h"
#include "learn/evaluation/mask_data.h"
#include "prompt/bounded_json.h"

namespace beckon::learn {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kLongestFile = int64_t{1} << 30;
constexpr size_t kMostObjects = 10'000;  // of a picture

// An annotation as the file has it, in little memory until its picture's turn comes.
struct Annotation {
  std::string place;  // "annotation 123"
  std::string name;   // of its category
  std::vector<Ring> rings;
  json runs;  // null, or {"size": [...], "counts": ...}
};

struct Picture {
  std::string file;
  ImageSize size;
  std::vector<Annotation> annotations;
  int64_t left_out = 0;
};

const json& member(const json& object, const char* key, const std::string& place) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (!object.is_object() || found == object.end())
    fail(Kind::input, "{}: '{}' is missing", place, key);
  return *found;
}

const json& list(const json& document, const char* key, const std::string& name) {
  const json& value = member(document, key, name);
  if (!value.is_array()) fail(Kind::input, "{}: '{}' must be a list", name, key);
  return value;
}

std::string text(const json& value, const char* key, const std::string& place) {
  if (!value.is_string()) fail(Kind::input, "{}: '{}' must be a text", place, key);
  return value.get<std::string>();
}

// Numbers or texts, whatever a tool likes.
std::string id_of(const json& object, const char* key, const std::string& place) {
  const json& id = member(object, key, place);
  if (id.is_number_integer()) return std::to_string(id.get<int64_t>());
  if (id.is_string()) return id.get<std::string>();
  fail(Kind::input, "{}: '{}' must be a number or a text", place, key);
}

int side(const json& object, const char* key, const std::string& place) {
  const json& value = member(object, key, place);
  if (!value.is_number_integer() || value < 1 || value > INT32_MAX)
    fail(Kind::input, "{}: '{}' must be a whole number from 1", place, key);
  return value.get<int>();
}

Ring ring_of(const json& numbers, const std::string& place) {
  if (!numbers.is_array() || numbers.size() % 2 != 0 || numbers.size() < 6)
    fail(Kind::input, "{}: a polygon must be a list of at least three x, y pairs", place);
  Ring ring;
  for (size_t i = 0; i < numbers.size(); i += 2) {
    if (!numbers[i].is_number() || !numbers[i + 1].is_number())
      fail(Kind::input, "{}: a polygon has a coordinate that is no number", place);
    ring.push_back({numbers[i].get<double>(), numbers[i + 1].get<double>()});
  }
  return ring;
}

Rle rle_of(const json& runs, const std::string& place) {
  const json& size = list(runs, "size", place);
  const json& counts = member(runs, "counts", place);
  if (size.size() != 2 || !size[0].is_number_integer() || !size[1].is_number_integer() ||
      size[0] < 1 || size[1] < 1 || size[0] > INT32_MAX || size[1] > INT32_MAX)
    fail(Kind::input, "{}: 'size' must be [height, width]", place);
  const ImageSize extent = {size[1].get<int>(), size[0].get<int>()};
  if (counts.is_string()) return Rle::from_string(extent, counts.get_ref<const std::string&>());
  if (!counts.is_array()) fail(Kind::input, "{}: 'counts' must be a text or a list", place);
  std::vector<int64_t> numbers;
  for (const json& count : counts) {
    if (!count.is_number_integer())
      fail(Kind::input, "{}: 'counts' has a member that is no whole number", place);
    numbers.push_back(count.get<int64_t>());
  }
  return Rle::from_counts(extent, numbers);
}

Rle mask_of(const Annotation& annotation, ImageSize size) {
  if (!annotation.runs.is_null()) return rle_of(annotation.runs, annotation.place);
  std::vector<Rle> parts;
  for (const Ring& ring : annotation.rings) parts.push_back(coco_rle_from_ring(ring, size));
  return parts.size() == 1 ? parts.front() : merge(parts);
}

class CocoData : public MaskData {
 public:
  CocoData(const std::string& file, const std::string& root) : file_(file), root_(root) {
    expect_file(file);
    const std::vector<uint8_t> bytes = read_file(file, kLongestFile);
    const json document = parse_bounded_json(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file, kLongestFile);
    const auto categories = categories_of(document);
    const auto places = read_pictures(document);
    read_annotations(document, places, categories);
    std::erase_if(pictures_, [&](const Picture& picture) {
      if (!picture.annotations.empty() || picture.left_out > 0) return false;
      ++pictures_without_masks;
      return true;
    });
    if (pictures_.empty()) fail(Kind::input, "{}: no picture has annotations", file);
  }

  const char* layout() const override { return "coco"; }
  size_t size() const override { return pictures_.size(); }
  std::string path(size_t i) const override { return pictures_[i].file; }

  Example load(size_t i, const ReadOptions& options) const override {
    const Picture& picture = pictures_[i];
    Example example;
    example.left_out = picture.left_out;
    if (int64_t{picture.size.width} * picture.size.height > options.max_pixels)
      fail(Kind::resource, "{}: picture '{}' is {}x{}, the limit is {} pixels", file_, picture.file,
           picture.size.width, picture.size.height, options.max_pixels);
    example.image = read_picture(find(picture.file), picture.size, options);
    for (const Annotation& annotation : picture.annotations) {
      const std::string place = file_ + ": " + annotation.place;
      try {
        Rle mask = mask_of(annotation, picture.size);
        if (mask.size() != picture.size)
          fail(Kind::input, "run lengths of {}x{} pixels, the picture has {}x{}", mask.width(),
               mask.height(), picture.size.width, picture.size.height);
        if (mask.area() == 0)
          ++example.left_out;
        else
          example.objects.push_back({annotation.name, std::move(mask)});
      } catch (const Error& error) {
        fail(error.kind(), "{}: {}", place, error.what());
      }
    }
    return example;
  }

 private:
  std::map<std::string, std::string> categories_of(const json& document) const {
    std::map<std::string, std::string> names;
    const auto found = document.find("categories");
    if (found == document.end() || !found->is_array()) return names;
    for (const json& category : *found)
      names[id_of(category, "id", file_ + ": a category")] =
          text(member(category, "name", file_ + ": a category"), "name", file_ + ": a category");
    return names;
  }

  std::map<std::string, size_t> read_pictures(const json& document) {
    std::map<std::string, size_t> places;
    for (const json& image : list(document, "images", file_)) {
      const std::string place = fmt::format("{}: image {}", file_, pictures_.size() + 1);
      Picture picture;
      picture.file = text(member(image, "file_name", place), "file_name", place);
      if (picture.file.empty() || picture.file.find('\0') != std::string::npos)
        fail(Kind::input, "{}: 'file_name' is no path", place);
      picture.size = {side(image, "width", place), side(image, "height", place)};
      if (!places.emplace(id_of(image, "id", place), pictures_.size()).second)
        fail(Kind::input, "{}: its id is that of an image before", place);
      pictures_.push_back(std::move(picture));
    }
    return places;
  }

  void read_annotations(const json& document, const std::map<std::string, size_t>& places,
                        const std::map<std::string, std::string>& categories) {
    int64_t number = 0;
    for (const json& item : list(document, "annotations", file_)) {
      ++number;
      Annotation annotation;
      annotation.place = fmt::format("annotation {}", number);
      const std::string place = file_ + ": " + annotation.place;
      const auto at = places.find(id_of(item, "image_id", place));
      if (at == places.end()) fail(Kind::input, "{}: there is no image of its 'image_id'", place);
      Picture& picture = pictures_[at->second];
      const auto mask = item.find("segmentation");
      const auto crowd = item.find("iscrowd");
      const bool is_crowd = crowd != item.end() && (*crowd == 1 || *crowd == true);
      const bool has_mask = mask != item.end() && !mask->is_null() && !mask->empty();
      if (is_crowd || !has_mask) {
        ++picture.left_out;
        continue;
      }
      if (mask->is_object()) {
        annotation.runs = *mask;
      } else if (mask->is_array()) {
        for (const json& ring : *mask) annotation.rings.push_back(ring_of(ring, place));
      } else {
        fail(Kind::input, "{}: 'segmentation' must be polygons or run lengths", place);
      }
      if (const auto id = item.find("category_id"); id != item.end()) {
        const auto category = categories.find(id_of(item, "category_id", place));
        if (category != categories.end()) annotation.name = category->second;
      }
      picture.annotations.push_back(std::move(annotation));
      if (picture.annotations.size() > kMostObjects)
        fail(Kind::resource, "{}: more than {} annotations of one picture", place, kMostObjects);
    }
  }

  // Tools put pictures beside the annotations, into a folder called so or so, or into one that the
  // annotations are named after: instances_val2017.json, val2017/.
  std::string find(const std::string& file_name) const {
    std::string stem = fs::path(file_).stem().string();
    if (const size_t at = stem.find('_'); at != std::string::npos) stem = stem.substr(at + 1);
    const fs::path root = root_, beside = fs::path(file_).parent_path();
    std::error_code error;
    // A path of another machine is looked for by its last part.
    for (const fs::path& path : {fs::path(file_name), fs::path(file_name).filename()}) {
      if (path.is_absolute()) continue;
      for (const fs::path& folder :
           {root, beside, root / "images", root / stem, root / "images" / stem, root / "data",
            root / "JPEGImages", beside / "images", beside / "data"})
        if (fs::is_regular_file(folder / path, error)) return (folder / path).string();
    }
    if (fs::path(file_name).is_absolute()) return file_name;
    return (root / file_name).string();
  }

  std::string file_, root_;
  std::vector<Picture> pictures_;
};

// Walks over the members of the outermost object without keeping anything.
class Outline : public nlohmann::json_sax<json> {
 public:
  bool images = false, annotations = false;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return ++depth_ < 64; }
  bool end_object() override { return --depth_, true; }
  bool start_array(std::size_t) override {
    if (depth_ == 1) {
      images |= key_ == "images";
      annotations |= key_ == "annotations";
    }
    return !(images && annotations) && ++depth_ < 64;
  }
  bool end_array() override { return --depth_, true; }
  bool key(string_t& name) override {
    if (depth_ == 1) key_ = name;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  int depth_ = 0;
  std::string key_;
};

}  // namespace

bool looks_like_coco(const std::string& file) {
  const std::vector<uint8_t> bytes = read_file(file, kLongestFile);
  Outline outline;
  json::sax_parse(bytes.begin(), bytes.end(), &outline);
  return outline.images && outline.annotations;
}

std::unique_ptr<MaskData> coco_data(const std::string& file, const std::string& root) {
  return std::make_unique<CocoData>(file, root);
}

}  // namespace beckon::learn
