// COCO: one JSON file with images, categories and annotations; masks as rings of [x, y, x, y, ...],
// which are filled by COCO's own rule, or as run lengths.
#include <unordered_map>

#include <fmt/format.h>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon::annotation {
namespace {

int64_t size_or_zero(const Json& image, const char* key, const std::string& place) {
  const int64_t side = integer_or(image, key, 0, place);
  if (side < 0 || side > kLongestSide)
    fail(Kind::input, "{}: '{}' is {}, expected 1 to {}", place, key, side, kLongestSide);
  return side;
}

// Numbers as a rule; some tools write text.
std::string key_of(const Json& object, const char* name, const std::string& place) {
  const Json* id = find(object, name);
  if (!id || !(id->is_number() || id->is_string()))
    fail(Kind::input, "{}: expected a number '{}'", place, name);
  return id->is_number() ? std::to_string(integer(*id, place)) : "\"" + id->get<std::string>();
}

int64_t number_of(const Json& object, const char* name, const std::string& place) {
  const Json* id = find(object, name);
  return id && id->is_number() ? integer(*id, fmt::format("{}: '{}'", place, name)) : 0;
}

double area_of_ring(const Ring& ring) {
  double sum = 0;
  for (size_t i = 0; i < ring.size(); ++i) {
    const Vertex &a = ring[i], &b = ring[(i + 1) % ring.size()];
    sum += a.x * b.y - b.x * a.y;
  }
  return sum < 0 ? -sum / 2 : sum / 2;
}

// What a writer says without knowing better.
double plain_area(const AnnotationShape& shape) {
  if (const auto* box = std::get_if<BoxShape>(&shape)) return box->width * box->height;
  if (const auto* rle = std::get_if<Rle>(&shape)) return static_cast<double>(rle->area());
  double area = 0;
  if (const auto* outline = std::get_if<Outline>(&shape))
    for (const Polygon& part : outline->parts) area += area_of_ring(part.outer);
  return area;
}

AnnotationShape shape_of(const Json& object, const std::string& place) {
  const Json* segmentation = find(object, "segmentation");
  if (!segmentation) return {};
  if (segmentation->is_object()) {
    if (segmentation->empty()) return {};
    return rle_of(*segmentation, place + ": segmentation");
  }
  if (!segmentation->is_array())
    fail(Kind::input, "{}: 'segmentation' must be a list of polygons or run lengths", place);
  if (segmentation->empty()) return {};
  Outline outline;
  outline.coco_fill = true;
  for (const Json& part : *segmentation) {
    if (!part.is_array() || part.size() % 2 != 0)
      fail(Kind::input, "{}: a polygon must be a list [x, y, x, y, ...]", place);
    Ring ring(part.size() / 2);
    for (size_t i = 0; i < ring.size(); ++i)
      ring[i] = {number(part[2 * i], place), number(part[2 * i + 1], place)};
    if (!ring.empty()) outline.parts.push_back({std::move(ring), {}});
  }
  return outline;
}

}  // namespace

