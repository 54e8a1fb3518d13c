#include "tensor/cases/doubles.h"

namespace beckon::test {
namespace {

// softmax(scale q k^T + bias) v for each head. bias: nothing, or [1 or B, 1 or H, N, M].
Doubles attention_reference(const Doubles& q, const Doubles& k, const Doubles& v,
                            const Doubles& bias, int64_t batch, int64_t n, int64_t m, int64_t heads,
                            int64_t d, int64_t e, double scale, int64_t bias_batch,
                            int64_t bias_heads) {
  Doubles y(at(batch * n * heads * e));
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < n; ++i) {
        Doubles scores(at(m));
        for (int64_t j = 0; j < m; ++j) {
          double dot = 0;
          for (int64_t c = 0; c < d; ++c)
            dot +=
                q[at(((b * n + i) * heads + h) * d + c)] * k[at(((b * m + j) * heads + h) * d + c)];
          scores[at(j)] = scale * dot;
          if (!bias.empty())
            scores[at(j)] += bias[at(
                (((bias_batch == 1 ? 0 : b) * bias_heads + (bias_heads == 1 ? 0 : h)) * n + i) * m +
                j)];
        }
        softmax_rows(scores, m);
        for (int64_t j = 0; j < m; ++j)
          for (int64_t c = 0; c < e; ++c)
            y[at(((b * n + i) * heads + h) * e + c)] +=
                scores[at(j)] * v[at(((b * m + j) * heads + h) * e + c)];
      }
  return y;
}

struct Options {
  int64_t e = 0;  // channels of a value, 0: as many as of a key
  float scale = 0;
  Shape bias = {};  // rank 0: none
  bool large = false;
};

void add_attention(std::vector<OpCase>& cases, const std::string& what, int64_t batch, int64_t n,
                   int64_t m, int64_t heads, int64_t d, const Options& o) {
  const int64_t e = o.e ? o.e : d;
  OpCase c;
  c.name = "attention/" + what;
  c.inputs = {normal({batch, n, heads * d}), normal({batch, m, heads * d}),
              normal({batch, m, heads * e})};
  const bool biased = o.bias.rank() > 0;
  if (biased) c.inputs.push_back(normal(o.bias));
  c.run = [=](const std::vector<Tensor>& x) {
    return attention(x[0], x[1], x[2], {.heads = heads, .scale = o.scale},
                     biased ? x[3] : Tensor());
  };
  // The plain operations: [B,N,H*D] -> [B,H,N,D], two products and a softmax.
  c.plain = [=](const std::vector<Tensor>& x) {
    const auto heads_first = [&](const Tensor& t, int64_t rows, int64_t width) {
      return t.reshape({batch, rows, heads, width}).permute({0, 2, 1, 3});
    };
    const float scale = o.scale > 0 ? o.scale : 1.0f / std::sqrt(static_cast<float>(d));
    Tensor scores =
        matmul(heads_first(x[0], n, d), heads_first(x[1], m, d).transpose(2, 3)) * scale;
    if (biased) scores = scores + x[3];
    return matmul(softmax(scores, -1), heads_first(x[2], m, e))
        .permute({0, 2, 1, 3})
        .reshape({batch, n, heads * e});
  };
  c.reference = [=](const std::vector<Doubles>& x) {
    return attention_reference(x[0], x[1], x[2], biased ? x[3] : Doubles(), batch, n, m, heads, d,
                               e, o.scale > 0 ? o.scale : 1.0 / std::sqrt(static_cast<double>(d)),
                               o.bias.rank() == 4 ? o.bias[0] : 1, biased ? o.bias[-3] : 1);
  };
  c.large = o.large;
  cases.push_back(c);
}

// q, k and v as slices of one projection.
void add_sliced(std::vector<OpCase>& cases) {
  OpCase c;
  c.name = "attention/slices_of_a_projection";
  c.inputs = {normal({2, 5, 3 * 12})};
  c.run = [](const std::vector<Tensor>& x) {
    return attention(x[0].slice(2, 0, 12), x[0].slice(2, 12, 24), x[0].slice(2, 24, 36),
                     {.heads = 3});
  };
  c.reference = [](const std::vector<Doubles>& x) {
    Doubles parts[3];
    for (size_t i = 0; i < x[0].size(); ++i) parts[i / 12 % 3].push_back(x[0][i]);
    return attention_reference(parts[0], parts[1], parts[2], {}, 2, 5, 5, 3, 4, 4, 0.5, 1, 1);
  };
  cases.push_back(c);
}

// Part of the keys masked with -infinity.
void add_masked(std::vector<OpCase>& cases) {
  const auto masked = [](int64_t i, int64_t j) { return (i + 2 * j) % 3 == 0; };
  OpCase c;
  c.name = "attention/masked";
  c.inputs = {normal({2, 5, 8}), normal({2, 7, 8}), normal({2, 7, 8})};
  c.run = [masked](const std::vector<Tensor>& x) {
    Tensor bias = Tensor::zeros({1, 5, 7});
    for (int64_t i = 0; i < 5; ++i)
      for (int64_t j = 0; j < 7; ++j)
        if (masked(i, j)) bias.data()[i * 7 + j] = -INFINITY;
    return attention(x[0], x[1], x[2], {.heads = 2}, bias);
  };
  c.reference = [masked](const std::vector<Doubles>& x) {
    Doubles bias(35);
    for (int64_t i = 0; i < 5; ++i)
      for (int64_t j = 0; j < 7; ++j)
        if (masked(i, j)) bias[at(i * 7 + j)] = -INFINITY;
    return attention_reference(x[0], x[1], x[2], bias, 2, 5, 7, 2, 4, 4, 0.5, 1, 1);
  };
  cases.push_back(c);
}

struct Windows {
  int64_t heads = 1, d = 4, window = 0;
  bool per_head = false, pad_row = false, bias = false, relative = false;
  bool large = false;
};

// The meaning of window_attention, position by position.
Doubles window_reference(const Doubles& qkv, const Doubles& pad, const Doubles& bias,
                         const Doubles& rel_h, const Doubles& rel_w, const Shape& shape,
                         const Windows& o) {
  const int64_t height = shape[1], width = shape[2];
  const int64_t wh = o.window ? o.window : height, ww = o.window ? o.window : width;
  const int64_t positions = wh * ww, channels = o.heads * o.d;
  const double scale = 1.0 / std::sqrt(static_cast<double>(o.d));
  Doubles y(at(shape[0] * height * width * channels));
  for (int64_t b = 0; b < shape[0]; ++b)
    for (int64_t top = 0; top < height; top += wh)
      for (int64_t left = 0; left < width; left += ww)
        for (int64_t h = 0; h < o.heads; ++h) {
          // part: 0 of q, 1 of k, 2 of v
          const auto value = [&](int64_t part, int64_t position, int64_t c) {
            const int64_t row = top + position / ww, col = left + position % ww;
            const int64_t column =
                o.per_head ? (h * 3 + part) * o.d + c : part * channels + h * o.d + c;
            if (row >= height || col >= width) return pad.empty() ? 0.0 : pad[at(column)];
            return qkv[at(((b * height + row) * width + col) * 3 * channels + column)];
          };
          for (int64_t i = 0; i < positions; ++i) {
            const int64_t row = top + i / ww, col = left + i % ww;
            if (row >= height || col >= width) continue;
            Doubles scores(at(positions));
            for (int64_t j = 0; j < positions; ++j) {
              double dot = 0, offsets = 0;
              for (int64_t c = 0; c < o.d; ++c) {
                dot += value(0, i, c) * value(1, j, c);
                if (rel_h.empty()) continue;
                offsets += value(0, i, c) * (rel_h[at((i / ww - j / ww + wh - 1) * o.d + c)] +
                                             rel_w[at((i % ww - j % ww + ww - 1) * o.d + c)]);
              }
              scores[at(j)] = scale * dot + offsets;
              if (!bias.empty()) scores[at(j)] += bias[at((h * positions + i) * positions + j)];
            }
            softmax_rows(scores, positions);
            for (int64_t j = 0; j < positions; ++j)
              for (int64_t c = 0; c < o.d; ++c)
                y[at(((b * height + row) * width + col) * channels + h * o.d + c)] +=
                    scores[at(j)] * value(2, j, c);
          }
        }
  return y;
}

void add_windows(std::vector<OpCase>& cases, const std::string& what, int64_t batch, int64_t height,
                 int64_t width, const Windows& o) {
  const Shape shape{batch, height, width, 3 * o.heads * o.d};
  const int64_t wh = o.window ? o.window : height, ww = o.window ? o.window : width;
  OpCase c;
  c.name = "window_attention/" + what;
  c.inputs = {normal(shape)};
  if (o.pad_row) c.inputs.push_back(normal({shape[3]}));
  if (o.bias) c.inputs.push_back(normal({o.heads, wh * ww, wh * ww}));
  if (o.relative)
    c.inputs.insert(c.inputs.end(), {normal({2 * wh - 1, o.d}), normal({2 * ww - 1, o.d})});
  c.run = [o](const std::vector<Tensor>& x) {
    size_t next = 1;
    WindowAttention options{.heads = o.heads, .window = o.window, .per_head = o.per_head};
    const Tensor pad = o.pad_row ? x[next++] : Tensor();
    if (o.bias) options.bias = x[next++];
    if (o.relative) {
      options.rel_h = x[next++];
      options.rel_w = x[next++];
    }
    return window_attention(x[0], options, pad);
  };
  c.reference = [=](const std::vector<Doubles>& x) {
    size_t next = 1;
    const Doubles pad = o.pad_row ? x[next++] : Doubles(), bias = o.bias ? x[next++] : Doubles();
    const Doubles rel_h = o.relative ? x[next] : Doubles();
    const Doubles rel_w = o.relative ? x[next + 1] : Doubles();
    return window_reference(x[0], pad, bias, rel_h, rel_w, shape, o);
  };
  c.large = o.large;
  cases.push_back(c);
}

}  // namespace

