// PASCAL VOC: Annotations/NAME.xml with boxes, and SegmentationObject/NAME.png whose pixels are the
// number of the object in the XML, SegmentationClass/NAME.png with the number of its class; 255 is
// the void around objects. Pixels are counted from 1 and both ends belong to a box: what is from 0
// to w in our coordinates is xmin 1, xmax w.
#include <algorithm>
#include <cmath>
#include <set>

#include <fmt/format.h>

#include "annotation/format.h"
#include "annotation/xml.h"
#include "base/fail.h"
#include "base/files.h"

namespace beckon::annotation {
namespace {

constexpr const char* kClasses[] = {"aeroplane",   "bicycle", "bird",  "boat",      "bottle",
                                    "bus",         "car",     "cat",   "chair",     "cow",
                                    "diningtable", "dog",     "horse", "motorbike", "person",
                                    "pottedplant", "sheep",   "sofa",  "train",     "tvmonitor"};
constexpr int kVoid = 255;

// The names of the numbers in SegmentationClass, of which 0 is the background.
std::vector<std::string> class_names(const std::string& root) {
  std::vector<std::string> names{"background"};
  for (const char* file : {"/class_names.json"}) {
    const std::string path = root + file;
    if (!is_file(path)) continue;
    const Json list = parse_json(read_text(path, 64 << 20), path);
    if (!list.is_array()) fail(Kind::input, "{}: expected a list of names", path);
    names.clear();
    for (const Json& name : list) {
      if (!name.is_string()) fail(Kind::input, "{}: expected a list of names", path);
      names.push_back(name.get<std::string>());
    }
    return names;
  }
  // LabelMe's exporter: a line a class from the background on; CVAT's: name:r,g,b:parts:actions.
  for (const char* file : {"/class_names.txt", "/labelmap.txt"}) {
    const std::string path = root + file;
    if (!is_file(path)) continue;
    const std::string text = read_text(path, 64 << 20);
    names.clear();
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      std::string line = text.substr(at, end - at);
      at = end + 1;
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty() || line[0] == '#' || line == "__ignore__") continue;
      if (file[1] == 'l') line = line.substr(0, line.find(':'));
      names.push_back(line);
    }
    return names;
  }
  for (const char* name : kClasses) names.push_back(name);
  return names;
}

}  // namespace

void parse_voc_xml(std::string_view text, const std::string& name, Dataset& data) {
  pugi::xml_document document;
  parse_xml(document, text, name);
  const pugi::xml_node root = document.child("annotation");
  if (!root) fail(Kind::input, "{}: expected PASCAL VOC's <annotation>", name);
  AnnotatedImage image;
  image.file = root.child_value("filename");
  if (image.file.empty()) image.file = base_name(without_ending(name));
  const pugi::xml_node size = root.child("size");
  if (size && size.child("width")) {
    image.width = xml_side(size.child_value("width"), name + ": width");
    image.height = xml_side(size.child_value("height"), name + ": height");
    if (image.width != 0 || image.height != 0) check_sides(image.width, image.height, name);
  }
  const size_t index = data.images.size();
  data.images.push_back(image);
  size_t count = 0;
  for (const pugi::xml_node& object : root.children("object")) {
    const std::string place = fmt::format("{}: object {}", name, ++count);
    Annotation one;
    one.image = index;
    const std::string label = object.child_value("name");
    if (!label.empty()) one.category = data.category(label);
    if (const pugi::xml_node box = object.child("bndbox")) {
      const auto at = [&](const char* key) {
        return xml_number(box.child_value(key), place + ": " + key);
      };
      const double x0 = at("xmin") - 1, y0 = at("ymin") - 1;
      one.shape = BoxShape{x0, y0, at("xmax") - x0, at("ymax") - y0};
      check_box(std::get<BoxShape>(one.shape), place);
    }
    Json extra = Json::object();
    for (const char* key : {"pose", "truncated", "difficult", "occluded"})
      if (const auto child = object.child(key)) {
        const std::string value = child.child_value();
        if (value != "0" && value != "Unspecified" && !value.empty()) extra[key] = value;
      }
    if (!extra.empty()) one.extra = dump(extra);
    data.annotations.push_back(std::move(one));
  }
}

