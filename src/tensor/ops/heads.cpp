#include "tensor/ops/heads.h"

#include <algorithm>

#include "base/threads.h"
#include "kernels/attention.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/scratch.h"
#include "kernels/softmax.h"
#include "tensor/ops/product.h"
#include "tensor/tape.h"

namespace beckon::detail {
namespace {

using kernels::PackedMatrix;
using kernels::ScratchLease;

// Query rows whose scores are in memory at a time, for each thread, in the backward pass: as even
// as can be, and three blocks of scores fit the level-2 cache of most machines.
int64_t block_rows(int64_t queries, int64_t keys) {
  const int64_t most = std::clamp<int64_t>((1 << 17) / std::max<int64_t>(keys, 1), 24, 96);
  const int64_t blocks = std::max<int64_t>(1, (queries + most - 1) / most);
  return (queries + blocks - 1) / blocks;
}

// For a gradient that `queries` rows are added up in.
Tensor sum_of_rows(const Shape& shape, int64_t queries) {
  return queries == 0 ? Tensor::zeros(shape) : Tensor::empty(shape);
}

// One head of one element of the batch: rows of D floats.
struct Head {
  const float* data;
  int64_t stride;
};

Head head_of(const Tensor& x, int64_t b, int64_t h) {
  return {x.data_as<float>() + b * x.strides()[0] + h * x.strides()[2], x.strides()[1]};
}

kernels::HeadRows rows_of_heads(const Tensor& x) {
  return {x.data_as<float>(), x.strides()[0], x.strides()[1], x.strides()[2]};
}

Tensor forward(const Tensor& q, const Tensor& k, const Tensor& v, float scale,
               const ScoreTerms& terms) {
  const kernels::AttentionShape shape{.batch = q.dim(0),
                                      .heads = q.dim(2),
                                      .queries = q.dim(1),
                                      .keys = k.dim(1),
                                      .dim = q.dim(3),
                                      .value_dim = v.dim(3)};
  kernels::ScoreBias bias;
  if (terms.bias.defined()) {
    const Tensor& x = terms.bias;
    bias = {x.data(), x.dim(0) == 1 ? 0 : x.strides()[0], x.dim(1) == 1 ? 0 : x.strides()[1],
            x.strides()[2]};
  }
  const kernels::RelativePositions relative{data_or_null(terms.rel_h), data_or_null(terms.rel_w),
                                            terms.grid_h, terms.grid_w};
  Tensor y = Tensor::empty({q.dim(0), q.dim(1), q.dim(2), v.dim(3)});
  const Shape step = y.strides();
  kernels::attention(shape, rows_of_heads(q), rows_of_heads(k), rows_of_heads(v), scale, bias,
                     relative, {y.data(), step[0], step[1], step[2]});
  return y;
}

// What the backward pass writes; empty where nobody wants it. dq, dk, dv may be views with strides.
struct Wanted {
  Tensor dq, dk, dv;      // dk and dv are zeros if there are no queries
  Tensor dbias;           // the shape of terms.bias, zeros at first
  Tensor drel_h, drel_w;  // [B, H, rows, D]: the share of each head, zeros at first
};

// The backward pass of one head.
//   S = scale q k^T + terms, P = softmax(S), y = P v
//   dv = P^T dy, dP = dy v^T, dS = P * (dP - sum over keys of P * dP)
//   dq = scale dS k, dk = scale dS^T q, and dS itself for the terms.
class HeadGradient {
 public:
  HeadGradient(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& dy, float scale,
               const ScoreTerms& terms, const Wanted& wanted, int64_t b, int64_t h)
      : terms_(terms),
        wanted_(wanted),
        b_(b),
        h_(h),
        n_(q.dim(1)),
        m_(k.dim(1)),
        d_(q.dim(3)),
        e_(v.dim(3)),
        scale_(scale),
        q_(head_of(q, b, h)),
        dy_(head_of(dy, b, h)) {
    const Head key = head_of(k, b, h), value = head_of(v, b, h);
    keys_across_ = kernels::pack(key.data, d_, m_, 1, key.stride);
    values_across_ = kernels::pack(value.data, e_, m_, 1, value.stride);
    if (wanted.dq.defined()) keys_ = kernels::pack(key.data, m_, d_, key.stride, 1);
    if (relative()) {
      tables_[0] = Table(terms.rel_h, terms.grid_h, wanted.drel_h, b, h);
      tables_[1] = Table(terms.rel_w, terms.grid_w, wanted.drel_w, b, h);
    }
  }

