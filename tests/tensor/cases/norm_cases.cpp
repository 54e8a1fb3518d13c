#include "tensor/cases/doubles.h"

namespace beckon::test {
namespace {

void add_layer_norm(std::vector<OpCase>& cases, const std::string& what, const Shape& x,
                    bool affine, bool large = false) {
  OpCase c;
  c.name = "layer_norm/" + what;
  c.inputs = {normal(x)};
  if (affine) c.inputs.insert(c.inputs.end(), {normal({x[-1]}), normal({x[-1]})});
  c.run = [affine](const std::vector<Tensor>& in) {
    return affine ? layer_norm(in[0], in[1], in[2], 1e-5f) : layer_norm(in[0], {}, {}, 1e-5f);
  };
  c.reference = [=](const std::vector<Doubles>& in) {
    return layer_norm_reference(in[0], affine ? in[1] : Doubles(), affine ? in[2] : Doubles(),
                                x[-1], 1e-5);
  };
  c.large = large;
  cases.push_back(c);
}

// x [n, pixels, channels], statistics over the pixels and the channels of a group.
Doubles grouped_reference(const Doubles& x, int64_t n, int64_t pixels, int64_t channels,
                          int64_t groups, const Doubles& gamma, const Doubles& beta) {
  const int64_t width = channels / groups;
  const double count = static_cast<double>(pixels * width);
  Doubles y(x.size());
  for (int64_t i = 0; i < n; ++i)
    for (int64_t g = 0; g < groups; ++g) {
      const auto index = [&](int64_t p, int64_t c) {
        return at((i * pixels + p) * channels + g * width + c);
      };
      double mean = 0, variance = 0;
      for (int64_t p = 0; p < pixels; ++p)
        for (int64_t c = 0; c < width; ++c) mean += x[index(p, c)] / count;
      for (int64_t p = 0; p < pixels; ++p)
        for (int64_t c = 0; c < width; ++c) {
          const double d = x[index(p, c)] - mean;
          variance += d * d / count;
        }
      for (int64_t p = 0; p < pixels; ++p)
        for (int64_t c = 0; c < width; ++c) {
          const int64_t channel = g * width + c;
          y[index(p, c)] = (x[index(p, c)] - mean) / std::sqrt(variance + 1e-5) *
                               (gamma.empty() ? 1 : gamma[at(channel)]) +
                           (beta.empty() ? 0 : beta[at(channel)]);
        }
    }
  return y;
}

void add_group_norm(std::vector<OpCase>& cases, const std::string& what, const Shape& x,
                    int64_t groups, bool affine) {
  OpCase c;
  c.name = "group_norm/" + what;
  c.inputs = {normal(x)};
  if (affine) c.inputs.insert(c.inputs.end(), {normal({x[-1]}), normal({x[-1]})});
  c.run = [=](const std::vector<Tensor>& in) {
    return affine ? group_norm(in[0], groups, in[1], in[2], 1e-5f)
                  : group_norm(in[0], groups, {}, {}, 1e-5f);
  };
  c.reference = [=](const std::vector<Doubles>& in) {
    return grouped_reference(in[0], x[0], x.elements() / x[0] / x[-1], x[-1], groups,
                             affine ? in[1] : Doubles(), affine ? in[2] : Doubles());
  };
  cases.push_back(c);
}

void add_batch_norms(std::vector<OpCase>& cases) {
  for (const bool affine : {false, true}) {
    const std::string what = affine ? "affine" : "plain";
    const Shape x{2, 3, 4, 5};
    OpCase c;
    c.name = "batch_norm/" + what;
    c.inputs = {normal(x), normal({5}), positive({5})};
    if (affine) c.inputs.insert(c.inputs.end(), {normal({5}), normal({5})});
    c.run = [affine](const std::vector<Tensor>& in) {
      return batch_norm(in[0], in[1], in[2], affine ? in[3] : Tensor(), affine ? in[4] : Tensor(),
                        1e-5f);
    };
    c.reference = [affine](const std::vector<Doubles>& in) {
      Doubles y(in[0].size());
      for (size_t i = 0; i < y.size(); ++i) {
        const size_t ch = i % 5;
        y[i] = (in[0][i] - in[1][ch]) / std::sqrt(in[2][ch] + 1e-5) * (affine ? in[3][ch] : 1) +
               (affine ? in[4][ch] : 0);
      }
      return y;
    };
    cases.push_back(c);

    OpCase t;
    t.name = "batch_norm_train/" + what;
    t.inputs = {normal(x)};
    if (affine) t.inputs.insert(t.inputs.end(), {normal({5}), normal({5})});
    t.run = [affine](const std::vector<Tensor>& in) {
      return batch_norm_train(in[0], affine ? in[1] : Tensor(), affine ? in[2] : Tensor(), 1e-5f).y;
    };
    t.reference = [affine](const std::vector<Doubles>& in) {
      return grouped_reference(in[0], 1, 24, 5, 5, affine ? in[1] : Doubles(),
                               affine ? in[2] : Doubles());
    };
    cases.push_back(t);
  }
  OpCase s;
  s.name = "batch_norm_train/statistics";
  s.inputs = {fixed(normal({7, 3}))};
  s.run = [](const std::vector<Tensor>& in) {
    const BatchNormed b = batch_norm_train(in[0], {}, {}, 1e-5f);
    return concat({b.mean, b.variance}, 0);
  };
  s.reference = [](const std::vector<Doubles>& in) {
    Doubles y(6);
    for (size_t c = 0; c < 3; ++c) {
      for (size_t r = 0; r < 7; ++r) y[c] += in[0][r * 3 + c] / 7;
      for (size_t r = 0; r < 7; ++r) y[3 + c] += std::pow(in[0][r * 3 + c] - y[c], 2) / 6;
    }
    return y;
  };
  cases.push_back(s);
}

void add_softmax(std::vector<OpCase>& cases, const std::string& what, const Shape& x, int dim,
                 bool large = false) {
  for (const bool logarithm : {false, true}) {
    OpCase c;
    c.name = (logarithm ? "log_softmax/" : "softmax/") + what;
    c.inputs = {normal(x)};
    c.run = [=](const std::vector<Tensor>& in) {
      return logarithm ? log_softmax(in[0], dim) : softmax(in[0], dim);
    };
    c.reference = [=](const std::vector<Doubles>& in) {
      const int axis = x.axis(dim);
      int64_t inner = 1;
      for (int i = axis + 1; i < x.rank(); ++i) inner *= x[i];
      const int64_t n = x[axis];
      Doubles y = in[0];
      for (int64_t i = 0; i < x.elements() / std::max<int64_t>(n, 1); ++i) {
        const int64_t start = i / inner * inner * n + i % inner;
        double sum = 0;
        for (int64_t j = 0; j < n; ++j) sum += std::exp(y[at(start + j * inner)]);
        for (int64_t j = 0; j < n; ++j) {
          double& v = y[at(start + j * inner)];
          v = logarithm ? v - std::log(sum) : std::exp(v) / sum;
        }
      }
      return y;
    };
    c.large = large;
    cases.push_back(c);
  }
}

}  // namespace

void add_norm_cases(std::vector<OpCase>& cases) {
  add_layer_norm(cases, "affine", {3, 4, 7}, true);
  add_layer_norm(cases, "plain", {5, 16}, false);
  add_layer_norm(cases, "one_row", {1, 5}, true);
  add_layer_norm(cases, "a_vector", {33}, true);
  add_layer_norm(cases, "no_rows", {0, 5}, true);
  add_layer_norm(cases, "vit", {3, 197, 768}, true, true);
  add_group_norm(cases, "affine", {2, 3, 4, 6}, 3, true);
  add_group_norm(cases, "plain", {2, 5, 8}, 2, false);
  add_group_norm(cases, "one_group", {1, 4, 4, 5}, 1, true);
  add_group_norm(cases, "a_channel_each", {2, 4, 3}, 3, true);
  add_batch_norms(cases);
  add_softmax(cases, "last", {4, 9}, -1);
  add_softmax(cases, "first", {5, 3}, 0);
  add_softmax(cases, "middle", {2, 5, 3}, 1);
  add_softmax(cases, "one", {3, 1}, -1);
  add_softmax(cases, "no_rows", {0, 4}, -1);
  add_softmax(cases, "wide", {130, 1000}, -1, true);
}

}  // namespace beckon::test
