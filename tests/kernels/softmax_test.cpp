#include "kernels/softmax.h"

#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "every_target.h"

namespace beckon::kernels {
namespace {

using beckon::test::expect_same_for_any_threads;
using beckon::test::on_every_target;
using beckon::test::random_floats;

size_t index(int64_t i) { return static_cast<size_t>(i); }
constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<double> plain_log_softmax(const float* x, int64_t cols, double scale,
                                      const float* bias) {
  std::vector<double> t(index(cols));
  double most = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t c = 0; c < cols; ++c) {
    t[index(c)] = scale * x[c] + (bias ? bias[c] : 0.0);
    most = std::max(most, t[index(c)]);
  }
  for (const double v : t) sum += std::exp(v - most);
  for (double& v : t) v -= most + std::log(sum);
  return t;
}

TEST(Softmax, ValuesAndGradientsMatchDouble) {
  on_every_target([] {
    for (const int64_t cols : {1, 2, 7, 16, 31, 32, 49, 196, 1000})
      for (const int64_t rows : {0, 1, 5, 70}) {
        SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(cols));
        std::vector<float> x = random_floats(rows * cols);
        for (float& v : x) v *= 20.0f;
        const std::vector<float> dy = random_floats(rows * cols, 2), b = random_floats(5 * cols, 3);
        for (const bool with_bias : {false, true}) {
          const SoftmaxInput input{0.3f, with_bias ? b.data() : nullptr, 5};
          std::vector<float> y(x.size()), l(x.size()), dx(x.size()), dl(x.size());
          softmax(x.data(), rows, cols, input, y.data());
          log_softmax(x.data(), rows, cols, input, l.data());
          softmax_grad(y.data(), dy.data(), rows, cols, 0.3f, dx.data());
          log_softmax_grad(l.data(), dy.data(), rows, cols, 0.3f, dl.data());
          for (int64_t r = 0; r < rows; ++r) {
            const std::vector<double> want = plain_log_softmax(
                x.data() + r * cols, cols, 0.3f, with_bias ? b.data() + r % 5 * cols : nullptr);
            double dot = 0, sum = 0;
            for (int64_t c = 0; c < cols; ++c) {
              dot += std::exp(want[index(c)]) * dy[index(r * cols + c)];
              sum += dy[index(r * cols + c)];
            }
            for (int64_t c = 0; c < cols; ++c) {
              const size_t k = index(r * cols + c);
              const double p = std::exp(want[index(c)]);
              ASSERT_NEAR(y[k], p, 2e-6 * p + 1e-9);
              ASSERT_NEAR(l[k], want[index(c)], 2e-6 * (1 + std::abs(want[index(c)])));
              ASSERT_NEAR(dx[k], 0.3f * p * (dy[k] - dot), 1e-6);
              ASSERT_NEAR(dl[k], 0.3f * (dy[k] - p * sum), 1e-5 * (1 + p * std::abs(sum)));
            }
          }
        }
      }
  });
}

TEST(Softmax, InPlaceAndWithMasks) {
  on_every_target([] {
    std::vector<float> x = {1, -kInf, 2, -kInf, -1000, 3e38f, -kInf, -kInf, -kInf};
    std::vector<float> row(x.begin(), x.begin() + 5);
    softmax(row.data(), 1, 5, {}, row.data());
    EXPECT_NEAR(row[0], 1 / (1 + std::exp(1.0)), 1e-7);
    EXPECT_EQ(row[1], 0.0f);
    EXPECT_NEAR(row[2], 1 / (1 + std::exp(-1.0)), 1e-7);
    EXPECT_EQ(row[3], 0.0f);
    EXPECT_EQ(row[4], 0.0f);
    // A mask as the bias, in the tail too.
    const std::vector<float> zeros(19, 0.0f);
    std::vector<float> bias(19, -kInf), y(19);
    bias[2] = bias[18] = 0.0f;
    softmax(zeros.data(), 1, 19, {1.0f, bias.data(), 1}, y.data());
    for (size_t i = 0; i < 19; ++i) EXPECT_EQ(y[i], i == 2 || i == 18 ? 0.5f : 0.0f);
    // Huge values do not overflow.
    softmax(x.data() + 4, 1, 2, {}, row.data());
    EXPECT_EQ(row[0], 0.0f);
    EXPECT_EQ(row[1], 1.0f);
    // Nothing allowed, or not a number: no invented probabilities.
    softmax(x.data() + 6, 1, 3, {}, row.data());
    for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(std::isnan(row[i]));
    for (size_t bad = 0; bad < 19; ++bad) {
      std::vector<float> z = zeros;
      z[bad] = std::numeric_limits<float>::quiet_NaN();
      softmax(z.data(), 1, 19, {}, y.data());
      for (size_t i = 0; i < 19; ++i) EXPECT_TRUE(std::isnan(y[i])) << bad << " " << i;
    }
  });
}

TEST(Softmax, ThreadsChangeNothing) {
  const int64_t rows = 999, cols = 77, n = rows * cols;
  const std::vector<float> x = random_floats(n), dy = random_floats(n, 2);
  expect_same_for_any_threads([&] {
    std::vector<float> out(index(4 * n));
    float* o = out.data();
    softmax(x.data(), rows, cols, {2.0f, x.data(), 3}, o);
    log_softmax(x.data(), rows, cols, {2.0f, x.data(), 3}, o + n);
    softmax_grad(o, dy.data(), rows, cols, 2.0f, o + 2 * n);
    log_softmax_grad(o + n, dy.data(), rows, cols, 2.0f, o + 3 * n);
    return out;
  });
}

}  // namespace
}  // namespace beckon::kernels
