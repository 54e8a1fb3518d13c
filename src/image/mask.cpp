#include "beckon/mask.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>
#include <numeric>

#include "base/fail.h"
#include "base/files.h"
#include "base/threads.h"
#include "image/codecs.h"
#include "image/runs.h"

namespace beckon {
namespace {

static_assert(std::endian::native == std::endian::little, "the first byte of a word is its lowest");

constexpr int64_t kGrain = 1 << 16;

void check_same_size(const Mask& a, const Mask& b) {
  if (a.size() != b.size()) {
    fail(Kind::usage, "mask: {}x{} and {}x{} pixels, expected the same size", a.width(), a.height(),
         b.width(), b.height());
  }
}

// result[i] = combine(a[i], b[i])
template <typename Combine>
Mask combined(const Mask& a, const Mask& b, Combine&& combine) {
  check_same_size(a, b);
  if (a.empty()) return {};
  Mask result(a.size());
  const uint8_t* left = a.values().data();
  const uint8_t* right = b.values().data();
  uint8_t* out = result.mutable_row(0);
  const size_t count = a.values().size();
  for (size_t i = 0; i < count; ++i) out[i] = combine(left[i], right[i]);
  return result;
}

// visit(x) for each x where two rows of 0 and 1 differ, in ascending order.
template <typename Visit>
void for_each_difference(const uint8_t* a, const uint8_t* b, int width, Visit&& visit) {
  int x = 0;
  for (; x + 8 <= width; x += 8) {
    uint64_t eight_a, eight_b;
    std::memcpy(&eight_a, a + x, 8);
    std::memcpy(&eight_b, b + x, 8);
    for (uint64_t change = eight_a ^ eight_b; change != 0; change &= change - 1)
      visit(x + std::countr_zero(change) / 8);
  }
  for (; x < width; ++x) {
    if (a[x] != b[x]) visit(x);
  }
}

Mask from_picture(const codecs::Decoded& decoded) {
  const Image& image = decoded.image;
  const int channels = image.channels();
  const auto pixels = image.pixels();
  const auto count = static_cast<size_t>(int64_t{image.width()} * image.height());
  Mask mask(image.size());
  uint8_t* out = mask.mutable_row(0);

  bool transparent = false;
  if (channels == 4) {
    for (size_t i = 0; i < count && !transparent; ++i) transparent = pixels[4 * i + 3] != 255;
  }
  const int limit = decoded.lossy ? 127 : 0;
  for (size_t i = 0; i < count; ++i) {
    const uint8_t* pixel = pixels.data() + i * static_cast<size_t>(channels);
    if (transparent) {
      out[i] = pixel[3] > 0;
    } else if (channels == 1) {
      out[i] = pixel[0] > limit;
    } else {
      out[i] = std::max({pixel[0], pixel[1], pixel[2]}) > limit;
    }
  }
  return mask;
}

}  // namespace

Mask::Mask(ImageSize size) {
  if (size.width < 1 || size.height < 1)
    fail(Kind::usage, "mask: {}x{}, expected sides of at least 1", size.width, size.height);
  try {
    values_.resize(static_cast<size_t>(int64_t{size.width} * size.height));
  } catch (const std::exception&) {
    fail(Kind::resource, "mask: not enough memory for {}x{} pixels", size.width, size.height);
  }
  size_ = size;
}

Mask::Mask(int width, int height, std::span<const uint8_t> values) : Mask(width, height) {
  if (values.size() != values_.size())
    fail(Kind::usage, "mask: {} values for {}x{} pixels", values.size(), width, height);
  for (size_t i = 0; i < values.size(); ++i) values_[i] = values[i] != 0;
}

Mask Mask::from_logits(std::span<const float> logits, int width, int height, float threshold) {
  Mask mask(width, height);
  if (logits.size() != mask.values_.size())
    fail(Kind::usage, "mask: {} logits for {}x{} pixels", logits.size(), width, height);
  uint8_t* out = mask.values_.data();
  const float* in = logits.data();
  parallel_for(static_cast<int64_t>(logits.size()), kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) out[i] = in[i] > threshold;
  });
  return mask;
}

