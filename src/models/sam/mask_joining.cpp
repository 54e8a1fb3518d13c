#include "models/sam/mask_joining.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "image/placed.h"

namespace beckon::sam {
namespace {

constexpr double kSame = 0.5;

PixelBox intersection(const PixelBox& a, const PixelBox& b) {
  const int x0 = std::max(a.x, b.x), y0 = std::max(a.y, b.y);
  const int x1 = std::min(a.x + a.width, b.x + b.width);
  const int y1 = std::min(a.y + a.height, b.y + b.height);
  if (x0 >= x1 || y0 >= y1) return {};
  return {x0, y0, x1 - x0, y1 - y0};
}

// What a tile's masks show in a part of the image: only those that show something.
struct Shown {
  size_t mask;  // index in the tile
  Rle rle;
};
std::vector<Shown> shown(const Tile& tile, const PixelBox& part) {
  const PixelBox local = {part.x - tile.box.x, part.y - tile.box.y, part.width, part.height};
  std::vector<Shown> result;
  for (size_t i = 0; i < tile.masks.size(); ++i) {
    Rle rle = runs::cut_out(tile.masks[i].segmentation, local);
    if (rle.area() > 0) result.push_back({i, std::move(rle)});
  }
  return result;
}

// Sets of masks that are one, by pointers to a representative.
class Groups {
 public:
  explicit Groups(size_t count) : parent_(count) { std::iota(parent_.begin(), parent_.end(), 0); }
  size_t find(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  // The smaller index represents both.
  void join(size_t a, size_t b) {
    a = find(a), b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<size_t> parent_;
};

}  // namespace

std::vector<GeneratedMask> joined(std::vector<Tile> tiles, ImageSize image) {
  std::vector<size_t> first(tiles.size() + 1, 0);  // number of a tile's first mask
  for (size_t i = 0; i < tiles.size(); ++i) first[i + 1] = first[i] + tiles[i].masks.size();
  Groups groups(first.back());

  for (size_t a = 0; a < tiles.size(); ++a)
    for (size_t b = a + 1; b < tiles.size(); ++b) {
      const PixelBox part = intersection(tiles[a].box, tiles[b].box);
      if (part.width == 0) continue;
      const auto in_a = shown(tiles[a], part), in_b = shown(tiles[b], part);
      std::vector<double> best_a(in_a.size(), 0), best_b(in_b.size(), 0);
      std::vector<size_t> match_a(in_a.size(), 0), match_b(in_b.size(), 0);
      for (size_t i = 0; i < in_a.size(); ++i)
        for (size_t j = 0; j < in_b.size(); ++j) {
          const double same = iou(in_a[i].rle, in_b[j].rle);
          if (same > best_a[i]) best_a[i] = same, match_a[i] = j;
          if (same > best_b[j]) best_b[j] = same, match_b[j] = i;
        }
      for (size_t i = 0; i < in_a.size(); ++i)
        if (best_a[i] >= kSame && match_b[match_a[i]] == i)
          groups.join(first[a] + in_a[i].mask, first[b] + in_b[match_a[i]].mask);
    }

  std::vector<std::vector<GeneratedMask>> members(first.back());
  for (size_t t = 0; t < tiles.size(); ++t) {
    const PixelBox& box = tiles[t].box;
    for (size_t i = 0; i < tiles[t].masks.size(); ++i) {
      GeneratedMask mask = std::move(tiles[t].masks[i]);
      mask.segmentation = runs::placed(mask.segmentation, box.x, box.y, image);
      mask.bbox.x += box.x;
      mask.bbox.y += box.y;
      mask.point.x += box.x;
      mask.point.y += box.y;
      mask.crop_box = box;
      members[groups.find(first[t] + i)].push_back(std::move(mask));
    }
  }

  std::vector<GeneratedMask> result;
  for (std::vector<GeneratedMask>& group : members) {
    if (group.empty()) continue;
    const auto largest = std::max_element(
        group.begin(), group.end(), [](const auto& x, const auto& y) { return x.area < y.area; });
    if (group.size() > 1) {
      double area = 0, predicted = 0, stability = 0;
      std::vector<Rle> parts;
      for (const GeneratedMask& mask : group) {
        const auto weight = static_cast<double>(mask.area);
        area += weight;
        predicted += weight * static_cast<double>(mask.predicted_iou);
        stability += weight * mask.stability_score;
        parts.push_back(mask.segmentation);
      }
      largest->segmentation = merge(parts);
      largest->area = largest->segmentation.area();
      const PixelBox box = largest->segmentation.bounding_box();
      largest->bbox = {box.x, box.y, std::max(box.width - 1, 0), std::max(box.height - 1, 0)};
      largest->predicted_iou = static_cast<float>(predicted / area);
      largest->stability_score = stability / area;
    }
    result.push_back(std::move(*largest));
  }
  return result;
}

}  // namespace beckon::sam