Dataset parse_coco(std::string_view text, const std::string& name, FormatNotices& notices) {
  const Json document = parse_json(text, name);
  if (!document.is_object() || !find(document, "images"))
    fail(Kind::input, "{}: expected COCO's {{\"images\": [...], \"annotations\": [...]}}", name);
  Dataset data;
  data.extra = extra_of(document, {"images", "annotations", "categories"});

  std::unordered_map<std::string, size_t> images;
  for (const Json& image : list_at(document, "images", name)) {
    const std::string place = fmt::format("{}: image {}", name, data.images.size() + 1);
    if (!image.is_object()) fail(Kind::input, "{}: expected an object", place);
    const std::string key = key_of(image, "id", place);
    if (!images.emplace(key, data.images.size()).second)
      fail(Kind::input, "{}: the id {} is there twice", place, key);
    AnnotatedImage one;
    one.id = number_of(image, "id", place);
    one.file = text_or(image, "file_name", "", place);
    one.width = static_cast<int>(size_or_zero(image, "width", place));
    one.height = static_cast<int>(size_or_zero(image, "height", place));
    if (one.width != 0 || one.height != 0) check_sides(one.width, one.height, place);
    one.extra = extra_of(image, {"id", "file_name", "width", "height"});
    data.images.push_back(std::move(one));
  }

  std::unordered_map<std::string, int> categories;
  if (find(document, "categories")) {
    for (const Json& category : list_at(document, "categories", name)) {
      const std::string place = fmt::format("{}: category {}", name, data.categories.size() + 1);
      if (!category.is_object()) fail(Kind::input, "{}: expected an object", place);
      const std::string key = key_of(category, "id", place);
      if (!categories.emplace(key, static_cast<int>(data.categories.size())).second)
        fail(Kind::input, "{}: the id {} is there twice", place, key);
      data.categories.push_back({text_or(category, "name", "", place),
                                 number_of(category, "id", place),
                                 text_or(category, "supercategory", "", place),
                                 extra_of(category, {"id", "name", "supercategory"})});
    }
  }

  if (!find(document, "annotations")) return data;
  const Json& annotations = list_at(document, "annotations", name);
  data.annotations.reserve(annotations.size());
  for (const Json& object : annotations) {
    const std::string place = fmt::format("{}: annotation {}", name, data.annotations.size() + 1);
    if (!object.is_object()) fail(Kind::input, "{}: expected an object", place);
    Annotation one;
    const auto image = images.find(key_of(object, "image_id", place));
    if (image == images.end())
      fail(Kind::input, "{}: there is no image with the id {}", place,
           dump(*find(object, "image_id")));
    one.image = image->second;
    if (find(object, "category_id")) {
      const auto category = categories.find(key_of(object, "category_id", place));
      if (category != categories.end()) {
        one.category = category->second;
      } else if (data.categories.empty() || categories.size() < data.categories.size() + 1) {
        // Class-agnostic files number a category that they do not list.
        const std::string key = key_of(object, "category_id", place);
        notices.add("COCO: a category that is not listed got its number as its name", place);
        categories[key] = static_cast<int>(data.categories.size());
        one.category = categories[key];
        data.categories.push_back({key, number_of(object, "category_id", place), {}, {}});
      }
    }
    one.id = number_of(object, "id", place);
    one.crowd = integer_or(object, "iscrowd", 0, place) != 0;
    one.score = optional_number(object, "score", place);
    one.predicted_iou = optional_number(object, "predicted_iou", place);
    one.stability = optional_number(object, "stability_score", place);
    if (const Json* points = find(object, "point_coords")) one.points = ring_of(*points, place);
    if (const Json* crop = find(object, "crop_box")) one.crop = box_at(*crop, place);
    one.shape = shape_of(object, place);
    if (const auto* rle = std::get_if<Rle>(&one.shape)) {
      const AnnotatedImage& its = data.images[one.image];
      if (its.width != 0 && rle->size() != its.size())
        fail(Kind::input, "{}: a mask of {}x{}, its image has {}x{}", place, rle->width(),
             rle->height(), its.width, its.height);
    }
    const Json* box = find(object, "bbox");
    if (box && !(box->is_array() && box->empty())) {
      const BoxShape given = box_at(*box, place);
      if (!has_area(one) && given == BoxShape{})
        one.shape = {};  // as writers say that there is none
      else if (!has_area(one))
        one.shape = given;
      else if (box_of(one) != given)
        one.box = given;
    }
    one.extra = extra_of(
        object, {"id", "image_id", "category_id", "iscrowd", "score", "area", "predicted_iou",
                 "stability_score", "point_coords", "crop_box", "segmentation", "bbox"});
    // Areas that are not that of the shape are somebody's, and kept.
    one.area = optional_number(object, "area", place);
    if (one.area && *one.area == plain_area(one.shape)) one.area.reset();
    data.annotations.push_back(std::move(one));
  }
  return data;
}

Dataset read_coco(const Reading& reading) {
  return parse_coco(read_text(reading.path, reading.options.max_bytes), reading.path,
                    reading.notices);
}

namespace {

Json json_of(const Ring& ring) {
  Json list = Json::array();
  for (const Vertex& vertex : ring) {
    list.push_back(json_number(vertex.x));
    list.push_back(json_number(vertex.y));
  }
  return list;
}

Json json_of(const Rle& rle, bool crowd) {
  Json counts = rle.string();
  // COCO's own files write crowds as numbers, and tools tell the two by that.
  if (crowd) counts = std::vector<uint32_t>(rle.counts().begin(), rle.counts().end());
  return {{"size", {rle.height(), rle.width()}}, {"counts", std::move(counts)}};
}

// Puts "segmentation" and "area".
void put_shape(Json& object, const Annotation& annotation, const AnnotatedImage& image,
               Writing& writing) {
  if (const auto* box = std::get_if<BoxShape>(&annotation.shape)) {
    object["area"] = json_number(box->width * box->height);
    if (box->rotation != 0)
      object["segmentation"] = Json::array({json_of(corners_of(*box))});
    else
      object["segmentation"] = Json::array();
    return;
  }
  if (const auto* rle = std::get_if<Rle>(&annotation.shape); rle && !writing.options.polygons) {
    object["area"] = rle->area();
    object["segmentation"] = json_of(*rle, annotation.crowd);
    return;
  }
  if (!has_area(annotation)) {
    object["area"] = 0;
    object["segmentation"] = Json::array();
    return;
  }
  Outline outline;
  if (const auto* own = std::get_if<Outline>(&annotation.shape))
    outline = *own;
  else
    outline = outline_of(std::get<Rle>(annotation.shape), writing.options.max_pixels);
  const bool holes = has_holes(outline);
  const bool drawn = std::none_of(outline.parts.begin(), outline.parts.end(),
                                  [](const Polygon& part) { return part.outer.size() < 3; });
  const bool known = image.width != 0;
  // COCO's rings have no holes; an outline that came with some keeps them as run lengths.
  if (known && !writing.options.polygons && (holes || !drawn || outline.parts.empty())) {
    const Rle rle = *mask_of(annotation, image.size(), writing.options.max_pixels);
    object["area"] = rle.area();
    object["segmentation"] = json_of(rle, annotation.crowd);
    return;
  }
  Json rings = Json::array();
  double area = 0;
  for (const Polygon& part : outline.parts) {
    const Ring ring = part.holes.empty() ? part.outer : seamed({part});
    area += area_of_ring(ring);
    rings.push_back(json_of(ring));
  }
  object["area"] =
      json_number(known && !outline.coco_fill
                      ? static_cast<double>(
                            mask_of(annotation, image.size(), writing.options.max_pixels)->area())
                      : area);
  object["segmentation"] = std::move(rings);
}

void put(Json& object, const char* key, const std::optional<double>& value) {
  if (value) object[key] = json_number(*value);
}

}  // namespace

