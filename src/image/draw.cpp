#include "beckon/draw.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <numeric>
#include <vector>

#include "base/fail.h"
#include "base/threads.h"

namespace beckon {
namespace {

constexpr Color kWhite{255, 255, 255};
constexpr Color kShadow{20, 20, 20};
constexpr Color kObject{0, 114, 178};  // blue and vermillion differ in lightness as well as in hue
constexpr Color kBackground{213, 94, 0};

uint8_t mixed(uint8_t below, uint8_t above, float share) {
  return static_cast<uint8_t>(static_cast<float>(below) +
                              (static_cast<float>(above) - static_cast<float>(below)) * share +
                              0.5f);
}

void blend(uint8_t* pixel, Color color, float share) {
  pixel[0] = mixed(pixel[0], color.red, share);
  pixel[1] = mixed(pixel[1], color.green, share);
  pixel[2] = mixed(pixel[2], color.blue, share);
}

// Lines and discs keep their look from thumbnails to large photos.
double stroke_width(const Image& image) {
  return std::max(1.0, std::max(image.width(), image.height()) / 400.0);
}

void check_same_size(const Image& photo, const Mask& mask) {
  if (photo.size() != mask.size()) {
    fail(Kind::usage, "drawing: the photo has {}x{} pixels, the mask {}x{}", photo.width(),
         photo.height(), mask.width(), mask.height());
  }
}

void check_canvas(const Image& image) {
  if (image.channels() != 3)
    fail(Kind::usage, "drawing: {} channels, expected 3 (RGB)", image.channels());
}

// A part of a mask and where it lies: outlines are looked for around the object only.
struct Patch {
  Mask mask;
  int x = 0;
  int y = 0;
};

// The bounding box of the object with `margin` pixels around it, as far as the picture goes. There
// must be an object.
Patch patch_around_object(const Mask& mask, int margin) {
  const PixelBox box = mask.bounding_box();
  const int left = std::max(0, box.x - margin),
            right = std::min(mask.width(), box.x + box.width + margin);
  const int top = std::max(0, box.y - margin),
            bottom = std::min(mask.height(), box.y + box.height + margin);
  Patch patch{Mask(right - left, bottom - top), left, top};
  for (int y = top; y < bottom; ++y)
    std::copy(mask.row(y) + left, mask.row(y) + right, patch.mask.mutable_row(y - top));
  return patch;
}

void paint(Image& image, const Patch& patch, Color color, float share) {
  uint8_t* pixels = image.mutable_row(0);
  const size_t stride = image.stride();
  parallel_for(patch.mask.height(), 32, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const uint8_t* object = patch.mask.row(static_cast<int>(y));
      uint8_t* out =
          pixels + static_cast<size_t>(patch.y + y) * stride + static_cast<size_t>(patch.x) * 3;
      for (int x = 0; x < patch.mask.width(); ++x) {
        if (object[x]) blend(out + 3 * x, color, share);
      }
    }
  });
}

// A tint with a line just inside the object, so that neighbours do not cover each other's, and a
// thin dark one just outside, which keeps the colour readable on a photo of the same colour. The
// picture's border is no edge.
void paint_mask(Image& image, const Mask& mask, Color color, float opacity, int outline) {
  const int shadow = outline > 0 ? std::max(1, outline / 3) : 0;
  const Patch object = patch_around_object(mask, std::max(outline, shadow) + 1);
  paint(image, object, color, opacity);
  if (outline == 0) return;
  paint(image, {grown(object.mask, shadow) - object.mask, object.x, object.y}, kShadow, 0.55f);
  paint(image, {object.mask & grown(~object.mask, outline), object.x, object.y}, color, 1.0f);
}

// Blends a shape into the image: distance(x, y) at a pixel's centre is negative inside and in
// pixels, so that half a pixel on either side of the border is mixed and edges look smooth.
template <typename Distance>
void fill_shape(Image& image, double x0, double y0, double x1, double y1, Color color,
                Distance&& distance) {
  const auto clip = [](double v, int last) {
    return static_cast<int>(std::clamp(v, 0.0, static_cast<double>(last)));
  };
  const int left = clip(std::floor(x0) - 1, image.width()),
            right = clip(std::ceil(x1) + 1, image.width());
  const int top = clip(std::floor(y0) - 1, image.height()),
            bottom = clip(std::ceil(y1) + 1, image.height());
  for (int y = top; y < bottom; ++y) {
    uint8_t* line = image.mutable_row(y);
    for (int x = left; x < right; ++x) {
      const double covered = std::clamp(0.5 - distance(x + 0.5, y + 0.5), 0.0, 1.0);
      if (covered > 0) blend(line + 3 * x, color, static_cast<float>(covered));
    }
  }
}

void fill_disc(Image& image, double cx, double cy, double radius, Color color) {
  fill_shape(image, cx - radius, cy - radius, cx + radius, cy + radius, color,
             [=](double x, double y) { return std::hypot(x - cx, y - cy) - radius; });
}

void fill_bar(Image& image, double cx, double cy, double half_width, double half_height,
              Color color) {
  fill_shape(image, cx - half_width, cy - half_height, cx + half_width, cy + half_height, color,
             [=](double x, double y) {
               return std::max(std::abs(x - cx) - half_width, std::abs(y - cy) - half_height);
             });
}

