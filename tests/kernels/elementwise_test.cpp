#include "kernels/elementwise.h"

#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include <gtest/gtest.h>

#include "beckon/dtype.h"
#include "every_target.h"

namespace beckon::kernels {
namespace {

using beckon::test::expect_same_for_any_threads;
using beckon::test::on_every_target;
using beckon::test::random_floats;

const std::vector<int64_t> kSizes = {0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 100, 257, 70001};

size_t index(int64_t i) { return static_cast<size_t>(i); }

double apply(Binary op, double a, double b) {
  switch (op) {
    case Binary::add:
      return a + b;
    case Binary::sub:
      return a - b;
    case Binary::reverse_sub:
      return b - a;
    case Binary::mul:
      return a * b;
    case Binary::div:
      return a / b;
    case Binary::reverse_div:
      return b / a;
    case Binary::max:
      return std::max(a, b);
    case Binary::min:
      return std::min(a, b);
  }
  return 0;
}

constexpr Binary kBinaries[] = {Binary::add, Binary::sub,         Binary::reverse_sub, Binary::mul,
                                Binary::div, Binary::reverse_div, Binary::max,         Binary::min};

// The result is rounded once, so it equals the double result rounded to float.
TEST(Elementwise, BinaryWithEverySpreadIsTheRoundedResult) {
  on_every_target([] {
    for (const auto& [rows, cols] : std::vector<std::pair<int64_t, int64_t>>{
             {1, 1}, {3, 5}, {2, 16}, {5, 33}, {1, 70}, {70, 1}, {0, 4}, {4, 0}}) {
      const std::vector<float> a = random_floats(rows * cols, 1);
      for (const Spread spread : {Spread::same, Spread::scalar, Spread::row, Spread::column}) {
        const int64_t b_size = spread == Spread::same     ? rows * cols
                               : spread == Spread::scalar ? 1
                               : spread == Spread::row    ? cols
                                                          : rows;
        const std::vector<float> b = random_floats(b_size, 2);
        for (const Binary op : kBinaries) {
          std::vector<float> y(a.size());
          binary(op, a.data(), b.data(), y.data(), rows, cols, spread);
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t c = 0; c < cols; ++c) {
              const int64_t i = spread == Spread::same     ? r * cols + c
                                : spread == Spread::scalar ? 0
                                : spread == Spread::row    ? c
                                                           : r;
              const float want = static_cast<float>(apply(op, a[index(r * cols + c)], b[index(i)]));
              ASSERT_EQ(y[index(r * cols + c)], want)
                  << "op " << static_cast<int>(op) << " spread " << static_cast<int>(spread);
            }
        }
      }
    }
  });
}

TEST(Elementwise, UnaryWritesEveryElementAndNothingMore) {
  on_every_target([] {
    for (const int64_t n : kSizes) {
      const std::vector<float> x = random_floats(n);
      std::vector<float> y(index(n + 1), 7.0f), dx(index(n + 1), 7.0f);
      const std::vector<float> dy = random_floats(n, 5);
      unary(Unary::square, x.data(), y.data(), n);
      unary_grad(Unary::square, x.data(), dy.data(), dx.data(), n);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_EQ(y[index(i)], x[index(i)] * x[index(i)]);
        ASSERT_EQ(dx[index(i)], dy[index(i)] * (2 * x[index(i)]));
      }
      ASSERT_EQ(y[index(n)], 7.0f);
      ASSERT_EQ(dx[index(n)], 7.0f);
    }
  });
}

TEST(Elementwise, ScaledAddsAndFill) {
  on_every_target([] {
    for (const int64_t n : kSizes) {
      const std::vector<float> a = random_floats(n, 1), b = random_floats(n, 2);
      std::vector<float> y(index(n)), z = b, s(index(n)), f(index(n + 1), 1.0f);
      scaled_add(0.5f, a.data(), -3.0f, b.data(), y.data(), n);
      axpy(0.25f, a.data(), z.data(), n);
      scale_shift(2.0f, 0.125f, a.data(), s.data(), n);
      fill(-2.5f, f.data(), n);
      for (int64_t i = 0; i < n; ++i) {
        ASSERT_NEAR(y[index(i)], 0.5 * a[index(i)] - 3.0 * b[index(i)], 3e-7);
        ASSERT_NEAR(z[index(i)], 0.25 * a[index(i)] + b[index(i)], 2e-7);
        ASSERT_NEAR(s[index(i)], 2.0 * a[index(i)] + 0.125, 2e-7);
        ASSERT_EQ(f[index(i)], -2.5f);
      }
      ASSERT_EQ(f[index(n)], 1.0f);
    }
  });
}

