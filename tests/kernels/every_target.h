// Runs a check on every instruction set this CPU has and the library was built for.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "hwy/targets.h"

namespace beckon::test {

template <typename Body>
void on_every_target(const Body& body) {
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    SCOPED_TRACE(hwy::TargetName(target));
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
}

// Runs `body` with 1, 2 and 4 threads; it returns a vector of floats, which must be the same bits.
template <typename Body>
void expect_same_for_any_threads(const Body& body) {
  set_threads(1);
  const std::vector<float> one = body();
  for (const int count : {2, 4}) {
    set_threads(count);
    const std::vector<float> many = body();
    ASSERT_EQ(one.size(), many.size());
    for (size_t i = 0; i < one.size(); ++i)
      ASSERT_EQ(one[i], many[i]) << "with " << count << " threads, element " << i;
  }
  set_threads(0);
}

// Numbers in [-1, 1), the same on every machine.
inline std::vector<float> random_floats(int64_t count, uint32_t seed = 1) {
  std::mt19937 generator(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& v : values) v = static_cast<float>(generator() >> 8) * 0x1p-23f - 1.0f;
  return values;
}

}  // namespace beckon::test