// Each end of a run is marked in its column; a running exclusive-or down the rows then fills the
// runs. That visits memory row by row, where filling down the columns would touch another cache
// line with every pixel.
Mask Mask::from_rle(const Rle& rle, int64_t max_pixels) {
  const int64_t pixels = int64_t{rle.width()} * rle.height();
  if (pixels > max_pixels) {
    fail(Kind::resource, "mask: {}x{} is {:.1f} megapixels, the limit is {:.1f}", rle.width(),
         rle.height(), static_cast<double>(pixels) / 1e6, static_cast<double>(max_pixels) / 1e6);
  }
  Mask mask(rle.size());
  const auto width = static_cast<size_t>(rle.width());
  const auto height = static_cast<uint32_t>(rle.height());
  uint8_t* values = mask.values_.data();
  const auto toggle = [&](uint32_t position) {
    values[position % height * width + position / height] ^= 1;
  };
  const auto counts = rle.counts();
  uint32_t position = 0;
  for (size_t i = 0; i < counts.size(); position += counts[i], ++i) {
    if (i % 2 == 0 || counts[i] == 0) continue;
    const uint32_t end = position + counts[i];
    toggle(position);
    // Columns begin as background, so a run is begun anew in each that it reaches.
    for (uint64_t top = (uint64_t{position} / height + 1) * height; top < end; top += height)
      toggle(static_cast<uint32_t>(top));
    if (end % height != 0) toggle(end);
  }
  for (uint32_t y = 1; y < height; ++y) {
    const uint8_t* above = values + (y - 1) * width;
    uint8_t* line = values + y * width;
    for (size_t x = 0; x < width; ++x) line[x] ^= above[x];
  }
  return mask;
}

// The reverse of from_rle: where a row differs from the one above, its column changes.
Rle Mask::rle() const {
  if (empty()) fail(Kind::usage, "mask: an empty mask has no RLE");
  const auto columns = static_cast<size_t>(width());
  const auto rows = static_cast<uint32_t>(height());
  const Rle checked(size_);  // positions are counted in 32 bits

  std::vector<int> changes;  // columns, row by row
  std::vector<size_t> row_end(rows);
  std::vector<size_t> next(columns + 1, 0);  // first the number of changes in the column before
  const std::vector<uint8_t> background(columns, 0);
  for (uint32_t y = 0; y < rows; ++y) {
    const uint8_t* above = y == 0 ? background.data() : row(static_cast<int>(y) - 1);
    for_each_difference(above, row(static_cast<int>(y)), width(), [&](int x) {
      changes.push_back(x);
      ++next[static_cast<size_t>(x) + 1];
    });
    row_end[y] = changes.size();
  }
  std::partial_sum(next.begin(), next.end(), next.begin());
  const std::vector<size_t> column_begin = next;

  std::vector<uint32_t> rows_by_column(changes.size());
  for (size_t i = 0, y = 0; i < changes.size(); ++i) {
    while (i >= row_end[y]) ++y;
    rows_by_column[next[static_cast<size_t>(changes[i])]++] = static_cast<uint32_t>(y);
  }

  // Columns are joined: if one ends as object, the next one's top is a change exactly if it begins
  // as background.
  std::vector<uint32_t> toggles;
  toggles.reserve(changes.size() + columns);
  for (size_t x = 0; x < columns; ++x) {
    const uint32_t top = static_cast<uint32_t>(x) * rows;
    const size_t begin = column_begin[x], end = column_begin[x + 1];
    if (x > 0 && (begin - column_begin[x - 1]) % 2 == 1) toggles.push_back(top);
    for (size_t i = begin; i < end; ++i) toggles.push_back(top + rows_by_column[i]);
  }
  return runs::from_toggles(toggles, size_);
}

