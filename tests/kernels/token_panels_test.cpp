// Arithmetic on panels of image tokens against plain loops in double, on every instruction set.
#include "kernels/token_panels.h"

#include <cmath>
#include <functional>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/every_target.h"
#include "kernels/scratch.h"

namespace beckon::kernels {
namespace {

// Aligned rows of panels.
struct Panel {
  AlignedFloats memory;
  int64_t size;
  explicit Panel(int64_t count, uint32_t seed = 0) : memory(allocate_floats(count)), size(count) {
    const std::vector<float> values = seed ? test::random_floats(count, seed)
                                           : std::vector<float>(static_cast<size_t>(count), 0.0f);
    std::copy(values.begin(), values.end(), memory.get());
  }
  float* data() { return memory.get(); }
  float operator[](int64_t i) const { return memory[static_cast<size_t>(i)]; }
};

TEST(TokenPanels, ProductsEqualPlainSums) {
  test::on_every_target([] {
    const int64_t w = token_panel();
    for (const int64_t rows : {1, 7, 12, 13, 56})
      for (const int64_t k : {1, 16, 113}) {
        const auto a = test::random_floats(rows * (k + 3), 1);
        Panel b(k * w, 2), c(rows * w, 3), before(rows * w, 3);
        for (const bool accumulate : {false, true}) {
          panel_product(rows, k, a.data(), k + 3, b.data(), accumulate, c.data());
          for (int64_t r = 0; r < rows; ++r)
            for (int64_t j = 0; j < w; ++j) {
              double sum = accumulate ? before[r * w + j] : 0.0;
              for (int64_t i = 0; i < k; ++i)
                sum += double(a[static_cast<size_t>(r * (k + 3) + i)]) * b[i * w + j];
              ASSERT_NEAR(c[r * w + j], sum, 1e-5) << rows << " rows, k " << k;
            }
          std::copy_n(before.data(), rows * w, c.data());
        }
      }
  });
}

TEST(TokenPanels, HeadsMeetTheirOwnChannelsOnly) {
  test::on_every_target([] {
    const int64_t w = token_panel();
    for (const int64_t heads : {1, 3, 8})
      for (const int64_t tokens : {1, 7, 14}) {
        const int64_t e = 5, d = heads * e;
        const auto a = test::random_floats(tokens * d, 4);
        Panel b(d * w, 5), c(tokens * heads * w, 6), before(tokens * heads * w, 6);
        panel_heads_product(tokens, heads, e, a.data(), d, b.data(), true, c.data());
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t h = 0; h < heads; ++h)
            for (int64_t j = 0; j < w; ++j) {
              double sum = before[(t * heads + h) * w + j];
              for (int64_t i = h * e; i < (h + 1) * e; ++i)
                sum += double(a[static_cast<size_t>(t * d + i)]) * b[i * w + j];
              ASSERT_NEAR(c[(t * heads + h) * w + j], sum, 1e-5);
            }
      }
  });
}

TEST(TokenPanels, SoftmaxSumsToOneOverTheTokensOfAHead) {
  test::on_every_target([] {
    const int64_t w = token_panel(), heads = 3, tokens = 7;
    Panel x(tokens * heads * w, 7), before(tokens * heads * w, 7);
    panel_softmax(tokens, heads, x.data());
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t j = 0; j < w; ++j) {
        double sum = 0;
        for (int64_t t = 0; t < tokens; ++t)
          sum += std::exp(double(before[(t * heads + h) * w + j]));
        for (int64_t t = 0; t < tokens; ++t) {
          const int64_t i = (t * heads + h) * w + j;
          ASSERT_NEAR(x[i], std::exp(double(before[i])) / sum, 1e-6);
        }
      }
  });
}

