#include "models/sam/crops.h"

#include <algorithm>
#include <cmath>

namespace beckon::sam {

std::vector<Vertex> point_grid(int n) {
  // numpy.linspace between the middles of the first and the last cell.
  const double first = 1.0 / (2.0 * n), step = n > 1 ? (1.0 - 2.0 * first) / (n - 1) : 0.0;
  const auto at = [&](int i) { return i + 1 == n && n > 1 ? 1.0 - first : first + i * step; };
  std::vector<Vertex> points;
  points.reserve(static_cast<size_t>(n) * static_cast<size_t>(n));
  for (int y = 0; y < n; ++y)
    for (int x = 0; x < n; ++x) points.push_back({at(x), at(y)});
  return points;
}

std::vector<std::vector<Vertex>> point_grids(int n, int layers, int factor) {
  std::vector<std::vector<Vertex>> grids;
  for (int layer = 0; layer <= layers; ++layer)
    grids.push_back(point_grid(static_cast<int>(n / std::pow(factor, layer))));
  return grids;
}

std::vector<Crop> crops(ImageSize image, int layers, double overlap_ratio) {
  std::vector<Crop> list = {{0, 0, image.width, image.height, 0}};
  const int short_side = std::min(image.width, image.height);
  for (int layer = 1; layer <= layers; ++layer) {
    const int per_side = 1 << layer;
    const auto overlap = static_cast<int>(overlap_ratio * short_side * (2.0 / per_side));
    const auto length = [&](int side) {
      return static_cast<int>(
          std::ceil((static_cast<double>(overlap) * (per_side - 1) + side) / per_side));
    };
    const int width = length(image.width), height = length(image.height);
    for (int i = 0; i < per_side; ++i)
      for (int j = 0; j < per_side; ++j) {
        const int x0 = (width - overlap) * i, y0 = (height - overlap) * j;
        const Crop crop{x0, y0, std::min(x0 + width, image.width),
                        std::min(y0 + height, image.height), layer};
        // Of pictures a few pixels wide nothing is left for the last ones.
        if (crop.width() > 0 && crop.height() > 0) list.push_back(crop);
      }
  }
  return list;
}

bool near_crop_edge(const Rect& box, const Crop& crop, ImageSize image) {
  constexpr float kNear = 20;
  const float x = static_cast<float>(crop.x0), y = static_cast<float>(crop.y0);
  const float side[] = {box.x0 + x, box.y0 + y, box.x1 + x, box.y1 + y};
  const int of_crop[] = {crop.x0, crop.y0, crop.x1, crop.y1};
  const int of_image[] = {0, 0, image.width, image.height};
  for (int i = 0; i < 4; ++i) {
    const bool crop_near = std::abs(side[i] - static_cast<float>(of_crop[i])) <= kNear;
    const bool image_near = std::abs(side[i] - static_cast<float>(of_image[i])) <= kNear;
    if (crop_near && !image_near) return true;
  }
  return false;
}

std::vector<int> tile_starts(int length, int size, int overlap) {
  if (length <= size) return {0};
  const int step = size - overlap;
  const int count = (length - overlap + step - 1) / step;
  std::vector<int> starts;
  for (int i = 0; i < count; ++i)
    starts.push_back(
        static_cast<int>(static_cast<int64_t>(length - size) * i / std::max(count - 1, 1)));
  return starts;
}

}  // namespace beckon::sam
