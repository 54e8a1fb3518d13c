// Label Studio: a JSON list of tasks; polygons and rectangles in percent, brushes as its own run
// lengths. Those are bits: the length of the data (32), the width of a value less one (5), four
// widths of lengths less one (4 each), then blocks of a flag "repeated" (1), which of the four
// widths (2), the length less one, and one value or as many values. The data are the RGBA bytes of
// the picture, of which alpha is the mask.
#include "annotation/label_studio.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon::annotation {
namespace {

class Bits {
 public:
  Bits(std::span<const uint8_t> bytes, const std::string& place) : bytes_(bytes), place_(place) {}
  uint32_t take(int count) {
    if (at_ + static_cast<size_t>(count) > bytes_.size() * 8)
      fail(Kind::input, "{}: brush run lengths end too early, at bit {}", place_, at_);
    uint32_t value = 0;
    for (int i = 0; i < count; ++i, ++at_)
      value = value << 1 | (bytes_[at_ / 8] >> (7 - at_ % 8) & 1u);
    return value;
  }

 private:
  std::span<const uint8_t> bytes_;
  const std::string& place_;
  size_t at_ = 0;
};

class BitWriter {
 public:
  void put(uint32_t value, int count) {
    for (int i = count - 1; i >= 0; --i, ++count_) {
      if (count_ % 8 == 0) bytes_.push_back(0);
      bytes_.back() = static_cast<uint8_t>(bytes_.back() | (value >> i & 1) << (7 - count_ % 8));
    }
  }
  // The converter fills up to whole bytes, by a whole one if there is nothing to fill.
  std::vector<uint8_t> finish() {
    if (count_ % 8 == 0) bytes_.push_back(0);
    return std::move(bytes_);
  }

 private:
  std::vector<uint8_t> bytes_;
  size_t count_ = 0;
};

}  // namespace

Mask brush_mask(std::span<const uint8_t> bytes, ImageSize size, const std::string& place) {
  check_sides(size.width, size.height, place);
  Bits bits(bytes, place);
  const size_t length = bits.take(32);
  const int width = static_cast<int>(bits.take(5)) + 1;
  if (width > 16) fail(Kind::input, "{}: brush values of {} bits, expected 8", place, width);
  int widths[4];
  for (int& w : widths) w = static_cast<int>(bits.take(4)) + 1;
  const size_t pixels = static_cast<size_t>(size.width) * static_cast<size_t>(size.height);
  if (length != pixels * 4)
    fail(Kind::input, "{}: brush run lengths of {} values, expected {}x{}x4", place, length,
         size.width, size.height);
  if (pixels > 100'000'000)
    fail(Kind::resource, "{}: a picture of {}x{} has more than 100000000 pixels", place, size.width,
         size.height);
  // Every block takes at least some bits, but may stand for 65536 values: no more than that.
  if (length / 65536 > bytes.size() * 8)
    fail(Kind::input, "{}: brush run lengths end too early", place);
  std::vector<uint8_t> alpha(pixels);
  uint32_t highest = 0;
  size_t at = 0;
  while (at < length) {
    const bool repeated = bits.take(1) != 0;
    const size_t end = at + 1 + bits.take(widths[bits.take(2)]);
    if (end > length) fail(Kind::input, "{}: brush run lengths go past the end", place);
    uint32_t value = repeated ? bits.take(width) : 0;
    for (; at < end; ++at) {
      if (!repeated) value = bits.take(width);
      if (at % 4 != 3) continue;
      alpha[at / 4] = static_cast<uint8_t>(std::min(value, 255u));
      highest = std::max(highest, value);
    }
  }
  // Borders may be smoothed, and some write 1 for 255.
  Mask mask(size);
  for (int y = 0; y < size.height; ++y) {
    uint8_t* row = mask.mutable_row(y);
    const uint8_t* from = alpha.data() + static_cast<size_t>(y) * static_cast<size_t>(size.width);
    for (int x = 0; x < size.width; ++x) row[x] = 2u * from[x] > std::min(highest, 255u);
  }
  return mask;
}

