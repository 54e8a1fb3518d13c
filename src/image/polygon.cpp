#include "beckon/polygon.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/fail.h"
#include "image/components.h"
#include "image/runs.h"

namespace beckon {
namespace {

// Directions on the grid of pixel corners, clockwise: east, south, west, north.
constexpr int kStepX[4] = {1, 0, -1, 0};
constexpr int kStepY[4] = {0, 1, 0, -1};

// Walks along the edges of the object with the object on the right hand. Parts that touch by a
// corner are one, so at such a corner the walk turns towards the other pixel.
class Tracer {
 public:
  explicit Tracer(const Mask& mask) : mask_(mask), seen_(mask.size()) {}

  bool is_new_top_edge(int x, int y) const { return !object(x, y - 1) && !seen_.at(x, y); }

  // The ring that runs east along the top of pixel (x, y).
  Ring trace(int x, int y) {
    Ring ring;
    const int start_x = x, start_y = y;
    int direction = 0;
    do {
      if (direction == 0) seen_.set(x, y, true);
      x += kStepX[direction];
      y += kStepY[direction];
      const auto [left_ahead, right_ahead] = ahead(x, y, direction);
      const int turn = left_ahead ? 3 : right_ahead ? 0 : 1;
      if (turn != 0) ring.push_back({static_cast<double>(x), static_cast<double>(y)});
      direction = (direction + turn) % 4;
    } while (x != start_x || y != start_y || direction != 0);
    return ring;
  }

 private:
  bool object(int x, int y) const {
    return x >= 0 && y >= 0 && x < mask_.width() && y < mask_.height() && mask_.at(x, y);
  }

  std::pair<bool, bool> ahead(int x, int y, int direction) const {
    const bool north_west = object(x - 1, y - 1), north_east = object(x, y - 1);
    const bool south_west = object(x - 1, y), south_east = object(x, y);
    switch (direction) {
      case 0:
        return {north_east, south_east};
      case 1:
        return {south_east, south_west};
      case 2:
        return {south_west, north_west};
      default:
        return {north_west, north_east};
    }
  }

  const Mask& mask_;
  Mask seen_;  // pixels whose top edge was walked along
};

// Twice the enclosed area; positive if clockwise on the screen (y down).
double signed_area(const Ring& ring) {
  double sum = 0;
  for (size_t i = 0; i < ring.size(); ++i) {
    const Vertex& a = ring[i];
    const Vertex& b = ring[(i + 1) % ring.size()];
    sum += a.x * b.y - b.x * a.y;
  }
  return sum;
}

void check_finite(const Vertex& vertex, size_t index) {
  if (!std::isfinite(vertex.x) || !std::isfinite(vertex.y))
    fail(Kind::input, "polygon: vertex {} is ({}, {}), expected finite numbers", index, vertex.x,
         vertex.y);
}

}  // namespace

std::vector<Polygon> polygons_of(const Mask& mask) {
  std::vector<Polygon> polygons;
  if (mask.empty()) return polygons;
  const auto found = detail::parts_of(mask, true);
  polygons.resize(found.parts.size());
  Tracer tracer(mask);
  // Every ring has a top edge, so looking at those finds all.
  for (const detail::Run& run : found.runs) {
    for (int x = run.begin; x < run.end; ++x) {
      if (!tracer.is_new_top_edge(x, run.y)) continue;
      Ring ring = tracer.trace(x, run.y);
      Polygon& polygon = polygons[static_cast<size_t>(run.part)];
      if (signed_area(ring) > 0) {
        polygon.outer = std::move(ring);
      } else {
        polygon.holes.push_back(std::move(ring));
      }
    }
  }
  return polygons;
}

// In each row of pixel centres a ring's edges are crossed at some x; from the first centre at or
// right of it on, inside and outside change places. Marking those and a running exclusive-or along
// the row do the rest, without sorting.
Mask mask_from_rings(std::span<const Ring> rings, ImageSize size) {
  Mask mask(size);
  for (const Ring& ring : rings) {
    for (size_t i = 0; i < ring.size(); ++i) {
      check_finite(ring[i], i);
      Vertex a = ring[i], b = ring[(i + 1) % ring.size()];
      check_finite(b, (i + 1) % ring.size());
      if (a.y > b.y) std::swap(a, b);
      // Centres y + 0.5 with a.y <= y + 0.5 < b.y; an edge along the row has none.
      const double first = std::max(std::ceil(a.y - 0.5), 0.0);
      const double end = std::min(std::ceil(b.y - 0.5), static_cast<double>(size.height));
      for (double y = first; y < end; ++y) {
        const double x = a.x + (y + 0.5 - a.y) / (b.y - a.y) * (b.x - a.x);
        const double column = std::max(std::ceil(x - 0.5), 0.0);
        if (column < size.width)
          mask.mutable_row(static_cast<int>(y))[static_cast<int>(column)] ^= 1;
      }
    }
  }
  for (int y = 0; y < size.height; ++y) {
    uint8_t* line = mask.mutable_row(y);
    if (!std::memchr(line, 1, static_cast<size_t>(size.width))) continue;
    for (int x = 1; x < size.width; ++x) line[x] ^= line[x - 1];
  }
  return mask;
}

Mask mask_from_polygons(std::span<const Polygon> polygons, ImageSize size) {
  std::vector<Ring> rings;
  for (const Polygon& polygon : polygons) {
    rings.push_back(polygon.outer);
    rings.insert(rings.end(), polygon.holes.begin(), polygon.holes.end());
  }
  return mask_from_rings(rings, size);
}

}  // namespace beckon
