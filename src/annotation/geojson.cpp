// GeoJSON's form with pixels for coordinates: a FeatureCollection whose features name their image;
// "images" and "categories" beside them. Rings are closed by repeating their first point; y points
// down.
#include <unordered_map>

#include <fmt/format.h>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon::annotation {
namespace {

Polygon polygon_of(const Json& rings, const std::string& place) {
  if (!rings.is_array() || rings.empty())
    fail(Kind::input, "{}: a polygon must be a list of rings", place);
  Polygon polygon;
  for (const Json& pairs : rings) {
    Ring ring = ring_of(pairs, place);
    if (ring.size() > 1 && ring.front() == ring.back()) ring.pop_back();
    if (&pairs == &rings.front())
      polygon.outer = std::move(ring);
    else
      polygon.holes.push_back(std::move(ring));
  }
  return polygon;
}

Json coordinates_of(const Ring& ring) {
  Json list = Json::array();
  for (const Vertex& v : ring) list.push_back({json_number(v.x), json_number(v.y)});
  if (!ring.empty()) list.push_back(list.front());
  return list;
}

Json coordinates_of(const Polygon& polygon) {
  Json rings = Json::array({coordinates_of(polygon.outer)});
  for (const Ring& hole : polygon.holes) rings.push_back(coordinates_of(hole));
  return rings;
}

}  // namespace

Dataset parse_geojson(std::string_view text, const std::string& name, FormatNotices& notices) {
  const Json document = parse_json(text, name);
  Dataset data;
  std::unordered_map<std::string, size_t> images;
  if (const Json* list = find(document, "images"); list && list->is_array()) {
    for (const Json& object : *list) {
      const std::string place = fmt::format("{}: image {}", name, data.images.size() + 1);
      AnnotatedImage image;
      image.file = text_or(object, "file_name", "", place);
      const int64_t width = integer_or(object, "width", 0, place),
                    height = integer_or(object, "height", 0, place);
      if (width != 0 || height != 0) check_sides(width, height, place);
      image.width = static_cast<int>(width), image.height = static_cast<int>(height);
      image.id = integer_or(object, "id", 0, place);
      if (object.is_object())
        image.extra = extra_of(object, {"file_name", "width", "height", "id"});
      images.emplace(image.file, data.images.size());
      data.images.push_back(std::move(image));
    }
  }
  if (const Json* list = find(document, "categories"); list && list->is_array()) {
    for (const Json& object : *list) {
      const std::string place = fmt::format("{}: category {}", name, data.categories.size() + 1);
      if (!object.is_object()) fail(Kind::input, "{}: expected an object", place);
      data.categories.push_back({text_or(object, "name", "", place),
                                 integer_or(object, "id", 0, place),
                                 text_or(object, "supercategory", "", place),
                                 extra_of(object, {"id", "name", "supercategory"})});
    }
  }
  std::vector<const Json*> features;
  if (const Json* list = find(document, "features"); list && list->is_array()) {
    for (const Json& feature : *list) features.push_back(&feature);
  } else if (document.is_array()) {
    for (const Json& feature : document) features.push_back(&feature);
  } else if (find(document, "type") && document["type"] == "Feature") {
    features.push_back(&document);
  } else {
    fail(Kind::input, "{}: expected a FeatureCollection with 'features'", name);
  }
  if (document.is_object() && find(document, "features"))
    data.extra = extra_of(document, {"type", "images", "categories", "features"});
  size_t count = 0;
  for (const Json* feature : features) {
    const std::string place = fmt::format("{}: feature {}", name, ++count);
    if (!feature->is_object()) fail(Kind::input, "{}: expected an object", place);
    const Json* found = find(*feature, "properties");
    const Json properties = found && found->is_object() ? *found : Json::object();
    Annotation one;
    const Json* number = find(properties, "image_index");
    std::string file = text_or(properties, "image", "", place);
    if (file.empty()) file = text_or(properties, "file_name", "", place);
    if (number && integer(*number, place) >= 0 &&
        static_cast<size_t>(integer(*number, place)) < data.images.size()) {
      one.image = static_cast<size_t>(integer(*number, place));
    } else {
      if (file.empty()) file = base_name(without_ending(name));
      const auto [at, fresh] = images.emplace(file, data.images.size());
      if (fresh) {
        AnnotatedImage image;
        image.file = file;
        data.images.push_back(image);
      }
      one.image = at->second;
    }
    if (find(*feature, "geometry")) {
      const Json& geometry = (*feature)["geometry"];
      const std::string type = text_or(geometry, "type", "", place);
      if (type == "Polygon" || type == "MultiPolygon") {
        const Json& coordinates = list_at(geometry, "coordinates", place);
        Outline outline;
        if (type == "Polygon") {
          if (!coordinates.empty()) outline.parts.push_back(polygon_of(coordinates, place));
        } else {
          for (const Json& part : coordinates) outline.parts.push_back(polygon_of(part, place));
        }
        one.shape = std::move(outline);
      } else {
        notices.add(fmt::format("GeoJSON: a {} has no area and is left out", type), place);
        continue;
      }
    }
    if (const Json* box = find(properties, "box")) {
      const BoxShape given = box_at(*box, place);
      one.shape = BoxShape{given.x, given.y, given.width, given.height,
                           optional_number(properties, "rotation", place).value_or(0)};
      check_box(std::get<BoxShape>(one.shape), place);
    }
    if (const Json* box = find(properties, "bbox")) one.box = box_at(*box, place);
    std::string label = text_or(properties, "label", "", place);
    if (label.empty()) {
      // QuPath's way to say it.
      const Json* own = find(properties, "classification");
      if (own && own->is_object()) label = text_or(*own, "name", "", place);
    }
    const Json* category = find(properties, "category_index");
    if (category && integer(*category, place) >= 0 &&
        integer(*category, place) < static_cast<int64_t>(data.categories.size()))
      one.category = static_cast<int>(integer(*category, place));
    else if (!label.empty())
      one.category = data.category(label);
    one.id =
        find(*feature, "id") && (*feature)["id"].is_number() ? integer((*feature)["id"], place) : 0;
    one.crowd = integer_or(properties, "iscrowd", 0, place) != 0;
    one.score = optional_number(properties, "score", place);
    one.predicted_iou = optional_number(properties, "predicted_iou", place);
    one.stability = optional_number(properties, "stability_score", place);
    one.area = optional_number(properties, "area", place);
    if (const Json* points = find(properties, "point_coords")) one.points = ring_of(*points, place);
    if (const Json* crop = find(properties, "crop_box")) one.crop = box_at(*crop, place);
    one.extra =
        extra_of(properties, {"image", "image_index", "file_name", "box", "bbox", "rotation",
                              "label", "category_index", "area", "iscrowd", "score",
                              "predicted_iou", "stability_score", "point_coords", "crop_box"});
    data.annotations.push_back(std::move(one));
  }
  return data;
}

