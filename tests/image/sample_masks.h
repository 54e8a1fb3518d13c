// Masks for tests: drawn as text, or random.
#pragma once

#include <string>
#include <vector>

#include "beckon/mask.h"
#include "support/pictures.h"

namespace beckon::test {

// '#' is object.
inline Mask drawn(const std::vector<std::string>& rows) {
  Mask mask(static_cast<int>(rows[0].size()), static_cast<int>(rows.size()));
  for (int y = 0; y < mask.height(); ++y) {
    for (int x = 0; x < mask.width(); ++x)
      mask.set(x, y, rows[static_cast<size_t>(y)][static_cast<size_t>(x)] == '#');
  }
  return mask;
}

// Every `sparsity`-th pixel or so is object.
inline Mask random_mask(int width, int height, uint32_t seed, int sparsity = 2) {
  Random random(seed);
  Mask mask(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) mask.set(x, y, random.below(sparsity + 1) == 0);
  }
  return mask;
}

// Boxes put on and cut out: larger shapes with holes and islands in them.
inline Mask blocky_mask(int width, int height, uint32_t seed) {
  Random random(seed);
  Mask mask(width, height);
  for (int i = 0; i < 12; ++i) {
    const Mask box =
        Mask::from_box({random.below(width), random.below(height), 1 + random.below(width / 2 + 1),
                        1 + random.below(height / 2 + 1)},
                       {width, height});
    mask = i % 3 == 2 ? mask - box : mask | box;
  }
  return mask;
}

}  // namespace beckon::test
