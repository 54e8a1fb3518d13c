// Where the mask generator looks: grids of points and crops, as plain functions on numbers.
#pragma once

#include <vector>

#include "beckon/boxes.h"
#include "beckon/image.h"
#include "beckon/polygon.h"

namespace beckon::sam {

// n x n points in the middles of as many cells, in fractions of a side: row by row.
std::vector<Vertex> point_grid(int n);
// Grids for layers 0 to `layers`, with int(n / factor^layer) points along a side.
std::vector<std::vector<Vertex>> point_grids(int n, int layers, int factor);

// Two corners in whole pixels, the second exclusive.
struct Crop {
  int x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  int layer = 0;
  int width() const { return x1 - x0; }
  int height() const { return y1 - y0; }
  friend bool operator==(const Crop&, const Crop&) = default;
};
// The whole image, then 2^i x 2^i crops for each layer i, column by column.
std::vector<Crop> crops(ImageSize image, int layers, double overlap_ratio);

// Whether a box in pixels of the crop touches an edge of the crop (within 20 pixels) that is no
// edge of the image: what it shows may go on beyond.
bool near_crop_edge(const Rect& box, const Crop& crop, ImageSize image);

// Starts of pieces of `size` that cover `length` and overlap by `overlap` or more: evenly spread.
std::vector<int> tile_starts(int length, int size, int overlap);

}  // namespace beckon::sam