Dataset read_geojson(const Reading& reading) {
  return parse_geojson(read_text(reading.path, reading.options.max_bytes), reading.path,
                       reading.notices);
}

void write_geojson(const Dataset& data, Writing& writing) {
  std::string text = "{\"type\":\"FeatureCollection\",\n\"images\":[";
  bool first = true;
  for (const AnnotatedImage& image : data.images) {
    Json object = {{"file_name", image.file}};
    if (image.id != 0) object["id"] = image.id;
    if (image.width != 0) object["width"] = image.width, object["height"] = image.height;
    put_extra(object, image.extra);
    text += (first ? "\n" : ",\n") + dump(object);
    first = false;
  }
  text += "],\n\"categories\":[";
  first = true;
  for (const Category& category : data.categories) {
    Json object = {{"name", category.name}, {"id", category.id}};
    if (!category.supercategory.empty()) object["supercategory"] = category.supercategory;
    put_extra(object, category.extra);
    text += (first ? "\n" : ",\n") + dump(object);
    first = false;
  }
  text += "],\n";
  const Json beyond = extra_json(data.extra);
  for (auto& [key, value] : beyond.items())
    if (key != "type" && key != "features") text += dump(Json(key)) + ":" + dump(value) + ",\n";
  text += "\"features\":[";
  first = true;
  for (const Annotation& one : data.annotations) {
    const AnnotatedImage& image = data.images[one.image];
    Json properties = {{"image", image.file}, {"image_index", one.image}};
    if (one.category >= 0) {
      properties["label"] = label_of(data, one);
      properties["category_index"] = one.category;
    }
    const auto put = [&](const char* key, const std::optional<double>& value) {
      if (value) properties[key] = json_number(*value);
    };
    put("score", one.score), put("predicted_iou", one.predicted_iou),
        put("stability_score", one.stability);
    put("area", one.area);
    if (one.crowd) properties["iscrowd"] = 1;
    if (!one.points.empty()) {
      properties["point_coords"] = Json::array();
      for (const Vertex& v : one.points)
        properties["point_coords"].push_back({json_number(v.x), json_number(v.y)});
    }
    if (one.crop) properties["crop_box"] = annotation::json_of(*one.crop);
    if (one.box) properties["bbox"] = annotation::json_of(*one.box);
    Json geometry;
    if (const auto* box = std::get_if<BoxShape>(&one.shape)) {
      properties["box"] = annotation::json_of(*box);
      if (box->rotation != 0) properties["rotation"] = box->rotation;
    }
    if (has_area(one)) {
      const Outline outline = apart(one, image, writing.options);
      if (outline.parts.size() == 1) {
        geometry = {{"type", "Polygon"}, {"coordinates", coordinates_of(outline.parts[0])}};
      } else {
        Json parts = Json::array();
        for (const Polygon& part : outline.parts) parts.push_back(coordinates_of(part));
        geometry = {{"type", "MultiPolygon"}, {"coordinates", std::move(parts)}};
      }
    }
    put_extra(properties, one.extra);
    Json feature = {{"type", "Feature"},
                    {"geometry", std::move(geometry)},
                    {"properties", std::move(properties)}};
    if (one.id != 0) feature["id"] = one.id;
    text += (first ? "\n" : ",\n") + dump(feature);
    first = false;
  }
  writing.output.add("", text + "]}\n");
}

}  // namespace beckon::annotation
