#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon {
using namespace annotation;

int Dataset::category(std::string_view name) {
  for (size_t i = 0; i < categories.size(); ++i)
    if (categories[i].name == name) return static_cast<int>(i);
  int64_t id = 0;
  for (const Category& known : categories) id = std::max(id, known.id);
  categories.push_back({std::string(name), id + 1, {}, {}});
  return static_cast<int>(categories.size()) - 1;
}

std::string FormatNotices::Notice::text() const {
  std::string line = what;
  if (count > 1) line += fmt::format(" ({} times", count);
  if (!first.empty()) line += fmt::format("{}first: {}", count > 1 ? "; " : " (", first);
  return count > 1 || !first.empty() ? line + ")" : line;
}

void FormatNotices::add(const std::string& what, const std::string& where, int64_t count) {
  for (Notice& notice : list_) {
    if (notice.what != what) continue;
    notice.count += count;
    return;
  }
  list_.push_back({what, count, where});
}

std::optional<Rle> mask_of(const Annotation& annotation, ImageSize size, int64_t max_pixels) {
  if (!has_area(annotation)) return std::nullopt;
  if (const Rle* rle = std::get_if<Rle>(&annotation.shape)) {
    if (size.width != 0 && rle->size() != size)
      fail(Kind::input, "a mask of {}x{} in a picture of {}x{}", rle->width(), rle->height(),
           size.width, size.height);
    return *rle;
  }
  check_sides(size.width, size.height, "annotation");
  if (int64_t{size.width} * size.height > max_pixels)
    fail(Kind::resource, "a picture of {}x{} has more than {} pixels", size.width, size.height,
         max_pixels);
  if (const auto* box = std::get_if<BoxShape>(&annotation.shape)) {
    const Ring ring = corners_of(*box);
    return mask_from_rings(std::span(&ring, 1), size).rle();
  }
  const auto& outline = std::get<Outline>(annotation.shape);
  std::vector<Rle> parts;
  for (const Polygon& part : outline.parts) {
    if (outline.coco_fill && part.holes.empty())
      parts.push_back(coco_rle_from_ring(part.outer, size));
    else
      parts.push_back(mask_from_polygons(std::span(&part, 1), size).rle());
  }
  if (parts.empty()) return Rle(size);
  return parts.size() == 1 ? parts.front() : merge(parts);
}

std::optional<BoxShape> box_of(const Annotation& annotation) {
  if (annotation.box) return annotation.box;
  Ring ring;
  if (const auto* box = std::get_if<BoxShape>(&annotation.shape)) {
    if (box->rotation == 0) return *box;
    ring = corners_of(*box);
  } else if (const auto* outline = std::get_if<Outline>(&annotation.shape)) {
    for (const Polygon& part : outline->parts)
      ring.insert(ring.end(), part.outer.begin(), part.outer.end());
  } else if (const auto* rle = std::get_if<Rle>(&annotation.shape)) {
    const PixelBox pixels = rle->bounding_box();
    return BoxShape{static_cast<double>(pixels.x), static_cast<double>(pixels.y),
                    static_cast<double>(pixels.width), static_cast<double>(pixels.height)};
  } else {
    return std::nullopt;
  }
  if (ring.empty()) return BoxShape{};
  double x0 = ring[0].x, x1 = x0, y0 = ring[0].y, y1 = y0;
  for (const Vertex& vertex : ring) {
    x0 = std::min(x0, vertex.x), x1 = std::max(x1, vertex.x);
    y0 = std::min(y0, vertex.y), y1 = std::max(y1, vertex.y);
  }
  return BoxShape{x0, y0, x1 - x0, y1 - y0};
}

}  // namespace beckon