std::vector<uint8_t> brush_bytes(const Mask& mask) {
  BitWriter bits;
  const size_t pixels = mask.values().size();
  bits.put(static_cast<uint32_t>(pixels * 4), 32);
  bits.put(7, 5);
  for (uint32_t width : {3u, 4u, 8u, 16u}) bits.put(width - 1, 4);
  const auto values = mask.values();
  for (size_t i = 0; i < pixels;) {
    size_t j = i;
    while (j < pixels && values[j] == values[i]) ++j;
    size_t length = (j - i) * 4;
    const uint32_t value = values[i] != 0 ? 255 : 0;
    const auto block = [&](uint32_t which, int width, size_t run) {
      bits.put(1, 1), bits.put(which, 2);
      bits.put(static_cast<uint32_t>(run - 1), width), bits.put(value, 8);
    };
    if (length <= 8) {
      block(0, 3, length);
    } else if (length <= 16) {
      block(1, 4, length);
    } else if (length <= 256) {
      block(2, 8, length);
    } else {
      for (; length > 65536; length -= 65536) block(3, 16, 65536);
      block(3, 16, length);
    }
    i = j;
  }
  return bits.finish();
}

namespace {

double pixels_of_percent(double percent, int side) {
  return std::round(percent * side * 1e4) / 1e6;
}

// Reads the value's percent.
struct Percent {
  const Json& value;
  ImageSize size;
  const std::string& place;
  double at(const char* key, int side) const {
    const Json* percent = find(value, key);
    if (!percent) fail(Kind::input, "{}: expected a number '{}'", place, key);
    return checked(pixels_of_percent(number(*percent, place), side), place);
  }
  double x(const char* key) const { return at(key, size.width); }
  double y(const char* key) const { return at(key, size.height); }
};

AnnotationShape shape_of(const std::string& type, const Json& value, ImageSize size,
                         const std::string& place) {
  const Percent percent{value, size, place};
  const auto rotation = optional_number(value, "rotation", place).value_or(0);
  if (type.starts_with("rectangle")) {
    BoxShape box{percent.x("x"), percent.y("y"), percent.x("width"), percent.y("height"), rotation};
    check_box(box, place);
    return box;
  }
  if (type.starts_with("polygon")) {
    Ring ring = ring_of(list_at(value, "points", place), place);
    for (Vertex& v : ring) {
      v = {checked(pixels_of_percent(v.x, size.width), place),
           checked(pixels_of_percent(v.y, size.height), place)};
    }
    if (ring.empty()) return {};
    return outline_of_ring(std::move(ring));
  }
  if (type.starts_with("ellipse")) {
    const double angle = checked(rotation, place) * 3.14159265358979323846 / 180;
    const double cx = percent.x("x"), cy = percent.y("y");
    const double rx = percent.x("radiusX"), ry = percent.y("radiusY");
    Ring ring;
    for (int i = 0; i < 360; ++i) {
      const double t = i * 3.14159265358979323846 / 180;
      const double x = rx * std::cos(t), y = ry * std::sin(t);
      ring.push_back({cx + x * std::cos(angle) - y * std::sin(angle),
                      cy + x * std::sin(angle) + y * std::cos(angle)});
    }
    return outline_of_ring(std::move(ring));
  }
  if (find(value, "rle")) {
    const Json& list = list_at(value, "rle", place);
    std::vector<uint8_t> bytes;
    bytes.reserve(list.size());
    for (const Json& byte : list) {
      const int64_t number = integer(byte, place + ": rle");
      if (number < 0 || number > 255) fail(Kind::input, "{}: rle: {} is no byte", place, number);
      bytes.push_back(static_cast<uint8_t>(number));
    }
    return brush_mask(bytes, size, place).rle();
  }
  return {};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

std::string without_percent_codes(std::string_view text) {
  std::string result;
  for (size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low >= 0) i += 2;
    result += low >= 0 ? static_cast<char>(16 * high + low) : text[i];
  }
  return result;
}

// The file that an address of Label Studio's server or of a store stands for:
// '/data/upload/1/a.jpg' is a.jpg, '/data/local-files/?d=a/b.jpg' is a/b.jpg, 's3://bucket/a/b.jpg'
// is a/b.jpg. What uploads put before a name is kept, it cannot be told from the name. Other names
// are as they are.
std::string file_behind(const std::string& address) {
  constexpr std::string_view kUpload = "/data/upload/", kLocal = "/data/local-files/?d=";
  const size_t scheme = address.find("://");
  const bool has_scheme = scheme != std::string::npos && scheme > 0 && scheme < 10;
  std::string path = address;
  if (has_scheme) {
    const size_t host = address.find('/', scheme + 3);
    if (host == std::string::npos) return address;
    path = address.substr(host);
  }
  if (path.rfind(kLocal, 0) == 0) {
    path = without_percent_codes(std::string_view(path).substr(kLocal.size()));
  } else if (path.rfind(kUpload, 0) == 0) {
    path = path.substr(0, path.find_first_of("?#"));
    path = without_percent_codes(std::string_view(path).substr(path.rfind('/')));
  } else if (has_scheme) {
    path = without_percent_codes(path.substr(0, path.find_first_of("?#")));
  } else {
    return address;
  }
  path.erase(0, path.find_first_not_of('/'));
  return path.empty() || path.back() == '/' ? address : path;
}

// Which key of a task's data names the photo; empty if none does.
std::string photo_key(const Json& data) {
  for (const char* key : {"image", "img", "photo", "url"})
    if (const Json* file = find(data, key); file && file->is_string()) return key;
  for (const auto& [key, value] : data.items())
    if (value.is_string()) return key;
  return {};
}

std::string file_of(const Json& task, size_t number) {
  const Json& data = task["data"];
  const std::string key = photo_key(data);
  return key.empty() ? fmt::format("task-{}", number) : file_behind(data[key].get<std::string>());
}

void read_results(const Json& holder, size_t index, bool predicted, Dataset& data,
                  const std::string& place, FormatNotices& notices) {
  const Json* results = find(holder, "result");
  if (!results || !results->is_array()) return;
  const auto score = optional_number(holder, "score", place);
  size_t count = 0;
  for (const Json& result : *results) {
    const std::string here = fmt::format("{}: result {}", place, ++count);
    if (!result.is_object()) fail(Kind::input, "{}: expected an object", here);
    const std::string type = text_or(result, "type", "", here);
    const Json* value = find(result, "value");
    if (!value || !value->is_object()) {
      notices.add("Label Studio: results without a value (relations) are left out", here);
      continue;
    }
    AnnotatedImage& image = data.images[index];
    const int64_t width = integer_or(result, "original_width", image.width, here);
    const int64_t height = integer_or(result, "original_height", image.height, here);
    if (width == 0 || height == 0) {
      notices.add("Label Studio: results without original_width and original_height are left out",
                  here);
      continue;
    }
    check_sides(width, height, here);
    const ImageSize size{static_cast<int>(width), static_cast<int>(height)};
    if (image.width == 0) image.width = size.width, image.height = size.height;
    if (image.size() != size)
      fail(Kind::input, "{}: the image has {}x{} here and {}x{} before", here, width, height,
           image.width, image.height);
    if (integer_or(result, "image_rotation", 0, here) != 0)
      notices.add("Label Studio: an image turned by hand is taken as not turned", here);
    Annotation one;
    one.image = index;
    one.shape = shape_of(type, *value, size, here);
    if (!has_area(one)) {
      notices.add(fmt::format("Label Studio: '{}' has no area and is left out", type), here);
      continue;
    }
    const Json* labels = find(*value, type.c_str());
    if (!labels) labels = find(*value, "labels");
    if (labels && labels->is_array() && !labels->empty() && labels->front().is_string()) {
      one.category = data.category(labels->front().get<std::string>());
      if (labels->size() > 1)
        notices.add("Label Studio: of several labels of a region the first is taken", here);
    }
    one.score = optional_number(result, "score", here);
    if (!one.score && predicted) one.score = score;
    Json extra = extra_json(
        extra_of(result, {"type", "value", "original_width", "original_height", "score"}));
    for (const char* usual : {"image_rotation", "from_name", "to_name"})
      if (extra.contains(usual)) {
        const Json& is = extra[usual];
        if (is == 0 || is == "tag" || is == "image") extra.erase(usual);
      }
    if (!extra.empty()) one.extra = dump(extra);
    data.annotations.push_back(std::move(one));
  }
}

}  // namespace

