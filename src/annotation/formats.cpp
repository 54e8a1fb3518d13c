// The table of formats, which of them a file is, and what each cannot carry.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iterator>

#include <fmt/format.h>

#include "annotation/format.h"
#include "annotation/photos.h"
#include "annotation/write_output.h"
#include "base/fail.h"
#include "base/files.h"

namespace beckon {
namespace annotation {
namespace {

// clang-format off
//  name            title                                     folder boxes  masks  holes  parts  overl. labels scores crowd  sam    keys   empty  unused ids
constexpr AnnotationFormat kFormats[] = {
  {"coco",         "COCO instances, one JSON file",           false, true,  true,  true,  true,  true,  true,  true,  true,  true,  true,  true,  true,  true},
  {"sa1b",         "SA-1B, a JSON file an image",             true,  true,  true,  true,  true,  true,  true,  true,  false, true,  true,  true,  false, true},
  {"labelme",      "LabelMe, a JSON file an image",           true,  true,  true,  true,  true,  true,  true,  false, false, false, true,  true,  false, false},
  {"yolo-seg",     "Ultralytics YOLO, outlines as text",      true,  true,  true,  true,  true,  true,  true,  false, false, false, false, true,  true,  false},
  {"yolo",         "YOLO, boxes as text",                     true,  true,  false, false, false, true,  true,  false, false, false, false, true,  true,  false},
  {"voc",          "PASCAL VOC, XML boxes and palette PNGs",  true,  true,  true,  true,  true,  false, true,  false, false, false, false, true,  true,   false},
  {"cvat",         "CVAT for images 1.1, one XML file",       false, true,  true,  true,  true,  true,  true,  false, false, false, false, true,  true,  false},
  {"label-studio", "Label Studio, one JSON file of tasks",    false, true,  true,  true,  true,  true,  true,  true,  false, false, true,  true,  false, false},
  {"geojson",      "GeoJSON features in pixels",              false, true,  true,  true,  true,  true,  true,  true,  true,  true,  true,  true,  true,  true},
  {"svg",          "SVG, a drawing an image",                 true,  true,  true,  true,  true,  true,  true,  true,  false, false, false, true,  false, false},
  {"png",          "a folder an image, a PNG an object",      true,  false, true,  true,  true,  true,  true,  true,  false, true,  false, true,  false, false},
  {"png-labels",   "a PNG an image, a number an object",      true,  false, true,  true,  true,  false, true,  false, false, false, false, true,  false, false},
};
struct Functions { const char* name; Read read; Write write; };
constexpr Functions kFunctions[] = {
  {"coco", read_coco, write_coco}, {"sa1b", read_sa1b, write_sa1b}, {"labelme", read_labelme, write_labelme},
  {"yolo-seg", read_yolo, write_yolo_seg}, {"yolo", read_yolo, write_yolo}, {"voc", read_voc, write_voc},
  {"cvat", read_cvat, write_cvat}, {"label-studio", read_label_studio, write_label_studio},
  {"geojson", read_geojson, write_geojson}, {"svg", read_svg, write_svg}, {"png", read_png, write_png},
  {"png-labels", read_png_labels, write_png_labels},
};
// clang-format on

const Functions& functions(const std::string& name) {
  return *std::find_if(std::begin(kFunctions), std::end(kFunctions),
                       [&](const Functions& f) { return name == f.name; });
}

// The beginning of a file; enough to see what it is.
std::string head_of(const std::string& path, const ReadAnnotationsOptions& options) {
  return read_text(path, options.max_bytes);
}

// "" if it is none of them.
std::string kind_of_json(const std::string& path, const ReadAnnotationsOptions& options) {
  const Json document = parse_json(head_of(path, options), path);
  if (document.is_array()) {
    if (document.empty()) return "label-studio";
    const Json& first = document.front();
    if (first.is_object() && first.contains("data")) return "label-studio";
    if (first.is_object() && first.contains("type") && first["type"] == "Feature") return "geojson";
    return "";
  }
  if (!document.is_object()) return "";
  // Before COCO: ours keep images and categories beside the features.
  if (document.contains("type") &&
      (document["type"] == "FeatureCollection" || document["type"] == "Feature"))
    return "geojson";
  if (document.contains("images") && document["images"].is_array()) return "coco";
  if (document.contains("image") && document.contains("annotations")) return "sa1b";
  if (document.contains("shapes") && document["shapes"].is_array()) return "labelme";
  if (document.contains("data") && document["data"].is_object()) return "label-studio";
  return "";
}

std::string kind_of_xml(const std::string& text) {
  const size_t begin = text.find('<');
  size_t at = begin;
  // Past the declaration, comments and the document type.
  while (at != text.npos && at + 1 < text.size() && (text[at + 1] == '?' || text[at + 1] == '!')) {
    const size_t end = text.compare(at, 4, "<!--") == 0 ? text.find("-->", at) : text.find('>', at);
    if (end == text.npos) return "";
    at = text.find('<', end);
  }
  if (at == text.npos) return "";
  if (text.compare(at, 12, "<annotations") == 0) return "cvat";
  if (text.compare(at, 11, "<annotation") == 0) return "voc";
  if (text.compare(at, 4, "<svg") == 0 || text.compare(at, 5, "<svg:") == 0) return "svg";
  return "";
}

std::string kind_of_file(const std::string& path, const ReadAnnotationsOptions& options) {
  const std::string text = head_of(path, options);
  size_t at = text.starts_with("\xef\xbb\xbf") ? 3 : 0;
  while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) ++at;
  if (at == text.size()) return "";
  if (text[at] == '{' || text[at] == '[') return kind_of_json(path, options);
  if (text[at] == '<') return kind_of_xml(text);
  return "";
}

// Whether the pixels of a PNG can be numbers of objects; those of a photo in colour cannot.
bool is_mask(const std::string& path, const ReadAnnotationsOptions& options) {
  try {
    read_indexed_png(read_file(path, options.max_bytes), path, options.max_pixels);
    return true;
  } catch (const Error& error) {
    if (error.kind() != Kind::input) throw;
    return false;
  }
}

std::string kind_of_folder(const std::string& path, const ReadAnnotationsOptions& options) {
  if (is_file(path + "/data.yaml") || is_file(path + "/data.yml") || is_folder(path + "/labels") ||
      is_file(path + "/classes.txt"))
    return "yolo";
  if (is_folder(path + "/Annotations") || is_folder(path + "/SegmentationClass") ||
      is_folder(path + "/SegmentationObject"))
    return "voc";
  if (is_file(path + "/annotations.xml")) return "cvat";
  if (is_file(path + "/labels.csv")) return "png-labels";
  if (!files_in(path, "metadata.csv").empty()) return "png";
  for (const char* ending : {".json", ".xml", ".svg", ".txt"}) {
    const auto files = files_in(path, ending);
    if (files.empty()) continue;
    if (std::string_view(ending) == ".txt") return "yolo";
    return kind_of_file(files.front(), options);
  }
  const auto pictures = files_in(path, ".png");
  if (pictures.empty() || !is_mask(pictures.front(), options)) return "";
  // A folder an image or a file an image.
  for (const std::string& picture : pictures)
    if (std::filesystem::path(picture).parent_path() != std::filesystem::path(path)) return "png";
  return "png-labels";
}

// Ids that a writer would not give by counting.
template <class List>
const auto* counted_otherwise(const List& list) {
  int64_t count = 0;
  for (const auto& one : list)
    if (++count; one.id != 0 && one.id != count) return &one;
  return static_cast<const typename List::value_type*>(nullptr);
}

}  // namespace

// One notice for each thing that is lost on the way into a format, with its count.
void notice_losses(const Dataset& data, const AnnotationFormat& to, FormatNotices& notices) {
  const std::string name = to.name;
  const auto lost = [&](bool it, const char* what, const std::string& where) {
    if (it) notices.add(fmt::format("{} cannot carry {}", name, what), where);
  };
  size_t number = 0;
  for (const Annotation& one : data.annotations) {
    const std::string where =
        fmt::format("annotation {} of {}", ++number, data.images[one.image].file);
    const auto* outline = std::get_if<Outline>(&one.shape);
    const auto* box = std::get_if<BoxShape>(&one.shape);
    const bool mask = outline || std::holds_alternative<Rle>(one.shape);
    lost(!to.masks && mask, "masks: the box is kept", where);
    lost(!to.boxes && box, "boxes: they become filled masks", where);
    lost(!to.labels && one.category >= 0, "labels", where);
    lost(!to.scores && one.score.has_value(), "scores", where);
    lost(!to.crowd && one.crowd, "that an annotation is a crowd", where);
    lost(!to.sam && one.predicted_iou && (one.score || !to.scores), "the predicted IoU", where);
    lost(!to.sam && one.stability.has_value(), "the stability score", where);
    lost(!to.sam && !one.points.empty(), "the points that were asked about", where);
    lost(!to.sam && one.crop.has_value(), "the crop box", where);
    lost(to.masks && mask && one.box && name != "coco" && name != "sa1b" && name != "geojson",
         "a box of its own beside a mask", where);
    if (!one.extra.empty() && !to.unknown_keys && name != "cvat") {
      const Json extra = extra_json(one.extra);
      for (const auto& [key, value] : extra.items())
        notices.add(fmt::format("{} has no place for '{}'", name, key), where);
    }
  }
  if (!to.unused_categories) {
    std::vector<bool> used(data.categories.size());
    for (const Annotation& one : data.annotations)
      if (one.category >= 0) used[static_cast<size_t>(one.category)] = true;
    for (size_t i = 0; i < used.size(); ++i)
      lost(!used[i] && to.labels, "categories that no annotation has", data.categories[i].name);
  }
  if (!to.ids) {
    if (const AnnotatedImage* image = counted_otherwise(data.images))
      lost(true, "the ids of images", fmt::format("{} has {}", image->file, image->id));
    if (const Annotation* one = counted_otherwise(data.annotations))
      lost(true, "the ids of annotations",
           fmt::format("{} of {}", one->id, data.images[one->image].file));
  }
  if (!to.unknown_keys) {
    for (const AnnotatedImage& image : data.images)
      lost(!image.extra.empty(), "keys of images beyond name and size", image.file);
    for (const Category& category : data.categories)
      lost(!category.extra.empty() || !category.supercategory.empty(),
           "what categories have beside their name", category.name);
    lost(!data.extra.empty(), "the keys of the file itself",
         dump(extra_json(data.extra)).substr(0, 60));
  } else if (name != "coco" && name != "geojson") {
    for (const Category& category : data.categories)
      lost(!category.extra.empty() || !category.supercategory.empty(),
           "what categories have beside their name", category.name);
    lost(!data.extra.empty(), "the keys of the file itself", "");
  }
}

}  // namespace annotation