  void run() {
    const int64_t rows = block_rows(n_, m_);
    const int64_t extra = relative() ? rows * (tables_[0].rows + tables_[1].rows) : 0;
    const ScratchLease scratch(3 * rows * m_ + extra);
    probabilities_ = scratch.data();
    scores_ = probabilities_ + rows * m_;
    added_ = scores_ + rows * m_;
    tables_[0].products = added_ + rows * m_;
    tables_[1].products = tables_[0].products + rows * tables_[0].rows;
    for (int64_t begin = 0; begin < n_; begin += rows) block(begin, std::min(rows, n_ - begin));
  }

 private:
  // A table of relative positions, and the products of a block of queries with its rows.
  struct Table {
    Table() = default;
    Table(const Tensor& table, int64_t grid_size, const Tensor& gradient, int64_t b, int64_t h)
        : grid(grid_size), rows(table.dim(0)) {
      const int64_t d = table.dim(1);
      across = kernels::pack(table.data(), d, rows, 1, d);
      plain = kernels::pack(table.data(), rows, d, d, 1);
      if (gradient.defined())
        share = const_cast<float*>(gradient.data()) + (b * gradient.dim(1) + h) * rows * d;
    }
    int64_t grid = 0, rows = 0;
    PackedMatrix across, plain;  // [D, rows] and [rows, D]
    float* share = nullptr;      // [rows, D]
    float* products = nullptr;   // [block, rows]
  };

  bool relative() const { return terms_.rel_h.defined(); }

  // A view that was made to be written to.
  static float* row_of(const Tensor& x, int64_t b, int64_t h, int64_t row) {
    return const_cast<float*>(x.data_as<float>()) + b * x.strides()[0] + row * x.strides()[1] +
           h * x.strides()[2];
  }

  const float* bias_rows(int64_t row) const {
    const Tensor& x = terms_.bias;
    const int64_t b = x.dim(0) == 1 ? 0 : b_, h = x.dim(1) == 1 ? 0 : h_;
    return x.data() + ((b * x.dim(1) + h) * n_ + row) * m_;
  }

  // What is added to the scores of rows [begin, begin + count), or null.
  const float* added(int64_t begin, int64_t count) {
    if (!relative()) return terms_.bias.defined() ? bias_rows(begin) : nullptr;
    for (Table& table : tables_)
      kernels::gemm_serial(count, {.data = q_.data + begin * q_.stride, .stride = q_.stride},
                           table.across, {}, table.products, table.rows);
    const auto& [vertical, horizontal] = tables_;
    for (int64_t r = 0; r < count; ++r) {
      const int64_t i = (begin + r) / horizontal.grid, j = (begin + r) % horizontal.grid;
      const float* up = vertical.products + r * vertical.rows + i + vertical.grid - 1;
      const float* left = horizontal.products + r * horizontal.rows + j + horizontal.grid - 1;
      float* to = added_ + r * m_;
      for (int64_t k = 0; k < vertical.grid; ++k)
        for (int64_t l = 0; l < horizontal.grid; ++l) *to++ = up[-k] + left[-l];
    }
    if (terms_.bias.defined()) kernels::axpy(1.0f, bias_rows(begin), added_, count * m_);
    return added_;
  }

