// Outlines with a budget of corners.
#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon {
namespace {

constexpr int64_t kFewest = 3;

double twice_area(Vertex a, Vertex b, Vertex c) {
  return std::abs((b.x - a.x) * (c.y - a.y) - (c.x - a.x) * (b.y - a.y));
}

double twice_area(const Ring& ring) {
  double sum = 0;
  for (size_t i = 0; i < ring.size(); ++i) {
    const Vertex &a = ring[i], &b = ring[(i + 1) % ring.size()];
    sum += a.x * b.y - b.x * a.y;
  }
  return std::abs(sum);
}

// All rings of an outline as linked lists in one array, and a queue of what may go next.
class Corners {
 public:
  explicit Corners(const std::vector<Polygon>& parts) {
    for (size_t part = 0; part < parts.size(); ++part) {
      const size_t outer = add(parts[part].outer, kNone);
      for (const Ring& hole : parts[part].holes) add(hole, outer);
    }
    for (size_t i = 0; i < corners_.size(); ++i) weigh(i);
  }

  int64_t count() const { return left_; }

  // Takes the least corner away; false if only one ring of three is left.
  bool drop_one() {
    while (!queue_.empty()) {
      const Item item = queue_.top();
      queue_.pop();
      const Corner& corner = corners_[item.corner];
      if (corner.gone || corner.version != item.version) continue;
      Line& line = lines_[corner.line];
      if (line.count > kFewest) {
        remove(item.corner, item.cost);
        return true;
      }
      if (lines_left_ == 1) continue;
      drop(corner.line);
      return true;
    }
    return false;
  }

  std::vector<Polygon> parts() const {
    std::vector<Polygon> parts;
    std::vector<size_t> place(lines_.size(), kNone);
    for (size_t i = 0; i < lines_.size(); ++i) {
      if (lines_[i].count == 0) continue;
      Ring ring;
      for (size_t at = lines_[i].first, n = 0; n < static_cast<size_t>(lines_[i].count);
           ++n, at = corners_[at].next)
        ring.push_back(corners_[at].at);
      if (lines_[i].outer == kNone) {
        place[i] = parts.size();
        parts.push_back({std::move(ring), {}});
      } else {
        parts[place[lines_[i].outer]].holes.push_back(std::move(ring));
      }
    }
    return parts;
  }

 private:
  static constexpr size_t kNone = std::numeric_limits<size_t>::max();
  struct Corner {
    Vertex at;
    size_t before, next, line;
    int version = 0;
    bool gone = false;
  };
  struct Line {
    size_t first = 0, outer = kNone;
    int64_t count = 0;
  };
  struct Item {
    double cost;
    size_t corner;
    int version;
    // Of equal ones the first in the outline goes first: results are the same everywhere.
    bool operator<(const Item& other) const {
      return cost != other.cost ? cost > other.cost : corner > other.corner;
    }
  };

  size_t add(const Ring& ring, size_t outer) {
    const size_t begin = corners_.size(), n = ring.size();
    for (size_t i = 0; i < n; ++i)
      corners_.push_back(
          {ring[i], begin + (i + n - 1) % n, begin + (i + 1) % n, lines_.size(), 0, false});
    lines_.push_back({begin, outer, static_cast<int64_t>(n)});
    left_ += static_cast<int64_t>(n);
    ++lines_left_;
    return lines_.size() - 1;
  }

  void weigh(size_t i, double least = 0) {
    Corner& corner = corners_[i];
    const Line& line = lines_[corner.line];
    double cost = 0;
    if (line.count > kFewest)
      cost = twice_area(corners_[corner.before].at, corner.at, corners_[corner.next].at);
    else
      cost = twice_area({corners_[corner.before].at, corner.at, corners_[corner.next].at});
    // What is made by taking away is not less than what was taken away for it.
    queue_.push({std::max(cost, least), i, ++corner.version});
  }

  void remove(size_t i, double cost) {
    Corner& corner = corners_[i];
    Line& line = lines_[corner.line];
    corner.gone = true;
    corners_[corner.before].next = corner.next;
    corners_[corner.next].before = corner.before;
    if (line.first == i) line.first = corner.next;
    --line.count;
    --left_;
    weigh(corner.before, cost);
    weigh(corner.next, cost);
    if (line.count == kFewest) weigh(corners_[corner.next].next, cost);
  }

  void drop(size_t which) {
    const auto empty = [&](size_t l) {
      Line& line = lines_[l];
      for (size_t at = line.first, n = 0; n < static_cast<size_t>(line.count);
           ++n, at = corners_[at].next)
        corners_[at].gone = true;
      left_ -= line.count;
      line.count = 0;
      --lines_left_;
    };
    // Holes go with what they are holes of.
    for (size_t l = 0; l < lines_.size(); ++l)
      if (lines_[l].outer == which && lines_[l].count > 0) empty(l);
    empty(which);
  }

  std::vector<Corner> corners_;
  std::vector<Line> lines_;
  std::priority_queue<Item> queue_;
  int64_t left_ = 0;
  size_t lines_left_ = 0;
};

int64_t vertices_of(const std::vector<Polygon>& parts) {
  int64_t count = 0;
  for (const Polygon& part : parts) {
    count += static_cast<int64_t>(part.outer.size());
    for (const Ring& hole : part.holes) count += static_cast<int64_t>(hole.size());
  }
  return count;
}

}  // namespace

SimplifiedOutline simplify(const Rle& rle, int64_t max_vertices, int64_t max_pixels) {
  if (max_vertices < kFewest) fail(Kind::usage, "an outline has at least {} corners", kFewest);
  const Mask mask = Mask::from_rle(rle, max_pixels);
  SimplifiedOutline result;
  result.outline.parts = polygons_of(mask);
  result.vertices = vertices_of(result.outline.parts);
  if (result.vertices <= max_vertices) return result;
  Corners corners(result.outline.parts);
  while (corners.count() > max_vertices && corners.drop_one()) {
  }
  result.outline.parts = corners.parts();
  result.vertices = corners.count();
  result.iou = iou(mask_from_polygons(result.outline.parts, mask.size()), mask);
  return result;
}

SimplifyReport simplify(Dataset& data, int64_t max_vertices, int64_t max_pixels) {
  SimplifyReport report;
  double sum = 0;
  for (Annotation& one : data.annotations) {
    if (!std::holds_alternative<Outline>(one.shape) && !std::holds_alternative<Rle>(one.shape))
      continue;
    const AnnotatedImage& image = data.images[one.image];
    const Rle mask = *mask_of(one, annotation::size_of(image, "simplifying"), max_pixels);
    if (mask.area() == 0) continue;
    const SimplifiedOutline simple = simplify(mask, max_vertices, max_pixels);
    report.objects += 1;
    report.vertices_before += vertices_of(polygons_of(Mask::from_rle(mask, max_pixels)));
    report.vertices_after += simple.vertices;
    report.least_iou = std::min(report.least_iou, simple.iou);
    sum += simple.iou;
    one.shape = simple.outline;
    one.area.reset();
  }
  if (report.objects > 0) report.mean_iou = sum / static_cast<double>(report.objects);
  return report;
}

}  // namespace beckon
