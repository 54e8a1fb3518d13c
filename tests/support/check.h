// Comparisons that say what went wrong, and where.
#pragma once

#include <functional>
#include <span>
#include <string>

#include "beckon/error.h"
#include "support/safetensors.h"

namespace beckon::test {

// Fails the test unless the sizes are equal and every |actual - expected| <= tolerance; NaN matches
// NaN only, an infinity itself only. The message names `what`, how many values are off and the
// worst of them.
void expect_near(std::span<const float> actual, std::span<const float> expected, double tolerance,
                 const std::string& what);
void expect_near(std::span<const float> actual, const Array& expected, double tolerance,
                 const std::string& what);

// The largest |a - b|; infinity if sizes differ or one of a pair is NaN.
double max_difference(std::span<const float> a, std::span<const float> b);

// Fails the test unless `body` throws beckon::Error of this kind whose message is one line and
// contains `part`.
void expect_error(Kind kind, const std::string& part, const std::function<void()>& body);

}  // namespace beckon::test
