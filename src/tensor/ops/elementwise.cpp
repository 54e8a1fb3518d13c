// Element by element: arithmetic with broadcasting, functions of one variable, choices.
#include "kernels/elementwise.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/ops/common.h"
#include "tensor/sum_to.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::broadcast_shape;
using detail::floats;
using detail::for_elements;
using detail::sum_to;
using kernels::Binary;
using kernels::Spread;
using kernels::Unary;

// ---- Broadcasting ----

// The dimensions of a result, neighbours merged where both operands run through them alike.
struct Loops {
  Shape sizes;
  bool a[Shape::kMaxRank] = {}, b[Shape::kMaxRank] = {};  // does the operand move along it?
  int count() const { return sizes.rank(); }
};

Loops merge(const Shape& result, const Shape& a, const Shape& b) {
  Loops loops;
  for (int i = 0; i < result.rank(); ++i) {
    if (result[i] == 1) continue;
    const int in_a = i - (result.rank() - a.rank()), in_b = i - (result.rank() - b.rank());
    const bool has_a = in_a >= 0 && a[in_a] != 1, has_b = in_b >= 0 && b[in_b] != 1;
    const int last = loops.count() - 1;
    if (last >= 0 && loops.a[last] == has_a && loops.b[last] == has_b) {
      loops.sizes[last] *= result[i];
    } else {
      loops.sizes.push_back(result[i]);
      loops.a[last + 1] = has_a;
      loops.b[last + 1] = has_b;
    }
  }
  return loops;
}

Binary swapped(Binary op) {
  switch (op) {
    case Binary::sub:
      return Binary::reverse_sub;
    case Binary::reverse_sub:
      return Binary::sub;
    case Binary::div:
      return Binary::reverse_div;
    case Binary::reverse_div:
      return Binary::div;
    default:
      return op;
  }
}

// A block of the result that the kernel does in one call: [rows, cols], one operand moving through
// all of it and the other as `spread` says.
struct Block {
  int64_t rows = 1, cols = 1;
  Spread spread = Spread::same;
  bool swap = false;  // b is the one that moves through all of it
  int dims = 0;       // of the merged loops, from the inside
};

Block innermost_block(const Loops& loops) {
  Block block;
  const int last = loops.count() - 1;
  if (last < 0) return block;
  block.cols = loops.sizes[last];
  block.dims = 1;
  const bool both = loops.a[last] && loops.b[last];
  block.swap = !loops.a[last];
  block.spread = both ? Spread::same : Spread::scalar;
  if (last == 0) return block;
  // Take the next dimension in as well if one operand then moves through both. Merging made sure
  // that the two dimensions differ.
  const bool full_a = loops.a[last] && loops.a[last - 1],
             full_b = loops.b[last] && loops.b[last - 1];
  if (!full_a && !full_b) return block;
  const bool partner_has_cols = full_a ? loops.b[last] : loops.a[last];
  block.rows = loops.sizes[last - 1];
  block.swap = !full_a;
  block.spread = partner_has_cols ? Spread::row : Spread::column;
  block.dims = 2;
  return block;
}

// y = a op b, nothing recorded. a and b contiguous f32.
Tensor broadcast(const char* name, Binary op, const Tensor& a, const Tensor& b) {
  Tensor y = Tensor::empty(broadcast_shape(name, a.shape(), b.shape()));
  if (y.size() == 0) return y;
  const Loops loops = merge(y.shape(), a.shape(), b.shape());
  const Block block = innermost_block(loops);
  const int64_t size = block.rows * block.cols, outer = y.size() / size;
  const Binary ordered = block.swap ? swapped(op) : op;
  const float *a0 = a.data(), *b0 = b.data();
  float* y0 = y.data();
  // Elements of an operand inside one block: the steps of the outer dimensions start there.
  int64_t a_block = 1, b_block = 1;
  for (int i = loops.count() - block.dims; i < loops.count(); ++i) {
    if (loops.a[i]) a_block *= loops.sizes[i];
    if (loops.b[i]) b_block *= loops.sizes[i];
  }
  detail::for_rows(outer, size, [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      int64_t index = o, at_a = 0, at_b = 0, step_a = a_block, step_b = b_block;
      for (int i = loops.count() - block.dims - 1; i >= 0; --i) {
        const int64_t n = loops.sizes[i], position = index % n;
        index /= n;
        if (loops.a[i]) at_a += position * step_a, step_a *= n;
        if (loops.b[i]) at_b += position * step_b, step_b *= n;
      }
      const float *first = a0 + at_a, *second = b0 + at_b;
      if (block.swap) std::swap(first, second);
      kernels::binary(ordered, first, second, y0 + o * size, block.rows, block.cols, block.spread);
    }
  });
  return y;
}

