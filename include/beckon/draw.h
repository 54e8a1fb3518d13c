// Results that a person looks at: masks over a photo, cut-outs, prompt markers.
#pragma once

#include <cstdint>
#include <span>

#include "beckon/boxes.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/mask.h"

namespace beckon {

struct Color {
  uint8_t red = 0;
  uint8_t green = 0;
  uint8_t blue = 0;
  friend bool operator==(const Color&, const Color&) = default;
};

// Seven hues that people with any kind of colour blindness can tell apart (after Okabe and Ito);
// from the eighth on they come again, lighter and darker in turn. index >= 0.
BECKON_API Color mask_color(int index);

struct OverlayOptions {
  // How much of the mask's colour lies over the object: 0 none, 1 nothing else.
  float opacity = 0.5f;
  // Width of the outline in pixels, at most 100; negative: by the size of the picture (2, from 1200
  // pixels on 3, ...). from 800, ...).
  int outline = -1;
};

// The photo (RGB) with each mask tinted and outlined in its mask_color; where masks overlap, the
// smaller lies above. Kind::usage if a mask has another size than the photo or the options are out
// of range.
BECKON_API Image overlay(const Image& photo, std::span<const Mask> masks,
                         const OverlayOptions& options = {});
BECKON_API Image overlay(const Image& photo, const Mask& mask, const OverlayOptions& options = {});
// The same of many masks as run lengths, of which one at a time is unpacked.
BECKON_API Image overlay(const Image& photo, std::span<const Rle> masks,
                         const OverlayOptions& options = {});

// The object alone: RGBA, transparent outside the mask. With `crop` only the mask's bounding box
// (one transparent pixel if the mask has no object). Kind::usage if the sizes differ.
BECKON_API Image cutout(const Image& photo, const Mask& mask, bool crop = false);

// A clicked point (pixel coordinates, the pixel's corner as in prompts): a disc with a plus for the
// object, a minus for the background, ringed in white so that it shows on anything. Drawn into the
// image; parts outside are cut off. Kind::usage if the image is not RGB or a coordinate is not
// finite.
BECKON_API void draw_point(Image& image, double x, double y, bool is_object);
// A box as a line with a white edge. The same errors.
BECKON_API void draw_box(Image& image, const Rect& box, Color color);

}  // namespace beckon