using annotation::is_file;
using annotation::is_folder;

std::span<const AnnotationFormat> annotation_formats() { return annotation::kFormats; }

const AnnotationFormat& annotation_format(std::string_view name) {
  std::string names;
  for (const AnnotationFormat& format : annotation::kFormats) {
    if (name == format.name) return format;
    names += (names.empty() ? "" : ", ") + std::string(format.name);
  }
  fail(Kind::usage, "unknown format '{}', expected one of {}", name, names);
}

std::string detect_annotation_format(const std::string& path,
                                     const ReadAnnotationsOptions& options) {
  if (!is_folder(path) && !is_file(path))
    fail(Kind::missing, "{}: there is no such file or folder", path);
  std::string format = is_folder(path) ? annotation::kind_of_folder(path, options)
                                       : annotation::kind_of_file(path, options);
  if (format.empty()) {
    if (!is_folder(path) && path.ends_with(".png") && annotation::is_mask(path, options))
      return "png-labels";
    fail(Kind::input, "{}: its content is none of the known formats; name it with --from", path);
  }
  return format;
}

Dataset read_annotations(const std::string& path, const ReadAnnotationsOptions& options,
                         FormatNotices* notices) {
  FormatNotices unheard;
  FormatNotices& heard = notices ? *notices : unheard;
  if (!options.format.empty()) annotation_format(options.format);
  if (!is_folder(path) && !is_file(path))
    fail(Kind::missing, "{}: there is no such file or folder", path);
  if (!options.images.empty() && !is_folder(options.images))
    fail(Kind::missing, "{}: there is no such folder of photos", options.images);
  const std::string format =
      options.format.empty() ? detect_annotation_format(path, options) : options.format;
  Dataset data = annotation::functions(format).read({path, options, heard});
  if (data.images.empty() && data.annotations.empty())
    heard.add(fmt::format("nothing of {} was found", format), path);
  if (!options.images.empty()) annotation::match_photos(data, options, heard);
  return data;
}

