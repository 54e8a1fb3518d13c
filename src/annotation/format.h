// What the readers and writers of formats share. One file a format, each with a reader, a writer or
// both; format.cpp has the table.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "beckon/annotation.h"

namespace beckon::annotation {

using Json = nlohmann::json;

// Coordinates beyond this are no pixels of any picture.
constexpr double kFarthest = 1e7;
constexpr int kLongestSide = 1'000'000;

// A file to be read: its path and its name in messages.
struct Reading {
  std::string path;
  const ReadAnnotationsOptions& options;
  FormatNotices& notices;
};

// Files of a result, by their path below its place; "" is the place itself.
class Output {
 public:
  void add(const std::string& path, std::string bytes);
  // `name` with `ending` for its own ending, below `folder`; no two are the same and none leads
  // out of the folder, whatever the name says.
  std::string place(const std::string& folder, const std::string& name, const std::string& ending);
  const std::map<std::string, std::string>& files() const { return files_; }

 private:
  std::map<std::string, std::string> files_;
  std::map<std::string, int> taken_;
};

struct Writing {
  const WriteAnnotationsOptions& options;
  FormatNotices& notices;
  Output& output;
  bool single_file = false;  // the place is named like a file
};

using Read = Dataset (*)(const Reading&);
using Write = void (*)(const Dataset&, Writing&);

Dataset read_coco(const Reading&);
Dataset read_sa1b(const Reading&);
Dataset read_labelme(const Reading&);
Dataset read_label_studio(const Reading&);
Dataset read_geojson(const Reading&);
Dataset read_yolo(const Reading&);
Dataset read_voc(const Reading&);
Dataset read_cvat(const Reading&);
Dataset read_svg(const Reading&);
Dataset read_png(const Reading&);
Dataset read_png_labels(const Reading&);
void write_coco(const Dataset&, Writing&);
void write_sa1b(const Dataset&, Writing&);
void write_labelme(const Dataset&, Writing&);
void write_label_studio(const Dataset&, Writing&);
void write_geojson(const Dataset&, Writing&);
void write_yolo_seg(const Dataset&, Writing&);
void write_yolo(const Dataset&, Writing&);
void write_voc(const Dataset&, Writing&);
void write_cvat(const Dataset&, Writing&);
void write_svg(const Dataset&, Writing&);
void write_png(const Dataset&, Writing&);
void write_png_labels(const Dataset&, Writing&);

// Parsers of text, which the fuzz targets call too.
Dataset parse_coco(std::string_view text, const std::string& name, FormatNotices& notices);
void parse_sa1b(std::string_view text, const std::string& name, Dataset& data);
void parse_labelme(std::string_view text, const std::string& name, Dataset& data,
                   FormatNotices& notices);
Dataset parse_label_studio(std::string_view text, const std::string& name, FormatNotices& notices);
Dataset parse_geojson(std::string_view text, const std::string& name, FormatNotices& notices);
Dataset parse_cvat(std::string_view text, const std::string& name, FormatNotices& notices);
void parse_svg(std::string_view text, const std::string& name, Dataset& data,
               FormatNotices& notices);
void parse_voc_xml(std::string_view text, const std::string& name, Dataset& data);
// Into data.images[image]; fractions of its size.
void parse_yolo_labels(std::string_view text, const std::string& name, Dataset& data, size_t image);
std::vector<std::string> parse_yolo_names(std::string_view text, const std::string& name);

// Files ---------------------------------------------------------------------------------------

std::string read_text(const std::string& path, int64_t most);
// The file itself, or the files of a folder and those below it that end so, sorted; at most a
// million. Hidden ones are passed over.
std::vector<std::string> files_in(const std::string& path, std::string_view ending);
bool is_folder(const std::string& path);
bool is_file(const std::string& path);
// The last part of a path, of either kind of slash; and that without its ending.
std::string base_name(const std::string& path);
std::string without_ending(const std::string& path);

// Geometry ------------------------------------------------------------------------------------

// Kind::input unless the sides are 1 to kLongestSide and the area below 2^32.
void check_sides(int64_t width, int64_t height, const std::string& place);
double checked(double value, const std::string& place);  // finite and within kFarthest
void check_box(const BoxShape& box, const std::string& place);
bool has_area(const Annotation& annotation);  // a shape that can become a mask
bool has_holes(const Outline& outline);
Outline outline_of_ring(Ring ring);
Outline outline_of(const Rle& rle, int64_t max_pixels);
std::vector<Vertex> corners_of(const BoxShape& box);
// The size, or Kind::input that says how to give it.
ImageSize size_of(const AnnotatedImage& image, const char* format);
// One ring that encloses what they all enclose: holes and parts are joined by seams, lines that are
// walked there and back. Fillings by odd numbers of crossings have the same pixels.
Ring seamed(const std::vector<Polygon>& parts);
// Parts that overlap are made one by their pixels, if the size is known: an odd number of crossings
// would leave out what two of them share.
Outline apart(const Annotation& annotation, const AnnotatedImage& image,
              const WriteAnnotationsOptions& options);
std::string label_of(const Dataset& data, const Annotation& annotation);

// JSON ----------------------------------------------------------------------------------------

Json parse_json(std::string_view text, const std::string& name);
// The member, or null if there is none or it is null.
const Json* find(const Json& object, const char* key);
const Json& list_at(const Json& object, const char* key, const std::string& place);
double number(const Json& value, const std::string& place);
std::optional<double> optional_number(const Json& object, const char* key,
                                      const std::string& place);
int64_t integer(const Json& value, const std::string& place);
int64_t integer_or(const Json& object, const char* key, int64_t otherwise,
                   const std::string& place);
std::string text_or(const Json& object, const char* key, const std::string& otherwise,
                    const std::string& place);
Ring ring_of(const Json& pairs, const std::string& place);     // [[x, y], ...]
BoxShape box_at(const Json& value, const std::string& place);  // [x, y, width, height]
// The members that are not among `known`, as the text of "extra".
std::string extra_of(const Json& object, std::initializer_list<std::string_view> known);
// Adds the members of an "extra" that the object does not have.
void put_extra(Json& object, const std::string& extra);
Json extra_json(const std::string& extra);
std::string dump(const Json& value, int indent = -1);
Json json_of(const BoxShape& box);
Json json_number(double value);  // whole numbers without ".0"
Rle rle_of(const Json& segmentation, const std::string& place);

// XML text needs valid UTF-8.
std::string valid_utf8(const std::string& text);
std::string text_of_number(double value);
// A whole text as a number: Kind::input if it is none.
double parse_number(std::string_view text, const std::string& place);

// Base64 as RFC 4648 has it; white space is passed over. Kind::input if it is malformed.
std::string base64(std::string_view bytes);
std::vector<uint8_t> from_base64(std::string_view text, const std::string& place);

// Palette and grey PNG files as numbers -----------------------------------------------------------

struct IndexedPicture {
  ImageSize size;
  std::vector<uint8_t> values;
  bool coloured = false;  // no numbers in the file, but colours; `colours` are these
  std::vector<uint32_t> colours;
};
IndexedPicture read_indexed_png(const std::vector<uint8_t>& bytes, const std::string& name,
                                int64_t max_pixels);
// With PASCAL VOC's colours.
std::string indexed_png(ImageSize size, const std::vector<uint8_t>& values);
uint32_t voc_colour(int index);  // 0xRRGGBB

}  // namespace beckon::annotation
