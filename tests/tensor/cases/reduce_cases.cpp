#include <algorithm>
#include <numeric>

#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

// [a,b,c] with some dimensions summed; the result in order.
Doubles summed(const Doubles& x, const Shape& shape, std::initializer_list<int> dims,
               bool average) {
  Shape kept = shape;
  double count = 1;
  for (int d : dims) {
    kept[d] = 1;
    count *= static_cast<double>(shape[d]);
  }
  Doubles y(static_cast<size_t>(kept.elements()), 0.0);
  for (size_t i = 0; i < x.size(); ++i) {
    auto rest = static_cast<int64_t>(i);
    int64_t index = 0, step = 1;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      if (kept[d] == shape[d]) index += rest % shape[d] * step;
      step *= kept[d];
      rest /= shape[d];
    }
    y[static_cast<size_t>(index)] += average ? x[i] / count : x[i];
  }
  return y;
}

void add_sums(std::vector<OpCase>& cases, const std::string& what, const Shape& shape,
              std::initializer_list<int> dims, bool large = false) {
  const std::vector<int> kept_dims(dims);
  for (const bool average : {false, true}) {
    OpCase c;
    c.name = (average ? "mean/" : "sum/") + what;
    c.inputs = {normal(shape)};
    // Deduced from a list only: the operations take nothing else.
    const auto run = [average](const Tensor& x, std::initializer_list<int> d, bool keep) {
      return average ? mean(x, d, keep) : sum(x, d, keep);
    };
    switch (kept_dims.size()) {
      case 1:
        c.run = [=, a = kept_dims[0]](const std::vector<Tensor>& in) {
          return run(in[0], {a}, false);
        };
        c.reference = [=, a = kept_dims[0]](const std::vector<Doubles>& in) {
          return summed(in[0], shape, {a}, average);
        };
        break;
      default:
        c.run = [=, a = kept_dims[0], b = kept_dims[1]](const std::vector<Tensor>& in) {
          return run(in[0], {a, b}, true);
        };
        c.reference = [=, a = kept_dims[0], b = kept_dims[1]](const std::vector<Doubles>& in) {
          return summed(in[0], shape, {a, b}, average);
        };
    }
    c.large = large;
    if (large) c.tolerance = 1e-4;
    cases.push_back(std::move(c));
  }
}

// Positions along one dimension of [outer, n, inner], largest first, equal ones in order.
std::vector<size_t> ranking(const Doubles& x, size_t base, size_t n, size_t step) {
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t p, size_t q) { return x[base + p * step] > x[base + q * step]; });
  return order;
}

// The k largest values (or their positions) along n of [outer, n, inner].
Doubles largest_along(const Doubles& x, size_t outer, size_t n, size_t inner, size_t k,
                      bool positions) {
  Doubles y(outer * k * inner);
  for (size_t o = 0; o < outer; ++o)
    for (size_t i = 0; i < inner; ++i) {
      const size_t base = o * n * inner + i;
      const std::vector<size_t> order = ranking(x, base, n, inner);
      for (size_t j = 0; j < k; ++j)
        y[(o * k + j) * inner + i] =
            positions ? static_cast<double>(order[j]) : x[base + order[j] * inner];
    }
  return y;
}

}  // namespace