namespace {

// The masks of one picture into its annotations.
void add_masks(const std::string& root, const std::string& stem, size_t index, Dataset& data,
               const std::vector<std::string>& names, const Reading& reading) {
  const std::string objects_at = root + "/SegmentationObject/" + stem + ".png";
  const std::string classes_at = root + "/SegmentationClass/" + stem + ".png";
  if (!is_file(objects_at) && !is_file(classes_at)) return;
  IndexedPicture classes, objects;
  const int64_t most = reading.options.max_pixels;
  if (is_file(classes_at)) classes = read_indexed_png(read_file(classes_at), classes_at, most);
  if (is_file(objects_at)) objects = read_indexed_png(read_file(objects_at), objects_at, most);
  const bool by_object = !objects.values.empty();
  if (by_object && !classes.values.empty() && objects.size != classes.size)
    fail(Kind::input, "{}: {}x{}, its classes have {}x{}", objects_at, objects.size.width,
         objects.size.height, classes.size.width, classes.size.height);
  const IndexedPicture& picture = by_object ? objects : classes;
  AnnotatedImage& image = data.images[index];
  if (image.width == 0) image.width = picture.size.width, image.height = picture.size.height;
  if (image.size() != picture.size)
    fail(Kind::input, "{}: {}x{}, the XML says {}x{}", by_object ? objects_at : classes_at,
         picture.size.width, picture.size.height, image.width, image.height);
  std::vector<size_t> ours;
  for (size_t i = 0; i < data.annotations.size(); ++i)
    if (data.annotations[i].image == index) ours.push_back(i);
  bool used[256] = {};
  for (uint8_t value : picture.values) used[value] = true;
  for (int number = 1; number < kVoid; ++number) {
    if (!used[number]) continue;
    Mask mask(picture.size);
    int klass = 0;
    for (int y = 0; y < mask.height(); ++y) {
      for (int x = 0; x < mask.width(); ++x) {
        const size_t at =
            static_cast<size_t>(y) * static_cast<size_t>(mask.width()) + static_cast<size_t>(x);
        if (picture.values[at] != number) continue;
        mask.set(x, y, true);
        if (klass == 0 && !classes.values.empty()) klass = classes.values[at];
      }
    }
    const Rle rle = mask.rle();
    if (by_object && static_cast<size_t>(number) <= ours.size()) {
      data.annotations[ours[static_cast<size_t>(number) - 1]].shape = rle;
      continue;
    }
    if (by_object && !ours.empty())
      reading.notices.add("VOC: an object of the picture is not in the XML", objects_at);
    Annotation one;
    one.image = index;
    one.shape = rle;
    if (klass == 0 && !by_object) klass = number;
    if (klass > 0 && klass < kVoid)
      one.category = data.category(static_cast<size_t>(klass) < names.size()
                                       ? names[static_cast<size_t>(klass)]
                                       : std::to_string(klass));
    data.annotations.push_back(std::move(one));
  }
}

}  // namespace

Dataset read_voc(const Reading& reading) {
  Dataset data;
  if (!is_folder(reading.path)) {
    parse_voc_xml(read_text(reading.path, reading.options.max_bytes), reading.path, data);
    return data;
  }
  const std::string& root = reading.path;
  const std::vector<std::string> names = class_names(root);
  if (is_file(root + "/class_names.json"))
    for (size_t i = 1; i < names.size(); ++i) data.category(names[i]);
  const std::string xml_at = is_folder(root + "/Annotations") ? root + "/Annotations" : root;
  std::set<std::string> seen;
  for (const std::string& file : files_in(xml_at, ".xml")) {
    const std::string stem = without_ending(file.substr(xml_at.size() + 1));
    seen.insert(stem);
    const size_t index = data.images.size();
    parse_voc_xml(read_text(file, reading.options.max_bytes), file, data);
    add_masks(root, stem, index, data, names, reading);
  }
  for (const char* folder : {"SegmentationObject", "SegmentationClass"}) {
    const std::string at = root + "/" + folder;
    if (!is_folder(at)) continue;
    for (const std::string& file : files_in(at, ".png")) {
      const std::string stem = without_ending(file.substr(at.size() + 1));
      if (!seen.insert(stem).second) continue;
      AnnotatedImage image;
      image.file = stem + ".jpg";
      data.images.push_back(image);
      add_masks(root, stem, data.images.size() - 1, data, names, reading);
    }
  }
  return data;
}