// The frame between the box shrunk and grown by half a line.
void stroke_frame(Image& image, const Rect& box, double line, Color color) {
  const double cx = (double{box.x0} + box.x1) / 2, cy = (double{box.y0} + box.y1) / 2;
  const double half_width = std::abs(double{box.x1} - box.x0) / 2,
               half_height = std::abs(double{box.y1} - box.y0) / 2;
  const auto side = [&](double x0, double y0, double x1, double y1) {
    fill_bar(image, (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2, color);
  };
  const double h = line / 2;
  const double left = cx - half_width, right = cx + half_width, top = cy - half_height,
               bottom = cy + half_height;
  side(left - h, top - h, right + h, top + h);
  side(left - h, bottom - h, right + h, bottom + h);
  if (bottom - top > line) {
    side(left - h, top + h, left + h, bottom - h);
    side(right - h, top + h, right + h, bottom - h);
  }
}

}  // namespace

Color mask_color(int index) {
  static constexpr Color kHues[] = {
      {86, 180, 233},   // sky blue
      {230, 159, 0},    // orange
      {0, 158, 115},    // bluish green
      {240, 228, 66},   // yellow
      {204, 121, 167},  // reddish purple
      {0, 114, 178},    // blue
      {213, 94, 0},     // vermillion
  };
  constexpr int kCount = static_cast<int>(std::size(kHues));
  const Color hue = kHues[std::abs(index % kCount)];
  const int round = std::abs(index / kCount) % 3;
  if (round == 0) return hue;
  const uint8_t towards = round == 1 ? 255 : 0;
  return {mixed(hue.red, towards, 0.4f), mixed(hue.green, towards, 0.4f),
          mixed(hue.blue, towards, 0.4f)};
}

namespace {

// Larger masks first, so that smaller ones lie above. area(i) of `count` masks; mask(i) is painted.
template <typename Area, typename Unpacked>
Image overlay_of(const Image& photo, size_t count, const OverlayOptions& options, Area&& area,
                 Unpacked&& mask) {
  if (!(options.opacity >= 0 && options.opacity <= 1))
    fail(Kind::usage, "overlay: opacity {}, expected 0 to 1", options.opacity);
  if (options.outline > 100)
    fail(Kind::usage, "overlay: outline {}, expected at most 100", options.outline);
  Image picture = photo.rgb();
  const int outline =
      options.outline >= 0 ? options.outline : std::max(2, static_cast<int>(stroke_width(picture)));

  std::vector<int64_t> areas;
  for (size_t i = 0; i < count; ++i) areas.push_back(area(i));
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return areas[a] > areas[b]; });
  for (const size_t i : order) {
    if (areas[i] > 0)
      paint_mask(picture, mask(i), mask_color(static_cast<int>(i)), options.opacity, outline);
  }
  return picture;
}

}  // namespace

Image overlay(const Image& photo, std::span<const Mask> masks, const OverlayOptions& options) {
  for (const Mask& mask : masks) check_same_size(photo, mask);
  return overlay_of(
      photo, masks.size(), options, [&](size_t i) { return masks[i].area(); },
      [&](size_t i) -> const Mask& { return masks[i]; });
}

Image overlay(const Image& photo, std::span<const Rle> masks, const OverlayOptions& options) {
  for (const Rle& mask : masks)
    if (mask.size() != photo.size())
      fail(Kind::usage, "overlay: a mask of {}x{} pixels, the photo has {}x{}", mask.width(),
           mask.height(), photo.width(), photo.height());
  const int64_t pixels = int64_t{photo.width()} * photo.height();
  return overlay_of(
      photo, masks.size(), options, [&](size_t i) { return masks[i].area(); },
      [&](size_t i) { return Mask::from_rle(masks[i], pixels); });
}

Image overlay(const Image& photo, const Mask& mask, const OverlayOptions& options) {
  return overlay(photo, std::span(&mask, 1), options);
}

Image cutout(const Image& photo, const Mask& mask, bool crop) {
  check_same_size(photo, mask);
  Image picture = photo.rgba();
  if (picture.empty()) return picture;
  uint8_t* pixel = picture.mutable_row(0);
  // Colours outside go as well: a file that only hid them would still hold what was cut away.
  for (const uint8_t object : mask.values()) {
    if (!object) std::fill_n(pixel, 4, uint8_t{0});
    pixel += 4;
  }
  if (!crop) return picture;
  const PixelBox box = mask.bounding_box();
  if (box.width == 0) return Image(1, 1, 4);
  return picture.crop(box.x, box.y, box.width, box.height);
}

void draw_point(Image& image, double x, double y, bool is_object) {
  check_canvas(image);
  if (!std::isfinite(x) || !std::isfinite(y))
    fail(Kind::usage, "drawing: point ({}, {}), expected numbers", x, y);
  // Prompt coordinates name a pixel; its centre is half a pixel further.
  const double cx = x + 0.5, cy = y + 0.5;
  const double unit = stroke_width(image);
  const double radius = std::max(4.0, 4.5 * unit), bar = radius * 0.55, half_line = radius * 0.15;
  fill_disc(image, cx, cy, radius + 0.45 * radius, kShadow);
  fill_disc(image, cx, cy, radius + 0.32 * radius, kWhite);
  fill_disc(image, cx, cy, radius, is_object ? kObject : kBackground);
  fill_bar(image, cx, cy, bar, half_line, kWhite);
  if (is_object) fill_bar(image, cx, cy, half_line, bar, kWhite);
}

void draw_box(Image& image, const Rect& box, Color color) {
  check_canvas(image);
  for (const float v : {box.x0, box.y0, box.x1, box.y1}) {
    if (!std::isfinite(v)) {
      fail(Kind::usage, "drawing: box ({}, {}, {}, {}), expected numbers", box.x0, box.y0, box.x1,
           box.y1);
    }
  }
  const double unit = stroke_width(image);
  stroke_frame(image, box, 2.0 * unit + 2.0, kWhite);
  stroke_frame(image, box, 2.0 * unit, color);
}

}  // namespace beckon