namespace beckon::annotation {

void check_sides(int64_t width, int64_t height, const std::string& place) {
  if (width < 1 || height < 1 || width > kLongestSide || height > kLongestSide ||
      width * height >= int64_t{1} << 32)
    fail(Kind::input, "{}: a picture of {}x{}, expected sides of 1 to {} and less than 2^32 pixels",
         place, width, height, kLongestSide);
}

double checked(double value, const std::string& place) {
  if (!(std::abs(value) <= kFarthest))
    fail(Kind::input, "{}: coordinate {} is not a number within +-{:.0f}", place, value, kFarthest);
  return value;
}

void check_box(const BoxShape& box, const std::string& place) {
  for (double value : {box.x, box.y, box.width, box.height, box.rotation}) checked(value, place);
  if (box.width < 0 || box.height < 0)
    fail(Kind::input, "{}: a box of {} x {}, expected sides that are not negative", place,
         box.width, box.height);
}

bool has_area(const Annotation& annotation) {
  return !std::holds_alternative<std::monostate>(annotation.shape);
}

bool has_holes(const Outline& outline) {
  return std::any_of(outline.parts.begin(), outline.parts.end(),
                     [](const Polygon& part) { return !part.holes.empty(); });
}

Outline outline_of_ring(Ring ring) {
  Outline outline;
  outline.parts.push_back({std::move(ring), {}});
  return outline;
}

Outline outline_of(const Rle& rle, int64_t max_pixels) {
  return {polygons_of(Mask::from_rle(rle, max_pixels)), false};
}

std::vector<Vertex> corners_of(const BoxShape& box) {
  const double angle = box.rotation * 3.14159265358979323846 / 180;
  const double c = box.rotation == 0 ? 1 : std::cos(angle);
  const double s = box.rotation == 0 ? 0 : std::sin(angle);
  const auto at = [&](double x, double y) {
    return Vertex{box.x + x * c - y * s, box.y + x * s + y * c};
  };
  return {at(0, 0), at(box.width, 0), at(box.width, box.height), at(0, box.height)};
}

ImageSize size_of(const AnnotatedImage& image, const char* format) {
  if (image.width == 0 || image.height == 0)
    fail(Kind::input,
         "{}: its size is not known, which {} needs; give the photos with --photos DIR", image.file,
         format);
  return image.size();
}

std::string label_of(const Dataset& data, const Annotation& annotation) {
  return annotation.category < 0 ? std::string()
                                 : data.categories[static_cast<size_t>(annotation.category)].name;
}

namespace {

// `other` is walked from its vertex that is nearest to one of `ring`, and back to it.
void join(Ring& ring, const Ring& other) {
  if (other.empty()) return;
  if (ring.empty()) {
    ring = other;
    return;
  }
  size_t at = 0, from = 0;
  double nearest = INFINITY;
  // Large rings: every n-th vertex of ours will do, a seam may be long.
  const size_t step = std::max<size_t>(1, ring.size() * other.size() / 4'000'000);
  for (size_t i = 0; i < ring.size(); i += step) {
    for (size_t j = 0; j < other.size(); ++j) {
      const double x = ring[i].x - other[j].x, y = ring[i].y - other[j].y;
      if (x * x + y * y < nearest) nearest = x * x + y * y, at = i, from = j;
    }
  }
  Ring seam;
  for (size_t j = 0; j <= other.size(); ++j) seam.push_back(other[(from + j) % other.size()]);
  seam.push_back(ring[at]);
  ring.insert(ring.begin() + static_cast<std::ptrdiff_t>(at) + 1, seam.begin(), seam.end());
}

}  // namespace

Ring seamed(const std::vector<Polygon>& parts) {
  Ring ring;
  for (const Polygon& part : parts) {
    join(ring, part.outer);
    for (const Ring& hole : part.holes) join(ring, hole);
  }
  return ring;
}

Outline apart(const Annotation& annotation, const AnnotatedImage& image,
              const WriteAnnotationsOptions& options) {
  if (const auto* box = std::get_if<BoxShape>(&annotation.shape))
    return outline_of_ring(corners_of(*box));
  if (const auto* rle = std::get_if<Rle>(&annotation.shape))
    return outline_of(*rle, options.max_pixels);
  const auto* outline = std::get_if<Outline>(&annotation.shape);
  if (!outline) return {};
  std::vector<BoxShape> boxes;
  for (const Polygon& part : outline->parts) {
    Annotation one;
    one.shape = Outline{{part}, false};
    boxes.push_back(*box_of(one));
  }
  bool overlap = false;
  for (size_t i = 0; i < boxes.size() && !overlap; ++i) {
    for (size_t j = 0; j < i && !overlap; ++j) {
      const BoxShape &a = boxes[i], &b = boxes[j];
      overlap = a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height &&
                b.y < a.y + a.height;
    }
  }
  if (!overlap || image.width == 0) return *outline;
  return outline_of(*mask_of(annotation, image.size(), options.max_pixels), options.max_pixels);
}

}  // namespace beckon::annotation
