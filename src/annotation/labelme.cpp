// LabelMe: a JSON file an image. Coordinates are of the photo turned upright. Shapes of one label
// and group_id are parts of one object; a shape of type "mask" (since version 5.3) is a PNG of its
// box.
#include <cmath>

#include <fmt/format.h>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon::annotation {
namespace {

AnnotationShape shape_of(const Json& object, const std::string& type, const Ring& points,
                         ImageSize size, const std::string& place) {
  if (type == "rectangle" && points.size() >= 2) {
    const Vertex &a = points[0], &b = points[1];
    if (points.size() == 4) return outline_of_ring(points);
    return BoxShape{std::min(a.x, b.x), std::min(a.y, b.y), std::abs(a.x - b.x),
                    std::abs(a.y - b.y)};
  }
  if (type == "circle" && points.size() == 2) {
    const double radius = std::hypot(points[1].x - points[0].x, points[1].y - points[0].y);
    const int corners = std::clamp(static_cast<int>(radius * 4), 16, 720);
    Ring ring;
    for (int i = 0; i < corners; ++i) {
      const double angle = 2 * 3.14159265358979323846 * i / corners;
      ring.push_back(
          {points[0].x + radius * std::cos(angle), points[0].y + radius * std::sin(angle)});
    }
    return outline_of_ring(ring);
  }
  if (type == "mask") {
    if (points.size() != 2) fail(Kind::input, "{}: a mask needs the two corners of its box", place);
    const Json* text = find(object, "mask");
    if (!text || !text->is_string())
      fail(Kind::input, "{}: a mask needs 'mask', a PNG in base64", place);
    const auto bytes = from_base64(text->get_ref<const std::string&>(), place);
    const Mask part = Mask::decode(bytes, place);
    const auto left = static_cast<int64_t>(points[0].x), top = static_cast<int64_t>(points[0].y);
    if (left < 0 || top < 0 || left + part.width() > size.width ||
        top + part.height() > size.height)
      fail(Kind::input, "{}: a mask of {}x{} at ({}, {}) reaches out of the picture of {}x{}",
           place, part.width(), part.height(), left, top, size.width, size.height);
    Mask whole(size);
    for (int y = 0; y < part.height(); ++y)
      std::copy_n(part.row(y), part.width(), whole.mutable_row(y + static_cast<int>(top)) + left);
    return whole.rle();
  }
  if ((type == "polygon" || type.empty()) && !points.empty()) return outline_of_ring(points);
  return {};
}

}  // namespace

void parse_labelme(std::string_view text, const std::string& name, Dataset& data,
                   FormatNotices& notices) {
  const Json document = parse_json(text, name);
  if (!document.is_object() || !find(document, "shapes"))
    fail(Kind::input, "{}: expected LabelMe's {{\"shapes\": [...]}}", name);
  AnnotatedImage image;
  image.file = text_or(document, "imagePath", base_name(without_ending(name)), name);
  const int64_t width = integer_or(document, "imageWidth", 0, name);
  const int64_t height = integer_or(document, "imageHeight", 0, name);
  if (width != 0 || height != 0) check_sides(width, height, name);
  image.width = static_cast<int>(width), image.height = static_cast<int>(height);
  if (const Json* bytes = find(document, "imageData"); bytes && bytes->is_string()) {
    notices.add("LabelMe: the photo inside the file is left out", name);
    if (width == 0) {
      const Image photo = Image::decode(from_base64(bytes->get<std::string>(), name), name);
      image.width = photo.width(), image.height = photo.height();
    }
  }
  image.extra =
      extra_of(document, {"shapes", "imagePath", "imageWidth", "imageHeight", "imageData"});
  const size_t index = data.images.size();
  data.images.push_back(image);

  std::map<std::pair<std::string, std::string>, size_t> groups;
  size_t count = 0;
  for (const Json& object : list_at(document, "shapes", name)) {
    const std::string place = fmt::format("{}: shape {}", name, ++count);
    if (!object.is_object()) fail(Kind::input, "{}: expected an object", place);
    const std::string label = text_or(object, "label", "", place);
    const std::string type = text_or(object, "shape_type", "", place);
    const Json* points = find(object, "points");
    if (!points) fail(Kind::input, "{}: expected 'points'", place);
    const Ring ring = ring_of(*points, place);
    Annotation one;
    one.image = index;
    if (type == "mask" && image.width == 0)
      fail(Kind::input, "{}: a mask needs imageWidth and imageHeight", place);
    one.shape = shape_of(object, type, ring, image.size(), place);
    if (!label.empty()) one.category = data.category(label);
    one.extra = extra_of(object, {"label", "points", "shape_type", "mask"});
    if (!has_area(one)) {
      one.points = ring;
      Json extra = extra_json(one.extra);
      extra["shape_type"] = type;
      one.extra = dump(extra);
    }
    const Json* group = find(object, "group_id");
    if (group && has_area(one) && !std::holds_alternative<BoxShape>(one.shape)) {
      const auto [place_of, fresh] =
          groups.emplace(std::pair(label, dump(*group)), data.annotations.size());
      if (!fresh) {
        Annotation& whole = data.annotations[place_of->second];
        auto *ours = std::get_if<Outline>(&whole.shape), *its = std::get_if<Outline>(&one.shape);
        if (ours && its) {
          ours->parts.insert(ours->parts.end(), its->parts.begin(), its->parts.end());
        } else {
          const Rle both[] = {*mask_of(whole, image.size()), *mask_of(one, image.size())};
          whole.shape = merge(both);
        }
        continue;
      }
    }
    data.annotations.push_back(std::move(one));
  }
}

