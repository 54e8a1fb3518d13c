#include <algorithm>
#include <limits>

#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

enum class Kind { maximum, mean_with_padding, mean_inside };

Doubles pooled(const Doubles& x, const Shape& shape, const Pool& pool, Kind kind) {
  const auto outputs = [&](int64_t in) {
    return (in + 2 * pool.padding - pool.kernel) / pool.stride + 1;
  };
  Doubles y;
  for (int64_t b = 0; b < shape[0]; ++b)
    for (int64_t i = 0; i < outputs(shape[1]); ++i)
      for (int64_t j = 0; j < outputs(shape[2]); ++j)
        for (int64_t c = 0; c < shape[3]; ++c) {
          double sum = 0, most = -std::numeric_limits<double>::infinity(), inside = 0;
          for (int64_t p = 0; p < pool.kernel; ++p)
            for (int64_t q = 0; q < pool.kernel; ++q) {
              const int64_t row = i * pool.stride - pool.padding + p;
              const int64_t column = j * pool.stride - pool.padding + q;
              if (row < 0 || row >= shape[1] || column < 0 || column >= shape[2]) continue;
              const double v =
                  x[static_cast<size_t>(((b * shape[1] + row) * shape[2] + column) * shape[3] + c)];
              sum += v;
              most = std::max(most, v);
              ++inside;
            }
          const double all = static_cast<double>(pool.kernel * pool.kernel);
          y.push_back(kind == Kind::maximum ? most
                                            : sum / (kind == Kind::mean_inside ? inside : all));
        }
  return y;
}

Doubles adaptive(const Doubles& x, const Shape& shape, int64_t height, int64_t width) {
  Doubles y;
  const auto from = [](int64_t i, int64_t in, int64_t out) { return i * in / out; };
  const auto to = [](int64_t i, int64_t in, int64_t out) { return ((i + 1) * in + out - 1) / out; };
  for (int64_t b = 0; b < shape[0]; ++b)
    for (int64_t i = 0; i < height; ++i)
      for (int64_t j = 0; j < width; ++j)
        for (int64_t c = 0; c < shape[3]; ++c) {
          double sum = 0, count = 0;
          for (int64_t p = from(i, shape[1], height); p < to(i, shape[1], height); ++p)
            for (int64_t q = from(j, shape[2], width); q < to(j, shape[2], width); ++q, ++count)
              sum += x[static_cast<size_t>(((b * shape[1] + p) * shape[2] + q) * shape[3] + c)];
          y.push_back(sum / count);
        }
  return y;
}

}  // namespace

void add_pool_cases(std::vector<OpCase>& cases) {
  const auto add_three = [&](const std::string& what, const Shape& shape, const Pool& pool,
                             bool large = false) {
    const auto add_case = [&](const std::string& name, Input input, Kind kind,
                              std::function<Tensor(const Tensor&)> run) {
      OpCase c;
      c.name = name + "/" + what;
      c.inputs = {std::move(input)};
      c.run = [run](const std::vector<Tensor>& in) { return run(in[0]); };
      c.reference = [=](const std::vector<Doubles>& in) {
        return pooled(in[0], shape, pool, kind);
      };
      c.large = large;
      cases.push_back(std::move(c));
    };
    add_case("max_pool2d", large ? normal(shape) : apart(shape), Kind::maximum,
             [pool](const Tensor& x) { return max_pool2d(x, pool); });
    add_case("avg_pool2d", normal(shape), Kind::mean_with_padding,
             [pool](const Tensor& x) { return avg_pool2d(x, pool); });
    add_case("avg_pool2d_inside", normal(shape), Kind::mean_inside,
             [pool](const Tensor& x) { return avg_pool2d(x, pool, false); });
  };
  add_three("halves", {2, 6, 4, 3}, {});
  add_three("odd", {1, 7, 5, 2}, {.kernel = 2, .stride = 2});
  add_three("overlap", {1, 7, 6, 17}, {.kernel = 3, .stride = 2, .padding = 1});
  add_three("gaps", {1, 7, 8, 1}, {.kernel = 2, .stride = 3});
  add_three("whole", {1, 4, 4, 5}, {.kernel = 4, .stride = 1});
  add_three("single", {1, 3, 2, 2}, {.kernel = 1, .stride = 2});
  add_three("large", {2, 96, 95, 33}, {.kernel = 3, .stride = 2, .padding = 1}, true);

  const auto add_adaptive = [&](const std::string& what, const Shape& shape, int64_t height,
                                int64_t width, bool large = false) {
    OpCase c;
    c.name = "adaptive_avg_pool2d/" + what;
    c.inputs = {normal(shape)};
    c.run = [=](const std::vector<Tensor>& in) {
      return adaptive_avg_pool2d(in[0], height, width);
    };
    c.reference = [=](const std::vector<Doubles>& in) {
      return adaptive(in[0], shape, height, width);
    };
    c.large = large;
    cases.push_back(std::move(c));
  };
  add_adaptive("one", {2, 5, 3, 4}, 1, 1);
  add_adaptive("uneven", {1, 7, 10, 3}, 3, 4);
  add_adaptive("larger", {1, 2, 3, 2}, 5, 7);
  add_adaptive("large", {2, 60, 70, 40}, 7, 7, true);
}

}  // namespace beckon::test