TEST(TokenPanels, RowWiseStepsEqualTheirFormulas) {
  test::on_every_target([] {
    const int64_t w = token_panel();
    for (const int64_t rows : {1, 5, 64}) {
      const auto add = test::random_floats(rows, 8), scale = test::random_floats(w, 9);
      const auto gamma = test::random_floats(rows, 10);
      Panel x(rows * w, 11), y(rows * w, 12), before(rows * w, 11), sum(w, 13), start(w, 13);

      panel_dot(rows, x.data(), y.data(), sum.data());
      for (int64_t j = 0; j < w; ++j) {
        double expected = start[j];
        for (int64_t r = 0; r < rows; ++r) expected += double(x[r * w + j]) * y[r * w + j];
        ASSERT_NEAR(sum[j], expected, 1e-5);
      }

      const auto at = [&](const std::vector<float>& v, int64_t i) {
        return v[static_cast<size_t>(i)];
      };
      const auto expect_all = [&](Panel& p, const std::function<double(int64_t, int64_t)>& value) {
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < w; ++j) ASSERT_NEAR(p[r * w + j], value(r, j), 2e-6);
      };
      panel_scale_bias(rows, x.data(), scale.data(), add.data(), y.data());
      expect_all(y, [&](int64_t r, int64_t j) {
        return double(before[r * w + j]) * at(scale, j) + at(add, r);
      });
      panel_scale(rows, add.data(), scale.data(), x.data());
      expect_all(x, [&](int64_t r, int64_t j) {
        return (double(before[r * w + j]) + at(add, r)) * at(scale, j);
      });
      std::copy_n(before.data(), rows * w, x.data());
      panel_scale(rows, nullptr, scale.data(), x.data());
      expect_all(x, [&](int64_t r, int64_t j) { return double(before[r * w + j]) * at(scale, j); });

      std::copy_n(before.data(), rows * w, x.data());
      panel_bias_activate(rows, add.data(), Activation::gelu, x.data());
      const auto gelu = [](double v) { return 0.5 * v * (1 + std::erf(v / std::sqrt(2.0))); };
      expect_all(
          x, [&](int64_t r, int64_t j) { return gelu(double(before[r * w + j]) + at(add, r)); });
      std::copy_n(before.data(), rows * w, x.data());
      panel_bias_activate(rows, add.data(), Activation::relu, x.data());
      expect_all(x, [&](int64_t r, int64_t j) {
        return std::max(0.0, double(before[r * w + j]) + at(add, r));
      });

      std::copy_n(before.data(), rows * w, x.data());
      panel_norm(rows, gamma.data(), add.data(), 1e-3f, Activation::gelu, x.data());
      expect_all(x, [&](int64_t r, int64_t j) {
        double mean = 0, variance = 0;
        for (int64_t i = 0; i < rows; ++i) mean += before[i * w + j] / double(rows);
        for (int64_t i = 0; i < rows; ++i)
          variance += std::pow(before[i * w + j] - mean, 2) / double(rows);
        return gelu((before[r * w + j] - mean) / std::sqrt(variance + 1e-3) * at(gamma, r) +
                    at(add, r));
      });
    }
  });
}

TEST(TokenPanels, SoftmaxStepLeavesOutWhatIsNotReal) {
  test::on_every_target([] {
    const int64_t w = token_panel(), panels = 3, rows = 5, stride = (rows + 1) * w;
    for (const int64_t count : {panels * w, 2 * w + 1, 2 * w + w / 2}) {
      Panel x(panels * stride, 14), before(panels * stride, 14);
      const auto scale = test::random_floats(panels * w, 15);
      std::vector<float> max(rows), sum(rows);
      panels_softmax_step(panels, rows, stride, count, scale.data(), x.data(), max.data(),
                          sum.data());
      for (int64_t r = 0; r < rows; ++r) {
        const auto value = [&](int64_t n) { return before[n / w * stride + r * w + n % w]; };
        float top = value(0);
        for (int64_t n = 1; n < count; ++n) top = std::max(top, value(n));
        double total = 0;
        for (int64_t n = 0; n < count; ++n) total += std::exp(double(value(n)) - top);
        EXPECT_EQ(max[static_cast<size_t>(r)], top);
        EXPECT_NEAR(sum[static_cast<size_t>(r)], total, 1e-5 * total);
        for (int64_t n = 0; n < panels * w; ++n)
          ASSERT_NEAR(
              x[n / w * stride + r * w + n % w],
              n < count ? std::exp(double(value(n)) - top) * scale[static_cast<size_t>(n)] : 0.0,
              1e-6);
      }
    }
  });
}