Dataset read_labelme(const Reading& reading) {
  Dataset data;
  for (const std::string& file : files_in(reading.path, ".json"))
    parse_labelme(read_text(file, reading.options.max_bytes), file, data, reading.notices);
  return data;
}

namespace {

Json shape_json(const std::string& label, const char* type, const Ring& ring) {
  Json points = Json::array();
  for (const Vertex& v : ring) points.push_back({json_number(v.x), json_number(v.y)});
  return {{"label", label},
          {"points", points},
          {"group_id", nullptr},
          {"shape_type", type},
          {"flags", Json::object()}};
}

Json mask_json(const std::string& label, const Rle& rle, int64_t max_pixels) {
  const Mask mask = Mask::from_rle(rle, max_pixels);
  PixelBox box = rle.bounding_box();
  if (box.width == 0) box = {0, 0, 1, 1};  // an empty mask still has a box here
  Json object = shape_json(
      label, "mask",
      {{static_cast<double>(box.x), static_cast<double>(box.y)},
       {static_cast<double>(box.x + box.width - 1), static_cast<double>(box.y + box.height - 1)}});
  const auto png = mask.image().crop(box.x, box.y, box.width, box.height).encode_png();
  object["mask"] = base64({reinterpret_cast<const char*>(png.data()), png.size()});
  return object;
}

}  // namespace

void write_labelme(const Dataset& data, Writing& writing) {
  std::vector<Json> shapes(data.images.size(), Json::array());
  std::vector<std::map<std::string, int64_t>> groups(data.images.size());
  int64_t group = 0;
  for (const Annotation& one : data.annotations) {
    const Json* theirs = nullptr;
    const Json extra = extra_json(one.extra);
    if ((theirs = find(extra, "group_id")) && theirs->is_number_integer())
      group = std::max(group, theirs->get<int64_t>());
  }
  for (const Annotation& one : data.annotations) {
    const AnnotatedImage& image = data.images[one.image];
    Json& list = shapes[one.image];
    const std::string label = label_of(data, one);
    const auto add = [&](Json object, bool grouped) {
      Json extra = extra_json(one.extra);
      if (grouped) object["group_id"] = group, extra.erase("group_id");
      for (auto& [key, value] : extra.items())
        if (!object.contains(key) || key == "group_id" || key == "flags") object[key] = value;
      list.push_back(std::move(object));
    };
    if (const auto* box = std::get_if<BoxShape>(&one.shape); box && box->rotation == 0) {
      add(shape_json(label, "rectangle",
                     {{box->x, box->y}, {box->x + box->width, box->y + box->height}}),
          false);
      continue;
    }
    if (!has_area(one)) {
      const Json extra = extra_json(one.extra);
      const Json* type = find(extra, "shape_type");
      if (type && type->is_string())
        add(shape_json(label, type->get_ref<const std::string&>().c_str(), one.points), false);
      else
        writing.notices.add("labelme has no place for a label without a shape", image.file);
      continue;
    }
    const bool rle = std::holds_alternative<Rle>(one.shape);
    Outline outline = apart(one, image, writing.options);
    if (!writing.options.polygons && (rle || has_holes(outline) || outline.parts.empty())) {
      const Rle mask = *mask_of(one, size_of(image, "labelme"), writing.options.max_pixels);
      const bool plain = !outline.parts.empty() && !has_holes(outline);
      if (!plain) {
        add(mask_json(label, mask, writing.options.max_pixels), false);
        continue;
      }
    }
    const bool grouped = outline.parts.size() > 1;
    if (grouped) ++group;
    for (const Polygon& part : outline.parts)
      add(shape_json(label, "polygon", part.holes.empty() ? part.outer : seamed({part})), grouped);
    if (outline.parts.empty())
      writing.notices.add("labelme has no polygon for an empty mask", image.file);
  }
  for (size_t i = 0; i < data.images.size(); ++i) {
    const AnnotatedImage& image = data.images[i];
    const ImageSize size = size_of(image, "labelme");
    Json document = {{"shapes", std::move(shapes[i])},
                     {"imagePath", image.file},
                     {"imageData", nullptr},
                     {"imageHeight", size.height},
                     {"imageWidth", size.width}};
    put_extra(document, image.extra);
    if (!document.contains("version")) document["version"] = "5.4.1";
    if (!document.contains("flags")) document["flags"] = Json::object();
    writing.output.add(writing.single_file ? "" : writing.output.place("", image.file, ".json"),
                       dump(document, 2) + "\n");
  }
}

}  // namespace beckon::annotation