void add_attention_cases(std::vector<OpCase>& cases) {
  add_attention(cases, "one_head", 1, 5, 5, 1, 4, {});
  add_attention(cases, "heads", 2, 3, 6, 3, 5, {});
  add_attention(cases, "one_query", 2, 1, 9, 2, 8, {});
  add_attention(cases, "one_key", 2, 3, 1, 2, 8, {});
  add_attention(cases, "no_queries", 1, 0, 4, 2, 3, {});
  add_attention(cases, "wider_values", 1, 4, 5, 2, 3, {.e = 7});
  add_attention(cases, "scale", 1, 4, 5, 2, 3, {.scale = 0.25f});
  add_attention(cases, "more_than_a_block_of_rows", 1, 150, 20, 2, 4, {});
  add_attention(cases, "many_keys", 1, 3, 1100, 2, 4, {});
  add_attention(cases, "bias_of_heads", 2, 4, 5, 3, 4, {.bias = {3, 4, 5}});
  add_attention(cases, "bias_for_all", 2, 4, 5, 3, 4, {.bias = {1, 4, 5}});
  add_attention(cases, "bias_of_everything", 2, 4, 5, 3, 4, {.bias = {2, 3, 4, 5}});
  add_attention(cases, "bias_of_images", 2, 4, 5, 3, 4, {.bias = {2, 1, 4, 5}});
  add_sliced(cases);
  add_masked(cases);
  add_attention(cases, "vit", 2, 197, 197, 3, 64, {.large = true});

  add_windows(cases, "fitting", 2, 4, 6, {.heads = 2, .window = 2});
  add_windows(cases, "zeros_beyond_the_map", 1, 4, 5, {.heads = 2, .window = 3});
  add_windows(cases, "pad_row", 2, 4, 5, {.heads = 2, .window = 3, .pad_row = true});
  add_windows(cases, "pad_at_the_right_only", 1, 3, 4, {.d = 3, .window = 3, .pad_row = true});
  add_windows(cases, "pad_at_the_bottom_only", 1, 4, 3, {.d = 3, .window = 3, .pad_row = true});
  add_windows(cases, "window_larger_than_the_map", 1, 2, 3, {.window = 4, .pad_row = true});
  add_windows(cases, "per_head", 1, 4, 4, {.heads = 2, .d = 3, .window = 2, .per_head = true});
  add_windows(cases, "tiny_vit", 1, 5, 4,
              {.heads = 2, .window = 3, .per_head = true, .pad_row = true, .bias = true});
  add_windows(cases, "relative", 1, 4, 6, {.heads = 2, .window = 2, .relative = true});
  add_windows(cases, "sam_window", 1, 5, 4,
              {.heads = 2, .window = 3, .pad_row = true, .relative = true});
  add_windows(cases, "sam_global", 2, 3, 4, {.heads = 2, .relative = true});
  add_windows(cases, "bias_and_relative", 1, 4, 4,
              {.heads = 2, .window = 2, .bias = true, .relative = true});
  add_windows(cases, "whole_map", 1, 3, 5, {.heads = 2, .per_head = true, .bias = true});
  add_windows(cases, "sequences", 2, 1, 7, {.heads = 2});
  add_windows(cases, "global_of_many_rows", 1, 12, 11, {.heads = 1, .d = 4, .relative = true});
  add_windows(
      cases, "sam_window_14", 1, 20, 20,
      {.heads = 2, .d = 32, .window = 14, .pad_row = true, .relative = true, .large = true});
}

}  // namespace beckon::test
