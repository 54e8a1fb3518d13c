// Attention against plain loops in double, on every instruction set.
#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "every_target.h"
#include "support/check.h"

namespace beckon::kernels {
namespace {

using beckon::test::expect_near;
using beckon::test::expect_same_for_any_threads;
using beckon::test::on_every_target;
using beckon::test::random_floats;

// softmax(scores) v for one query, in double. score(key) and value(key, c) are given.
template <typename Score, typename Value>
std::vector<double> weigh(int64_t keys, int64_t dim, const Score& score, const Value& value) {
  std::vector<double> scores(static_cast<size_t>(keys)), out(static_cast<size_t>(dim), 0.0);
  double highest = -std::numeric_limits<double>::infinity(), sum = 0.0;
  for (int64_t i = 0; i < keys; ++i) highest = std::max(highest, scores[i] = score(i));
  for (double& s : scores) sum += s = std::exp(s - highest);
  for (int64_t i = 0; i < keys; ++i)
    for (int64_t c = 0; c < dim; ++c) out[c] += scores[i] / sum * value(i, c);
  return out;
}

struct Case {
  AttentionShape shape;
  int bias = 0;      // 0 none, 1 of each head and row, 2 one row for all, 3 causal mask
  int64_t grid = 0;  // of relative positions, 0 none
};

void check(const Case& c) {
  const AttentionShape& s = c.shape;
  const int64_t value_dim = s.value_dim > 0 ? s.value_dim : s.dim;
  SCOPED_TRACE(testing::Message() << s.queries << " queries, " << s.keys << " keys, dim " << s.dim
                                  << ", value " << value_dim << ", bias " << c.bias << ", grid "
                                  << c.grid);
  // Heads side by side inside wider rows.
  const int64_t q_row = s.heads * s.dim + 5, k_row = s.heads * s.dim + 3;
  const int64_t v_row = s.heads * value_dim + 1, out_row = s.heads * value_dim + 2;
  std::vector<float> q = random_floats(s.batch * s.queries * q_row, 1);
  const std::vector<float> k = random_floats(s.batch * s.keys * k_row, 2);
  const std::vector<float> v = random_floats(s.batch * s.keys * v_row, 3);
  for (float& x : q) x *= 4.0f;  // scores that differ
  const float scale = 1.0f / std::sqrt(static_cast<float>(s.dim));
  std::vector<float> bias_values;
  ScoreBias bias;
  if (c.bias == 1) {
    bias_values = random_floats(s.heads * s.queries * s.keys, 4);
    bias = {bias_values.data(), 0, s.queries * s.keys, s.keys};
  } else if (c.bias == 2) {
    bias_values = random_floats(s.batch * s.keys, 5);
    bias = {bias_values.data(), s.keys, 0, 0};
  } else if (c.bias == 3) {
    bias_values.assign(s.queries * s.keys, 0.0f);
    for (int64_t i = 0; i < s.queries; ++i)
      for (int64_t j = i + 1; j < s.keys; ++j)
        bias_values[i * s.keys + j] = -std::numeric_limits<float>::infinity();
    bias = {bias_values.data(), 0, 0, s.keys};
  }
  const std::vector<float> h = random_floats((2 * c.grid + 1) * s.dim, 6);
  const std::vector<float> w = random_floats((2 * c.grid + 1) * s.dim, 7);
  RelativePositions relative;
  if (c.grid > 0) relative = {h.data(), w.data(), s.keys / c.grid, c.grid};

  std::vector<float> want;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t i = 0; i < s.queries; ++i) {
      for (int64_t head = 0; head < s.heads; ++head) {
        const float* query = &q[(b * s.queries + i) * q_row + head * s.dim];
        const auto score = [&](int64_t j) {
          double dot = 0.0, positions = 0.0;
          for (int64_t x = 0; x < s.dim; ++x) {
            dot += static_cast<double>(query[x]) * k[(b * s.keys + j) * k_row + head * s.dim + x];
            if (c.grid == 0) continue;
            const int64_t dy = i / c.grid - j / c.grid + relative.grid_h - 1;
            const int64_t dx = i % c.grid - j % c.grid + relative.grid_w - 1;
            positions += static_cast<double>(query[x]) * (h[dy * s.dim + x] + w[dx * s.dim + x]);
          }
          const double added = bias.data
                                   ? bias.data[b * bias.batch_stride + head * bias.head_stride +
                                               i * bias.row_stride + j]
                                   : 0.0;
          return scale * dot + positions + added;
        };
        const auto value = [&](int64_t j, int64_t x) {
          return static_cast<double>(v[(b * s.keys + j) * v_row + head * value_dim + x]);
        };
        for (double x : weigh(s.keys, value_dim, score, value))
          want.push_back(static_cast<float>(x));
      }
      want.push_back(7.0f);  // what lies between the rows stays
      want.push_back(7.0f);
    }

