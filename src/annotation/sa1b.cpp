// SA-1B: a JSON file an image, {"image": {...}, "annotations": [...]}; masks as COCO's compressed
// run lengths. What `beckon annotate` writes is of this form, with labels.
#include <fmt/format.h>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon::annotation {

void parse_sa1b(std::string_view text, const std::string& name, Dataset& data) {
  const Json document = parse_json(text, name);
  const Json* image = find(document, "image");
  if (!image || !image->is_object() || !find(document, "annotations"))
    fail(Kind::input, "{}: expected SA-1B's {{\"image\": {{...}}, \"annotations\": [...]}}", name);
  AnnotatedImage picture;
  const std::string place = name + ": image";
  picture.file = text_or(*image, "file_name", "", place);
  picture.id = integer_or(*image, "image_id", 0, place);
  const int64_t width = integer_or(*image, "width", 0, place);
  const int64_t height = integer_or(*image, "height", 0, place);
  check_sides(width, height, place);
  picture.width = static_cast<int>(width);
  picture.height = static_cast<int>(height);
  picture.extra = extra_of(*image, {"file_name", "image_id", "width", "height"});
  // The keys beside the image are about it: there is one such file an image.
  const std::string beside = extra_of(document, {"image", "annotations"});
  if (!beside.empty()) {
    Json extra = extra_json(picture.extra);
    extra["sa1b"] = extra_json(beside);
    picture.extra = dump(extra);
  }
  const size_t index = data.images.size();
  data.images.push_back(picture);
  size_t count = 0;
  for (const Json& object : list_at(document, "annotations", name)) {
    const std::string here = fmt::format("{}: annotation {}", name, ++count);
    if (!object.is_object()) fail(Kind::input, "{}: expected an object", here);
    Annotation one;
    one.image = index;
    one.id = integer_or(object, "id", 0, here);
    one.predicted_iou = optional_number(object, "predicted_iou", here);
    one.stability = optional_number(object, "stability_score", here);
    one.score = optional_number(object, "score", here);
    if (const Json* points = find(object, "point_coords")) one.points = ring_of(*points, here);
    if (const Json* crop = find(object, "crop_box")) one.crop = box_at(*crop, here);
    const std::string label = text_or(object, "label", "", here);
    if (!label.empty()) one.category = data.category(label);
    if (const Json* segmentation = find(object, "segmentation")) {
      one.shape = rle_of(*segmentation, here + ": segmentation");
      if (std::get<Rle>(one.shape).size() != picture.size())
        fail(Kind::input, "{}: a mask of {}x{}, its image has {}x{}", here,
             std::get<Rle>(one.shape).width(), std::get<Rle>(one.shape).height(), picture.width,
             picture.height);
    }
    if (const Json* box = find(object, "bbox")) {
      const BoxShape given = box_at(*box, here);
      if (!has_area(one))
        one.shape = given;
      else if (box_of(one) != given)
        one.box = given;
    }
    one.extra = extra_of(object, {"id", "predicted_iou", "stability_score", "score", "point_coords",
                                  "crop_box", "label", "segmentation", "bbox", "area"});
    data.annotations.push_back(std::move(one));
  }
}

Dataset read_sa1b(const Reading& reading) {
  Dataset data;
  for (const std::string& file : files_in(reading.path, ".json"))
    parse_sa1b(read_text(file, reading.options.max_bytes), file, data);
  return data;
}

void write_sa1b(const Dataset& data, Writing& writing) {
  std::vector<std::string> lists(data.images.size());
  std::vector<int64_t> numbers(data.images.size());
  for (const Annotation& annotation : data.annotations) {
    const AnnotatedImage& image = data.images[annotation.image];
    const auto box = box_of(annotation);
    Json object;
    object["id"] = annotation.id != 0 ? annotation.id : ++numbers[annotation.image];
    if (const auto mask = mask_of(annotation, size_of(image, "sa1b"), writing.options.max_pixels)) {
      if (!std::holds_alternative<BoxShape>(annotation.shape)) {
        object["segmentation"] = {{"size", {mask->height(), mask->width()}},
                                  {"counts", mask->string()}};
      }
      object["area"] = mask->area();
    }
    if (box) object["bbox"] = json_of(*box);
    if (annotation.predicted_iou) object["predicted_iou"] = json_number(*annotation.predicted_iou);
    if (annotation.score) object["score"] = json_number(*annotation.score);
    if (annotation.stability) object["stability_score"] = json_number(*annotation.stability);
    Json points = Json::array();
    for (const Vertex& point : annotation.points)
      points.push_back({json_number(point.x), json_number(point.y)});
    if (!points.empty()) object["point_coords"] = std::move(points);
    if (annotation.crop) object["crop_box"] = json_of(*annotation.crop);
    const std::string label = label_of(data, annotation);
    if (!label.empty()) object["label"] = label;
    put_extra(object, annotation.extra);
    std::string& list = lists[annotation.image];
    list += (list.empty() ? "\n" : ",\n") + dump(object);
  }
  for (size_t i = 0; i < data.images.size(); ++i) {
    const AnnotatedImage& image = data.images[i];
    const ImageSize size = size_of(image, "sa1b");
    Json head = {{"image_id", image.id != 0 ? image.id : static_cast<int64_t>(i) + 1},
                 {"width", size.width},
                 {"height", size.height},
                 {"file_name", image.file}};
    Json extra = extra_json(image.extra);
    Json beside = Json::object();
    if (extra.contains("sa1b")) beside = extra["sa1b"], extra.erase("sa1b");
    put_extra(head, dump(extra));
    std::string text = "{\"image\":" + dump(head) + ",\n\"annotations\":[" + lists[i] + "]";
    // A seal is of the bytes it was made for.
    if (beside.is_object())
      for (auto& [key, value] : beside.items())
        if (key != "seal") text += ",\n" + dump(Json(key)) + ":" + dump(value);
    writing.output.add(writing.single_file ? "" : writing.output.place("", image.file, ".json"),
                       text + "}\n");
  }
}

}  // namespace beckon::annotation