  void block(int64_t begin, int64_t count) {
    const kernels::Rows q{.data = q_.data + begin * q_.stride, .stride = q_.stride};
    const kernels::Rows dy{.data = dy_.data + begin * dy_.stride, .stride = dy_.stride};
    kernels::gemm_serial(count, q, keys_across_, {}, probabilities_, m_);
    kernels::softmax(probabilities_, count, m_,
                     {.scale = scale_, .bias = added(begin, count), .bias_rows = count},
                     probabilities_);
    if (wanted_.dv.defined())
      kernels::gemm_serial(m_, {.data = probabilities_, .stride = 1, .col_stride = m_},
                           kernels::pack(dy.data, count, e_, dy.stride, 1),
                           {.accumulate = begin > 0}, row_of(wanted_.dv, b_, h_, 0),
                           wanted_.dv.strides()[1]);
    if (!wanted_.dq.defined() && !wanted_.dk.defined() && !wanted_.dbias.defined() &&
        !wanted_.drel_h.defined() && !wanted_.drel_w.defined())
      return;
    kernels::gemm_serial(count, dy, values_across_, {}, scores_, m_);
    kernels::softmax_grad(probabilities_, scores_, count, m_, 1.0f, scores_);
    if (wanted_.dbias.defined()) {
      const Tensor& x = wanted_.dbias;
      const int64_t b = x.dim(0) == 1 ? 0 : b_, h = x.dim(1) == 1 ? 0 : h_;
      float* to = const_cast<float*>(x.data()) + ((b * x.dim(1) + h) * n_ + begin) * m_;
      kernels::axpy(1.0f, scores_, to, count * m_);
    }
    // The tables first: they want dS unscaled.
    if (relative()) sum_by_offset(begin, count);
    kernels::scale_shift(scale_, 0.0f, scores_, scores_, count * m_);
    if (wanted_.dq.defined()) {
      float* dq = row_of(wanted_.dq, b_, h_, begin);
      const int64_t stride = wanted_.dq.strides()[1];
      kernels::gemm_serial(count, {.data = scores_, .stride = m_}, keys_, {}, dq, stride);
      if (relative())
        for (const Table& table : tables_)
          kernels::gemm_serial(count, {.data = table.products, .stride = table.rows}, table.plain,
                               {.accumulate = true}, dq, stride);
    }
    if (wanted_.dk.defined() || (relative() && (tables_[0].share || tables_[1].share))) {
      const PackedMatrix queries = kernels::pack(q.data, count, d_, q.stride, 1);
      if (wanted_.dk.defined())
        kernels::gemm_serial(m_, {.data = scores_, .stride = 1, .col_stride = m_}, queries,
                             {.accumulate = begin > 0}, row_of(wanted_.dk, b_, h_, 0),
                             wanted_.dk.strides()[1]);
      for (const Table& table : tables_)
        if (table.share)
          kernels::gemm_serial(table.rows,
                               {.data = table.products, .stride = 1, .col_stride = table.rows},
                               queries, {.accumulate = true}, table.share, d_);
    }
  }

  // The gradient of the products of queries with table rows, in their place.
  void sum_by_offset(int64_t begin, int64_t count) {
    auto& [vertical, horizontal] = tables_;
    std::fill_n(vertical.products, count * vertical.rows, 0.0f);
    std::fill_n(horizontal.products, count * horizontal.rows, 0.0f);
    for (int64_t r = 0; r < count; ++r) {
      const int64_t i = (begin + r) / horizontal.grid, j = (begin + r) % horizontal.grid;
      float* up = vertical.products + r * vertical.rows + i + vertical.grid - 1;
      float* left = horizontal.products + r * horizontal.rows + j + horizontal.grid - 1;
      const float* from = scores_ + r * m_;
      for (int64_t k = 0; k < vertical.grid; ++k)
        for (int64_t l = 0; l < horizontal.grid; ++l, ++from) {
          up[-k] += *from;
          left[-l] += *from;
        }
    }
  }

