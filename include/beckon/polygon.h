// Masks as outlines and back.
#pragma once

#include <span>
#include <vector>

#include "beckon/boxes.h"
#include "beckon/export.h"
#include "beckon/mask.h"
#include "beckon/rle.h"

namespace beckon {

// (0, 0) is the top-left corner of the top-left pixel; the last pixel ends at (width, height).
struct Vertex {
  double x = 0;
  double y = 0;
  friend bool operator==(const Vertex&, const Vertex&) = default;
};

// A closed line: the last vertex is joined to the first, which is not repeated.
using Ring = std::vector<Vertex>;

struct Polygon {
  Ring outer;               // clockwise as seen on the screen
  std::vector<Ring> holes;  // counter-clockwise
};

// The outlines of a mask along pixel edges, corners only: one polygon for each part connected by
// sides or corners, top to bottom; islands in holes are polygons of their own. mask_from_polygons
// gives back the same mask.
BECKON_API std::vector<Polygon> polygons_of(const Mask& mask);

// The pixels whose centre an odd number of rings encloses (rings may cross each other and
// themselves). What lies outside the picture is cut off. Kind::input if a coordinate is not a
// finite number.
BECKON_API Mask mask_from_polygons(std::span<const Polygon> polygons, ImageSize size);
BECKON_API Mask mask_from_rings(std::span<const Ring> rings, ImageSize size);

// COCO's own filling, to the pixel: the ring is drawn at five times the size and its column
// crossings are kept, so that it differs from mask_from_polygons by pixels at the border. A
// segmentation of several rings is their merge(). Kind::input if a coordinate is not finite, beyond
// 1e7, or the ring is too long to draw (2^28 steps).
BECKON_API Rle coco_rle_from_ring(std::span<const Vertex> ring, ImageSize size);
// COCO's filling of a box [x, y, width, height], fractions allowed.
BECKON_API Rle coco_rle_from_box(double x, double y, double width, double height, ImageSize size);

}  // namespace beckon