Dataset parse_label_studio(std::string_view text, const std::string& name, FormatNotices& notices) {
  Json document = parse_json(text, name);
  if (document.is_object()) document = Json::array({std::move(document)});
  if (!document.is_array()) fail(Kind::input, "{}: expected Label Studio's list of tasks", name);
  Dataset data;
  for (const Json& task : document) {
    const std::string place = fmt::format("{}: task {}", name, data.images.size() + 1);
    if (!task.is_object() || !find(task, "data") || !task["data"].is_object())
      fail(Kind::input, "{}: expected {{\"data\": {{...}}, \"annotations\": [...]}}", place);
    AnnotatedImage image;
    image.file = file_of(task, data.images.size() + 1);
    image.id = find(task, "id") && task["id"].is_number() ? integer(task["id"], place) : 0;
    const int64_t width = integer_or(task["data"], "width", 0, place);
    const int64_t height = integer_or(task["data"], "height", 0, place);
    if (width != 0 || height != 0) check_sides(width, height, place);
    image.width = static_cast<int>(width), image.height = static_cast<int>(height);
    Json extra = extra_json(extra_of(task, {"id", "data", "annotations", "predictions"}));
    Json more = task["data"];
    for (const char* key : {"width", "height"}) more.erase(key);
    if (more.contains("image") && more["image"] == image.file) more.erase("image");
    if (!more.empty()) extra["data"] = more;
    if (!extra.empty()) image.extra = dump(extra);
    const size_t index = data.images.size();
    data.images.push_back(std::move(image));
    bool annotated = false;
    for (const char* kind : {"annotations", "predictions"}) {
      const Json* list = find(task, kind);
      if (!list || !list->is_array()) continue;
      const bool predicted = kind[0] == 'p';
      if (predicted && annotated) continue;  // the answer of a person goes before a guess
      size_t count = 0;
      for (const Json& holder : *list) {
        ++count;
        if (find(holder, "was_cancelled") && holder["was_cancelled"] == true) continue;
        if (annotated) {
          notices.add("Label Studio: of several annotations of a task the first is taken", place);
          break;
        }
        read_results(holder, index, predicted, data, fmt::format("{}: {} {}", place, kind, count),
                     notices);
        annotated = true;
      }
    }
  }
  return data;
}