  const ScoreTerms& terms_;
  const Wanted& wanted_;
  int64_t b_, h_, n_, m_, d_, e_;
  float scale_;
  Head q_, dy_;
  PackedMatrix keys_across_, values_across_, keys_;  // [D,M], [E,M], [M,D]
  Table tables_[2];
  float *probabilities_ = nullptr, *scores_ = nullptr, *added_ = nullptr;  // [block, M]
};

// The sum of the heads' shares [B, H, rows, D] of a table's gradient, in order.
Tensor sum_of_shares(const Tensor& shares) {
  if (!shares.defined()) return {};
  Tensor sum = Tensor::empty({shares.dim(2), shares.dim(3)});
  kernels::column_sum(shares.data(), sum.data(), shares.dim(0) * shares.dim(1), sum.size());
  return sum;
}

// Fills `wanted` and returns the gradients of bias, rel_h and rel_w.
Grads backward(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& dy, float scale,
               const ScoreTerms& terms, Wanted& wanted) {
  const int64_t batch = q.dim(0), heads = q.dim(2);
  const auto share = [&](const Tensor& table) {
    return table.requires_grad() ? Tensor::zeros({batch, heads, table.dim(0), table.dim(1)})
                                 : Tensor();
  };
  if (terms.bias.requires_grad()) wanted.dbias = Tensor::zeros(terms.bias.shape());
  wanted.drel_h = share(terms.rel_h);
  wanted.drel_w = share(terms.rel_w);
  // Heads that add to the same gradient of a bias come one after the other, the rest side by side.
  const bool one_by_one = wanted.dbias.defined() && wanted.dbias.dim(1) == 1;
  const bool batch_by_batch = wanted.dbias.defined() && wanted.dbias.dim(0) == 1;
  const int64_t across = (one_by_one ? 1 : heads) * (batch_by_batch ? 1 : batch);
  const int64_t in_turn = across == 0 ? 0 : batch * heads / across;
  parallel_for(across, 1, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task)
      for (int64_t turn = 0; turn < in_turn; ++turn) {
        int64_t b, h;
        if (one_by_one) {
          b = batch_by_batch ? turn / heads : task;
          h = turn % heads;
        } else {
          b = batch_by_batch ? turn : task / heads;
          h = task % heads;
        }
        HeadGradient(q, k, v, dy, scale, terms, wanted, b, h).run();
      }
  });
  return {wanted.dbias, sum_of_shares(wanted.drel_h), sum_of_shares(wanted.drel_w)};
}

}  // namespace

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, float scale,
              const ScoreTerms& terms) {
  return record("attention", forward(q, k, v, scale, terms),
                {q, k, v, terms.bias, terms.rel_h, terms.rel_w},
                [q, k, v, scale, terms](const Tensor& dy) -> Grads {
                  Wanted wanted;
                  if (q.requires_grad()) wanted.dq = Tensor::empty(q.shape());
                  if (k.requires_grad()) wanted.dk = sum_of_rows(k.shape(), q.dim(1));
                  if (v.requires_grad()) wanted.dv = sum_of_rows(v.shape(), q.dim(1));
                  Grads of_terms = backward(q, k, v, dy, scale, terms, wanted);
                  return {wanted.dq, wanted.dk, wanted.dv, of_terms[0], of_terms[1], of_terms[2]};
                });
}

Tensor attend(const Tensor& qkv, int axis, float scale, const ScoreTerms& terms) {
  const Tensor whole = qkv.detach();
  const Tensor q = whole.select(axis, 0), k = whole.select(axis, 1), v = whole.select(axis, 2);
  return record("attention", forward(q, k, v, scale, terms),
                {qkv, terms.bias, terms.rel_h, terms.rel_w},
                [qkv, axis, q, k, v, scale, terms](const Tensor& dy) -> Grads {
                  Wanted wanted;
                  Tensor dqkv;
                  if (qkv.requires_grad()) {
                    dqkv = Tensor::empty(qkv.shape());
                    wanted.dq = dqkv.select(axis, 0);
                    wanted.dk = dqkv.select(axis, 1);
                    wanted.dv = dqkv.select(axis, 2);
                  }
                  Grads of_terms = backward(q, k, v, dy, scale, terms, wanted);
                  return {dqkv, of_terms[0], of_terms[1], of_terms[2]};
                });
}

}  // namespace beckon::detail