// x repeated to the shape and laid out, without a trace.
Tensor laid_out(const Tensor& x, const Shape& shape) {
  NoGrad no_grad;
  return x.expand(shape).contiguous();
}

// The larger (or smaller) of two. Where they are equal the gradient is shared in halves.
Tensor larger_or_smaller(const char* name, Binary op, const Tensor& a_in, const Tensor& b_in) {
  const Tensor a = floats(name, a_in), b = floats(name, b_in);
  Tensor y = broadcast(name, op, a, b);
  const float sign = op == Binary::max ? 1.0f : -1.0f;
  return record(name, y, {a, b}, [a, b, sign](const Tensor& dy) -> Grads {
    const Tensor la = laid_out(a, dy.shape()), lb = laid_out(b, dy.shape());
    Grads grads(2);
    for (size_t k = 0; k < 2; ++k) {
      const Tensor& input = k == 0 ? a : b;
      if (!input.requires_grad()) continue;
      Tensor dx = Tensor::empty(dy.shape());
      const float *mine = (k == 0 ? la : lb).data(), *other = (k == 0 ? lb : la).data();
      const float* dy0 = dy.data();
      float* dx0 = dx.data();
      for_elements(dy.size(), [=](int64_t i) {
        const float lead = sign * (mine[i] - other[i]);
        dx0[i] = lead > 0 ? dy0[i] : lead < 0 ? 0.0f : 0.5f * dy0[i];
      });
      grads[k] = sum_to(dx, input.shape());
    }
    return grads;
  });
}

// ---- Functions of one variable ----

Tensor unary(const char* name, Unary f, const Tensor& input) {
  const Tensor x = floats(name, input);
  Tensor y = Tensor::empty(x.shape());
  kernels::unary(f, x.data(), y.data(), x.size());
  return record(name, y, {x}, [x, f](const Tensor& dy) -> Grads {
    Tensor dx = Tensor::empty(x.shape());
    kernels::unary_grad(f, x.data(), dy.data(), dx.data(), x.size());
    return {dx};
  });
}

// For functions without a kernel. value(x) and slope(x) are of one element.
template <typename Value, typename Slope>
Tensor plain_unary(const char* name, const Tensor& input, Value value, Slope slope) {
  const Tensor x = floats(name, input);
  Tensor y = Tensor::empty(x.shape());
  const float* from = x.data();
  float* to = y.data();
  for_elements(x.size(), [=](int64_t i) { to[i] = value(from[i]); });
  return record(name, y, {x}, [x, slope](const Tensor& dy) -> Grads {
    Tensor dx = Tensor::empty(x.shape());
    const float *x0 = x.data(), *dy0 = dy.data();
    float* dx0 = dx.data();
    for_elements(x.size(), [=](int64_t i) { dx0[i] = dy0[i] * slope(x0[i]); });
    return {dx};
  });
}

// alpha x + beta
Tensor scale_shift(const char* name, const Tensor& input, float alpha, float beta) {
  const Tensor x = floats(name, input);
  Tensor y = Tensor::empty(x.shape());
  kernels::scale_shift(alpha, beta, x.data(), y.data(), x.size());
  return record(name, y, {x}, [alpha](const Tensor& dy) -> Grads {
    return {alpha == 1.0f ? dy : mul(dy, alpha)};
  });
}

}  // namespace

Tensor add(const Tensor& a_in, const Tensor& b_in) {
  const Tensor a = floats("add", a_in), b = floats("add", b_in);
  return record("add", broadcast("add", Binary::add, a, b), {a, b},
                [a, b](const Tensor& dy) -> Grads {
                  return {a.requires_grad() ? sum_to(dy, a.shape()) : Tensor(),
                          b.requires_grad() ? sum_to(dy, b.shape()) : Tensor()};
                });
}

Tensor sub(const Tensor& a_in, const Tensor& b_in) {
  const Tensor a = floats("sub", a_in), b = floats("sub", b_in);
  return record("sub", broadcast("sub", Binary::sub, a, b), {a, b},
                [a, b](const Tensor& dy) -> Grads {
                  return {a.requires_grad() ? sum_to(dy, a.shape()) : Tensor(),
                          b.requires_grad() ? -sum_to(dy, b.shape()) : Tensor()};
                });
}

Tensor mul(const Tensor& a_in, const Tensor& b_in) {
  const Tensor a = floats("mul", a_in), b = floats("mul", b_in);
  return record("mul", broadcast("mul", Binary::mul, a, b), {a, b},
                [a, b](const Tensor& dy) -> Grads {
                  return {a.requires_grad() ? sum_to(mul(dy, b), a.shape()) : Tensor(),
                          b.requires_grad() ? sum_to(mul(dy, a), b.shape()) : Tensor()};
                });
}

