#include "learn/methods/counting_squares.h"

#include <array>
#include <numeric>
#include <utility>

namespace beckon::learn {

CountedSquares counting_squares(Random& random) {
  constexpr int kSquare = 9, kGrid = 4;
  CountedSquares result{Image(kSquare * kGrid, kSquare * kGrid, 3), 1 + random.below(10)};
  std::array<int, kGrid * kGrid> places;
  std::iota(places.begin(), places.end(), 0);
  for (int64_t i = 0; i < result.squares; ++i) {
    // The first i places are taken; one of the rest comes next.
    const auto at = static_cast<size_t>(i);
    std::swap(places[at], places[at + static_cast<size_t>(random.below(kGrid * kGrid - i))]);
    const int y0 = places[at] / kGrid * kSquare, x0 = places[at] % kGrid * kSquare;
    for (int y = y0 + 1; y < y0 + kSquare - 1; ++y)
      for (int x = (x0 + 1) * 3; x < (x0 + kSquare - 1) * 3; ++x)
        result.image.mutable_row(y)[x] = 255;
  }
  return result;
}

}  // namespace beckon::learn
