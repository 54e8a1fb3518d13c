// COCO's way to fill polygons, which decides the pixels of every published COCO annotation (golden
// coco_rle).
//
// The outline is drawn as a line of dots on a grid five times as fine. Wherever it moves from one
// fine column to the next and that step crosses the centre line of a pixel column, the mask changes
// in that column at the dot's height.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>

#include "base/fail.h"
#include "beckon/polygon.h"
#include "image/runs.h"

namespace beckon {
namespace {

constexpr double kFine = 5;
constexpr double kFarthest = 1e7;
constexpr int64_t kMostSteps = int64_t{1} << 28;

struct Dot {
  int x, y;
};

// The reference truncates towards zero also where coordinates are negative.
int rounded(double value) { return static_cast<int>(value + 0.5); }

// visit(dot) from `from` to `to`, both included; the slope is always taken from the end with the
// lower leading coordinate, so that an edge has the same dots in both directions.
template <typename Visit>
void draw_edge(Dot from, Dot to, Visit&& visit) {
  const int width = std::abs(to.x - from.x), height = std::abs(to.y - from.y);
  const bool flat = width >= height;
  const int length = flat ? width : height;
  const bool backwards = flat ? from.x > to.x : from.y > to.y;
  const Dot low = backwards ? to : from, high = backwards ? from : to;
  const double slope = length == 0 ? 0
                       : flat      ? static_cast<double>(high.y - low.y) / width
                                   : static_cast<double>(high.x - low.x) / height;
  for (int i = 0; i <= length; ++i) {
    const int step = backwards ? length - i : i;
    if (flat) {
      visit(Dot{low.x + step, rounded(low.y + slope * step)});
    } else {
      visit(Dot{rounded(low.x + slope * step), low.y + step});
    }
  }
}

}  // namespace

Rle coco_rle_from_ring(std::span<const Vertex> ring, ImageSize size) {
  Rle nothing(size);  // checks the size
  std::vector<Dot> corners(ring.size());
  for (size_t i = 0; i < ring.size(); ++i) {
    const auto [x, y] = ring[i];
    if (!(std::abs(x) <= kFarthest && std::abs(y) <= kFarthest))
      fail(Kind::input, "polygon: vertex {} is ({}, {}), expected numbers within +-{:.0f}", i, x, y,
           kFarthest);
    corners[i] = {rounded(kFine * x), rounded(kFine * y)};
  }
  if (corners.empty()) return nothing;

  int64_t steps = 0;
  for (size_t i = 0; i < corners.size(); ++i) {
    const Dot a = corners[i], b = corners[(i + 1) % corners.size()];
    steps += std::max(std::abs(int64_t{a.x} - b.x), std::abs(int64_t{a.y} - b.y)) + 1;
  }
  if (steps > kMostSteps)
    fail(Kind::input, "polygon: its outline is longer than {} pixels", kMostSteps / 5);

  std::vector<uint32_t> toggles;
  Dot previous{};
  bool first = true;
  const auto visit = [&](Dot dot) {
    if (!first && dot.x != previous.x) {
      const double column = ((dot.x < previous.x ? dot.x : dot.x - 1) + 0.5) / kFine - 0.5;
      if (std::floor(column) == column && column >= 0 && column <= size.width - 1) {
        const double height = (std::min(dot.y, previous.y) + 0.5) / kFine - 0.5;
        const auto row = static_cast<uint32_t>(
            std::ceil(std::clamp(height, 0.0, static_cast<double>(size.height))));
        toggles.push_back(static_cast<uint32_t>(column) * static_cast<uint32_t>(size.height) + row);
      }
    }
    previous = dot;
    first = false;
  };
  for (size_t i = 0; i < corners.size(); ++i)
    draw_edge(corners[i], corners[(i + 1) % corners.size()], visit);
  std::sort(toggles.begin(), toggles.end());
  return runs::from_toggles(toggles, size);
}

Rle coco_rle_from_box(double x, double y, double width, double height, ImageSize size) {
  const Vertex ring[4] = {{x, y}, {x, y + height}, {x + width, y + height}, {x + width, y}};
  return coco_rle_from_ring(ring, size);
}

}  // namespace beckon
