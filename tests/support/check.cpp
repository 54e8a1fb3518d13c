#include "support/check.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

namespace beckon::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double difference(float a, float b) {
  if (a == b || (std::isnan(a) && std::isnan(b))) return 0;
  const double gap = std::abs(double{a} - double{b});
  return std::isnan(gap) ? kInfinity : gap;
}

}  // namespace

double max_difference(std::span<const float> a, std::span<const float> b) {
  if (a.size() != b.size()) return kInfinity;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) worst = std::max(worst, difference(a[i], b[i]));
  return worst;
}

void expect_near(std::span<const float> actual, std::span<const float> expected, double tolerance,
                 const std::string& what) {
  if (actual.size() != expected.size()) {
    ADD_FAILURE() << what << ": " << actual.size() << " values, expected " << expected.size();
    return;
  }
  double worst = -1;
  size_t where = 0;
  size_t off = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double gap = difference(actual[i], expected[i]);
    if (gap > tolerance) ++off;
    if (gap > worst) {
      worst = gap;
      where = i;
    }
  }
  if (off > 0) {
    ADD_FAILURE() << what << ": " << off << " of " << actual.size()
                  << " values are off by more than " << tolerance << "; the worst is [" << where
                  << "] = " << actual[where] << ", expected " << expected[where] << " (off by "
                  << worst << ")";
  }
}

void expect_near(std::span<const float> actual, const Array& expected, double tolerance,
                 const std::string& what) {
  const auto values = expected.as_floats();
  expect_near(actual, std::span<const float>(values), tolerance, what);
}

void expect_error(Kind kind, const std::string& part, const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    const std::string message = error.what();
    EXPECT_EQ(kind_name(error.kind()), std::string(kind_name(kind))) << message;
    EXPECT_NE(message.find(part), std::string::npos) << "'" << part << "' is not in: " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << "more than one line: " << message;
    return;
  } catch (const std::exception& error) {
    ADD_FAILURE() << "expected beckon::Error, got: " << error.what();
    return;
  }
  ADD_FAILURE() << "expected an error of kind " << kind_name(kind) << " about '" << part
                << "', got none";
}

}  // namespace beckon::test