Tensor div(const Tensor& a_in, const Tensor& b_in) {
  const Tensor a = floats("div", a_in), b = floats("div", b_in);
  const Tensor y = broadcast("div", Binary::div, a, b);
  return record("div", y, {a, b}, [a, b, quotient = y.detach()](const Tensor& dy) -> Grads {
    const Tensor da = div(dy, b);
    return {a.requires_grad() ? sum_to(da, a.shape()) : Tensor(),
            b.requires_grad() ? -sum_to(mul(da, quotient), b.shape()) : Tensor()};
  });
}

Tensor add(const Tensor& a, float b) { return scale_shift("add", a, 1.0f, b); }
Tensor mul(const Tensor& a, float b) { return scale_shift("mul", a, b, 0.0f); }

Tensor maximum(const Tensor& a, const Tensor& b) {
  return larger_or_smaller("maximum", Binary::max, a, b);
}
Tensor minimum(const Tensor& a, const Tensor& b) {
  return larger_or_smaller("minimum", Binary::min, a, b);
}

Tensor exp(const Tensor& x) { return unary("exp", Unary::exp, x); }
Tensor log(const Tensor& x) { return unary("log", Unary::log, x); }
Tensor sqrt(const Tensor& x) { return unary("sqrt", Unary::sqrt, x); }
Tensor abs(const Tensor& x) { return unary("abs", Unary::abs, x); }
Tensor tanh(const Tensor& x) { return unary("tanh", Unary::tanh, x); }
Tensor sigmoid(const Tensor& x) { return unary("sigmoid", Unary::sigmoid, x); }
Tensor relu(const Tensor& x) { return unary("relu", Unary::relu, x); }
Tensor gelu(const Tensor& x) { return unary("gelu", Unary::gelu, x); }
Tensor quick_gelu(const Tensor& x) { return unary("quick_gelu", Unary::quick_gelu, x); }
Tensor silu(const Tensor& x) { return unary("silu", Unary::silu, x); }

Tensor activate(const Tensor& x, Activation activation) {
  if (activation == Activation::none) return x;
  return unary("activate", kernels::unary_of(activation), x);
}

Tensor pow(const Tensor& x, float exponent) {
  if (exponent == 1.0f) return mul(x, 1.0f);
  if (exponent == 2.0f) return unary("pow", Unary::square, x);
  if (exponent == 0.5f) return unary("pow", Unary::sqrt, x);
  if (exponent == -0.5f) return unary("pow", Unary::rsqrt, x);
  if (exponent == -1.0f) return unary("pow", Unary::reciprocal, x);
  return plain_unary(
      "pow", x, [exponent](float v) { return std::pow(v, exponent); },
      [exponent](float v) {
        return exponent == 0.0f ? 0.0f : exponent * std::pow(v, exponent - 1.0f);
      });
}

Tensor sin(const Tensor& x) {
  return plain_unary(
      "sin", x, [](float v) { return std::sin(v); }, [](float v) { return std::cos(v); });
}

Tensor cos(const Tensor& x) {
  return plain_unary(
      "cos", x, [](float v) { return std::cos(v); }, [](float v) { return -std::sin(v); });
}

Tensor clamp(const Tensor& x, float low, float high) {
  if (!(low <= high)) fail(Kind::usage, "clamp: from {} to {}", low, high);
  // The gradient passes inside and at the bounds.
  return plain_unary(
      "clamp", x, [low, high](float v) { return std::min(std::max(v, low), high); },
      [low, high](float v) { return v >= low && v <= high ? 1.0f : 0.0f; });
}

Tensor where(const Tensor& mask, const Tensor& a_in, const Tensor& b_in) {
  if (!mask.defined()) fail(Kind::usage, "where: the mask is an empty tensor");
  const Tensor a = floats("where", a_in), b = floats("where", b_in);
  const Shape shape =
      broadcast_shape("where", mask.shape(), broadcast_shape("where", a.shape(), b.shape()));
  const Tensor chosen = laid_out(mask.detach().to(DType::boolean), shape);
  const auto choose = [chosen, shape](const Tensor& yes, const Tensor& no) {
    Tensor y = Tensor::empty(shape);
    const uint8_t* flag = chosen.data_as<uint8_t>();
    const Tensor la = laid_out(yes, shape), lb = laid_out(no, shape);
    const float *from_a = la.data(), *from_b = lb.data();
    float* to = y.data();
    for_elements(y.size(), [=](int64_t i) { to[i] = flag[i] ? from_a[i] : from_b[i]; });
    return y;
  };
  return record("where", choose(a, b), {a, b}, [a, b, choose](const Tensor& dy) -> Grads {
    const Tensor zero = Tensor::zeros({});
    return {a.requires_grad() ? sum_to(choose(dy, zero), a.shape()) : Tensor(),
            b.requires_grad() ? sum_to(choose(zero, dy), b.shape()) : Tensor()};
  });
}

}  // namespace beckon
