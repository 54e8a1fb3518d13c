#include "tensor/op_cases.h"

namespace beckon::test {
namespace {

// The element of x at an index of its dimensions.
double at(const Doubles& x, const Shape& shape, const std::vector<int64_t>& index) {
  int64_t place = 0;
  for (int d = 0; d < shape.rank(); ++d) place = place * shape[d] + index[static_cast<size_t>(d)];
  return x[static_cast<size_t>(place)];
}

// f(index) for every index of a shape, in order.
template <typename F>
Doubles for_every(const Shape& shape, F&& f) {
  Doubles y;
  for (int64_t i = 0; i < shape.elements(); ++i) {
    std::vector<int64_t> index(static_cast<size_t>(shape.rank()));
    int64_t rest = i;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      index[static_cast<size_t>(d)] = rest % shape[d];
      rest /= shape[d];
    }
    y.push_back(f(index));
  }
  return y;
}

// Concatenation along a dimension of three parts.
OpCase concat_case(const std::string& name, const Shape& shape, int dim,
                   std::vector<int64_t> sizes) {
  OpCase c;
  c.name = name;
  Shape whole = shape;
  whole[dim] = 0;
  for (int64_t size : sizes) {
    c.inputs.push_back(normal(shape.with(dim, size)));
    whole[dim] += size;
  }
  c.run = [dim](const std::vector<Tensor>& in) { return concat(in, dim); };
  c.reference = [=](const std::vector<Doubles>& in) {
    return for_every(whole, [&](std::vector<int64_t> index) {
      auto& along = index[static_cast<size_t>(whole.axis(dim))];
      size_t part = 0;
      while (along >= sizes[part]) along -= sizes[part++];
      return at(in[part], shape.with(dim, sizes[part]), index);
    });
  };
  return c;
}

}  // namespace

