#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

size_t whole(double index) { return static_cast<size_t>(index); }

// index [a,b,c] into x [x0,x1,x2] along the middle dimension: body(place in index, place in x).
template <typename Body>
void along_middle(const Shape& x, const Shape& index, const Doubles& places, Body&& body) {
  for (int64_t a = 0, i = 0; a < index[0]; ++a)
    for (int64_t b = 0; b < index[1]; ++b)
      for (int64_t c = 0; c < index[2]; ++c, ++i) {
        const auto j = static_cast<int64_t>(places[static_cast<size_t>(i)]);
        body(static_cast<size_t>(i), static_cast<size_t>((a * x[1] + j) * x[2] + c));
      }
}

}  // namespace

void add_index_cases(std::vector<OpCase>& cases) {
  const Shape x{3, 5, 4}, smaller{2, 6, 3};
  cases.push_back({"gather/middle",
                   {normal(x), index(smaller, 5)},
                   [](const std::vector<Tensor>& in) { return gather(in[0], 1, in[1]); },
                   [=](const std::vector<Doubles>& in) {
                     Doubles y(in[1].size());
                     along_middle(x, smaller, in[1], [&](size_t i, size_t j) { y[i] = in[0][j]; });
                     return y;
                   }});
  cases.push_back({"gather/last",
                   {normal({4, 9}), index({4, 1}, 9)},
                   [](const std::vector<Tensor>& in) { return gather(in[0], -1, in[1]); },
                   [](const std::vector<Doubles>& in) {
                     Doubles y;
                     for (size_t i = 0; i < 4; ++i) y.push_back(in[0][i * 9 + whole(in[1][i])]);
                     return y;
                   }});
  cases.push_back({"gather/nothing",
                   {normal({4, 9}), index({4, 0}, 9)},
                   [](const std::vector<Tensor>& in) { return gather(in[0], 1, in[1]); },
                   [](const std::vector<Doubles>&) { return Doubles{}; }});
  cases.push_back(
      {"scatter_add/middle",
       {normal(x), index(smaller, 5), normal(smaller)},
       [](const std::vector<Tensor>& in) { return scatter_add(in[0], 1, in[1], in[2]); },
       [=](const std::vector<Doubles>& in) {
         Doubles y = in[0];
         along_middle(x, smaller, in[1], [&](size_t i, size_t j) { y[j] += in[2][i]; });
         return y;
       }});
  // One target only: everything meets in it.
  cases.push_back(
      {"scatter_add/all_in_one",
       {normal({1}), index({20}, 1), normal({20})},
       [](const std::vector<Tensor>& in) { return scatter_add(in[0], 0, in[1], in[2]); },
       [](const std::vector<Doubles>& in) {
         double sum = in[0][0];
         for (double v : in[2]) sum += v;
         return Doubles{sum};
       }});
  cases.push_back({"index_select/middle",
                   {normal(x), index({7}, 5)},
                   [](const std::vector<Tensor>& in) { return index_select(in[0], 1, in[1]); },
                   [](const std::vector<Doubles>& in) {
                     Doubles y;
                     for (size_t a = 0; a < 3; ++a)
                       for (double j : in[1])
                         for (size_t c = 0; c < 4; ++c)
                           y.push_back(in[0][(a * 5 + whole(j)) * 4 + c]);
                     return y;
                   }});
  cases.push_back({"index_select/last",
                   {normal({3, 5}), index({2}, 5)},
                   [](const std::vector<Tensor>& in) { return index_select(in[0], -1, in[1]); },
                   [](const std::vector<Doubles>& in) {
                     Doubles y;
                     for (size_t a = 0; a < 3; ++a)
                       for (double j : in[1]) y.push_back(in[0][a * 5 + whole(j)]);
                     return y;
                   }});
  const auto rows_of = [](size_t width) {
    return [=](const std::vector<Doubles>& in) {
      Doubles y;
      for (double row : in[1])
        for (size_t c = 0; c < width; ++c) y.push_back(in[0][whole(row) * width + c]);
      return y;
    };
  };
  const auto run = [](const std::vector<Tensor>& in) { return embedding(in[0], in[1]); };
  cases.push_back({"embedding/tokens", {normal({6, 5}), index({2, 7}, 6)}, run, rows_of(5)});
  cases.push_back({"embedding/scalar", {normal({6, 5}), index({}, 6)}, run, rows_of(5)});
  cases.push_back({"embedding/empty", {normal({6, 5}), index({0}, 6)}, run, rows_of(5)});
  OpCase large{"embedding/large", {normal({1000, 256}), index({4, 300}, 1000)}, run, rows_of(256)};
  large.large = true;
  cases.push_back(large);
}

}  // namespace beckon::test
