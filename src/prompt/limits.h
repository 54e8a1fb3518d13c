// What a list of prompts may hold at most. Generous for people, small for machines.
#pragma once

#include <cstddef>

namespace beckon {

constexpr double kLargestCoordinate = 1e6;
constexpr size_t kMostPrompts = 10'000;
constexpr size_t kMostPlaces = 10'000;  // of a scribble
constexpr size_t kLongestText = size_t{64} << 10;
constexpr size_t kLongestJson = size_t{64} << 20;

}  // namespace beckon