Dataset read_label_studio(const Reading& reading) {
  return parse_label_studio(read_text(reading.path, reading.options.max_bytes), reading.path,
                            reading.notices);
}

void write_label_studio(const Dataset& data, Writing& writing) {
  std::vector<Json> results(data.images.size(), Json::array());
  size_t number = 0;
  for (const Annotation& one : data.annotations) {
    const AnnotatedImage& image = data.images[one.image];
    const ImageSize size = size_of(image, "label-studio");
    if (!has_area(one)) {
      writing.notices.add("label-studio has no place for a label without a shape", image.file);
      continue;
    }
    const auto x = [&](double v) { return v * 100 / size.width; };
    const auto y = [&](double v) { return v * 100 / size.height; };
    Json value = Json::object();
    std::string type;
    const auto* own = std::get_if<Outline>(&one.shape);
    if (const auto* box = std::get_if<BoxShape>(&one.shape)) {
      type = "rectangle";
      value = {{"x", x(box->x)},
               {"y", y(box->y)},
               {"width", x(box->width)},
               {"height", y(box->height)},
               {"rotation", box->rotation}};
    } else {
      Outline outline;
      const bool plain = own && own->parts.size() == 1 && own->parts[0].holes.empty();
      if (plain)
        outline = *own;
      else if (writing.options.polygons)
        outline = apart(one, image, writing.options);
      if (!outline.parts.empty()) {
        type = "polygon";
        Json points = Json::array();
        for (const Vertex& v : seamed(outline.parts)) points.push_back({x(v.x), y(v.y)});
        value = {{"points", std::move(points)}, {"closed", true}};
      } else {
        type = "brush";
        const Mask mask = Mask::from_rle(*mask_of(one, size, writing.options.max_pixels),
                                         writing.options.max_pixels);
        if (mask.values().size() >= size_t{1} << 30)
          fail(Kind::resource, "{}: too large for brush run lengths", image.file);
        value = {{"format", "rle"}, {"rle", brush_bytes(mask)}};
      }
    }
    type += "labels";
    if (one.category >= 0) value[type] = {label_of(data, one)};
    Json result = {{"type", type},
                   {"value", std::move(value)},
                   {"original_width", size.width},
                   {"original_height", size.height},
                   {"image_rotation", 0},
                   {"to_name", "image"}};
    result["from_name"] = "tag";
    if (one.score) result["score"] = *one.score;
    const Json extra = extra_json(one.extra);
    for (auto& [key, kept] : extra.items())
      if (!result.contains(key) || key == "image_rotation" || key == "to_name" ||
          key == "from_name")
        result[key] = kept;
    if (!find(result, "id")) result["id"] = fmt::format("beckon{:06}", ++number);
    results[one.image].push_back(std::move(result));
  }
  std::string text = "[";
  for (size_t i = 0; i < data.images.size(); ++i) {
    const AnnotatedImage& image = data.images[i];
    Json extra = extra_json(image.extra);
    Json about = Json::object();
    if (extra.contains("data") && extra["data"].is_object()) about = extra["data"];
    extra.erase("data");
    if (about.find("image") == about.end()) about["image"] = image.file;
    if (image.width != 0) about["width"] = image.width, about["height"] = image.height;
    Json task = {{"id", image.id != 0 ? image.id : static_cast<int64_t>(i) + 1},
                 {"data", std::move(about)},
                 {"annotations", Json::array({{{"result", std::move(results[i])}}})}};
    put_extra(task, dump(extra));
    text += (i == 0 ? "\n" : ",\n") + dump(task);
  }
  writing.output.add("", text + "]\n");
}

}  // namespace beckon::annotation
