// SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators"): one word of
// state, which makes a checkpoint of it easy.
#include <cmath>
#include <numbers>
#include <numeric>

#include "base/fail.h"
#include "beckon/train.h"

namespace beckon {

uint64_t Random::next() {
  uint64_t z = state += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

int64_t Random::below(int64_t count) {
  if (count <= 0) fail(Kind::usage, "a random number below {}", count);
  // Numbers of the last, incomplete round would favour small results: drawn again.
  const auto n = static_cast<uint64_t>(count);
  const uint64_t rest = (~uint64_t{0} - n + 1) % n;
  uint64_t x = next();
  while (x > ~uint64_t{0} - rest) x = next();
  return static_cast<int64_t>(x % n);
}

// Box and Muller. The second number is thrown away: keeping it would be more state.
double Random::normal() {
  const double radius = std::sqrt(-2 * std::log(1 - uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

std::vector<int64_t> Random::permutation(int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(count < 0 ? 0 : count));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (size_t i = order.size(); i > 1; --i)
    std::swap(order[i - 1], order[static_cast<size_t>(below(static_cast<int64_t>(i)))]);
  return order;
}

}  // namespace beckon
