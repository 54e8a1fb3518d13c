#include "image/components.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace beckon {
namespace {

// A forest in which each run points to an earlier run of its part; the first run of a part points
// to itself.
class Forest {
 public:
  int add() {
    parent_.push_back(static_cast<int>(parent_.size()));
    return parent_.back();
  }
  int root(int node) {
    while (parent_[node] != node) node = parent_[node] = parent_[parent_[node]];
    return node;
  }
  void join(int a, int b) {
    a = root(a);
    b = root(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<int> parent_;
};

// visit(begin, end) for each run of `value` in a row.
template <typename Visit>
void for_each_run(const uint8_t* row, int width, uint8_t value, Visit&& visit) {
  for (int x = 0; x < width;) {
    const auto left = static_cast<size_t>(width - x);
    const auto* begin = static_cast<const uint8_t*>(std::memchr(row + x, value, left));
    if (!begin) return;
    x = static_cast<int>(begin - row);
    const auto* end =
        static_cast<const uint8_t*>(std::memchr(begin, value ^ 1, static_cast<size_t>(width - x)));
    const int stop = end ? static_cast<int>(end - row) : width;
    visit(x, stop);
    x = stop;
  }
}

void include(Component& part, const detail::Run& run) {
  const int right = std::max(part.box.x + part.box.width, run.end);
  part.box.x = part.area == 0 ? run.begin : std::min(part.box.x, run.begin);
  part.box.width = (part.area == 0 ? run.end : right) - part.box.x;
  if (part.area == 0) part.box.y = run.y;
  part.box.height = run.y + 1 - part.box.y;
  part.area += run.end - run.begin;
}

void fill(Mask& mask, const detail::Run& run, uint8_t value) {
  std::memset(mask.mutable_row(run.y) + run.begin, value, static_cast<size_t>(run.end - run.begin));
}

}  // namespace

detail::Parts detail::parts_of(const Mask& mask, bool value) {
  Parts found;
  Forest forest;
  size_t above_begin = 0, above_end = 0;
  for (int y = 0; y < mask.height(); ++y) {
    const size_t row_begin = found.runs.size();
    size_t above = above_begin;
    for_each_run(mask.row(y), mask.width(), value, [&](int begin, int end) {
      const int self = forest.add();
      found.runs.push_back({y, begin, end, 0});
      // Runs touch by a corner if one ends where the other begins.
      while (above < above_end && found.runs[above].end < begin) ++above;
      for (size_t i = above; i < above_end && found.runs[i].begin <= end; ++i)
        forest.join(self, static_cast<int>(i));
    });
    above_begin = row_begin;
    above_end = found.runs.size();
  }
  for (size_t i = 0; i < found.runs.size(); ++i) {
    const auto root = static_cast<size_t>(forest.root(static_cast<int>(i)));
    if (root == i) {
      found.runs[i].part = static_cast<int>(found.parts.size());
      found.parts.emplace_back();
    } else {
      found.runs[i].part = found.runs[root].part;
    }
    include(found.parts[static_cast<size_t>(found.runs[i].part)], found.runs[i]);
  }
  return found;
}

std::vector<Component> components(const Mask& mask) { return detail::parts_of(mask, true).parts; }

std::pair<Mask, bool> fill_small_holes(const Mask& mask, int64_t min_area) {
  const auto found = detail::parts_of(mask, false);
  Mask result = mask;
  bool changed = false;
  for (const detail::Run& run : found.runs) {
    if (found.parts[static_cast<size_t>(run.part)].area >= min_area) continue;
    fill(result, run, 1);
    changed = true;
  }
  return {std::move(result), changed};
}

std::pair<Mask, bool> remove_small_islands(const Mask& mask, int64_t min_area) {
  const auto found = detail::parts_of(mask, true);
  const auto smaller = [](const Component& a, const Component& b) { return a.area < b.area; };
  const auto largest =
      std::max_element(found.parts.begin(), found.parts.end(), smaller) - found.parts.begin();
  Mask result = mask;
  bool changed = false;
  for (const detail::Run& run : found.runs) {
    if (found.parts[static_cast<size_t>(run.part)].area >= min_area) continue;
    changed =
        true;  // the reference says so even where it keeps the largest and all stays as it was
    if (run.part != largest || found.parts[static_cast<size_t>(largest)].area >= min_area)
      fill(result, run, 0);
  }
  return {std::move(result), changed};
}

Mask grown(const Mask& mask, int radius) {
  if (radius <= 0 || mask.empty()) return mask;
  const PixelBox box = mask.bounding_box();
  if (box.width == 0) return mask;
  std::vector<std::vector<std::pair<int, int>>> runs(static_cast<size_t>(mask.height()));
  for (int y = box.y; y < box.y + box.height; ++y)
    for_each_run(mask.row(y), mask.width(), 1,
                 [&](int begin, int end) { runs[y].emplace_back(begin, end); });

  Mask result(mask.size());
  std::vector<int> depth(static_cast<size_t>(mask.width()) + 1);
  const int last = static_cast<int>(
      std::min<int64_t>(mask.height() - 1, int64_t{box.y} + box.height - 1 + radius));
  for (int y = std::max(0, box.y - radius); y <= last; ++y) {
    std::fill(depth.begin(), depth.end(), 0);
    // Each run above and below reaches this row, wider the nearer it is: the circle's chord.
    const int below = static_cast<int>(std::min<int64_t>(mask.height() - 1, int64_t{y} + radius));
    for (int from = std::max(0, y - radius); from <= below; ++from) {
      const double away = from - y;
      const auto reach =
          static_cast<int64_t>(std::sqrt(double{1.0} * radius * radius - away * away));
      for (const auto& [begin, end] : runs[static_cast<size_t>(from)]) {
        ++depth[static_cast<size_t>(std::max<int64_t>(0, begin - reach))];
        --depth[static_cast<size_t>(std::min<int64_t>(mask.width(), end + reach))];
      }
    }
    uint8_t* out = result.mutable_row(y);
    int covered = 0;
    for (int x = 0; x < mask.width(); ++x) out[x] = (covered += depth[static_cast<size_t>(x)]) > 0;
  }
  return result;
}

}  // namespace beckon