void add_rearrange_cases(std::vector<OpCase>& cases) {
  cases.push_back(concat_case("concat/first", {0, 3}, 0, {2, 1, 4}));
  cases.push_back(concat_case("concat/last", {2, 3, 0}, -1, {2, 1, 4}));
  cases.push_back(concat_case("concat/with_an_empty_part", {2, 0, 3}, 1, {2, 0, 1}));
  cases.push_back(concat_case("concat/one", {2, 0}, 1, {3}));
  OpCase large = concat_case("concat/large", {4, 0, 257}, 1, {100, 1, 200});
  large.large = true;
  cases.push_back(large);

  cases.push_back({"stack/middle",
                   {normal({2, 3}), normal({2, 3})},
                   [](const std::vector<Tensor>& in) {
                     return stack({in[0], in[1]}, 1);
                   },
                   [](const std::vector<Doubles>& in) {
                     return for_every({2, 2, 3}, [&](const std::vector<int64_t>& i) {
                       return at(in[static_cast<size_t>(i[1])], {2, 3}, {i[0], i[2]});
                     });
                   }});
  cases.push_back({"stack/last",
                   {normal({2, 3}), normal({2, 3}), normal({2, 3})},
                   [](const std::vector<Tensor>& in) {
                     return stack({in[0], in[1], in[2]}, -1);
                   },
                   [](const std::vector<Doubles>& in) {
                     return for_every({2, 3, 3}, [&](const std::vector<int64_t>& i) {
                       return at(in[static_cast<size_t>(i[2])], {2, 3}, {i[0], i[1]});
                     });
                   }});
  // The parts are weighted so that a gradient in the wrong one shows.
  cases.push_back({"split/last",
                   {normal({3, 6})},
                   [](const std::vector<Tensor>& in) {
                     const auto parts = split(in[0], {1, 3, 2}, -1);
                     return concat({parts[2] * 3.0f, parts[0], parts[1] * 2.0f}, 1);
                   },
                   [](const std::vector<Doubles>& in) {
                     return for_every({3, 6}, [&](const std::vector<int64_t>& i) {
                       const int64_t from[] = {4, 5, 0, 1, 2, 3};
                       const double weight[] = {3, 3, 1, 2, 2, 2};
                       return weight[i[1]] * at(in[0], {3, 6}, {i[0], from[i[1]]});
                     });
                   }});

  const auto padded = [](const Shape& shape, const Shape& before, const Shape& after,
                         double value) {
    return [=](const std::vector<Doubles>& in) {
      Shape larger = shape;
      for (int d = 0; d < shape.rank(); ++d) larger[d] += before[d] + after[d];
      return for_every(larger, [&](std::vector<int64_t> index) {
        for (int d = 0; d < shape.rank(); ++d) {
          auto& i = index[static_cast<size_t>(d)];
          i -= before[d];
          if (i < 0 || i >= shape[d]) return value;
        }
        return at(in[0], shape, index);
      });
    };
  };
  cases.push_back({"pad/zeros",
                   {normal({2, 3, 4})},
                   [](const std::vector<Tensor>& in) {
                     return pad(in[0], {0, 1, 2}, {1, 0, 3});
                   },
                   padded({2, 3, 4}, {0, 1, 2}, {1, 0, 3}, 0.0)});
  cases.push_back({"pad/value",
                   {normal({3, 4})},
                   [](const std::vector<Tensor>& in) {
                     return pad(in[0], {2, 0}, {0, 1}, -1.5f);
                   },
                   padded({3, 4}, {2, 0}, {0, 1}, -1.5)});
  cases.push_back({"pad/nothing",
                   {normal({3, 4})},
                   [](const std::vector<Tensor>& in) {
                     return pad(in[0], {0, 0}, {0, 0});
                   },
                   padded({3, 4}, {0, 0}, {0, 0}, 0.0)});
  cases.push_back({"pad/an_empty_tensor",
                   {normal({0, 2})},
                   [](const std::vector<Tensor>& in) {
                     return pad(in[0], {1, 0}, {1, 0}, 2.0f);
                   },
                   padded({0, 2}, {1, 0}, {1, 0}, 2.0)});

  const auto wrap = [](int64_t i, int64_t n) { return ((i % n) + n) % n; };
  cases.push_back(
      {"roll/two",
       {normal({2, 5, 7, 3})},
       [](const std::vector<Tensor>& in) {
         return roll(in[0], {-2, 3}, {1, 2});
       },
       [=](const std::vector<Doubles>& in) {
         return for_every({2, 5, 7, 3}, [&](const std::vector<int64_t>& i) {
           return at(in[0], {2, 5, 7, 3}, {i[0], wrap(i[1] + 2, 5), wrap(i[2] - 3, 7), i[3]});
         });
       }});
  cases.push_back({"roll/more_than_round",
                   {normal({5, 2})},
                   [](const std::vector<Tensor>& in) { return roll(in[0], {13}, {0}); },
                   [=](const std::vector<Doubles>& in) {
                     return for_every({5, 2}, [&](const std::vector<int64_t>& i) {
                       return at(in[0], {5, 2}, {wrap(i[0] - 13, 5), i[1]});
                     });
                   }});
  cases.push_back({"roll/nothing",
                   {normal({5, 2})},
                   [](const std::vector<Tensor>& in) { return roll(in[0], {10}, {0}); },
                   [](const std::vector<Doubles>& in) { return in[0]; }});
  cases.push_back({"flip/middle",
                   {normal({2, 5, 3})},
                   [](const std::vector<Tensor>& in) { return flip(in[0], {1}); },
                   [](const std::vector<Doubles>& in) {
                     return for_every({2, 5, 3}, [&](const std::vector<int64_t>& i) {
                       return at(in[0], {2, 5, 3}, {i[0], 4 - i[1], i[2]});
                     });
                   }});
  cases.push_back({"flip/first_and_last",
                   {normal({2, 5, 3})},
                   [](const std::vector<Tensor>& in) {
                     return flip(in[0], {-1, 0});
                   },
                   [](const std::vector<Doubles>& in) {
                     return for_every({2, 5, 3}, [&](const std::vector<int64_t>& i) {
                       return at(in[0], {2, 5, 3}, {1 - i[0], i[1], 2 - i[2]});
                     });
                   }});
  OpCase large_roll{"roll/large", {normal({1, 64, 64, 96})}, [](const std::vector<Tensor>& in) {
                      return roll(in[0], {-3, -3}, {1, 2});
                    }};
  large_roll.large = true;
  cases.push_back(large_roll);
  OpCase permuted{"permute/large",
                  {normal({128, 65, 67})},
                  [](const std::vector<Tensor>& in) {
                    return in[0].permute({2, 0, 1}).contiguous();
                  },
                  [](const std::vector<Doubles>& in) {
                    return for_every({67, 128, 65}, [&](const std::vector<int64_t>& i) {
                      return at(in[0], {128, 65, 67}, {i[1], i[2], i[0]});
                    });
                  }};
  permuted.large = true;
  cases.push_back(permuted);

  // The views, which are members of Tensor.
  cases.push_back({"view/permute",
                   {normal({2, 3, 4})},
                   [](const std::vector<Tensor>& in) {
                     return in[0].permute({2, 0, 1});
                   },
                   [](const std::vector<Doubles>& in) {
                     return for_every({4, 2, 3}, [&](const std::vector<int64_t>& i) {
                       return at(in[0], {2, 3, 4}, {i[1], i[2], i[0]});
                     });
                   }});
  cases.push_back(
      {"view/transpose_reshape",
       {normal({3, 4})},
       [](const std::vector<Tensor>& in) { return in[0].transpose(0, 1).reshape({-1}); },
       [](const std::vector<Doubles>& in) {
         return for_every({4, 3}, [&](const std::vector<int64_t>& i) {
           return at(in[0], {3, 4}, {i[1], i[0]});
         });
       }});
  cases.push_back({"view/slice_with_step",
                   {normal({7, 3})},
                   [](const std::vector<Tensor>& in) { return in[0].slice(0, 1, -1, 2); },
                   [](const std::vector<Doubles>& in) {
                     return for_every({3, 3}, [&](const std::vector<int64_t>& i) {
                       return at(in[0], {7, 3}, {1 + 2 * i[0], i[1]});
                     });
                   }});
  cases.push_back({"view/select",
                   {normal({4, 3, 2})},
                   [](const std::vector<Tensor>& in) { return in[0].select(1, -1); },
                   [](const std::vector<Doubles>& in) {
                     return for_every({4, 2}, [&](const std::vector<int64_t>& i) {
                       return at(in[0], {4, 3, 2}, {i[0], 2, i[1]});
                     });
                   }});
  cases.push_back({"view/expand",
                   {normal({3, 1})},
                   [](const std::vector<Tensor>& in) {
                     return in[0].expand({2, 3, 4});
                   },
                   [](const std::vector<Doubles>& in) {
                     return for_every({2, 3, 4}, [&](const std::vector<int64_t>& i) {
                       return at(in[0], {3, 1}, {i[1], 0});
                     });
                   }});
  cases.push_back({"view/unsqueeze_squeeze",
                   {normal({3, 4})},
                   [](const std::vector<Tensor>& in) {
                     return in[0].unsqueeze(0).unsqueeze(-1).squeeze(0).squeeze(2);
                   },
                   [](const std::vector<Doubles>& in) { return in[0]; }});
}

}  // namespace beckon::test