TEST(Elementwise, EveryHalfAndBfloat16Converts) {
  std::vector<uint16_t> all(65536);
  std::iota(all.begin(), all.end(), uint16_t{0});
  on_every_target([&] {
    std::vector<float> half(all.size()), brain(all.size());
    half_to_float(all.data(), half.data(), 65536);
    bfloat16_to_float(all.data(), brain.data(), 65536);
    std::vector<uint16_t> half_back(all.size()), brain_back(all.size());
    float_to_half(half.data(), half_back.data(), 65536);
    float_to_bfloat16(brain.data(), brain_back.data(), 65536);
    for (uint32_t i = 0; i < 65536; ++i) {
      const auto bits = static_cast<uint16_t>(i);
      const bool half_nan = (bits & 0x7FFFu) > 0x7C00u, brain_nan = (bits & 0x7FFFu) > 0x7F80u;
      if (half_nan) {
        ASSERT_TRUE(std::isnan(half[i]));
      } else {
        ASSERT_EQ(std::bit_cast<uint32_t>(half[i]),
                  std::bit_cast<uint32_t>(beckon::half_to_float(bits)));
        ASSERT_EQ(half_back[i], bits);
      }
      if (brain_nan) {
        ASSERT_TRUE(std::isnan(brain[i]));
      } else {
        ASSERT_EQ(brain_back[i], bits);
      }
    }
  });
}

TEST(Elementwise, ConversionsRoundToNearestEven) {
  // Halfway cases, both neighbours, overflow, denormals, NaN; and a bulk of random bits.
  std::vector<float> x = {1.00048828125f,
                          1.00146484375f,
                          65519.0f,
                          65520.0f,
                          3e38f,
                          5.96e-8f,
                          2.98e-8f,
                          2.99e-8f,
                          1e-40f,
                          -0.0f,
                          std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()};
  std::mt19937 generator(3);
  for (int i = 0; i < 100003; ++i) x.push_back(std::bit_cast<float>(uint32_t(generator())));
  for (int i = 0; i < 100003; ++i)
    x.push_back(std::bit_cast<float>((uint32_t(generator()) & 0x8FFFFFFFu) | 0x38000000u));
  on_every_target([&] {
    std::vector<uint16_t> half(x.size()), brain(x.size());
    float_to_half(x.data(), half.data(), static_cast<int64_t>(x.size()));
    float_to_bfloat16(x.data(), brain.data(), static_cast<int64_t>(x.size()));
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(brain[i], beckon::float_to_bfloat16(x[i])) << x[i];
      if (std::isnan(x[i])) {
        ASSERT_GT(half[i] & 0x7FFF, 0x7C00);
      } else {
        ASSERT_EQ(half[i], beckon::float_to_half(x[i])) << x[i];
      }
    }
  });
}

TEST(Elementwise, SumsAndMaxima) {
  on_every_target([] {
    for (const int64_t cols : {1, 2, 5, 16, 31, 32, 33, 64, 100, 1000})
      for (const int64_t rows : {0, 1, 3, 300}) {
        const std::vector<float> x = random_floats(rows * cols);
        std::vector<float> rs(index(rows)), rm(index(rows)), cs(index(cols), 9.0f);
        row_sum(x.data(), rs.data(), rows, cols);
        row_max(x.data(), rm.data(), rows, cols);
        column_sum(x.data(), cs.data(), rows, cols);
        std::vector<double> columns(index(cols));
        double total = 0;
        for (int64_t r = 0; r < rows; ++r) {
          double s = 0;
          float m = x[index(r * cols)];
          for (int64_t c = 0; c < cols; ++c) {
            const float v = x[index(r * cols + c)];
            s += v;
            m = std::max(m, v);
            columns[index(c)] += v;
          }
          total += s;
          ASSERT_NEAR(rs[index(r)], s, 1e-6 * std::sqrt(double(cols)) + 1e-7);
          ASSERT_EQ(rm[index(r)], m);
        }
        for (int64_t c = 0; c < cols; ++c) ASSERT_NEAR(cs[index(c)], columns[index(c)], 2e-5);
        ASSERT_NEAR(sum(x.data(), rows * cols), total, 1e-4);
      }
  });
}

TEST(Elementwise, RowSumsAreTheSameOnEveryInstructionSet) {
  const std::vector<float> x = random_floats(7 * 333);
  std::vector<float> first;
  on_every_target([&] {
    std::vector<float> y(7);
    row_sum(x.data(), y.data(), 7, 333);
    if (first.empty()) first = y;
    EXPECT_EQ(first, y);
  });
}

TEST(Elementwise, ThreadsChangeNothing) {
  const int64_t rows = 1023, cols = 257, n = rows * cols;
  const std::vector<float> x = random_floats(n, 1), b = random_floats(n, 2);
  expect_same_for_any_threads([&] {
    std::vector<float> out(index(3 * n + rows + cols + 1));
    unary(Unary::gelu, x.data(), out.data(), n);
    unary_grad(Unary::silu, x.data(), b.data(), out.data() + n, n);
    binary(Binary::mul, x.data(), b.data(), out.data() + 2 * n, rows, cols, Spread::row);
    row_sum(x.data(), out.data() + 3 * n, rows, cols);
    column_sum(x.data(), out.data() + 3 * n + rows, rows, cols);
    out.back() = static_cast<float>(sum(x.data(), n));
    return out;
  });
}

}  // namespace
}  // namespace beckon::kernels
