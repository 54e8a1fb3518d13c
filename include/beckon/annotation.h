// Data sets of annotated pictures, and the formats they come in.
//
//   beckon::FormatNotices notices;
//   auto data = beckon::read_annotations("instances.json", {}, &notices);   // COCO, by its content
//   beckon::write_annotations(data, "labels", "yolo-seg", {}, &notices);
//   for (const auto& notice : notices.list()) std::cerr << notice.text() << "\n";
//
// Coordinates are pixels of the photo as a viewer shows it (after EXIF orientation), (0, 0) the
// top-left corner of the top-left pixel.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/mask.h"
#include "beckon/polygon.h"
#include "beckon/rle.h"

namespace beckon {

// The top-left corner and the sides, not negative.
struct BoxShape {
  double x = 0, y = 0, width = 0, height = 0;
  double rotation = 0;  // degrees, clockwise about (x, y)
  friend bool operator==(const BoxShape&, const BoxShape&) = default;
};

// The union of its parts; of each part the pixels whose centre an odd number of its rings encloses.
struct Outline {
  std::vector<Polygon> parts;
  bool coco_fill = false;  // filled by COCO's rule instead, which differs at slanted borders
};

// monostate: a label for the whole picture, or what has no area.
using AnnotationShape = std::variant<std::monostate, BoxShape, Outline, Rle>;

// "extra" everywhere: a JSON object with the keys that have no member here; empty if there are
// none.
struct Annotation {
  size_t image = 0;   // an index of Dataset::images
  int category = -1;  // an index of Dataset::categories; -1: none
  AnnotationShape shape;
  std::optional<BoxShape> box;  // the bounding box as the file says, where it has one of its own
  int64_t id = 0;               // 0: none, writers number
  std::optional<double> area;   // as the file says, where it is not that of the pixels or rings
  bool crowd = false;           // a group that is not told apart
  std::optional<double> score;
  std::optional<double> predicted_iou;  // the model's opinion of the mask
  std::optional<double> stability;
  std::vector<Vertex> points;    // that were asked about
  std::optional<BoxShape> crop;  // the part of the picture that was looked at
  std::string extra;
};

struct AnnotatedImage {
  std::string file;  // the photo's name as the annotations give it, often a relative path
  int width = 0;     // 0: the file does not say
  int height = 0;
  int64_t id = 0;  // 0: none, writers number
  std::string extra;
  ImageSize size() const { return {width, height}; }
};

struct Category {
  std::string name;
  int64_t id = 0;  // COCO's
  std::string supercategory;
  std::string extra;
};

struct Dataset {
  std::vector<AnnotatedImage> images;
  std::vector<Category> categories;
  std::vector<Annotation> annotations;
  std::string extra;

  // The index of the category with this name, which is added if there is none.
  int category(std::string_view name);
};

// The pixels of an annotation; boxes are filled. Nothing if it has no shape. Kind::input if the
// size is not known or the shape has another, Kind::resource above `max_pixels`.
BECKON_API std::optional<Rle> mask_of(const Annotation& annotation, ImageSize size,
                                      int64_t max_pixels = 100'000'000);
// The smallest upright box around the shape, or the file's own where that is all there is.
BECKON_API std::optional<BoxShape> box_of(const Annotation& annotation);

// Outlines with few corners, and what that costs.
struct SimplifiedOutline {
  Outline outline;
  int64_t vertices = 0;  // left
  double iou = 1;        // of the outline's pixels with the mask
};
// The outlines of a mask with at most `max_vertices` corners (at least 3) in all its rings: the
// corner that changes least is taken away again and again (Visvalingam and Whyatt 1993), and a ring
// of three corners as a whole. Kind::resource above `max_pixels`.
BECKON_API SimplifiedOutline simplify(const Rle& mask, int64_t max_vertices,
                                      int64_t max_pixels = 100'000'000);

struct SimplifyReport {
  int64_t objects = 0;
  int64_t vertices_before = 0, vertices_after = 0;
  double mean_iou = 1, least_iou = 1;
};
// Every mask and outline of a data set; boxes stay boxes.
BECKON_API SimplifyReport simplify(Dataset& data, int64_t max_vertices,
                                   int64_t max_pixels = 100'000'000);

// What was lost or doubtful, each kind once with its count.
class BECKON_API FormatNotices {
 public:
  struct Notice {
    std::string what;
    int64_t count = 0;
    std::string first;  // where it was met first
    std::string text() const;
  };
  void add(const std::string& what, const std::string& where = {}, int64_t count = 1);
  const std::vector<Notice>& list() const { return list_; }
  bool empty() const { return list_.empty(); }

 private:
  std::vector<Notice> list_;
};

// What is noticed where a form gives no sizes and a photo is broken: its annotations are lost.
constexpr const char* kLabelsLeftOut =
    "labels are left out, the size of their photo cannot be read";

// What a format can carry.
struct AnnotationFormat {
  const char* name;   // as --to takes it
  const char* title;  // for people
  bool folder;        // written as a folder; else one file
  bool boxes, masks, holes, parts, overlap, labels, scores, crowd, sam, unknown_keys, empty_images,
      unused_categories, ids;
};
BECKON_API std::span<const AnnotationFormat> annotation_formats();
// Kind::usage that lists the names if there is none.
BECKON_API const AnnotationFormat& annotation_format(std::string_view name);

struct ReadAnnotationsOptions {
  std::string format;  // empty: found out by the content
  std::string images;  // a folder with the photos, for sizes that the format does not carry and to
                       // check those it does
  int64_t max_pixels = 100'000'000;
  int64_t max_bytes = int64_t{2} << 30;  // of one file
};

// The format of a file or folder by its content. Kind::input with what was looked for if it is none
// or not clear, Kind::missing if it is not there.
BECKON_API std::string detect_annotation_format(const std::string& path,
                                                const ReadAnnotationsOptions& options = {});

// Kind::missing, Kind::input with the place, Kind::resource above a limit. Sizes that are those of
// the photo before it is turned upright are noticed when `images` is given, and the annotations are
// turned with it.
BECKON_API Dataset read_annotations(const std::string& path,
                                    const ReadAnnotationsOptions& options = {},
                                    FormatNotices* notices = nullptr);

struct WriteAnnotationsOptions {
  bool polygons = false;  // outlines instead of run lengths where the format has both
  int64_t max_pixels = 100'000'000;
  // Asked after all is made, before each file that is written, with the files written and all of
  // them; nothing is at its place yet. false leaves nothing behind.
  std::function<bool(int64_t done, int64_t all)> accept;
};

// The file or folder appears whole or not at all. Kind::output if it cannot be written or is a
// folder with something in it, Kind::input for sizes that the format needs and nobody gave,
// Kind::usage for an unknown format.
BECKON_API void write_annotations(const Dataset& data, const std::string& path,
                                  std::string_view format,
                                  const WriteAnnotationsOptions& options = {},
                                  FormatNotices* notices = nullptr);

}  // namespace beckon
