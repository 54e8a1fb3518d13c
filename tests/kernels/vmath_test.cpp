// Accuracy of the vector functions: dense grids against libm in double, on every instruction set.
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "every_target.h"
#include "kernels/elementwise.h"

namespace beckon::kernels {
namespace {

using beckon::test::on_every_target;
using Reference = std::function<double(double)>;

constexpr float kInf = std::numeric_limits<float>::infinity();

double phi(double x) { return std::exp(-0.5 * x * x) * 0.39894228040143267794; }
double Phi(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); }
double logistic(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double silu_grad(double x, double k) { return logistic(k * x) * (1.0 + k * x * logistic(-k * x)); }

std::vector<float> grid(double low, double high, int count = 200001) {
  std::vector<float> x(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i)
    x[static_cast<size_t>(i)] = static_cast<float>(low + (high - low) * i / (count - 1));
  return x;
}

struct Error {
  double ulps = 0.0, absolute = 0.0;
  float ulps_at = 0.0f, absolute_at = 0.0f;
};

Error worst(const std::vector<float>& x, const std::vector<float>& y, const Reference& reference) {
  Error e;
  for (size_t i = 0; i < x.size(); ++i) {
    const double want = reference(x[i]);
    const float rounded = std::abs(static_cast<float>(want));
    const double ulp = static_cast<double>(std::nextafter(rounded, kInf)) - rounded;
    const double absolute = std::abs(y[i] - want);
    // A NaN fails here, not silently.
    if (!(absolute <= e.absolute)) e.absolute = absolute, e.absolute_at = x[i];
    if (!(absolute / ulp <= e.ulps)) e.ulps = absolute / ulp, e.ulps_at = x[i];
  }
  return e;
}

struct Case {
  const char* name;
  Unary op;
  double low, high;
  double ulps;      // bound in units of the last place, or 0
  double absolute;  // absolute bound, or 0
  Reference reference;
};

void check(const Case& c, bool gradient) {
  const std::vector<float> x = grid(c.low, c.high);
  std::vector<float> y(x.size());
  if (gradient) {
    const std::vector<float> one(x.size(), 1.0f);
    unary_grad(c.op, x.data(), one.data(), y.data(), static_cast<int64_t>(x.size()));
  } else {
    unary(c.op, x.data(), y.data(), static_cast<int64_t>(x.size()));
  }
  const Error e = worst(x, y, c.reference);
  if (c.ulps > 0) {
    EXPECT_LE(e.ulps, c.ulps) << c.name << " at " << e.ulps_at;
  }
  if (c.absolute > 0) {
    EXPECT_LE(e.absolute, c.absolute) << c.name << " at " << e.absolute_at;
  }
}

const std::vector<Case> kValues = {
    {"exp", Unary::exp, -87.33, 88.72, 1.1, 0, [](double x) { return std::exp(x); }},
    {"exp near 0", Unary::exp, -1e-3, 1e-3, 1.1, 0, [](double x) { return std::exp(x); }},
    {"log", Unary::log, 1e-6, 4, 0.9, 0, [](double x) { return std::log(x); }},
    {"log near 1", Unary::log, 0.999, 1.001, 0.9, 0, [](double x) { return std::log(x); }},
    {"log large", Unary::log, 1, 3e38, 0.9, 0, [](double x) { return std::log(x); }},
    {"log denormal", Unary::log, 1e-44, 1.2e-38, 0.9, 0, [](double x) { return std::log(x); }},
    {"tanh", Unary::tanh, -12, 12, 1.5, 0, [](double x) { return std::tanh(x); }},
    {"tanh near 0", Unary::tanh, -1e-2, 1e-2, 1.5, 0, [](double x) { return std::tanh(x); }},
    {"sigmoid", Unary::sigmoid, -87, 40, 2.5, 0, [](double x) { return logistic(x); }},
    {"erf", Unary::erf, -6, 6, 2.6, 0, [](double x) { return std::erf(x); }},
    {"erf near 0", Unary::erf, -1e-3, 1e-3, 2.6, 0, [](double x) { return std::erf(x); }},
    {"gelu", Unary::gelu, -20, 20, 0, 3.4e-7, [](double x) { return x * Phi(x); }},
    {"gelu left", Unary::gelu, -100, 0, 0, 2.1e-7, [](double x) { return x * Phi(x); }},
    {"gelu near 0", Unary::gelu, -0.01, 0.01, 24, 5e-9, [](double x) { return x * Phi(x); }},
    {"silu", Unary::silu, -80, 80, 3.2, 0, [](double x) { return x * logistic(x); }},
    {"quick_gelu", Unary::quick_gelu, -4, 30, 10, 0,
     [](double x) { return x * logistic(1.702 * x); }},
    {"rsqrt", Unary::rsqrt, 1e-3, 50, 1.5, 0, [](double x) { return 1 / std::sqrt(x); }},
    {"sqrt", Unary::sqrt, 0, 50, 0.51, 0, [](double x) { return std::sqrt(x); }},
};

const std::vector<Case> kGradients = {
    {"exp", Unary::exp, -87.33, 88.72, 1.1, 0, [](double x) { return std::exp(x); }},
    {"log", Unary::log, 1e-3, 50, 0.51, 0, [](double x) { return 1 / x; }},
    {"tanh", Unary::tanh, -40, 40, 6, 0,
     [](double x) { return 4 * logistic(2 * x) * logistic(-2 * x); }},
    {"sigmoid", Unary::sigmoid, -80, 80, 5, 0, [](double x) { return logistic(x) * logistic(-x); }},
    {"erf", Unary::erf, -5, 5, 0, 1.6e-7,
     [](double x) { return std::exp(-x * x) * 1.1283791670955126; }},
    {"gelu", Unary::gelu, -30, 30, 0, 5.5e-7, [](double x) { return Phi(x) + x * phi(x); }},
    {"quick_gelu", Unary::quick_gelu, -90, 90, 0, 2.5e-7,
     [](double x) { return silu_grad(x, 1.702); }},
    {"silu", Unary::silu, -90, 90, 0, 2.5e-7, [](double x) { return silu_grad(x, 1.0); }},
    {"square", Unary::square, -3, 3, 0.51, 0, [](double x) { return 2 * x; }},
    {"sqrt", Unary::sqrt, 1e-3, 50, 1.5, 0, [](double x) { return 0.5 / std::sqrt(x); }},
    {"rsqrt", Unary::rsqrt, 1e-3, 50, 2.4, 0, [](double x) { return -0.5 / (x * std::sqrt(x)); }},
    {"reciprocal", Unary::reciprocal, 0.1, 9, 1.5, 0, [](double x) { return -1 / (x * x); }},
    {"negate", Unary::negate, -2, 2, 0.1, 0, [](double) { return -1.0; }},
    {"identity", Unary::identity, -2, 2, 0.1, 0, [](double) { return 1.0; }},
};

TEST(VectorMath, ValuesAreAsAccurateAsTheHeaderSays) {
  on_every_target([] {
    for (const Case& c : kValues) check(c, false);
  });
}

TEST(VectorMath, DerivativesAreAccurate) {
  on_every_target([] {
    for (const Case& c : kGradients) check(c, true);
  });
}

TEST(VectorMath, LimitsAndNotANumber) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  struct Limit {
    Unary op;
    float left, right;  // values at -inf and +inf
  };
  const Limit limits[] = {
      {Unary::exp, 0, kInf},        {Unary::tanh, -1, 1},     {Unary::sigmoid, 0, 1},
      {Unary::erf, -1, 1},          {Unary::gelu, 0, kInf},   {Unary::relu, 0, kInf},
      {Unary::silu, 0, kInf},       {Unary::abs, kInf, kInf}, {Unary::quick_gelu, 0, kInf},
      {Unary::negate, kInf, -kInf}, {Unary::reciprocal, 0, 0}};
  const Limit gradient_limits[] = {
      {Unary::exp, 0, kInf}, {Unary::tanh, 0, 0}, {Unary::sigmoid, 0, 0},    {Unary::erf, 0, 0},
      {Unary::gelu, 0, 1},   {Unary::relu, 0, 1}, {Unary::quick_gelu, 0, 1}, {Unary::silu, 0, 1}};
  on_every_target([&] {
    const float x[] = {-kInf, kInf, nan, -3e38f, 3e38f};
    const float one[] = {1, 1, 1, 1, 1};
    float y[5];
    for (const Limit& l : limits) {
      SCOPED_TRACE(static_cast<int>(l.op));
      unary(l.op, x, y, 5);
      EXPECT_EQ(y[0], l.left);
      EXPECT_EQ(y[1], l.right);
      EXPECT_TRUE(std::isnan(y[2]));
      EXPECT_FALSE(std::isnan(y[3]));
      EXPECT_FALSE(std::isnan(y[4]));
    }
    for (const Limit& l : gradient_limits) {
      SCOPED_TRACE(static_cast<int>(l.op));
      unary_grad(l.op, x, one, y, 5);
      EXPECT_EQ(y[0], l.left);
      EXPECT_EQ(y[1], l.right);
      if (l.op != Unary::relu) {
        EXPECT_TRUE(std::isnan(y[2]));
      }
      EXPECT_FALSE(std::isnan(y[3]));
      EXPECT_FALSE(std::isnan(y[4]));
    }
  });
}

TEST(VectorMath, ExpEndsInZeroAndInfinity) {
  on_every_target([] {
    const float x[] = {-88, -200, -3e38f, 88.73f, 89, 200, 3e38f, 0, -0.0f};
    float y[9];
    unary(Unary::exp, x, y, 9);
    for (int i : {0, 1, 2}) EXPECT_EQ(y[i], 0.0f) << x[i];
    for (int i : {3, 4, 5, 6}) EXPECT_EQ(y[i], kInf) << x[i];
    EXPECT_EQ(y[7], 1.0f);
    EXPECT_EQ(y[8], 1.0f);
  });
}

TEST(VectorMath, LogOfZeroNegativeAndInfinity) {
  on_every_target([] {
    const float x[] = {0.0f, -0.0f, -1.0f, -kInf, kInf, 1.0f};
    float y[6];
    unary(Unary::log, x, y, 6);
    EXPECT_EQ(y[0], -kInf);
    EXPECT_EQ(y[1], -kInf);
    EXPECT_TRUE(std::isnan(y[2]));
    EXPECT_TRUE(std::isnan(y[3]));
    EXPECT_EQ(y[4], kInf);
    EXPECT_EQ(y[5], 0.0f);
  });
}

TEST(VectorMath, GeluIsExactBeyondItsTail) {
  on_every_target([] {
    const std::vector<float> x = {-5.9f, -6, -7.5f, -1e10f, 5.9f, 6, 7.5f, 1e10f, 0, -0.0f};
    std::vector<float> y(x.size());
    unary(Unary::gelu, x.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], x[i] > 0 ? x[i] : 0.0f) << x[i];
  });
}

TEST(VectorMath, GeluIsNeverPositiveOnTheLeft) {
  on_every_target([] {
    const std::vector<float> x = grid(-7, 0);
    std::vector<float> y(x.size());
    unary(Unary::gelu, x.data(), y.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) ASSERT_LE(y[i], 0.0f) << x[i];
  });
}

}  // namespace
}  // namespace beckon::kernels
