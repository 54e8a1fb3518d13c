// The counting task of adversarial reprogramming: pictures of 36 x 36 with 1 to 10 white squares of
// 9 x 9 with a black frame, at 16 places of a grid, on black.
#pragma once

#include <cstdint>

#include "beckon/image.h"
#include "beckon/train.h"

namespace beckon::learn {

struct CountedSquares {
  Image image;          // 36 x 36, RGB
  int64_t squares = 0;  // 1 to 10
};

// How many and where are drawn evenly.
CountedSquares counting_squares(Random& random);

}  // namespace beckon::learn
