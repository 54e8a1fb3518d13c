// Distances to the border of a region.
#pragma once

#include <cstdint>
#include <span>

#include "beckon/mask.h"

namespace beckon::detail {

struct Place {
  int x = 0, y = 0;
  friend bool operator==(const Place&, const Place&) = default;
};

struct Peak {
  Place at;
  int64_t squared = 0;  // its distance, squared; 0 if there is no such pixel
};

// The pixel of the region that is farthest (Euclidean, exactly) from every pixel that is not of it,
// pixels beyond the border of the picture included. Those in `taken` belong to the region, but are
// not chosen. Of several the first, row by row; (0, 0) if there is none.
Peak innermost(const Mask& region, std::span<const Place> taken = {});

}  // namespace beckon::detail
