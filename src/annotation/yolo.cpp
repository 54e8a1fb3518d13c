// YOLO as Ultralytics writes it: data.yaml with the names, images/ and labels/ with a text file an
// image. A line is "class x y width height [confidence]", a box by its centre, or "class x y x y
// ...", an outline; in fractions of the photo turned upright. An object is one ring: holes and
// parts hang together by seams.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "annotation/format.h"
#include "annotation/photos.h"
#include "base/fail.h"

namespace beckon::annotation {
namespace {

constexpr int kMostClasses = 100'000;

// A hundred-millionth of a pixel: fractions that stand for whole pixels give whole pixels.
double pixels_of_fraction(double fraction, int side) {
  return std::round(fraction * side * 1e6) / 1e6;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r";
  const size_t begin = text.find_first_not_of(kSpace);
  if (begin == text.npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

// A YAML scalar: plain, 'single' or "double" quoted; what follows it is put into `rest`.
std::string scalar(std::string_view text, const std::string& place, std::string_view* rest) {
  *rest = {};
  text = trimmed(text);
  if (text.starts_with("\"")) {
    size_t end = 1;
    while (end < text.size() && text[end] != '"') end += text[end] == '\\' ? 2 : 1;
    if (end >= text.size()) fail(Kind::input, "{}: a quote is not closed", place);
    *rest = text.substr(end + 1);
    const Json value = parse_json(text.substr(0, end + 1), place);
    return value.is_string() ? value.get<std::string>() : std::string();
  }
  if (text.starts_with("'")) {
    std::string value;
    size_t i = 1;
    for (;; ++i) {
      if (i >= text.size()) fail(Kind::input, "{}: a quote is not closed", place);
      if (text[i] != '\'') {
        value += text[i];
      } else if (i + 1 < text.size() && text[i + 1] == '\'') {
        value += '\'', ++i;
      } else {
        break;
      }
    }
    *rest = text.substr(i + 1);
    return value;
  }
  size_t end = text.find_first_of(",]}");
  const size_t comment = text.find(" #");
  if (comment != text.npos) end = std::min(end, comment);
  if (end != text.npos) *rest = text.substr(end);
  return std::string(trimmed(text.substr(0, end)));
}

void put_name(std::vector<std::string>& names, int64_t index, std::string name,
              const std::string& place) {
  if (index < 0 || index >= kMostClasses)
    fail(Kind::input, "{}: class {}, expected 0 to {}", place, index, kMostClasses - 1);
  while (names.size() <= static_cast<size_t>(index)) names.push_back(std::to_string(names.size()));
  names[static_cast<size_t>(index)] = std::move(name);
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
  }
  return lines;
}

}  // namespace

// The part of YAML that data.yaml uses: names as a list or as number: name, in one line or several.
std::vector<std::string> parse_yolo_names(std::string_view text, const std::string& name) {
  std::vector<std::string> names;
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  bool inside = false;
  size_t number = 0;
  std::string flow;  // [a, b] may go over several lines
  for (std::string_view line : lines_of(text)) {
    const std::string place = fmt::format("{}: line {}", name, ++number);
    const std::string_view bare = trimmed(line);
    if (bare.empty() || bare.starts_with("#")) continue;
    if (!flow.empty()) {
      flow += " " + std::string(bare);
    } else if (line.starts_with("names:")) {
      inside = true;
      const std::string_view value = trimmed(line.substr(6));
      if (value.starts_with("[") || value.starts_with("{")) flow = value;
      if (flow.empty()) continue;
    } else if (!inside) {
      continue;
    } else if (bare.starts_with("- ") || bare == "-") {
      std::string_view rest;
      std::string value = scalar(bare.substr(1), place, &rest);
      put_name(names, static_cast<int64_t>(names.size()), std::move(value), place);
      continue;
    } else if (line.front() == ' ' || line.front() == '\t') {
      const size_t colon = bare.find(':');
      if (colon == bare.npos) fail(Kind::input, "{}: expected 'number: name'", place);
      std::string_view rest;
      const std::string key = scalar(bare.substr(0, colon), place, &rest);
      const double index = parse_number(key, place);
      std::string value = scalar(bare.substr(colon + 1), place, &rest);
      put_name(names, static_cast<int64_t>(std::clamp(index, -1.0, 1e6)), std::move(value), place);
      continue;
    } else {
      inside = false;
      continue;
    }
    if (flow.find(flow[0] == '[' ? ']' : '}') == flow.npos) continue;
    const bool list = flow[0] == '[';
    std::string_view rest = std::string_view(flow).substr(1);
    while (!trimmed(rest).empty() && !trimmed(rest).starts_with(list ? "]" : "}")) {
      rest = trimmed(rest);
      if (rest.starts_with(",")) {
        rest.remove_prefix(1);
        continue;
      }
      int64_t index = static_cast<int64_t>(names.size());
      if (!list) {
        const size_t colon = rest.find(':');
        if (colon == rest.npos) fail(Kind::input, "{}: expected 'number: name'", place);
        index =
            static_cast<int64_t>(std::clamp(parse_number(rest.substr(0, colon), place), -1.0, 1e6));
        rest = rest.substr(colon + 1);
      }
      std::string_view after;
      std::string value = scalar(rest, place, &after);
      if (after.size() >= rest.size()) fail(Kind::input, "{}: a list is malformed", place);
      put_name(names, index, std::move(value), place);
      rest = after;
    }
    flow.clear();
    inside = false;
  }
  return names;
}

void parse_yolo_labels(std::string_view text, const std::string& name, Dataset& data,
                       size_t image) {
  const ImageSize size = size_of(data.images[image], "yolo");
  size_t number = 0;
  for (std::string_view line : lines_of(text)) {
    const std::string place = fmt::format("{}: line {}", name, ++number);
    std::vector<double> values;
    for (std::string_view rest = trimmed(line); !rest.empty();) {
      const size_t end = rest.find_first_of(" \t");
      values.push_back(parse_number(rest.substr(0, end), place));
      rest = end == rest.npos ? std::string_view() : trimmed(rest.substr(end));
    }
    if (values.empty()) continue;
    const double klass = values[0];
    if (klass != std::floor(klass) || klass < 0 || klass >= kMostClasses)
      fail(Kind::input, "{}: class {}, expected a whole number from 0", place, klass);
    while (data.categories.size() <= static_cast<size_t>(klass))
      data.categories.push_back({std::to_string(data.categories.size()),
                                 static_cast<int64_t>(data.categories.size()),
                                 {},
                                 {}});
    Annotation one;
    one.image = image;
    one.category = static_cast<int>(klass);
    const size_t count = values.size() - 1;
    const auto x = [&](size_t i) {
      return checked(pixels_of_fraction(values[i], size.width), place);
    };
    const auto y = [&](size_t i) {
      return checked(pixels_of_fraction(values[i], size.height), place);
    };
    if (count == 4 || count == 5) {
      if (values[3] < 0 || values[4] < 0)
        fail(Kind::input, "{}: a box with a negative side", place);
      BoxShape box;
      box.width = x(3), box.height = y(4);
      box.x = checked(pixels_of_fraction(values[1] - values[3] / 2, size.width), place);
      box.y = checked(pixels_of_fraction(values[2] - values[4] / 2, size.height), place);
      one.shape = box;
      if (count == 5) one.score = values[5];
    } else if (count >= 6) {
      // An odd one is the confidence, which predictions may carry at the end.
      Ring ring;
      for (size_t i = 1; i + 1 < values.size(); i += 2) ring.push_back({x(i), y(i + 1)});
      one.shape = outline_of_ring(std::move(ring));
      if (count % 2 == 1) one.score = values.back();
    } else {
      fail(Kind::input,
           "{}: {} numbers, expected a class and 4 of a box or 6 or more of an outline", place,
           values.size());
    }
    data.annotations.push_back(std::move(one));
  }
}

Dataset read_yolo(const Reading& reading) {
  Dataset data;
  std::string root = reading.path;
  if (!is_folder(root)) fail(Kind::input, "{}: YOLO is read from a folder", root);
  for (const char* file :
       {"/data.yaml", "/data.yml", "/dataset.yaml", "/classes.txt", "/labels/classes.txt"}) {
    const std::string path = root + file;
    if (!is_file(path)) continue;
    const std::string text = read_text(path, 64 << 20);
    if (path.ends_with(".txt")) {
      for (std::string_view line : lines_of(text))
        if (!trimmed(line).empty())
          data.categories.push_back({std::string(trimmed(line)), 0, {}, {}});
    } else {
      for (std::string& name : parse_yolo_names(text, path))
        data.categories.push_back({std::move(name), 0, {}, {}});
    }
    for (size_t i = 0; i < data.categories.size(); ++i)
      data.categories[i].id = static_cast<int64_t>(i);
    break;
  }
  const std::string labels = is_folder(root + "/labels") ? root + "/labels" : root;
  const std::string photos_at = !reading.options.images.empty() ? reading.options.images
                                : is_folder(root + "/images")   ? root + "/images"
                                                                : root;
  const Photos photos(photos_at);
  std::map<std::string, std::string> texts;  // of the path without its ending
  for (const std::string& file : files_in(labels, ".txt")) {
    const std::string stem = without_ending(file.substr(labels.size() + 1));
    if (stem == "classes" || base_name(stem) == "README") continue;
    texts[stem] = file;
  }
  std::vector<std::pair<std::string, std::string>> pairs;  // photo, labels
  for (const auto& [stem, file] : texts) pairs.emplace_back(photos.find(stem), file);
  for (const auto& [photo, file] : pairs) {
    const std::string stem = without_ending(file.substr(labels.size() + 1));
    if (photo.empty())
      fail(Kind::missing,
           "{}: no photo '{}' in {}, and its size is needed; give the photos with --photos DIR",
           file, stem, photos_at);
    PhotoSize size;
    try {
      size = photo_size(photo, reading.options.max_pixels);
    } catch (const Error& error) {
      if (error.kind() == Kind::internal) throw;
      reading.notices.add(kLabelsLeftOut, error.what());
      continue;
    }
    AnnotatedImage image;
    image.file = photo.substr(photos_at.size() + 1);
    image.width = size.shown.width, image.height = size.shown.height;
    data.images.push_back(image);
    parse_yolo_labels(read_text(file, reading.options.max_bytes), file, data,
                      data.images.size() - 1);
  }
  return data;
}

namespace {

void write(const Dataset& data, Writing& writing, bool outlines) {
  std::vector<std::string> texts(data.images.size());
  Dataset names;  // an object without a label is of a class of its own
  for (const Category& category : data.categories) names.categories.push_back(category);
  int unnamed = -1;
  for (const Annotation& one : data.annotations) {
    const AnnotatedImage& image = data.images[one.image];
    const ImageSize size = size_of(image, "yolo");
    int category = one.category;
    if (category < 0) {
      if (unnamed < 0) unnamed = names.category("object");
      category = unnamed;
    }
    std::string line = std::to_string(category);
    const auto add = [&](double value, int side) { line += fmt::format(" {}", value / side); };
    const auto* box = std::get_if<BoxShape>(&one.shape);
    if (outlines && has_area(one) && !(box && box->rotation == 0)) {
      const Ring ring = seamed(apart(one, image, writing.options).parts);
      if (ring.size() < 3) {
        writing.notices.add("yolo-seg has no outline for an empty mask: it is left out",
                            image.file);
        continue;
      }
      for (const Vertex& v : ring) add(v.x, size.width), add(v.y, size.height);
    } else {
      const auto around = box_of(one);
      if (!around) {
        writing.notices.add("yolo has no place for a label without a shape", image.file);
        continue;
      }
      add(around->x + around->width / 2, size.width);
      add(around->y + around->height / 2, size.height);
      add(around->width, size.width);
      add(around->height, size.height);
    }
    texts[one.image] += line + "\n";
  }
  for (size_t i = 0; i < data.images.size(); ++i)
    writing.output.add(writing.output.place("labels/train", data.images[i].file, ".txt"),
                       std::move(texts[i]));
  std::string yaml = "path: .\ntrain: images/train\nval: images/train\nnames:\n";
  for (size_t i = 0; i < names.categories.size(); ++i)
    yaml += fmt::format("  {}: {}\n", i, dump(Json(names.categories[i].name)));
  if (names.categories.empty()) yaml = yaml.substr(0, yaml.size() - 1) + " {}\n";
  writing.output.add("data.yaml", yaml);
}

}  // namespace

void write_yolo_seg(const Dataset& data, Writing& writing) { write(data, writing, true); }
void write_yolo(const Dataset& data, Writing& writing) { write(data, writing, false); }

}  // namespace beckon::annotation