  std::vector<float> out(s.batch * s.queries * out_row);
  expect_same_for_any_threads([&] {
    std::fill(out.begin(), out.end(), 7.0f);
    attention(s, {q.data(), s.queries * q_row, q_row, s.dim},
              {k.data(), s.keys * k_row, k_row, s.dim},
              {v.data(), s.keys * v_row, v_row, value_dim}, scale, bias, relative,
              {out.data(), s.queries * out_row, out_row, value_dim});
    return out;
  });
  expect_near(out, want, 1e-5, "attention");
}

TEST(Attention, MatchesPlainLoops) {
  on_every_target([] {
    check({{.batch = 2, .heads = 3, .queries = 5, .keys = 7, .dim = 8}});
    check({{.heads = 2, .queries = 1, .keys = 1, .dim = 1}});
    check({{.heads = 4, .queries = 49, .keys = 49, .dim = 32}, 1});
    check({{.heads = 2, .queries = 50, .keys = 33, .dim = 16, .value_dim = 23}, 2});
    check({{.heads = 2, .queries = 77, .keys = 77, .dim = 64}, 3});
    check({{.heads = 1, .queries = 197, .keys = 197, .dim = 80}});
  });
}

TEST(Attention, ManyKeysAreTakenInBlocks) {
  on_every_target([] {
    check({{.heads = 2, .queries = 7, .keys = 1500, .dim = 16}});
    check({{.heads = 1, .queries = 9, .keys = 1025, .dim = 20}, 1});
    check({{.heads = 1, .queries = 30, .keys = 1600, .dim = 8}, 3});
  });
}

TEST(Attention, ManyQueriesAreTakenInBlocks) {
  on_every_target([] { check({{.batch = 2, .heads = 2, .queries = 400, .keys = 7, .dim = 16}}); });
}

TEST(Attention, RelativePositions) {
  on_every_target([] {
    check({{.heads = 2, .queries = 15, .keys = 15, .dim = 8}, 0, 5});
    check({{.heads = 1, .queries = 196, .keys = 196, .dim = 64}, 1, 14});
    check({{.heads = 1, .queries = 1200, .keys = 1200, .dim = 8}, 0, 40});
    check({{.heads = 1, .queries = 1105, .keys = 1105, .dim = 8}, 0, 65});
  });
}

TEST(Attention, NothingToAttendTo) {
  std::vector<float> out(6, 7.0f);
  const float x = 1.0f;
  attention({.queries = 2, .keys = 0, .dim = 3}, {&x, 0, 0, 0}, {&x, 0, 0, 0}, {&x, 0, 0, 0}, 1.0f,
            {}, {}, {out.data(), 0, 3, 3});
  EXPECT_EQ(out, std::vector<float>(6, 0.0f));
  attention({.queries = 0, .keys = 4, .dim = 3}, {&x, 0, 0, 0}, {&x, 0, 0, 0}, {&x, 0, 0, 0}, 1.0f,
            {}, {}, {nullptr, 0, 3, 3});
}

// The definition: pad the map, cut it, attend in each window, put the real tokens back.
void check_windows(const WindowShape& s, QkvOrder order, bool with_bias, bool with_positions) {
  SCOPED_TRACE(testing::Message() << s.height << "x" << s.width << " window " << s.window);
  const int64_t channels = s.heads * s.dim, keys = s.window * s.window;
  std::vector<float> qkv = random_floats(s.batch * s.height * s.width * 3 * channels, 1);
  for (float& x : qkv) x *= 2.0f;
  const std::vector<float> pad = random_floats(3 * channels, 2);
  const std::vector<float> bias = random_floats(s.heads * keys * keys, 3);
  const std::vector<float> h = random_floats((2 * s.window - 1) * s.dim, 4);
  const std::vector<float> w = random_floats((2 * s.window - 1) * s.dim, 5);
  const float scale = 0.25f;
  const auto column = [&](int part, int64_t head) {
    return order == QkvOrder::heads ? (head * 3 + part) * s.dim : (part * s.heads + head) * s.dim;
  };
  const auto token = [&](int64_t b, int64_t y, int64_t x) -> const float* {
    if (y >= s.height || x >= s.width) return pad.data();
    return &qkv[((b * s.height + y) * s.width + x) * 3 * channels];
  };
  std::vector<float> want;
  for (int64_t b = 0; b < s.batch; ++b)
    for (int64_t y = 0; y < s.height; ++y)
      for (int64_t x = 0; x < s.width; ++x)
        for (int64_t head = 0; head < s.heads; ++head) {
          const int64_t top = y / s.window * s.window, left = x / s.window * s.window;
          const int64_t i = y - top, j = x - left;
          const float* query = token(b, y, x) + column(0, head);
          const auto score = [&](int64_t key) {
            const int64_t ky = key / s.window, kx = key % s.window;
            const float* row = token(b, top + ky, left + kx) + column(1, head);
            double dot = 0.0, positions = 0.0;
            for (int64_t c = 0; c < s.dim; ++c) {
              dot += static_cast<double>(query[c]) * row[c];
              positions += static_cast<double>(query[c]) * (h[(i - ky + s.window - 1) * s.dim + c] +
                                                            w[(j - kx + s.window - 1) * s.dim + c]);
            }
            const double table = bias[(head * keys + i * s.window + j) * keys + key];
            return scale * dot + (with_positions ? positions : 0.0) + (with_bias ? table : 0.0);
          };
          const auto value = [&](int64_t key, int64_t c) {
            return static_cast<double>(
                token(b, top + key / s.window, left + key % s.window)[column(2, head) + c]);
          };
          for (double v : weigh(keys, s.dim, score, value)) want.push_back(static_cast<float>(v));
        }
  RelativePositions relative;
  if (with_positions) relative = {h.data(), w.data(), s.window, s.window};
  std::vector<float> out(want.size());
  expect_same_for_any_threads([&] {
    window_attention(s, qkv.data(), order, pad.data(), scale, with_bias ? bias.data() : nullptr,
                     relative, out.data());
    return out;
  });
  expect_near(out, want, 1e-5, "window attention");
}

TEST(WindowAttention, MatchesPadCutAttendJoin) {
  on_every_target([] {
    check_windows({.height = 14, .width = 14, .window = 7, .heads = 2, .dim = 32}, QkvOrder::heads,
                  true, false);
    check_windows({.batch = 2, .height = 9, .width = 17, .window = 7, .heads = 3, .dim = 8},
                  QkvOrder::heads, true, false);
    check_windows({.height = 15, .width = 20, .window = 14, .heads = 1, .dim = 64}, QkvOrder::parts,
                  false, true);
    check_windows({.height = 3, .width = 2, .window = 4, .heads = 2, .dim = 5}, QkvOrder::parts,
                  true, true);
  });
}

TEST(WindowAttention, RefusesToInventPadding) {
  const float x = 0.0f;
  beckon::test::expect_error(Kind::internal, "windows of 7 do not fit a map of 8 x 7", [&] {
    window_attention({.height = 8, .width = 7, .window = 7, .dim = 1}, &x, QkvOrder::parts, nullptr,
                     1.0f, nullptr, {}, nullptr);
  });
}

}  // namespace
}  // namespace beckon::kernels
