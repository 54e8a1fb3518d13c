#include "tensor/op_cases.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace beckon::test {
namespace {

// Plain transforms of the generator's bits: the standard distributions differ between libraries.
double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53; }

double standard_normal(std::mt19937_64& random) {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform(random)));
  return radius * std::cos(2.0 * M_PI * uniform(random));
}

// 0.075 + 0.1 k for every k around zero, shuffled: at least 0.02 from integers and halves.
std::vector<float> spaced(int64_t n, std::mt19937_64& random) {
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    values[static_cast<size_t>(i)] =
        static_cast<float>(0.1 * static_cast<double>(i - n / 2) + 0.075);
  for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[random() % i]);
  return values;
}

Tensor make_input(const Input& input, std::mt19937_64& random) {
  if (input.fill == Fill::index) {
    Tensor x = Tensor::empty(input.shape, DType::i64);
    int64_t* values = x.data_as<int64_t>();
    for (int64_t i = 0; i < x.size(); ++i)
      values[i] = static_cast<int64_t>(random() % static_cast<uint64_t>(input.limit));
    return x;
  }
  Tensor x = Tensor::empty(input.shape);
  if (input.fill == Fill::apart) {
    const std::vector<float> values = spaced(x.size(), random);
    std::copy(values.begin(), values.end(), x.data());
    return x;
  }
  float* values = x.data();
  for (int64_t i = 0; i < x.size(); ++i) {
    double value = 0;
    switch (input.fill) {
      case Fill::positive:
        value = 0.5 + 2.0 * uniform(random);
        break;
      case Fill::unit:
        value = 0.02 + 0.96 * uniform(random);
        break;
      case Fill::flags:
        value = uniform(random) < 0.5 ? 0.0 : 1.0;
        break;
      default:
        value = standard_normal(random);
    }
    values[i] = static_cast<float>(value);
  }
  return x;
}

}  // namespace

std::vector<OpCase> op_cases() {
  std::vector<OpCase> cases;
  add_elementwise_cases(cases);
  add_reduce_cases(cases);
  add_rearrange_cases(cases);
  add_index_cases(cases);
  add_resize_cases(cases);
  add_pool_cases(cases);
  add_loss_cases(cases);
  add_product_cases(cases);
  add_conv_cases(cases);
  add_norm_cases(cases);
  add_attention_cases(cases);
  add_block_cases(cases);
  return cases;
}

std::vector<Tensor> make_inputs(const OpCase& c) {
  std::mt19937_64 random(20231);
  std::vector<Tensor> inputs;
  for (const Input& input : c.inputs) inputs.push_back(make_input(input, random));
  return inputs;
}

Doubles to_doubles(const Tensor& x) {
  const Tensor f64 = x.detach().contiguous().to(DType::f64);
  const double* values = f64.data_as<double>();
  return {values, values + f64.size()};
}

}  // namespace beckon::test
