// Masks as pictures.
#include <algorithm>
#include <cmath>
#include <filesystem>

#include "base/fail.h"
#include "base/files.h"
#include "image/label_map.h"
#include "learn/evaluation/mask_data.h"

namespace beckon::learn {
namespace {

constexpr uint32_t kVoid = 255;
constexpr size_t kMostValues = 32;  // above this a grey picture up to 255 has blurred edges

bool is_png(const std::vector<uint8_t>& bytes) {
  return bytes.size() > 4 && bytes[0] == 0x89 && bytes[1] == 'P' && bytes[2] == 'N';
}

using detail::LabelMap;

bool has_void(const LabelMap& map) {
  return map.kind == LabelMap::Kind::palette || (map.kind == LabelMap::Kind::grey && !map.deep);
}

// What is said of MaskKind::automatic and blurred edges.
bool is_blurred(const LabelMap& map, const std::vector<detail::Labelled>& parts) {
  return map.kind == LabelMap::Kind::grey && !map.deep && parts.size() > kMostValues &&
         parts.back().label == kVoid;
}

Mask brighter_than_half(const LabelMap& map) {
  Mask mask(map.size);
  uint8_t* out = mask.mutable_row(0);
  for (size_t i = 0; i < map.values.size(); ++i) out[i] = map.values[i] > 127;
  return mask;
}

void add(std::vector<TrueObject>& objects, std::string name, Rle mask) {
  if (mask.area() > 0) objects.push_back({std::move(name), std::move(mask)});
}

// An object for each value; the one for void pixels becomes `ignored`.
std::vector<TrueObject> separated(const LabelMap& map, std::vector<detail::Labelled> parts,
                                  std::optional<Mask>& ignored) {
  std::vector<TrueObject> objects;
  for (detail::Labelled& part : parts) {
    if (part.label == 0) continue;
    if (part.label == kVoid && has_void(map)) {
      const Mask unknown = Mask::from_rle(part.mask, INT64_MAX);
      ignored = ignored ? *ignored | unknown : unknown;
    } else {
      add(objects, std::to_string(part.label), std::move(part.mask));
    }
  }
  return objects;
}

}  // namespace

void expect_file(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) fail(Kind::missing, "{}: no such file", path);
  if (!std::filesystem::is_regular_file(status)) fail(Kind::missing, "{}: not a file", path);
}

std::vector<TrueObject> read_objects(const std::string& path, const std::string& name,
                                     MaskKind kind, const ReadOptions& options,
                                     std::optional<Mask>& ignored) {
  expect_file(path);
  const std::vector<uint8_t> bytes = read_file(path, options.max_bytes);
  std::vector<TrueObject> objects;
  const auto whole = [&] {
    add(objects, name, Mask::decode(bytes, path, options).rle());
    return objects;
  };
  if (!is_png(bytes)) {
    if (kind == MaskKind::objects)
      fail(Kind::unsupported, "{}: expected a PNG, whose pixels can be numbers of objects", path);
    return whole();
  }
  const LabelMap map = detail::decode_label_map(bytes, path, options);
  if (map.transparent && map.kind != LabelMap::Kind::palette && kind != MaskKind::objects)
    return whole();
  if (kind == MaskKind::binary && (map.deep || map.kind != LabelMap::Kind::grey)) return whole();
  std::vector<detail::Labelled> parts = detail::masks_of(map, path);
  if (kind != MaskKind::objects && is_blurred(map, parts)) {
    add(objects, name, brighter_than_half(map).rle());
    return objects;
  }
  const auto values = std::count_if(parts.begin(), parts.end(),
                                    [](const detail::Labelled& part) { return part.label != 0; });
  if (kind == MaskKind::binary || (kind == MaskKind::automatic && values <= 1)) {
    const int64_t area = Mask::decode(bytes, path, options).area();
    const bool says_nothing = area == 0 || area == int64_t{map.size.width} * map.size.height;
    // A palette may paint all of its numbers alike.
    if (map.kind != LabelMap::Kind::palette || !says_nothing || parts.size() < 2) return whole();
  }
  objects = separated(map, std::move(parts), ignored);
  if (!name.empty())
    for (TrueObject& object : objects) object.name = name + " " + object.name;
  return objects;
}

Image read_picture(const std::string& path, ImageSize masks, const ReadOptions& options) {
  expect_file(path);
  const std::vector<uint8_t> bytes = read_file(path, options.max_bytes);
  Image image = Image::decode(bytes, path, options);
  if (masks.width == 0 || image.size() == masks) return image;
  // Many tools that masks are drawn with do not turn pictures.
  ReadOptions unturned = options;
  unturned.orient = false;
  Image plain = Image::decode(bytes, path, unturned);
  if (plain.size() == masks) return plain;
  fail(Kind::input, "{}: {}x{} pixels, but its masks are {}x{}", path, image.width(),
       image.height(), masks.width, masks.height);
}

Example load_with_mask_files(const std::string& picture, const std::vector<MaskFile>& masks,
                             MaskKind kind, const ReadOptions& options) {
  Example example;
  ImageSize size;
  for (const MaskFile& file : masks) {
    std::optional<Mask> unknown;
    std::vector<TrueObject> objects = read_objects(file.path, file.label, kind, options, unknown);
    if (objects.empty()) ++example.left_out;
    const auto expect = [&](ImageSize found) {
      if (size.width == 0) size = found;
      if (size != found)
        fail(Kind::input, "{}: {}x{} pixels, other masks of the picture have {}x{}", file.path,
             found.width, found.height, size.width, size.height);
    };
    if (unknown) {
      expect(unknown->size());
      example.ignored = example.ignored ? *example.ignored | *unknown : std::move(*unknown);
    }
    for (TrueObject& object : objects) {
      expect(object.mask.size());
      example.objects.push_back(std::move(object));
    }
  }
  example.image = read_picture(picture, size, options);
  return example;
}

}  // namespace beckon::learn