TEST(TokenPanels, DotsSumOverAllTokensOfAllPanels) {
  test::on_every_target([] {
    const int64_t w = token_panel(), panels = 4;
    for (const int64_t rows : {1, 7, 8, 11})
      for (const int64_t cols : {1, 2, 3, 16}) {
        const int64_t a_row = 2 * w, a_panel = rows * a_row, b_panel = (cols + 1) * w;
        Panel a(panels * a_panel, 16), b(panels * b_panel, 17);
        std::vector<float> out(static_cast<size_t>(rows * (cols + 2)), 77.0f);
        for (const int64_t step : {b_panel, int64_t{0}}) {
          panels_dots(panels, rows, cols, a.data(), a_row, a_panel, b.data(), step, out.data(),
                      cols + 2);
          for (int64_t r = 0; r < rows; ++r) {
            for (int64_t c = 0; c < cols; ++c) {
              double sum = 0;
              for (int64_t p = 0; p < panels; ++p)
                for (int64_t j = 0; j < w; ++j)
                  sum += double(a[p * a_panel + r * a_row + j]) * b[p * step + c * w + j];
              ASSERT_NEAR(out[static_cast<size_t>(r * (cols + 2) + c)], sum, 1e-5);
            }
            EXPECT_EQ(out[static_cast<size_t>(r * (cols + 2) + cols)], 77.0f);
          }
        }
      }
  });
}

TEST(TokenPanels, PlacesFillTheirPixels) {
  test::on_every_target([] {
    const int64_t w = token_panel();
    for (const int64_t map_width : {64, 7, 48}) {
      const int64_t places = map_width * 5;
      std::vector<float> out(static_cast<size_t>(places * 16), -1.0f);
      for (int64_t first = 0; first < places; first += w) {
        Panel x(16 * w);
        for (int64_t i = 0; i < 16; ++i)
          for (int64_t j = 0; j < w; ++j)
            x.data()[i * w + j] = static_cast<float>((first + j) * 16 + i);
        panel_place(x.data(), first, std::min(w, places - first), map_width, out.data());
      }
      for (int64_t y = 0; y < 20; ++y)
        for (int64_t c = 0; c < 4 * map_width; ++c) {
          const int64_t place = y / 4 * map_width + c / 4, v = y % 4, u = c % 4;
          const int64_t i = v / 2 * 8 + u / 2 * 4 + v % 2 * 2 + u % 2;
          ASSERT_EQ(out[static_cast<size_t>(y * 4 * map_width + c)],
                    static_cast<float>(place * 16 + i));
        }
    }
  });
}

TEST(TokenPanels, CoupledHeadsAreDotProducts) {
  test::on_every_target([] {
    for (const int64_t e : {1, 8, 11, 16}) {
      const int64_t heads = 3, tokens = 4, rows = 6, d = heads * e, stride = rows + 1;
      const auto left = test::random_floats(rows * d, 18),
                 right = test::random_floats(tokens * d, 19);
      std::vector<float> out(static_cast<size_t>(tokens * heads * stride));
      couple_heads(rows, tokens, heads, e, left.data(), right.data(), out.data(), stride);
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t j = 0; j < rows; ++j) {
            double sum = 0;
            for (int64_t i = h * e; i < (h + 1) * e; ++i)
              sum += double(left[static_cast<size_t>(j * d + i)]) *
                     right[static_cast<size_t>(t * d + i)];
            ASSERT_NEAR(out[static_cast<size_t>((t * heads + h) * stride + j)], sum, 1e-5);
          }
    }
  });
}

}  // namespace
}  // namespace beckon::kernels
