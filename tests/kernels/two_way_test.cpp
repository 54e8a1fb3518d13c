#include "kernels/two_way.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/every_target.h"

namespace beckon::kernels {
namespace {

std::vector<float> random_floats(int64_t n, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> x(static_cast<size_t>(n));
  for (float& v : x) v = normal(generator);
  return x;
}

TEST(TwoWay, SoftmaxOverTokensSumsToOneForEveryHead) {
  test::on_every_target([] {
    for (const int64_t heads : {8, 4, 3, 1})
      for (const int64_t tokens : {1, 5, 7, 16}) {
        const int64_t rows = 5, stride = tokens * heads + 3;
        const auto before = random_floats(rows * stride, 1, 3.0f);
        auto x = before;
        softmax_over_tokens(rows, tokens, heads, x.data(), stride);
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t h = 0; h < heads; ++h) {
            double sum = 0;
            for (int64_t t = 0; t < tokens; ++t)
              sum += std::exp(double(before[r * stride + t * heads + h]));
            for (int64_t t = 0; t < tokens; ++t) {
              const auto i = static_cast<size_t>(r * stride + t * heads + h);
              EXPECT_NEAR(x[i], std::exp(double(before[i])) / sum, 1e-6);
            }
          }
        for (int64_t r = 0; r < rows; ++r)  // what lies between the rows is left alone
          for (int64_t j = tokens * heads; j < stride; ++j)
            EXPECT_EQ(x[r * stride + j], before[r * stride + j]);
      }
  });
}

TEST(TwoWay, SoftmaxStepsTileByTileEqualOneSoftmax) {
  test::on_every_target([] {
    for (const int64_t columns : {1, 7, 16, 56, 61}) {
      const int64_t rows = 37, stride = columns + 2;
      const auto scores = random_floats(rows * stride, 2, 4.0f);
      std::vector<float> max(columns, -std::numeric_limits<float>::infinity()), sum(columns, 0.0f),
          factor(columns);
      std::vector<float> weighted(columns, 0.0f);  // sum over rows of softmax * row number
      for (int64_t r = 0; r < rows; r += 10) {
        const int64_t count = std::min<int64_t>(10, rows - r);
        std::vector<float> tile(scores.begin() + r * stride, scores.begin() + (r + count) * stride);
        softmax_step(count, columns, tile.data(), stride, max.data(), sum.data(), factor.data());
        for (int64_t c = 0; c < columns; ++c) {
          weighted[c] *= factor[c];
          for (int64_t i = 0; i < count; ++i)
            weighted[c] += tile[i * stride + c] * static_cast<float>(r + i);
        }
      }
      for (int64_t c = 0; c < columns; ++c) {
        double total = 0, expected = 0;
        for (int64_t r = 0; r < rows; ++r) {
          const double e = std::exp(double(scores[r * stride + c]));
          total += e;
          expected += e * static_cast<double>(r);
        }
        EXPECT_NEAR(weighted[c] / sum[c], expected / total, 1e-4);
      }
    }
  });
}

TEST(TwoWay, ProjectHeadsIsAProductPerHead) {
  test::on_every_target([] {
    const int64_t tokens = 3, heads = 4, e = 5, channels = 19, stride = heads * e + 1;
    const auto q = random_floats(tokens * stride, 3), w = random_floats(heads * e * channels, 4);
    std::vector<float> out(tokens * heads * channels);
    project_heads(tokens, heads, e, channels, q.data(), stride, w.data(), 0.25f, out.data());
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t c = 0; c < channels; ++c) {
          double sum = 0;
          for (int64_t i = 0; i < e; ++i)
            sum += double(q[t * stride + h * e + i]) * w[(h * e + i) * channels + c];
          EXPECT_NEAR(out[(t * heads + h) * channels + c], 0.25 * sum, 1e-5);
        }
  });
}

