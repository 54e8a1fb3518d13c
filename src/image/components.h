// Connected parts of a mask, found by its horizontal runs.
#pragma once

#include <cstdint>
#include <vector>

#include "beckon/mask.h"

namespace beckon::detail {

// Pixels begin to end - 1 of row y.
struct Run {
  int y, begin, end;
  int part;  // index into Parts::parts
};

struct Parts {
  std::vector<Run> runs;         // row by row, left to right
  std::vector<Component> parts;  // in the order of their first run
};

// The parts of the pixels with this value that touch by sides or corners.
Parts parts_of(const Mask& mask, bool value);

}  // namespace beckon::detail