Mask Mask::from_box(const PixelBox& box, ImageSize size) {
  Mask mask(size);
  const int64_t x0 = std::max(box.x, 0),
                x1 = std::min<int64_t>(int64_t{box.x} + box.width, size.width);
  const int64_t y0 = std::max(box.y, 0),
                y1 = std::min<int64_t>(int64_t{box.y} + box.height, size.height);
  if (x0 >= x1) return mask;
  for (int64_t y = y0; y < y1; ++y)
    std::memset(mask.mutable_row(static_cast<int>(y)) + x0, 1, static_cast<size_t>(x1 - x0));
  return mask;
}

Mask Mask::read(const std::string& path, const ReadOptions& options) {
  return decode(read_file(path, options.max_bytes), path, options);
}

Mask Mask::decode(std::span<const uint8_t> bytes, const std::string& name,
                  const ReadOptions& options) {
  codecs::Decoded decoded = codecs::decode_any(bytes, name, options, codecs::Deep::non_zero);
  if (options.orient) decoded.image = codecs::oriented(decoded.image, decoded.orientation);
  return from_picture(decoded);
}

int64_t Mask::area() const {
  int64_t sum = 0;
  for (int y = 0; y < height(); ++y) {
    const uint8_t* line = row(y);
    uint32_t in_row = 0;
    for (int x = 0; x < width(); ++x) in_row += line[x];
    sum += in_row;
  }
  return sum;
}

PixelBox Mask::bounding_box() const {
  int left = width(), right = -1, top = -1, bottom = -1;
  for (int y = 0; y < height(); ++y) {
    const uint8_t* line = row(y);
    const auto* first =
        static_cast<const uint8_t*>(std::memchr(line, 1, static_cast<size_t>(width())));
    if (!first) continue;
    if (top < 0) top = y;
    bottom = y;
    left = std::min(left, static_cast<int>(first - line));
    int last = width() - 1;
    while (last > right && line[last] == 0) --last;
    right = std::max(right, last);
  }
  if (top < 0) return {};
  return {left, top, right - left + 1, bottom - top + 1};
}

Image Mask::image() const {
  Image picture(width(), height(), 1);
  uint8_t* out = picture.mutable_row(0);
  for (size_t i = 0; i < values_.size(); ++i) out[i] = static_cast<uint8_t>(-values_[i]);
  return picture;
}

void Mask::write_png(const std::string& path) const { image().write_png(path); }

Mask operator&(const Mask& a, const Mask& b) {
  return combined(a, b, [](uint8_t x, uint8_t y) { return static_cast<uint8_t>(x & y); });
}

Mask operator|(const Mask& a, const Mask& b) {
  return combined(a, b, [](uint8_t x, uint8_t y) { return static_cast<uint8_t>(x | y); });
}

Mask operator-(const Mask& a, const Mask& b) {
  return combined(a, b, [](uint8_t x, uint8_t y) { return static_cast<uint8_t>(x & (y ^ 1)); });
}

Mask operator~(const Mask& a) {
  return combined(a, a, [](uint8_t x, uint8_t) { return static_cast<uint8_t>(x ^ 1); });
}

bool operator==(const Mask& a, const Mask& b) {
  return a.size_ == b.size_ && a.values_ == b.values_;
}

double iou(const Mask& a, const Mask& b) {
  check_same_size(a, b);
  int64_t shared = 0, joined = 0;
  for (int y = 0; y < a.height(); ++y) {
    const uint8_t* left = a.row(y);
    const uint8_t* right = b.row(y);
    uint32_t both = 0, either = 0;
    for (int x = 0; x < a.width(); ++x) {
      both += left[x] & right[x];
      either += left[x] | right[x];
    }
    shared += both;
    joined += either;
  }
  return joined == 0 ? 0 : static_cast<double>(shared) / static_cast<double>(joined);
}

}  // namespace beckon