void write_annotations(const Dataset& data, const std::string& path, std::string_view format,
                       const WriteAnnotationsOptions& options, FormatNotices* notices) {
  FormatNotices unheard;
  FormatNotices& heard = notices ? *notices : unheard;
  const AnnotationFormat& to = annotation_format(format);
  for (const Annotation& one : data.annotations) {
    if (one.image >= data.images.size() ||
        one.category >= static_cast<int>(data.categories.size()) || one.category < -1)
      fail(Kind::usage, "an annotation of an image or category that is not in the data set");
  }
  const std::string ending = to.name == std::string_view("svg") ? ".svg" : ".json";
  const bool named = path.ends_with(ending);
  if (to.folder && named && data.images.size() != 1)
    fail(Kind::usage, "{}: {} is a file an image and there are {}; name a folder", path, to.name,
         data.images.size());
  const bool single_file = !to.folder || named;
  if (single_file && is_folder(path))
    fail(Kind::output, "{}: is a folder, {} is one file", path, to.name);
  if (!single_file) {
    std::error_code error;
    if (is_file(path) || (is_folder(path) && !std::filesystem::is_empty(path, error)))
      fail(Kind::output, "{}: is there already; {} needs a new or empty folder", path, to.name);
  }
  annotation::notice_losses(data, to, heard);
  annotation::Output output;
  annotation::Writing writing{options, heard, output, single_file};
  annotation::functions(to.name).write(data, writing);
  annotation::write_output(output, path, options.accept);
}

}  // namespace beckon