void add_reduce_cases(std::vector<OpCase>& cases) {
  const auto total = [](const std::vector<Doubles>& in) {
    return Doubles{std::accumulate(in[0].begin(), in[0].end(), 0.0)};
  };
  const auto sum_all = [](const std::vector<Tensor>& in) { return sum(in[0]); };
  const auto mean_all = [](const std::vector<Tensor>& in) { return mean(in[0]); };
  const auto average = [total](const std::vector<Doubles>& in) {
    return Doubles{total(in)[0] / static_cast<double>(in[0].size())};
  };
  cases.push_back({"sum/all", {normal({3, 5, 7})}, sum_all, total});
  cases.push_back({"sum/scalar", {normal({})}, sum_all, total});
  cases.push_back({"sum/empty", {normal({3, 0})}, sum_all, total});
  cases.push_back({"mean/all", {normal({3, 5, 7})}, mean_all, average});
  cases.push_back({"mean/one", {normal({1})}, mean_all, average});
  OpCase large{"sum/large", {normal({401, 701})}, sum_all, total};
  large.large = true;
  cases.push_back(large);

  add_sums(cases, "first", {4, 3, 5}, {0});
  add_sums(cases, "middle", {4, 3, 5}, {1});
  add_sums(cases, "last", {4, 3, 5}, {2});
  add_sums(cases, "outer_two", {4, 3, 5}, {0, 2});
  add_sums(cases, "last_two", {4, 3, 5}, {1, 2});
  add_sums(cases, "alternate", {2, 3, 2, 5}, {0, 2});
  add_sums(cases, "alternate_inner", {2, 3, 2, 5}, {1, 3});
  add_sums(cases, "of_size_one", {4, 1, 5}, {1});
  add_sums(cases, "large_columns", {1000, 257}, {0}, true);
  add_sums(cases, "large_rows", {257, 1000}, {1}, true);
  add_sums(cases, "large_middle", {16, 100, 257}, {1}, true);
  add_sums(cases, "large_pixels", {300, 301, 3}, {0, 1}, true);

  const auto max_of = [](int dim, bool keep) {
    return [=](const std::vector<Tensor>& in) { return max(in[0], dim, keep); };
  };
  const auto argmax_of = [](int dim, bool keep) {
    return [=](const std::vector<Tensor>& in) { return argmax(in[0], dim, keep); };
  };
  const auto first_of = [](size_t outer, size_t n, size_t inner, bool positions) {
    return [=](const std::vector<Doubles>& in) {
      return largest_along(in[0], outer, n, inner, 1, positions);
    };
  };
  cases.push_back({"max/last", {apart({4, 9})}, max_of(-1, false), first_of(4, 9, 1, false)});
  cases.push_back({"max/middle", {apart({2, 5, 3})}, max_of(1, true), first_of(2, 5, 3, false)});
  cases.push_back({"max/vector", {apart({7})}, max_of(0, false), first_of(1, 7, 1, false)});
  // Zeros and ones: the first of the equal ones counts.
  cases.push_back({"argmax/ties", {flags({6, 9})}, argmax_of(1, false), first_of(6, 9, 1, true)});
  cases.push_back(
      {"argmax/first", {fixed(normal({6, 9}))}, argmax_of(0, true), first_of(1, 6, 9, true)});
  OpCase large_max{
      "max/large", {apart({300, 401})}, max_of(1, false), first_of(300, 401, 1, false)};
  large_max.large = true;
  cases.push_back(large_max);

  const auto topk_values = [](int64_t k, int dim) {
    return [=](const std::vector<Tensor>& in) { return topk(in[0], k, dim).first; };
  };
  const auto topk_places = [](int64_t k, int dim) {
    return [=](const std::vector<Tensor>& in) { return topk(in[0], k, dim).second; };
  };
  const auto top_of = [](size_t outer, size_t n, size_t inner, size_t k, bool positions) {
    return [=](const std::vector<Doubles>& in) {
      return largest_along(in[0], outer, n, inner, k, positions);
    };
  };
  cases.push_back({"topk/last", {apart({5, 11})}, topk_values(3, -1), top_of(5, 11, 1, 3, false)});
  cases.push_back(
      {"topk/middle", {apart({2, 6, 3})}, topk_values(4, 1), top_of(2, 6, 3, 4, false)});
  cases.push_back({"topk/all", {apart({7})}, topk_values(7, 0), top_of(1, 7, 1, 7, false)});
  cases.push_back(
      {"topk/indices", {fixed(normal({5, 11}))}, topk_places(4, 1), top_of(5, 11, 1, 4, true)});
  cases.push_back({"topk/ties", {flags({5, 11})}, topk_places(9, 1), top_of(5, 11, 1, 9, true)});
  cases.push_back(
      {"topk/none", {fixed(normal({5, 3}))}, topk_values(0, 1), top_of(5, 3, 1, 0, false)});
}

}  // namespace beckon::test
