#include "kernels/norm.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "every_target.h"

namespace beckon::kernels {
namespace {

using beckon::test::expect_same_for_any_threads;
using beckon::test::on_every_target;
using beckon::test::random_floats;

size_t index(int64_t i) { return static_cast<size_t>(i); }

// Plain group norm in double: x [n, pixels, groups * width]; layer norm is pixels = groups = 1, n =
// rows.
struct Plain {
  std::vector<double> y, mean, rstd, dx, dweight, dbias;
};
Plain plain_norm(const std::vector<float>& x, const std::vector<float>& dy, int64_t n,
                 int64_t pixels, int64_t groups, int64_t width, const float* weight,
                 const float* bias, double eps) {
  const int64_t channels = groups * width;
  const double count = double(pixels * width);
  Plain p;
  p.y.resize(x.size());
  p.dx.resize(x.size());
  p.dweight.resize(index(channels));
  p.dbias.resize(index(channels));
  for (int64_t i = 0; i < n; ++i)
    for (int64_t g = 0; g < groups; ++g) {
      const auto each = [&](const auto& body) {
        for (int64_t q = 0; q < pixels; ++q)
          for (int64_t c = g * width; c < (g + 1) * width; ++c)
            body(index((i * pixels + q) * channels + c), c);
      };
      double mean = 0, variance = 0, mean_g = 0, mean_gz = 0;
      each([&](size_t k, int64_t) { mean += x[k] / count; });
      each([&](size_t k, int64_t) { variance += (x[k] - mean) * (x[k] - mean) / count; });
      const double rstd = 1 / std::sqrt(variance + eps);
      each([&](size_t k, int64_t c) {
        const double z = (x[k] - mean) * rstd, w = weight ? weight[c] : 1.0;
        p.y[k] = z * w + (bias ? bias[c] : 0.0);
        p.dbias[index(c)] += dy[k];
        p.dweight[index(c)] += dy[k] * z;
        mean_g += dy[k] * w / count;
        mean_gz += dy[k] * w * z / count;
      });
      each([&](size_t k, int64_t c) {
        const double z = (x[k] - mean) * rstd, w = weight ? weight[c] : 1.0;
        p.dx[k] = rstd * (dy[k] * w - mean_g - z * mean_gz);
      });
      p.mean.push_back(mean);
      p.rstd.push_back(rstd);
    }
  return p;
}

void expect_close(const std::vector<float>& actual, const std::vector<double>& want,
                  double tolerance, const char* what) {
  ASSERT_EQ(actual.size(), want.size());
  for (size_t i = 0; i < actual.size(); ++i)
    ASSERT_NEAR(actual[i], want[i], tolerance * (1 + std::abs(want[i]))) << what << " " << i;
}

TEST(LayerNorm, ValuesAndGradientsMatchDouble) {
  on_every_target([] {
    for (const int64_t cols : {1, 3, 5, 16, 31, 33, 64, 160, 770})
      for (const int64_t rows : {0, 1, 3, 300}) {
        SCOPED_TRACE(std::to_string(rows) + "x" + std::to_string(cols));
        std::vector<float> x = random_floats(rows * cols, 1);
        for (float& v : x) v += 3.0f;  // away from zero: a one-pass variance would show
        const std::vector<float> dy = random_floats(rows * cols, 2);
        const std::vector<float> w = random_floats(cols, 3), b = random_floats(cols, 4);
        for (int form = 0; form < 4; ++form) {
          const float* weight = form & 1 ? w.data() : nullptr;
          const float* bias = form & 2 ? b.data() : nullptr;
          const Plain want = plain_norm(x, dy, rows, 1, 1, cols, weight, bias, 1e-5);
          std::vector<float> y(x.size()), mean(index(rows)), rstd(index(rows)), dx(x.size());
          std::vector<float> dw(index(cols)), db(index(cols));
          layer_norm(x.data(), rows, cols, weight, bias, 1e-5f, y.data(), Activation::none,
                     mean.data(), rstd.data());
          // The mean is rounded to about 3e-7; rstd magnifies that.
          const double scale =
              want.rstd.empty() ? 0.0 : *std::max_element(want.rstd.begin(), want.rstd.end());
          expect_close(y, want.y, 2e-6 + 5e-7 * scale, "y");
          if (cols == 1) continue;
          expect_close(mean, want.mean, 2e-7, "mean");
          expect_close(rstd, want.rstd, 3e-6, "rstd");
          layer_norm_grad(x.data(), dy.data(), rows, cols, weight, mean.data(), rstd.data(),
                          dx.data(), dw.data(), db.data());
          expect_close(dx, want.dx, 4e-6 * (1 + scale), "dx");
          expect_close(dw, want.dweight, 3e-5 * (1 + scale), "dweight");
          expect_close(db, want.dbias, 1e-5, "dbias");
        }
      }
  });
}

TEST(LayerNorm, ActivationIsAppliedToTheNormalisedRow) {
  on_every_target([] {
    const std::vector<float> x = random_floats(5 * 37), w = random_floats(37, 2);
    std::vector<float> plain(x.size()), fused(x.size());
    layer_norm(x.data(), 5, 37, w.data(), nullptr, 1e-6f, plain.data());
    layer_norm(x.data(), 5, 37, w.data(), nullptr, 1e-6f, fused.data(), Activation::gelu);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(fused[i], 0.5 * plain[i] * (1 + std::erf(plain[i] / std::sqrt(2.0))), 5e-7);
  });
}

TEST(LayerNorm, OffsetsDoNotSpoilTheVariance) {
  on_every_target([] {
    // 1000 +- 0.5: x^2 in float has steps of 1/16.
    std::vector<float> x(64), y(64);
    for (int i = 0; i < 64; ++i) x[index(i)] = i % 2 ? 1000.5f : 999.5f;
    layer_norm(x.data(), 1, 64, nullptr, nullptr, 0.0f, y.data());
    for (int i = 0; i < 64; ++i) EXPECT_NEAR(y[index(i)], i % 2 ? 1.0 : -1.0, 1e-6);
  });
}

TEST(LayerNorm, RowsForTheProductAreGatheredAndPadded) {
  on_every_target([] {
    const int64_t cols = 21, stride = 24;
    const std::vector<float> x = random_floats(6 * stride), w = random_floats(cols, 2);
    const std::vector<float> padding = random_floats(cols, 3);
    const std::vector<int32_t> gather = {5, -1, 0, 3};
    LayerNormRows rows{x.data(), stride, cols,          w.data(),
                       w.data(), 1e-5f,  gather.data(), padding.data()};
    std::vector<float> out(3 * 30, -7.0f), want(index(cols));
    LayerNormRows::fill(&rows, 1, 4, out.data(), 30);
    for (int64_t i = 0; i < 3; ++i) {
      const int32_t from = gather[index(i + 1)];
      if (from < 0) {
        want = padding;
      } else {
        layer_norm(x.data() + from * stride, 1, cols, w.data(), w.data(), 1e-5f, want.data());
      }
      for (int64_t c = 0; c < cols; ++c) ASSERT_EQ(out[index(i * 30 + c)], want[index(c)]);
      for (int64_t c = cols; c < 30; ++c) ASSERT_EQ(out[index(i * 30 + c)], -7.0f);
    }
    rows.padding = nullptr;
    LayerNormRows::fill(&rows, 1, 2, out.data(), 30);
    for (int64_t c = 0; c < cols; ++c) ASSERT_EQ(out[index(c)], 0.0f);
  });
}

TEST(GroupNorm, ValuesAndGradientsMatchDouble) {
  on_every_target([] {
    struct Shape {
      int64_t n, pixels, groups, width;
    };
    for (const Shape& s : {Shape{1, 7, 1, 3}, Shape{2, 300, 4, 5}, Shape{3, 1, 2, 8},
                           Shape{1, 600, 17, 1}, Shape{2, 33, 3, 16}}) {
      const int64_t channels = s.groups * s.width, size = s.n * s.pixels * channels;
      SCOPED_TRACE(size);
      std::vector<float> x = random_floats(size, 1);
      for (float& v : x) v += 2.0f;
      const std::vector<float> dy = random_floats(size, 2);
      const std::vector<float> w = random_floats(channels, 3), b = random_floats(channels, 4);
      for (const bool affine : {true, false}) {
        const float* weight = affine ? w.data() : nullptr;
        const float* bias = affine ? b.data() : nullptr;
        const Plain want = plain_norm(x, dy, s.n, s.pixels, s.groups, s.width, weight, bias, 1e-3);
        std::vector<float> y(x.size()), dx(x.size()), dw(index(channels)), db(index(channels));
        std::vector<float> mean(index(s.n * s.groups)), rstd(index(s.n * s.groups));
        group_norm(x.data(), s.n, s.pixels, channels, s.groups, weight, bias, 1e-3f, y.data(),
                   Activation::none, mean.data(), rstd.data());
        expect_close(y, want.y, 5e-6, "y");
        expect_close(mean, want.mean, 3e-7, "mean");
        expect_close(rstd, want.rstd, 3e-6, "rstd");
        group_norm_grad(x.data(), dy.data(), s.n, s.pixels, channels, s.groups, weight, mean.data(),
                        rstd.data(), dx.data(), dw.data(), db.data());
        expect_close(dx, want.dx, 1e-5, "dx");
        expect_close(dw, want.dweight, 2e-5, "dweight");
        expect_close(db, want.dbias, 1e-5, "dbias");
      }
    }
  });
}

TEST(Norm, ScaleShiftChannelsWithActivation) {
  on_every_target([] {
    const int64_t rows = 9, cols = 35;
    const std::vector<float> x = random_floats(rows * cols), a = random_floats(cols, 2),
                             b = random_floats(cols, 3);
    std::vector<float> y(x.size());
    scale_shift_channels(x.data(), rows, cols, a.data(), b.data(), y.data(), Activation::relu);
    for (int64_t i = 0; i < rows * cols; ++i) {
      const double v = double(x[index(i)]) * a[index(i % cols)] + b[index(i % cols)];
      ASSERT_NEAR(y[index(i)], std::max(v, 0.0), 2e-7);
    }
  });
}

TEST(Norm, ThreadsChangeNothing) {
  const int64_t rows = 1500, cols = 96, n = rows * cols;
  const std::vector<float> x = random_floats(n), dy = random_floats(n, 2),
                           w = random_floats(cols, 3);
  expect_same_for_any_threads([&] {
    std::vector<float> out(index(4 * n + 4 * cols)), mean(index(rows)), rstd(index(rows));
    float* o = out.data();
    layer_norm(x.data(), rows, cols, w.data(), w.data(), 1e-5f, o, Activation::none, mean.data(),
               rstd.data());
    layer_norm_grad(x.data(), dy.data(), rows, cols, w.data(), mean.data(), rstd.data(), o + n,
                    o + 4 * n, o + 4 * n + cols);
    group_norm(x.data(), 1, rows, cols, 8, w.data(), w.data(), 1e-5f, o + 2 * n, Activation::silu,
               mean.data(), rstd.data());
    group_norm_grad(x.data(), dy.data(), 1, rows, cols, 8, w.data(), mean.data(), rstd.data(),
                    o + 3 * n, o + 4 * n + 2 * cols, o + 4 * n + 3 * cols);
    return out;
  });
}

}  // namespace
}  // namespace beckon::kernels
