// One table of operations: each row is called by the value tests, the finite differences and
// bench/ops. A new operation adds rows to a file of cases/.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "beckon/ops.h"

namespace beckon::test {

using Doubles = std::vector<double>;

// What an input is filled with. All are drawn from a fixed seed.
enum class Fill : uint8_t {
  normal,    // standard normal
  positive,  // uniform in [0.5, 2.5)
  unit,      // uniform in [0.02, 0.98): probabilities
  apart,     // all elements differ by 0.05 or more and none is nearer than 0.02 to an integer or a
             // half: away from the kinks of max, abs, relu, clamp at such bounds
  flags,     // 0 or 1
  index      // i64, uniform in [0, limit)
};

struct Input {
  Shape shape;
  Fill fill = Fill::normal;
  bool differentiable = true;
  int64_t limit = 0;  // of Fill::index
};

inline Input normal(const Shape& shape) { return {shape}; }
inline Input positive(const Shape& shape) { return {shape, Fill::positive}; }
inline Input unit(const Shape& shape) { return {shape, Fill::unit}; }
inline Input apart(const Shape& shape) { return {shape, Fill::apart}; }
inline Input flags(const Shape& shape) { return {shape, Fill::flags, false}; }
inline Input index(const Shape& shape, int64_t limit) { return {shape, Fill::index, false, limit}; }
// The operation gives no gradient to this input: a target, statistics.
inline Input fixed(Input input) {
  input.differentiable = false;
  return input;
}

struct OpCase {
  std::string name;  // "operation/what is special", unique
  std::vector<Input> inputs;
  std::function<Tensor(const std::vector<Tensor>&)> run;
  // The same in plain loops over doubles: the elements of the result in order. Wanted for every
  // operation; without it gradients are held against differences of `run` itself.
  std::function<Doubles(const std::vector<Doubles>&)> reference = {};
  // For a fused operation: the plain operations that it stands for.
  std::function<Tensor(const std::vector<Tensor>&)> plain = {};
  // |result - reference| <= tolerance * max(1, |reference|); for gradients the maximum is taken
  // with the largest gradient of the input.
  double tolerance = 1e-5;
  double gradient_tolerance = 1e-4;
  // Big enough to be worth timing and to be split over threads. Not differentiated numerically.
  bool large = false;
};

// Every row of the table.
std::vector<OpCase> op_cases();

// The case's inputs, without requires_grad; the same at every call.
std::vector<Tensor> make_inputs(const OpCase& c);
Doubles to_doubles(const Tensor& x);

// One function per file of cases/, called by op_cases().
void add_elementwise_cases(std::vector<OpCase>& cases);
void add_reduce_cases(std::vector<OpCase>& cases);
void add_rearrange_cases(std::vector<OpCase>& cases);
void add_index_cases(std::vector<OpCase>& cases);
void add_resize_cases(std::vector<OpCase>& cases);
void add_pool_cases(std::vector<OpCase>& cases);
void add_loss_cases(std::vector<OpCase>& cases);
void add_product_cases(std::vector<OpCase>& cases);
void add_conv_cases(std::vector<OpCase>& cases);
void add_norm_cases(std::vector<OpCase>& cases);
void add_attention_cases(std::vector<OpCase>& cases);
void add_block_cases(std::vector<OpCase>& cases);

}  // namespace beckon::test