void write_voc(const Dataset& data, Writing& writing) {
  std::vector<std::vector<const Annotation*>> of_image(data.images.size());
  for (const Annotation& one : data.annotations) of_image[one.image].push_back(&one);
  if (data.categories.size() > 254)
    writing.notices.add(
        "voc has numbers for 254 classes: the class pictures have 255 for the rest");
  Json names = Json::array({"background"});
  for (const Category& category : data.categories) names.push_back(category.name);
  writing.output.add("class_names.json", dump(names, 1) + "\n");
  for (size_t i = 0; i < data.images.size(); ++i) {
    const AnnotatedImage& image = data.images[i];
    const ImageSize size = size_of(image, "voc");
    pugi::xml_document document;
    pugi::xml_node root = document.append_child("annotation");
    const auto put = [](pugi::xml_node parent, const char* name, const std::string& value) {
      parent.append_child(name).text() = xml_safe(value).c_str();
    };
    put(root, "folder", "JPEGImages");
    put(root, "filename", image.file);
    pugi::xml_node sides = root.append_child("size");
    put(sides, "width", std::to_string(size.width));
    put(sides, "height", std::to_string(size.height));
    put(sides, "depth", "3");
    std::vector<uint8_t> objects, classes;
    std::vector<uint8_t> shared;
    int number = 0;
    for (const Annotation* one : of_image[i]) {
      const auto box = box_of(*one);
      if (!box) {
        writing.notices.add("voc has no place for a label without a shape", image.file);
        continue;
      }
      ++number;
      pugi::xml_node object = root.append_child("object");
      put(object, "name", label_of(data, *one));
      const Json extra = extra_json(one->extra);
      for (const char* key : {"pose", "truncated", "difficult"}) {
        const Json* own = find(extra, key);
        put(object, key,
            own && own->is_string()           ? own->get<std::string>()
            : std::string_view(key) == "pose" ? "Unspecified"
                                              : "0");
      }
      pugi::xml_node corners = object.append_child("bndbox");
      put(corners, "xmin", text_of_number(box->x + 1));
      put(corners, "ymin", text_of_number(box->y + 1));
      put(corners, "xmax", text_of_number(box->x + box->width));
      put(corners, "ymax", text_of_number(box->y + box->height));
      if (std::holds_alternative<BoxShape>(one->shape) || !has_area(*one)) continue;
      const Rle rle = *mask_of(*one, size, writing.options.max_pixels);
      if (number >= kVoid) {
        writing.notices.add("voc has numbers for 254 objects of a picture: masks are left out",
                            image.file);
        continue;
      }
      const Mask mask = Mask::from_rle(rle, writing.options.max_pixels);
      if (objects.empty()) objects.resize(mask.values().size()), classes.resize(objects.size());
      bool overlaps = false;
      const int klass = one->category < 0 ? kVoid : std::min(one->category + 1, kVoid);
      for (size_t p = 0; p < objects.size(); ++p) {
        if (mask.values()[p] == 0) continue;
        overlaps |= objects[p] != 0;
        objects[p] = static_cast<uint8_t>(number);
        classes[p] = static_cast<uint8_t>(klass);
      }
      if (overlaps)
        writing.notices.add("voc cannot carry masks that overlap: the later one is on top",
                            image.file);
      if (rle.area() == 0)
        writing.notices.add("voc cannot carry empty masks: they become boxes", image.file);
    }
    put(root, "segmented", objects.empty() ? "0" : "1");
    const std::string xml = writing.output.place("Annotations", image.file, ".xml");
    writing.output.add(xml, xml_text(document));
    if (objects.empty()) continue;
    const std::string stem = without_ending(xml.substr(std::string("Annotations/").size()));
    writing.output.add("SegmentationObject/" + stem + ".png", indexed_png(size, objects));
    writing.output.add("SegmentationClass/" + stem + ".png", indexed_png(size, classes));
  }
}

}  // namespace beckon::annotation