void write_coco(const Dataset& data, Writing& writing) {
  std::string text = "{";
  const Json beyond = extra_json(data.extra);
  for (auto& [key, value] : beyond.items()) text += dump(Json(key)) + ":" + dump(value) + ",\n";

  std::vector<int64_t> image_ids;
  int64_t next = 0;
  for (const AnnotatedImage& image : data.images) next = std::max(next, image.id);
  text += "\"images\":[";
  std::unordered_map<int64_t, int> used;
  for (const AnnotatedImage& image : data.images) {
    const bool own = image.id != 0 || data.images.size() == 1;
    image_ids.push_back(own && used.emplace(image.id, 1).second ? image.id : ++next);
    used.emplace(image_ids.back(), 1);
    Json object = {{"id", image_ids.back()}, {"file_name", image.file}};
    if (image.width != 0)
      object["width"] = image.width, object["height"] = image.height;
    else
      writing.notices.add(
          "coco needs the size of an image, which is not known; give the photos with --photos DIR",
          image.file);
    put_extra(object, image.extra);
    text += (image_ids.size() == 1 ? "\n" : ",\n") + dump(object);
  }
  text += "],\n\"categories\":[";
  std::vector<int64_t> category_ids;
  int64_t next_category = 0;
  std::unordered_map<int64_t, int> used_categories;
  for (const Category& category : data.categories)
    next_category = std::max(next_category, category.id);
  for (const Category& category : data.categories) {
    category_ids.push_back(used_categories.emplace(category.id, 1).second ? category.id
                                                                          : ++next_category);
    Json object = {{"id", category_ids.back()}, {"name", category.name}};
    object["supercategory"] = category.supercategory;
    put_extra(object, category.extra);
    text += (category_ids.size() == 1 ? "\n" : ",\n") + dump(object);
  }
  int64_t unlabelled = 0;
  for (const Annotation& annotation : data.annotations) {
    if (annotation.category >= 0) continue;
    for (size_t i = 0; unlabelled == 0 && i < category_ids.size(); ++i)
      if (data.categories[i].name == "object") unlabelled = category_ids[i];
    if (unlabelled == 0) {
      unlabelled = next_category + 1;
      text += (category_ids.empty() ? "\n" : ",\n") +
              dump({{"id", unlabelled}, {"name", "object"}, {"supercategory", ""}});
    }
    writing.notices.add("coco needs a category: what has none is called 'object'",
                        data.images[annotation.image].file);
  }
  text += "],\n\"annotations\":[";

  int64_t last = 0;
  for (const Annotation& annotation : data.annotations) last = std::max(last, annotation.id);
  std::unordered_map<int64_t, int> used_ids;
  bool first = true;
  for (const Annotation& annotation : data.annotations) {
    Json object;
    const bool own = annotation.id != 0 && used_ids.emplace(annotation.id, 1).second;
    object["id"] = own ? annotation.id : ++last;
    object["image_id"] = image_ids[annotation.image];
    if (annotation.category >= 0)
      object["category_id"] = category_ids[static_cast<size_t>(annotation.category)];
    object["iscrowd"] = annotation.crowd ? 1 : 0;
    put_shape(object, annotation, data.images[annotation.image], writing);
    if (annotation.area) object["area"] = json_number(*annotation.area);
    // Readers of COCO look for these two in every annotation.
    object["bbox"] = json_of(box_of(annotation).value_or(BoxShape{}));
    if (annotation.category < 0 && unlabelled != 0) object["category_id"] = unlabelled;
    put(object, "score", annotation.score);
    put(object, "predicted_iou", annotation.predicted_iou);
    put(object, "stability_score", annotation.stability);
    if (!annotation.points.empty()) {
      Json points = Json::array();
      for (const Vertex& point : annotation.points)
        points.push_back({json_number(point.x), json_number(point.y)});
      object["point_coords"] = std::move(points);
    }
    if (annotation.crop) object["crop_box"] = annotation::json_of(*annotation.crop);
    put_extra(object, annotation.extra);
    text += (first ? "\n" : ",\n") + dump(object);
    first = false;
  }
  writing.output.add("", text + "]}\n");
}

}  // namespace beckon::annotation
