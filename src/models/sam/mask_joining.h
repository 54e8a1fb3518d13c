// Masks of overlapping tiles as masks of the whole image.
#pragma once

#include <vector>

#include "beckon/mask_generator.h"

namespace beckon::sam {

struct Tile {
  PixelBox box;                      // in the image
  std::vector<GeneratedMask> masks;  // in pixels of the tile
};

// Moves masks to their place in the image. Where two tiles overlap, a mask of one and a mask of the
// other that are each other's best match there, with an IoU of at least one half, show the same
// thing: they become one, with the scores' mean by area and the point and tile of the largest part.
std::vector<GeneratedMask> joined(std::vector<Tile> tiles, ImageSize image);

}  // namespace beckon::sam
