#include "image/placed.h"

#include <algorithm>
#include <vector>

#include "base/fail.h"
#include "image/runs.h"

namespace beckon::runs {
namespace {

// Calls each(column, first row, row behind the last) for every stretch of object in one column, in
// order.
template <typename Each>
void each_stretch(const Rle& rle, Each&& each) {
  const auto height = static_cast<uint64_t>(rle.height());
  uint64_t at = 0;
  bool object = false;
  for (const uint32_t count : rle.counts()) {
    if (object)
      for (uint64_t from = at; from < at + count;) {
        const uint64_t column = from / height;
        const uint64_t end = std::min((column + 1) * height, at + count);
        each(column, from - column * height, end - column * height);
        from = end;
      }
    at += count;
    object = !object;
  }
}

}  // namespace

Rle placed(const Rle& part, int x, int y, ImageSize whole) {
  if (x < 0 || y < 0 || part.width() > whole.width - x || part.height() > whole.height - y)
    fail(Kind::usage, "RLE: a part of {}x{} pixels at {},{} is not within {}x{}", part.width(),
         part.height(), x, y, whole.width, whole.height);
  Rle{whole};  // checks the size before positions are counted in 32 bits
  std::vector<uint32_t> toggles;
  each_stretch(part, [&](uint64_t column, uint64_t first, uint64_t end) {
    const uint64_t top = (column + static_cast<uint64_t>(x)) * static_cast<uint64_t>(whole.height) +
                         static_cast<uint64_t>(y);
    toggles.push_back(static_cast<uint32_t>(top + first));
    toggles.push_back(static_cast<uint32_t>(top + end));
  });
  return from_toggles(toggles, whole);
}

Rle cut_out(const Rle& whole, const PixelBox& box) {
  if (box.x < 0 || box.y < 0 || box.width < 1 || box.height < 1 ||
      box.width > whole.width() - box.x || box.height > whole.height() - box.y)
    fail(Kind::usage, "RLE: the box {},{} {}x{} is not within {}x{}", box.x, box.y, box.width,
         box.height, whole.width(), whole.height());
  const auto left = static_cast<uint64_t>(box.x), top = static_cast<uint64_t>(box.y);
  const auto width = static_cast<uint64_t>(box.width), height = static_cast<uint64_t>(box.height);
  std::vector<uint32_t> toggles;
  each_stretch(whole, [&](uint64_t column, uint64_t first, uint64_t end) {
    first = std::max(first, top);
    end = std::min(end, top + height);
    if (column < left || column >= left + width || first >= end) return;
    toggles.push_back(static_cast<uint32_t>((column - left) * height + first - top));
    toggles.push_back(static_cast<uint32_t>((column - left) * height + end - top));
  });
  return from_toggles(toggles, {box.width, box.height});
}

}  // namespace beckon::runs
