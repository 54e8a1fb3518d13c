#include "beckon/rle.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/fail.h"
#include "image/runs.h"

namespace beckon {
namespace {

void check_same_size(const Rle& a, const Rle& b) {
  if (a.size() != b.size()) {
    fail(Kind::usage, "RLE: masks of {}x{} and {}x{} pixels, expected the same size", a.width(),
         a.height(), b.width(), b.height());
  }
}

void check_size(ImageSize size) {
  if (size.width < 1 || size.height < 1 ||
      int64_t{size.width} * size.height > std::numeric_limits<uint32_t>::max())
    fail(Kind::input, "RLE: size {}x{}, expected sides of at least 1 and below 2^32 pixels",
         size.width, size.height);
}

int64_t pixels_of(ImageSize size) { return int64_t{size.width} * size.height; }

// Walks over the runs of two masks at once: visit(length, in_a, in_b) for each stretch where
// neither changes.
template <typename Visit>
void walk_together(const Rle& a, const Rle& b, Visit&& visit) {
  const auto runs_a = a.counts(), runs_b = b.counts();
  size_t i = 0, j = 0;
  uint32_t left_a = runs_a[0], left_b = runs_b[0];
  for (;;) {
    while (left_a == 0 && ++i < runs_a.size()) left_a = runs_a[i];
    while (left_b == 0 && ++j < runs_b.size()) left_b = runs_b[j];
    // Both have the same number of pixels, so they end together.
    if (i >= runs_a.size() || j >= runs_b.size()) return;
    const uint32_t length = std::min(left_a, left_b);
    visit(length, i % 2 == 1, j % 2 == 1);
    left_a -= length;
    left_b -= length;
  }
}

}  // namespace

Rle runs::from_toggles(std::span<const uint32_t> toggles, ImageSize size) {
  std::vector<uint32_t> counts;
  counts.reserve(toggles.size() + 1);
  const auto end = static_cast<uint32_t>(pixels_of(size));
  uint32_t start = 0;
  for (size_t i = 0; i < toggles.size(); ++i) {
    if (i + 1 < toggles.size() && toggles[i] == toggles[i + 1]) {
      ++i;  // there and back again
      continue;
    }
    if (toggles[i] >= end) break;
    counts.push_back(toggles[i] - start);
    start = toggles[i];
  }
  counts.push_back(end - start);
  return Rle(size, std::move(counts));
}

Rle::Rle(ImageSize size) : size_(size) {
  check_size(size);
  counts_ = {static_cast<uint32_t>(pixels_of(size))};
}

Rle::Rle(ImageSize size, std::vector<uint32_t> counts) : size_(size), counts_(std::move(counts)) {
  check_size(size);
  const uint64_t sum = std::accumulate(counts_.begin(), counts_.end(), uint64_t{0});
  if (sum != static_cast<uint64_t>(pixels_of(size))) {
    fail(Kind::input, "RLE: the counts add up to {}, expected {} for {}x{} pixels", sum,
         pixels_of(size), size.width, size.height);
  }
}

Rle Rle::from_counts(ImageSize size, std::span<const int64_t> counts) {
  check_size(size);
  std::vector<uint32_t> narrow(counts.size());
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] < 0 || counts[i] > pixels_of(size))
      fail(Kind::input, "RLE: count {} is {}, expected 0 to {}", i, counts[i], pixels_of(size));
    narrow[i] = static_cast<uint32_t>(counts[i]);
  }
  return Rle(size, std::move(narrow));
}

Rle Rle::from_string(ImageSize size, std::string_view text) {
  check_size(size);
  constexpr int kGroups = 7;  // 35 bits hold every difference of two 32-bit counts
  const int64_t most = pixels_of(size);
  std::vector<uint32_t> counts;
  size_t at = 0;
  while (at < text.size()) {
    const size_t begin = at;
    int64_t value = 0;
    for (int group = 0;; ++group) {
      if (at == text.size())
        fail(Kind::input, "RLE string: ends within the number at character {}", begin);
      if (group == kGroups)
        fail(Kind::input, "RLE string: the number at character {} is too long", begin);
      const int bits = static_cast<unsigned char>(text[at]) - '0';
      if (bits < 0 || bits > 63)
        fail(Kind::input, "RLE string: character {} is not one of '0' to 'o'", at);
      ++at;
      value |= int64_t{bits & 31} << (5 * group);
      if (bits & 32) continue;
      if (bits & 16) value -= int64_t{1} << (5 * group + 5);  // the sign
      break;
    }
    if (counts.size() > 2) value += counts[counts.size() - 2];
    if (value < 0 || value > most)
      fail(Kind::input, "RLE string: count {} at character {} is {}, expected 0 to {}",
           counts.size(), begin, value, most);
    counts.push_back(static_cast<uint32_t>(value));
  }
  return Rle(size, std::move(counts));
}