TEST(TwoWay, NormRowsNormalisesAndActivates) {
  test::on_every_target([] {
    for (const int64_t channels : {1, 8, 64, 77}) {
      const int64_t rows = 3, stride = channels + 5;
      const auto before = random_floats(rows * stride, 5, 2.0f);
      const auto gamma = random_floats(channels, 6), beta = random_floats(channels, 7);
      for (const Activation activation : {Activation::none, Activation::relu, Activation::gelu}) {
        auto x = before;
        norm_rows(rows, channels, x.data(), stride, gamma.data(), beta.data(), 1e-6f, activation);
        for (int64_t r = 0; r < rows; ++r) {
          double mean = 0, variance = 0;
          for (int64_t c = 0; c < channels; ++c) mean += before[r * stride + c];
          mean /= static_cast<double>(channels);
          for (int64_t c = 0; c < channels; ++c)
            variance += std::pow(before[r * stride + c] - mean, 2);
          variance /= static_cast<double>(channels);
          for (int64_t c = 0; c < channels; ++c) {
            double y =
                (before[r * stride + c] - mean) / std::sqrt(variance + 1e-6) * gamma[c] + beta[c];
            if (activation == Activation::relu) y = std::max(y, 0.0);
            if (activation == Activation::gelu) y = 0.5 * y * (1 + std::erf(y / std::sqrt(2.0)));
            EXPECT_NEAR(x[r * stride + c], y, 2e-5);
          }
        }
      }
    }
  });
}

TEST(TwoWay, PackedRowsMultiplyLikeTheRowsThemselves) {
  test::on_every_target([] {
    for (const int64_t n : {3, 8, 24, 33, 64}) {
      const int64_t rows = 9, m = 4;
      const auto x = random_floats(rows * n, 8), y = random_floats(rows * n, 9),
                 a = random_floats(m * rows, 10);
      std::vector<float> sum(rows * n), product(m * n);
      PackedMatrix packed(rows, n);
      add_and_pack(rows, n, x.data(), y.data(), sum.data(), &packed);
      gemm_serial(m, {.data = a.data(), .stride = rows}, packed, {}, product.data(), n);
      for (int64_t i = 0; i < rows * n; ++i) EXPECT_EQ(sum[i], x[i] + y[i]);
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j) {
          double expected = 0;
          for (int64_t k = 0; k < rows; ++k) expected += double(a[i * rows + k]) * x[k * n + j];
          EXPECT_NEAR(product[i * n + j], expected, 1e-5);
        }
    }
  });
}

TEST(TwoWay, NormAddPackIsItsSteps) {
  test::on_every_target([] {
    for (const int64_t channels : {32, 64, 256, 24, 7}) {
      const int64_t rows = 5;
      const auto x = random_floats(rows * channels, 11), y = random_floats(rows * channels, 12);
      const auto gamma = random_floats(channels, 13), beta = random_floats(channels, 14);
      auto steps = x, once = x;
      std::vector<float> sum_steps(rows * channels), sum_once(rows * channels);
      PackedMatrix packed_steps(rows, channels), packed_once(rows, channels);
      norm_rows(rows, channels, steps.data(), channels, gamma.data(), beta.data(), 1e-5f,
                Activation::none);
      add_and_pack(rows, channels, steps.data(), y.data(), sum_steps.data(), &packed_steps);
      norm_add_pack(rows, channels, once.data(), gamma.data(), beta.data(), 1e-5f, y.data(),
                    sum_once.data(), &packed_once);
      EXPECT_EQ(once, steps);
      EXPECT_EQ(sum_once, sum_steps);
      for (int64_t i = 0; i < packed_once.bytes() / 4; ++i)
        ASSERT_EQ(packed_once.panel(0)[i], packed_steps.panel(0)[i]);
    }
  });
}

TEST(TwoWay, PlaceLogitsPutsDotProductsAtTheirPixels) {
  test::on_every_target([] {
    for (const int64_t width : {32, 8, 6}) {
      const int64_t map_width = 3, map_height = 4, first = 2, places = 7, masks = 3;
      const int64_t plane = 16 * map_width * map_height;
      const auto features = random_floats(places * 16 * width, 15),
                 vectors = random_floats(masks * width, 16);
      std::vector<float> out(masks * plane, -100.0f);
      place_logits(places, width, masks, features.data(), vectors.data(), first, map_width,
                   out.data(), plane);
      for (int64_t m = 0; m < masks; ++m)
        for (int64_t y = 0; y < 4 * map_height; ++y)
          for (int64_t x = 0; x < 4 * map_width; ++x) {
            const int64_t place = y / 4 * map_width + x / 4 - first;
            double expected = -100;
            if (place >= 0 && place < places) {
              expected = 0;
              const int64_t i = (y / 2 % 2) * 8 + (x / 2 % 2) * 4 + (y % 2) * 2 + x % 2;
              for (int64_t c = 0; c < width; ++c)
                expected += double(features[(place * 16 + i) * width + c]) * vectors[m * width + c];
            }
            ASSERT_NEAR(out[m * plane + y * 4 * map_width + x], expected, 1e-5)
                << m << " " << y << " " << x;
          }
    }
  });
}

}  // namespace
}  // namespace beckon::kernels
