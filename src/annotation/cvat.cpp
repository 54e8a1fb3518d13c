// CVAT for images 1.1: one XML file; polygons, boxes and masks. A mask's run lengths go along the
// rows of its box and begin with background.
#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "annotation/format.h"
#include "annotation/xml.h"
#include "base/fail.h"

namespace beckon::annotation {
namespace {

Ring points_of(std::string_view text, const std::string& place) {
  Ring ring;
  while (!text.empty()) {
    const size_t end = text.find(';');
    const std::string_view pair = text.substr(0, end);
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    if (pair.find_first_not_of(" \t\r\n") == pair.npos) continue;
    const size_t comma = pair.find(',');
    if (comma == pair.npos) fail(Kind::input, "{}: expected points 'x,y;x,y'", place);
    ring.push_back({checked(parse_number(pair.substr(0, comma), place), place),
                    checked(parse_number(pair.substr(comma + 1), place), place)});
  }
  return ring;
}

Rle mask_of_node(const pugi::xml_node& node, ImageSize size, const std::string& place) {
  const int64_t left = xml_side(node.attribute("left").as_string("0"), place + ": left");
  const int64_t top = xml_side(node.attribute("top").as_string("0"), place + ": top");
  const int64_t width = xml_side(node.attribute("width").as_string("0"), place + ": width");
  const int64_t height = xml_side(node.attribute("height").as_string("0"), place + ": height");
  check_sides(size.width, size.height, place);
  if (left + width > size.width || top + height > size.height)
    fail(Kind::input, "{}: a mask of {}x{} at ({}, {}) reaches out of the picture of {}x{}", place,
         width, height, left, top, size.width, size.height);
  if (int64_t{size.width} * size.height > 100'000'000)
    fail(Kind::resource, "{}: a picture of {}x{} has more than 100000000 pixels", place, size.width,
         size.height);
  Mask mask(size);
  std::string_view text = node.attribute("rle").as_string();
  int64_t at = 0;
  bool object = false;
  while (!text.empty()) {
    const size_t end = text.find(',');
    const double run = parse_number(text.substr(0, end), place + ": rle");
    text = end == text.npos ? std::string_view() : text.substr(end + 1);
    if (run < 0 || run != std::floor(run) || run > static_cast<double>(width * height - at))
      fail(Kind::input, "{}: rle: a run of {} where {} pixels are left", place, run,
           width * height - at);
    const auto stop = at + static_cast<int64_t>(run);
    if (object)
      for (; at < stop; ++at)
        mask.set(static_cast<int>(left + at % width), static_cast<int>(top + at / width), true);
    at = stop;
    object = !object;
  }
  if (at != width * height)
    fail(Kind::input, "{}: rle: its runs are of {} pixels, expected {}x{}", place, at, width,
         height);
  return mask.rle();
}

}  // namespace

Dataset parse_cvat(std::string_view text, const std::string& name, FormatNotices& notices) {
  pugi::xml_document document;
  parse_xml(document, text, name);
  const pugi::xml_node root = document.child("annotations");
  if (!root) fail(Kind::input, "{}: expected CVAT's <annotations>", name);
  if (root.child("track")) notices.add("CVAT: tracks of videos are not read, images are", name);
  Dataset data;
  const auto labels = [&](const pugi::xml_node& parent) {
    for (const pugi::xml_node& label : parent.child("labels").children("label")) {
      const int index = data.category(label.child_value("name"));
      Json extra = Json::object();
      if (label.child("color")) extra["color"] = label.child_value("color");
      if (!extra.empty()) data.categories[static_cast<size_t>(index)].extra = dump(extra);
    }
  };
  const pugi::xml_node meta = root.child("meta");
  labels(meta);
  for (const char* kind : {"task", "job", "project"}) labels(meta.child(kind));

  for (const pugi::xml_node& picture : root.children("image")) {
    AnnotatedImage image;
    image.file = picture.attribute("name").as_string();
    const std::string place = fmt::format("{}: image '{}'", name, image.file);
    image.width = xml_side(picture.attribute("width").as_string("0"), place);
    image.height = xml_side(picture.attribute("height").as_string("0"), place);
    if (image.width != 0 || image.height != 0) check_sides(image.width, image.height, place);
    image.id =
        picture.attribute("id")
            ? static_cast<int64_t>(parse_number(picture.attribute("id").as_string(), place)) + 1
            : 0;
    Json extra = Json::object();
    for (const pugi::xml_attribute& a : picture.attributes())
      if (std::string_view key = a.name();
          key != "id" && key != "name" && key != "width" && key != "height")
        extra[std::string(key)] = a.as_string();
    if (!extra.empty()) image.extra = dump(extra);
    const size_t index = data.images.size();
    data.images.push_back(image);
    size_t count = 0;
    for (const pugi::xml_node& node : picture.children()) {
      const std::string kind = node.name();
      const std::string here = fmt::format("{}: {} {}", place, kind, ++count);
      Annotation one;
      one.image = index;
      if (kind == "polygon") {
        Ring ring = points_of(node.attribute("points").as_string(), here);
        if (ring.empty()) fail(Kind::input, "{}: no points", here);
        one.shape = outline_of_ring(std::move(ring));
      } else if (kind == "box") {
        const auto at = [&](const char* key) {
          return xml_number(node.attribute(key).as_string(), here + ": " + key);
        };
        BoxShape box{at("xtl"), at("ytl"), 0, 0};
        box.width = at("xbr") - box.x, box.height = at("ybr") - box.y;
        check_box(box, here);
        if (const auto turn = node.attribute("rotation")) {
          // About the centre here, about the corner there.
          const double degrees = xml_number(turn.as_string(), here);
          const double angle = degrees * 3.14159265358979323846 / 180;
          const double cx = box.x + box.width / 2, cy = box.y + box.height / 2;
          if (degrees != 0) {
            box.x = cx - box.width / 2 * std::cos(angle) + box.height / 2 * std::sin(angle);
            box.y = cy - box.width / 2 * std::sin(angle) - box.height / 2 * std::cos(angle);
          }
          box.rotation = degrees;
        }
        one.shape = box;
      } else if (kind == "mask") {
        one.shape = mask_of_node(node, image.size(), here);
      } else if (kind == "ellipse") {
        const auto at = [&](const char* key) {
          return xml_number(node.attribute(key).as_string(), here + ": " + key);
        };
        const double angle =
            node.attribute("rotation") ? at("rotation") * 3.14159265358979323846 / 180 : 0;
        Ring ring;
        for (int i = 0; i < 360; ++i) {
          const double t = i * 3.14159265358979323846 / 180;
          const double x = at("rx") * std::cos(t), y = at("ry") * std::sin(t);
          ring.push_back({at("cx") + x * std::cos(angle) - y * std::sin(angle),
                          at("cy") + x * std::sin(angle) + y * std::cos(angle)});
        }
        one.shape = outline_of_ring(std::move(ring));
      } else if (kind == "tag") {
      } else if (node.type() == pugi::node_element) {
        notices.add(fmt::format("CVAT: {} has no area and is left out", kind), here);
        continue;
      } else {
        continue;
      }
      if (const auto label = node.attribute("label"))
        one.category = data.category(label.as_string());
      Json more = Json::object(), attributes = Json::object();
      for (const char* key : {"source", "occluded", "z_order", "group_id"})
        if (const auto a = node.attribute(key)) more[key] = a.as_string();
      for (const pugi::xml_node& a : node.children("attribute"))
        attributes[a.attribute("name").as_string()] = a.child_value();
      if (!attributes.empty()) more["attributes"] = attributes;
      if (!more.empty()) one.extra = dump(more);
      data.annotations.push_back(std::move(one));
    }
  }
  return data;
}

Dataset read_cvat(const Reading& reading) {
  const std::string path =
      is_folder(reading.path) ? reading.path + "/annotations.xml" : reading.path;
  return parse_cvat(read_text(path, reading.options.max_bytes), path, reading.notices);
}

namespace {

void set(pugi::xml_node node, const char* name, const std::string& value) {
  node.append_attribute(name).set_value(xml_safe(value).c_str());
}

std::string text_of(const Json& value) {
  return value.is_string() ? value.get<std::string>() : dump(value);
}

void put_mask(pugi::xml_node node, const Rle& rle, int64_t max_pixels) {
  PixelBox box = rle.bounding_box();
  if (box.width == 0) box = {0, 0, 1, 1};
  const Mask mask = Mask::from_rle(rle, max_pixels);
  std::string text;
  int64_t run = 0;
  bool object = false;
  for (int y = box.y; y < box.y + box.height; ++y) {
    for (int x = box.x; x < box.x + box.width; ++x) {
      if (mask.at(x, y) != object) {
        text += fmt::format("{}{}", text.empty() ? "" : ", ", run);
        run = 0, object = !object;
      }
      ++run;
    }
  }
  text += fmt::format("{}{}", text.empty() ? "" : ", ", run);
  set(node, "rle", text);
  set(node, "left", std::to_string(box.x));
  set(node, "top", std::to_string(box.y));
  set(node, "width", std::to_string(box.width));
  set(node, "height", std::to_string(box.height));
}

}  // namespace

void write_cvat(const Dataset& data, Writing& writing) {
  pugi::xml_document document;
  auto declaration = document.append_child(pugi::node_declaration);
  declaration.append_attribute("version") = "1.0";
  declaration.append_attribute("encoding") = "utf-8";
  pugi::xml_node root = document.append_child("annotations");
  root.append_child("version").text() = "1.1";
  pugi::xml_node labels = root.append_child("meta").append_child("task").append_child("labels");
  Dataset names;
  names.categories = data.categories;
  for (const Annotation& one : data.annotations)
    if (one.category < 0) names.category("object");
  for (const Category& category : names.categories) {
    pugi::xml_node label = labels.append_child("label");
    label.append_child("name").text() = xml_safe(category.name).c_str();
    const Json extra = extra_json(category.extra);
    if (const Json* color = find(extra, "color"); color && color->is_string())
      label.append_child("color").text() = xml_safe(color->get<std::string>()).c_str();
    label.append_child("attributes");
  }
  std::vector<pugi::xml_node> nodes;
  for (size_t i = 0; i < data.images.size(); ++i) {
    const AnnotatedImage& image = data.images[i];
    const ImageSize size = size_of(image, "cvat");
    nodes.push_back(root.append_child("image"));
    set(nodes.back(), "id", std::to_string(i));
    set(nodes.back(), "name", image.file);
    set(nodes.back(), "width", std::to_string(size.width));
    set(nodes.back(), "height", std::to_string(size.height));
  }
  for (const Annotation& one : data.annotations) {
    const AnnotatedImage& image = data.images[one.image];
    pugi::xml_node parent = nodes[one.image], node;
    std::string kind = "tag";
    Outline outline;
    const auto* box = std::get_if<BoxShape>(&one.shape);
    if (box) {
      kind = "box";
    } else if (has_area(one)) {
      const auto* own = std::get_if<Outline>(&one.shape);
      kind =
          writing.options.polygons || (own && own->parts.size() == 1 && own->parts[0].holes.empty())
              ? "polygon"
              : "mask";
      if (kind == "polygon") {
        outline = own ? *own : Outline{};
        if (!own || own->parts.size() != 1) outline = apart(one, image, writing.options);
        if (outline.parts.empty()) kind = "mask";
      }
    }
    node = parent.append_child(kind.c_str());
    const std::string label = label_of(data, one);
    set(node, "label", label.empty() && one.category < 0 ? "object" : label);
    const Json extra = extra_json(one.extra);
    const auto own = [&](const char* key, const char* otherwise) {
      const Json* value = find(extra, key);
      set(node, key, value ? text_of(*value) : otherwise);
    };
    own("source", "file");
    if (kind != "tag") own("occluded", "0");
    if (kind == "polygon") {
      const Ring ring = seamed(outline.parts);
      std::string points;
      for (const Vertex& v : ring)
        points += fmt::format("{}{},{}", points.empty() ? "" : ";", text_of_number(v.x),
                              text_of_number(v.y));
      set(node, "points", points);
    } else if (kind == "box") {
      BoxShape upright = *box;
      if (box->rotation != 0) {
        const Ring ring = corners_of(*box);
        upright.x = (ring[0].x + ring[2].x) / 2 - box->width / 2;
        upright.y = (ring[0].y + ring[2].y) / 2 - box->height / 2;
      }
      set(node, "xtl", text_of_number(upright.x));
      set(node, "ytl", text_of_number(upright.y));
      set(node, "xbr", text_of_number(upright.x + upright.width));
      set(node, "ybr", text_of_number(upright.y + upright.height));
      if (box->rotation != 0) set(node, "rotation", text_of_number(box->rotation));
    } else if (kind == "mask") {
      put_mask(node, *mask_of(one, image.size(), writing.options.max_pixels),
               writing.options.max_pixels);
    }
    if (kind != "tag") own("z_order", "0");
    if (find(extra, "group_id")) own("group_id", "");
    for (auto& [key, value] : extra.items()) {
      if (key == "attributes" && value.is_object()) {
        for (auto& [attribute, text] : value.items()) {
          pugi::xml_node child = node.append_child("attribute");
          set(child, "name", attribute);
          child.text() = xml_safe(text_of(text)).c_str();
        }
      } else if (key != "source" && key != "occluded" && key != "z_order" && key != "group_id") {
        writing.notices.add(fmt::format("cvat has no place for '{}'", key), image.file);
      }
    }
  }
  writing.output.add("", xml_text(document));
}

}  // namespace beckon::annotation