std::string Rle::string() const {
  std::string text;
  text.reserve(counts_.size() * 2);
  for (size_t i = 0; i < counts_.size(); ++i) {
    int64_t value = counts_[i];
    if (i > 2) value -= counts_[i - 2];
    for (bool more = true; more;) {
      int bits = static_cast<int>(value & 31);
      value >>= 5;
      more = bits & 16 ? value != -1 : value != 0;
      if (more) bits |= 32;
      text += static_cast<char>('0' + bits);
    }
  }
  return text;
}

int64_t Rle::area() const {
  int64_t sum = 0;
  for (size_t i = 1; i < counts_.size(); i += 2) sum += counts_[i];
  return sum;
}

PixelBox Rle::bounding_box() const {
  const auto rows = static_cast<uint32_t>(size_.height);
  uint32_t left = UINT32_MAX, top = UINT32_MAX, right = 0, bottom = 0;
  uint32_t position = 0;
  for (size_t i = 0; i < counts_.size(); position += counts_[i], ++i) {
    if (i % 2 == 0 || counts_[i] == 0) continue;
    const uint32_t last = position + counts_[i] - 1;
    left = std::min(left, position / rows);
    right = std::max(right, last / rows);
    // A run that passes into the next column touches the bottom of one and the top of the other.
    const bool one_column = position / rows == last / rows;
    top = std::min(top, one_column ? position % rows : 0);
    bottom = std::max(bottom, one_column ? last % rows : rows - 1);
  }
  if (left == UINT32_MAX) return {};
  return {static_cast<int>(left), static_cast<int>(top), static_cast<int>(right - left + 1),
          static_cast<int>(bottom - top + 1)};
}

bool operator==(const Rle& a, const Rle& b) { return a.size_ == b.size_ && a.counts_ == b.counts_; }

Rle Rle::canonical() const {
  std::vector<uint32_t> toggles;
  toggles.reserve(counts_.size());
  uint32_t position = 0;
  for (size_t i = 0; i + 1 < counts_.size(); ++i) toggles.push_back(position += counts_[i]);
  return runs::from_toggles(toggles, size_);
}

int64_t intersection_area(const Rle& a, const Rle& b) {
  check_same_size(a, b);
  int64_t shared = 0;
  walk_together(
      a, b, [&](uint32_t length, bool in_a, bool in_b) { shared += in_a && in_b ? length : 0; });
  return shared;
}

double iou(const Rle& detection, const Rle& truth, bool truth_is_crowd) {
  const int64_t shared = intersection_area(detection, truth);
  if (shared == 0) return 0;
  const int64_t own = detection.area();
  const int64_t joined = truth_is_crowd ? own : own + truth.area() - shared;
  return static_cast<double>(shared) / static_cast<double>(joined);
}

Rle merge(std::span<const Rle> masks, bool intersect) {
  if (masks.empty()) fail(Kind::usage, "RLE: nothing to merge");
  Rle merged = masks[0].canonical();
  for (const Rle& next : masks.subspan(1)) {
    check_same_size(merged, next);
    std::vector<uint32_t> toggles;
    uint32_t position = 0;
    bool inside = false;
    walk_together(merged, next, [&](uint32_t length, bool in_a, bool in_b) {
      const bool now = intersect ? in_a && in_b : in_a || in_b;
      if (now != inside) toggles.push_back(position);
      inside = now;
      position += length;
    });
    merged = runs::from_toggles(toggles, merged.size());
  }
  return merged;
}

}  // namespace beckon
