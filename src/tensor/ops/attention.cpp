// Multi-head attention on token sequences.
#include <cmath>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/impl.h"
#include "tensor/ops/common.h"
#include "tensor/ops/heads.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

// [B,N,H*D] -> [B,N,H,D], as a view: slices of a wider projection are read where they are.
Tensor split_heads(const Tensor& x, int64_t heads) {
  Tensor rows = x;
  if (rows.dtype() != DType::f32 || (rows.dim(2) > 1 && rows.strides()[2] != 1))
    rows = detail::floats("attention", rows);
  const int64_t d = rows.dim(2) / heads;
  Tensor view = detail::view_of(rows, {rows.dim(0), rows.dim(1), heads, d},
                                {rows.strides()[0], rows.strides()[1], d, 1}, rows.impl()->offset);
  return record("split_heads", view, {rows},
                [shape = rows.shape()](const Tensor& dy) -> Grads { return {dy.reshape(shape)}; });
}

// [H,N,M], [1,N,M] or [B,H,N,M] with sizes 1 allowed -> [1 or B, 1 or H, N, M], contiguous f32.
Tensor four_dimensional(const Tensor& bias, const Shape& scores) {
  if (!bias.defined()) return {};
  Tensor b = bias.rank() == 3 ? bias.unsqueeze(0) : bias;
  if (b.rank() != 4 || (b.dim(0) != 1 && b.dim(0) != scores[0]) ||
      (b.dim(1) != 1 && b.dim(1) != scores[1]) || b.dim(2) != scores[2] || b.dim(3) != scores[3])
    fail(Kind::usage, "attention: bias {} for scores of {}; expected [H,N,M], [1,N,M] or [B,H,N,M]",
         bias.shape().str(), scores.str());
  return detail::floats("attention", b);
}

}  // namespace

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Attention& options,
                 const Tensor& bias) {
  const int64_t heads = options.heads;
  const bool shapes = q.rank() == 3 && k.rank() == 3 && v.rank() == 3 && q.dim(0) == k.dim(0) &&
                      q.dim(0) == v.dim(0) && k.dim(1) == v.dim(1) && q.dim(2) == k.dim(2);
  if (!shapes || heads < 1 || q.dim(2) % heads != 0 || v.dim(2) % heads != 0 || q.dim(2) == 0)
    fail(Kind::usage,
         "attention: q {}, k {}, v {} with {} heads; expected [B,N,H*D], [B,M,H*D], [B,M,H*E]",
         q.shape().str(), k.shape().str(), v.shape().str(), heads);
  if (!(options.scale >= 0.0f))
    fail(Kind::usage, "attention: scale {}, expected a positive number, or 0 for 1/sqrt(D)",
         options.scale);
  const float scale =
      options.scale > 0.0f ? options.scale : 1.0f / std::sqrt(static_cast<float>(q.dim(2) / heads));
  const detail::ScoreTerms terms{.bias =
                                     four_dimensional(bias, {q.dim(0), heads, q.dim(1), k.dim(1)})};
  return detail::attend(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads), scale,
                        terms)
      .reshape({q.dim(0), q.dim(1), v.dim(2)});
}

}  // namespace beckon
