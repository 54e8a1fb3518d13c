#include "annotation/photos.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include <fmt/format.h>

#include "base/fail.h"
#include "base/files.h"
#include "image/codecs.h"

namespace beckon::annotation {
namespace {

std::string decoded(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() &&
        std::isxdigit(static_cast<unsigned char>(text[i + 1])) &&
        std::isxdigit(static_cast<unsigned char>(text[i + 2]))) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

Vertex turned(Vertex v, int orientation, ImageSize stored) {
  const double w = stored.width, h = stored.height;
  switch (orientation) {
    case 5:
      return {v.y, v.x};
    case 6:
      return {h - v.y, v.x};
    case 7:
      return {h - v.y, w - v.x};
    case 8:
      return {v.y, w - v.x};
    default:
      return v;
  }
}

BoxShape turned(const BoxShape& box, int orientation, ImageSize stored) {
  const Vertex a = turned(Vertex{box.x, box.y}, orientation, stored);
  const Vertex b = turned(Vertex{box.x + box.width, box.y + box.height}, orientation, stored);
  return {std::min(a.x, b.x), std::min(a.y, b.y), std::abs(a.x - b.x), std::abs(a.y - b.y)};
}

void turn(Annotation& one, int orientation, ImageSize stored, int64_t max_pixels) {
  if (auto* box = std::get_if<BoxShape>(&one.shape); box && box->rotation != 0)
    one.shape = outline_of_ring(corners_of(*box));
  const auto ring = [&](Ring& r) {
    for (Vertex& v : r) v = turned(v, orientation, stored);
    if (orientation == 5 || orientation == 7) std::reverse(r.begin(), r.end());  // mirrored
  };
  if (auto* box = std::get_if<BoxShape>(&one.shape)) *box = turned(*box, orientation, stored);
  if (auto* outline = std::get_if<Outline>(&one.shape)) {
    for (Polygon& part : outline->parts) {
      ring(part.outer);
      for (Ring& hole : part.holes) ring(hole);
    }
  }
  if (auto* rle = std::get_if<Rle>(&one.shape)) {
    const Image image = codecs::oriented(Mask::from_rle(*rle, max_pixels).image(), orientation);
    *rle = Mask(image.width(), image.height(), image.pixels()).rle();
  }
  if (one.box) one.box = turned(*one.box, orientation, stored);
  if (one.crop) one.crop = turned(*one.crop, orientation, stored);
  for (Vertex& point : one.points) point = turned(point, orientation, stored);
}

}  // namespace

Photos::Photos(const std::string& folder) : folder_(folder) {
  for (const char* ending : {".jpg", ".jpeg", ".png", ".webp"}) {
    for (const std::string& path : files_in(folder, ending))
      all_.push_back(std::filesystem::path(path).lexically_relative(folder).string());
  }
  std::sort(all_.begin(), all_.end());
  for (size_t i = 0; i < all_.size(); ++i) {
    paths_[all_[i]].push_back(i);
    names_[base_name(all_[i])].push_back(i);
    stems_[base_name(without_ending(all_[i]))].push_back(i);
  }
}

std::string Photos::find(const std::string& file) const {
  for (const std::string& name : {file, decoded(file)}) {
    for (const auto& [map, key] : {std::pair(&paths_, name),
                                   {&names_, base_name(name)},
                                   {&stems_, base_name(without_ending(name))},
                                   {&stems_, base_name(name)}}) {
      const auto found = map->find(key);
      if (found != map->end() && found->second.size() == 1)
        return folder_ + "/" + all_[found->second.front()];
    }
  }
  return {};
}

PhotoSize photo_size(const std::string& path, int64_t max_pixels) {
  const std::vector<uint8_t> bytes = read_file(path);
  ReadOptions options;
  options.max_pixels = max_pixels;
  const codecs::Decoded decoded = codecs::decode_any(bytes, path, options, codecs::Deep::high_byte);
  PhotoSize size;
  size.stored = size.shown = decoded.image.size();
  size.orientation = decoded.orientation;
  if (decoded.orientation >= 5) std::swap(size.shown.width, size.shown.height);
  return size;
}

void match_photos(Dataset& data, const ReadAnnotationsOptions& options, FormatNotices& notices) {
  const Photos photos(options.images);
  std::vector<std::vector<size_t>> of_image(data.images.size());
  for (size_t i = 0; i < data.annotations.size(); ++i)
    of_image[data.annotations[i].image].push_back(i);
  for (size_t i = 0; i < data.images.size(); ++i) {
    AnnotatedImage& image = data.images[i];
    const std::string path = photos.find(image.file);
    if (path.empty()) {
      notices.add("no photo of this name in " + options.images, image.file);
      continue;
    }
    PhotoSize size;
    try {
      size = photo_size(path, options.max_pixels);
    } catch (const Error& error) {
      if (error.kind() == Kind::internal) throw;
      notices.add(kUnreadable, error.what());
      continue;
    }
    if (image.size() == size.shown && size.stored == size.shown && size.orientation != 1)
      notices.add(
          "the photo is stored turned or mirrored, at the same size either way: its annotations "
          "are "
          "taken as of the upright photo",
          fmt::format("{}: EXIF orientation {}", image.file, size.orientation));
    if (image.width == 0) {
      image.width = size.shown.width, image.height = size.shown.height;
    } else if (image.size() == size.stored && size.stored != size.shown) {
      notices.add(
          "the sizes are those of the photo before it is turned upright; its annotations "
          "are turned with it",
          image.file);
      for (size_t index : of_image[i])
        turn(data.annotations[index], size.orientation, size.stored, options.max_pixels);
      image.width = size.shown.width, image.height = size.shown.height;
    } else if (image.size() != size.shown) {
      notices.add("the photo has another size than its annotations say",
                  fmt::format("{}: {}x{}, annotated {}x{}", image.file, size.shown.width,
                              size.shown.height, image.width, image.height));
    }
  }
}

}  // namespace beckon::annotation
