// The two passes of Meijster, Roerdink and Hesselink, "A general algorithm for computing distance
// transforms in linear time" (2000), in whole numbers.
#include "image/distance.h"

#include <algorithm>
#include <vector>

namespace beckon::detail {
namespace {

// Squared distances along one row, from the distances `down` to the nearest outside pixel of each
// column. There is one column more at either end, of pixels outside.
class RowPass {
 public:
  explicit RowPass(size_t columns) : nearest_(columns), from_(columns), squared_(columns) {}

  std::span<const int64_t> run(std::span<const int32_t> down) {
    const auto count = static_cast<int64_t>(down.size());
    const auto height = [&](int64_t x) { return int64_t{down[static_cast<size_t>(x)]}; };
    const auto parabola = [&](int64_t x, int64_t site) {
      return (x - site) * (x - site) + height(site) * height(site);
    };
    // nearest_[q] is the best site from column from_[q] to where the next begins.
    int64_t q = 0;
    nearest_[0] = from_[0] = 0;
    const auto at = [](std::vector<int64_t>& list, int64_t i) -> int64_t& {
      return list[static_cast<size_t>(i)];
    };
    for (int64_t u = 1; u < count; ++u) {
      while (q >= 0 && parabola(at(from_, q), at(nearest_, q)) > parabola(at(from_, q), u)) --q;
      if (q < 0) {
        q = 0;
        nearest_[0] = u;
        continue;
      }
      const int64_t site = at(nearest_, q);
      const int64_t crossing =
          (u * u - site * site + height(u) * height(u) - height(site) * height(site)) /
          (2 * (u - site));
      if (crossing + 1 < count) {
        ++q;
        at(nearest_, q) = u;
        at(from_, q) = crossing + 1;
      }
    }
    for (int64_t u = count - 1; u >= 0; --u) {
      at(squared_, u) = parabola(u, at(nearest_, q));
      if (u == at(from_, q)) --q;
    }
    return squared_;
  }

 private:
  std::vector<int64_t> nearest_, from_, squared_;
};

}  // namespace

Peak innermost(const Mask& region, std::span<const Place> taken) {
  Peak best;
  // Outside of this box nothing is of the region, so that its surroundings do as well as the whole.
  const PixelBox box = region.bounding_box();
  if (box.width == 0) return best;
  const auto columns = static_cast<size_t>(box.width) + 2, rows = static_cast<size_t>(box.height);
  std::vector<int32_t> down(columns * (rows + 2));
  for (size_t y = 1; y <= rows; ++y) {
    const uint8_t* pixels = region.row(box.y + static_cast<int>(y) - 1) + box.x;
    const int32_t* above = down.data() + (y - 1) * columns;
    int32_t* row = down.data() + y * columns;
    for (size_t x = 1; x + 1 < columns; ++x) row[x] = pixels[x - 1] ? above[x] + 1 : 0;
  }
  for (size_t y = rows; y >= 1; --y) {
    const int32_t* below = down.data() + (y + 1) * columns;
    int32_t* row = down.data() + y * columns;
    for (size_t x = 1; x + 1 < columns; ++x) row[x] = std::min(row[x], below[x] + 1);
  }

  RowPass pass(columns);
  for (size_t y = 1; y <= rows; ++y) {
    const std::span<const int32_t> row(down.data() + y * columns, columns);
    // A distance is at most the one straight up or down.
    const int64_t bound = *std::max_element(row.begin(), row.end());
    if (bound * bound <= best.squared) continue;
    const std::span<const int64_t> squared = pass.run(row);
    for (size_t x = 1; x + 1 < columns; ++x) {
      if (squared[x] <= best.squared) continue;
      const Place place = {box.x + static_cast<int>(x) - 1, box.y + static_cast<int>(y) - 1};
      if (std::find(taken.begin(), taken.end(), place) == taken.end()) best = {place, squared[x]};
    }
  }
  return best;
}

}  // namespace beckon::detail
