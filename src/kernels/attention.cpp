#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/fail.h"
#include "base/threads.h"
#include "kernels/gemm.h"
#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention.cpp"
#include "hwy/foreach_target.h"
#include "kernels/gemm-inl.h"

#ifndef BECKON_KERNELS_ATTENTION_TYPES_
#define BECKON_KERNELS_ATTENTION_TYPES_
namespace beckon::kernels {
namespace {

// Queries that share one pass over the keys: keys and values come from the level-2 cache or beyond
// once for all.
constexpr int64_t kQueryBlock = 192;
// Scores that are held at once: within the level-1 cache if that leaves rows enough to use a key
// often.
constexpr int64_t kScoreFloats = 8192;
constexpr int64_t kFewestScoreRows = 24;
// Longer rows of keys are taken in blocks of this many.
constexpr int64_t kKeyBlock = 512;
constexpr int64_t kKeysAtOnce = 1024;

// One head of one batch or window.
struct HeadJob {
  int64_t keys = 0, dim = 0, value_dim = 0;
  float scale = 1.0f;
  // Rows of the tokens, without the head's column offset.
  const float* const* q_rows = nullptr;
  const float* const* k_rows = nullptr;
  const float* const* v_rows = nullptr;
  float* const* out_rows = nullptr;
  int64_t q_offset = 0, k_offset = 0, v_offset = 0, out_offset = 0;
  // Which position of the grid, and which row of the bias, a query is; null: its own number.
  const int32_t* positions = nullptr;
  const float* bias = nullptr;
  int64_t bias_stride = 0;
  // Tables of relative positions in reverse, packed [dim, 2 grid - 1]; null: none.
  const PackedMatrix* table_h = nullptr;
  const PackedMatrix* table_w = nullptr;
  int64_t grid_h = 0, grid_w = 0;
};

}  // namespace
}  // namespace beckon::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

int64_t round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// A head's few floats: a call of memcpy costs more.
HWY_INLINE void copy_floats(const float* from, int64_t count, float* to) {
  ForEachVector(
      count, [&](int64_t j, auto access) HWY_ATTR { access.store(access.load(from + j), to + j); });
}

// Columns that a panel which begins at `col` of `n` occupies.
int64_t panel_columns(int64_t n, int64_t col) { return n - col <= kLanes ? kLanes : kPanel; }

int64_t packed_keys_size(int64_t keys, int64_t dim) { return round_up(keys, kPanel) * dim; }
int64_t packed_values_size(int64_t keys, int64_t dim) { return keys * round_up(dim, kPanel); }

// The keys [begin, end), as columns of panels; begin is a multiple of kPanel.
void pack_keys(const HeadJob& job, int64_t begin, int64_t end, float* packed) {
  for (int64_t col = begin; col < end; col += kPanel) {
    const int64_t width = panel_columns(job.keys, col);
    float* panel = packed + col * job.dim;
    const int64_t cols = std::min(width, job.keys - col);
    if (cols < width) std::memset(panel, 0, width * job.dim * sizeof(float));
    transpose_to_panel([&](int64_t j) { return job.k_rows[col + j] + job.k_offset; }, cols, job.dim,
                       panel, width);
  }
}

// The values of the keys [begin, end), as rows of panels.
void pack_values(const HeadJob& job, int64_t begin, int64_t end, float* packed) {
  for (int64_t col = 0; col < job.value_dim; col += kPanel) {
    const int64_t width = panel_columns(job.value_dim, col);
    const int64_t cols = std::min(width, job.value_dim - col);
    float* panel = packed + col * job.keys;
    for (int64_t i = begin; i < end; ++i) {
      const float* from = job.v_rows[i] + job.v_offset + col;
      float* to = panel + i * width;
      copy_floats(from, cols, to);
      for (int64_t j = cols; j < width; ++j) to[j] = 0.0f;
    }
  }
}

// out[r, :] = a[r, :] times a packed matrix of n columns: panels `panel_step` floats apart.
void multiply(const float* a, int64_t stride, int64_t k, int64_t rows, const float* panels,
              int64_t panel_step, int64_t n, bool accumulate, float* out, int64_t out_stride,
              float* partial) {
  Epilogue e;
  e.accumulate = accumulate;
  for (int64_t col = 0; col < n; col += kPanel) {
    const float* panel = panels + col / kPanel * panel_step;
    multiply_panel(a, stride, k, 0, rows, panel, panel + panel_step, col, panel_columns(n, col), e,
                   out, out_stride, partial);
  }
}

// Turns a row of n raw scores into exp(scale * score + bias - maximum), where the maximum is over
// this row and those before it; the row has room for whole vectors. Updates the running maximum and
// sum and returns the factor by which what was summed before has to be multiplied.
template <bool kBias>
HWY_INLINE float softmax_row(float* HWY_RESTRICT s, int64_t n, float scale, const float* bias,
                             float* maximum, float* sum) {
  const F f;
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  const VF lowest = hn::Set(f, kLowest), scales = hn::Set(f, scale);
  const int64_t whole = n / kLanes * kLanes, rest = n - whole;
  const auto tail = hn::FirstN(f, static_cast<size_t>(rest));
  VF max0 = lowest, max1 = lowest;
  const auto scored = [&](int64_t at) HWY_ATTR {
    VF v = hn::LoadU(f, s + at);
    if constexpr (kBias) {
      v = hn::MulAdd(v, scales, hn::LoadU(f, bias + at));
      hn::StoreU(v, f, s + at);
    }
    return v;
  };
  int64_t j = 0;
  for (; j + 2 * kLanes <= whole; j += 2 * kLanes) {
    max0 = hn::Max(max0, scored(j));
    max1 = hn::Max(max1, scored(j + kLanes));
  }
  if (j < whole) max0 = hn::Max(max0, scored(j));
  VF last = lowest;
  if (rest > 0) {
    VF v = hn::LoadU(f, s + whole);
    if constexpr (kBias) v = hn::MulAdd(v, scales, LoadFirst(bias + whole, rest));
    last = hn::IfThenElse(tail, v, lowest);
    max1 = hn::Max(max1, last);
  }
  const float before = *maximum;
  float found = hn::GetLane(hn::MaxOfLanes(f, hn::Max(max0, max1)));
  if constexpr (!kBias) found *= scale;
  found = std::max(before, found);
  *maximum = found;
  // All masked so far: any finite number will do, and the exponentials are 0.
  const float centre = found == kLowest ? 0.0f : found;
  const VF offset = hn::Set(f, -centre);
  // Rounding may leave a product above the maximum by a hair; Min keeps to the domain of the
  // exponential.
  const auto exponential = [&](VF v) HWY_ATTR {
    if constexpr (kBias) return ExpNonPositive(f, hn::Add(v, offset));
    return ExpNonPositive(f, hn::Min(hn::MulAdd(v, scales, offset), hn::Zero(f)));
  };
  VF sum0 = hn::Zero(f), sum1 = sum0;
  for (j = 0; j + 2 * kLanes <= whole; j += 2 * kLanes) {
    const VF a = exponential(hn::LoadU(f, s + j)), b = exponential(hn::LoadU(f, s + j + kLanes));
    hn::StoreU(a, f, s + j);
    hn::StoreU(b, f, s + j + kLanes);
    sum0 = hn::Add(sum0, a);
    sum1 = hn::Add(sum1, b);
  }
  if (j < whole) {
    const VF a = exponential(hn::LoadU(f, s + j));
    hn::StoreU(a, f, s + j);
    sum0 = hn::Add(sum0, a);
  }
  if (rest > 0) {
    const VF a = exponential(last);
    hn::StoreU(a, f, s + whole);
    sum1 = hn::Add(sum1, a);
  }
  const float rescale = before == kLowest ? 0.0f : std::exp(before - centre);
  *sum = *sum * rescale + hn::GetLane(hn::SumOfLanes(f, hn::Add(sum0, sum1)));
  return rescale;
}

// bias[c] for the keys [begin, begin + n) of a grid `width` wide: h[row of c] + w[column of c].
// Writes up to a row and a vector before and after the n floats.
void grid_bias(const float* h, const float* w, int64_t width, int64_t begin, int64_t n,
               float* bias) {
  const F f;
  for (int64_t row = begin / width; row * width < begin + n; ++row) {
    const VF base = hn::Set(f, h[row]);
    float* to = bias + row * width - begin;
    for (int64_t l = 0; l < width; l += kLanes)
      hn::StoreU(hn::Add(base, hn::LoadU(f, w + l)), f, to + l);
  }
}

// The outputs of the queries [begin, end), at most kQueryBlock.
void attend(const HeadJob& job, const float* keys, const float* values, int64_t begin,
            int64_t end) {
  const F f;
  const int64_t rows = end - begin;
  const int64_t q_stride = round_up(job.dim, 16) + 4;
  const int64_t o_stride = round_up(job.value_dim, kPanel);
  const int64_t block = job.keys <= kKeysAtOnce ? job.keys : kKeyBlock;
  const int64_t s_stride = round_up(block, kPanel) + 4;
  const int64_t most = std::max(kFewestScoreRows, kScoreFloats / s_stride);
  const int64_t parts = (rows + most - 1) / most;
  const int64_t score_rows = (rows + parts - 1) / parts;
  const int64_t h_stride = job.table_h ? round_up(2 * job.grid_h - 1, kPanel) : 0;
  const int64_t w_stride = job.table_w ? round_up(2 * job.grid_w - 1, kPanel) : 0;
  const int64_t bias_size = job.table_h ? block + 2 * job.grid_w + 2 * kPanel : 0;
  const ScratchLease memory(rows * (q_stride + o_stride + h_stride + w_stride + kPanel + 2) +
                            score_rows * s_stride + bias_size + 256);
  float* next = memory.data();
  const auto take = [&](int64_t count) {
    float* taken = next;
    next += round_up(count, 16);
    return taken;
  };
  float* q = take(rows * q_stride);
  float* o = take(rows * o_stride);
  float* partial = take(rows * kPanel);
  float* maxima = take(rows);
  float* sums = take(rows);
  float* s = take(score_rows * s_stride);
  float* h = take(rows * h_stride);
  float* w = take(rows * w_stride);
  float* bias_row = take(bias_size) + job.grid_w + kLanes;

  for (int64_t r = 0; r < rows; ++r) {
    copy_floats(job.q_rows[begin + r] + job.q_offset, job.dim, q + r * q_stride);
    maxima[r] = -std::numeric_limits<float>::infinity();
    sums[r] = 0.0f;
  }
  if (job.table_h) {
    multiply(q, q_stride, job.dim, rows, job.table_h->panel(0), job.dim * kPanel,
             2 * job.grid_h - 1, false, h, h_stride, partial);
    multiply(q, q_stride, job.dim, rows, job.table_w->panel(0), job.dim * kPanel,
             2 * job.grid_w - 1, false, w, w_stride, partial);
  }

  for (int64_t key = 0; key < job.keys; key += block) {
    const int64_t count = std::min(block, job.keys - key);
    for (int64_t r0 = 0; r0 < rows; r0 += score_rows) {
      const int64_t height = std::min(score_rows, rows - r0);
      multiply(q + r0 * q_stride, q_stride, job.dim, height, keys + key * job.dim, job.dim * kPanel,
               count, false, s, s_stride, partial);
      for (int64_t i = 0; i < height; ++i) {
        const int64_t r = r0 + i;
        const int64_t position = job.positions ? job.positions[begin + r] : begin + r;
        const float* bias = job.bias ? job.bias + position * job.bias_stride + key : nullptr;
        if (job.table_h) {
          grid_bias(h + r * h_stride + job.grid_h - 1 - position / job.grid_w,
                    w + r * w_stride + job.grid_w - 1 - position % job.grid_w, job.grid_w, key,
                    count, bias_row);
          if (bias)
            for (int64_t j = 0; j < count; ++j) bias_row[j] += bias[j];
          bias = bias_row;
        }
        float* scores = s + i * s_stride;
        const float rescale =
            bias ? softmax_row<true>(scores, count, job.scale, bias, maxima + r, sums + r)
                 : softmax_row<false>(scores, count, job.scale, nullptr, maxima + r, sums + r);
        if (key > 0 && rescale != 1.0f) {
          const VF factor = hn::Set(f, rescale);
          for (int64_t c = 0; c < o_stride; c += kLanes)
            hn::StoreU(hn::Mul(hn::LoadU(f, o + r * o_stride + c), factor), f,
                       o + r * o_stride + c);
        }
      }
      // Panels of values are `keys` rows long; this block begins at row `key` of each.
      for (int64_t col = 0; col < job.value_dim; col += kPanel) {
        const int64_t width = panel_columns(job.value_dim, col);
        Epilogue e;
        e.accumulate = key > 0;
        const float* panel = values + col * job.keys + key * width;
        multiply_panel(s, s_stride, count, 0, height, panel, panel + count * width, 0, width, e,
                       o + r0 * o_stride + col, o_stride, partial);
      }
    }
  }

  for (int64_t r = 0; r < rows; ++r) {
    const VF factor = hn::Set(f, 1.0f / sums[r]);
    const float* from = o + r * o_stride;
    float* to = job.out_rows[begin + r] + job.out_offset;
    ForEachVector(job.value_dim, [&](int64_t j, auto access) HWY_ATTR {
      access.store(hn::Mul(hn::LoadU(f, from + j), factor), to + j);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {
namespace {

HWY_EXPORT(packed_keys_size);
HWY_EXPORT(packed_values_size);
HWY_EXPORT(pack_keys);
HWY_EXPORT(pack_values);
HWY_EXPORT(attend);

// A whole head on this thread, packing included.
void attend_head(const HeadJob& job, int64_t queries) {
  const ScratchLease keys(HWY_DYNAMIC_DISPATCH(packed_keys_size)(job.keys, job.dim));
  const ScratchLease values(HWY_DYNAMIC_DISPATCH(packed_values_size)(job.keys, job.value_dim));
  HWY_DYNAMIC_DISPATCH(pack_keys)(job, 0, job.keys, keys.data());
  HWY_DYNAMIC_DISPATCH(pack_values)(job, 0, job.keys, values.data());
  for (int64_t begin = 0; begin < queries; begin += kQueryBlock) HWY_DYNAMIC_DISPATCH(attend)
  (job, keys.data(), values.data(), begin, std::min(begin + kQueryBlock, queries));
}

// A large head on all threads: keys and values are packed once, then blocks of queries use them.
void attend_head_parallel(const HeadJob& job, int64_t queries) {
  const ScratchLease keys(HWY_DYNAMIC_DISPATCH(packed_keys_size)(job.keys, job.dim));
  const ScratchLease values(HWY_DYNAMIC_DISPATCH(packed_values_size)(job.keys, job.value_dim));
  float *packed_keys = keys.data(), *packed_values = values.data();
  parallel_for(job.keys, kKeyBlock, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(pack_keys)(job, begin, end, packed_keys);
    HWY_DYNAMIC_DISPATCH(pack_values)(job, begin, end, packed_values);
  });
  const int64_t grain =
      std::clamp<int64_t>(queries / (4 * threads()), kFewestScoreRows, kQueryBlock);
  parallel_for(queries, grain, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(attend)(job, packed_keys, packed_values, begin, end);
  });
}

// A table of relative positions, packed in reverse: row t of the result belongs to row 2 grid - 2 -
// t of the table, so that the entries a query needs lie in the order of the keys.
PackedMatrix pack_reversed(const float* table, int64_t grid, int64_t dim) {
  const int64_t n = 2 * grid - 1;
  return pack(table + (n - 1) * dim, dim, n, 1, -dim);
}

struct Tables {
  PackedMatrix h, w;

  Tables(const RelativePositions& relative, int64_t dim) {
    if (!relative.table_h) return;
    h = pack_reversed(relative.table_h, relative.grid_h, dim);
    w = pack_reversed(relative.table_w, relative.grid_w, dim);
  }
  void apply(const RelativePositions& relative, HeadJob& job) const {
    if (!relative.table_h) return;
    job.table_h = &h;
    job.table_w = &w;
    job.grid_h = relative.grid_h;
    job.grid_w = relative.grid_w;
  }
};

template <typename Float>
std::vector<Float*> row_pointers(Float* data, int64_t count, int64_t stride) {
  std::vector<Float*> rows(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) rows[static_cast<size_t>(i)] = data + i * stride;
  return rows;
}

}  // namespace

void attention(const AttentionShape& shape, const HeadRows& q, const HeadRows& k, const HeadRows& v,
               float scale, const ScoreBias& bias, const RelativePositions& relative,
               const HeadRowsOut& out) {
  if (shape.batch <= 0 || shape.heads <= 0 || shape.queries <= 0) return;
  const int64_t value_dim = shape.value_dim > 0 ? shape.value_dim : shape.dim;
  if (shape.keys <= 0) {
    for (int64_t b = 0; b < shape.batch; ++b)
      for (int64_t i = 0; i < shape.queries; ++i)
        for (int64_t h = 0; h < shape.heads; ++h)
          std::fill_n(out.data + b * out.batch_stride + i * out.row_stride + h * out.head_stride,
                      value_dim, 0.0f);
    return;
  }
  const Tables tables(relative, shape.dim);
  const auto each_head = [&](int64_t index, const auto& run) {
    const int64_t b = index / shape.heads, h = index % shape.heads;
    const auto q_rows = row_pointers(q.data + b * q.batch_stride, shape.queries, q.row_stride);
    const auto k_rows = row_pointers(k.data + b * k.batch_stride, shape.keys, k.row_stride);
    const auto v_rows = row_pointers(v.data + b * v.batch_stride, shape.keys, v.row_stride);
    const auto out_rows =
        row_pointers(out.data + b * out.batch_stride, shape.queries, out.row_stride);
    HeadJob job;
    job.keys = shape.keys;
    job.dim = shape.dim;
    job.value_dim = value_dim;
    job.scale = scale;
    job.q_rows = q_rows.data();
    job.k_rows = k_rows.data();
    job.v_rows = v_rows.data();
    job.out_rows = out_rows.data();
    job.q_offset = h * q.head_stride;
    job.k_offset = h * k.head_stride;
    job.v_offset = h * v.head_stride;
    job.out_offset = h * out.head_stride;
    if (bias.data) {
      job.bias = bias.data + b * bias.batch_stride + h * bias.head_stride;
      job.bias_stride = bias.row_stride;
    }
    tables.apply(relative, job);
    run(job, shape.queries);
  };
  const int64_t total = shape.batch * shape.heads;
  if (shape.queries > 2 * kQueryBlock) {
    for (int64_t i = 0; i < total; ++i) each_head(i, attend_head_parallel);
  } else {
    parallel_for(total, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) each_head(i, attend_head);
    });
  }
}

void window_attention(const WindowShape& shape, const float* qkv, QkvOrder order, const float* pad,
                      float scale, const float* bias, const RelativePositions& relative,
                      float* out) {
  const int64_t window = shape.window;
  if (shape.batch <= 0 || shape.height <= 0 || shape.width <= 0 || shape.heads <= 0) return;
  const int64_t across = (shape.width + window - 1) / window,
                down = (shape.height + window - 1) / window;
  if (!pad && (shape.width % window != 0 || shape.height % window != 0))
    fail(Kind::internal,
         "windows of {} do not fit a map of {} x {} and there is no row to fill them with", window,
         shape.height, shape.width);
  const int64_t keys = window * window, channels = shape.heads * shape.dim;
  const Tables tables(relative, shape.dim);
  // The heads of a window are done by one thread, as long as there are windows enough.
  const int64_t cells = shape.batch * down * across;
  const int64_t pieces = cells >= 16 * threads() ? 1 : shape.heads;
  parallel_for(cells * pieces, 1, [&](int64_t task, int64_t task_end) {
    std::vector<const float*> key_rows(static_cast<size_t>(keys)), query_rows;
    std::vector<float*> out_rows;
    std::vector<int32_t> positions;
    for (; task < task_end; ++task) {
      const int64_t cell = task / pieces, batch = cell / (down * across);
      const int64_t top = cell / across % down * window, left = cell % across * window;
      query_rows.clear();
      out_rows.clear();
      positions.clear();
      for (int64_t i = 0; i < keys; ++i) {
        const int64_t y = top + i / window, x = left + i % window;
        if (y >= shape.height || x >= shape.width) {
          key_rows[static_cast<size_t>(i)] = pad;
          continue;
        }
        const int64_t token = (batch * shape.height + y) * shape.width + x;
        key_rows[static_cast<size_t>(i)] = qkv + token * 3 * channels;
        query_rows.push_back(qkv + token * 3 * channels);
        out_rows.push_back(out + token * channels);
        positions.push_back(static_cast<int32_t>(i));
      }
      HeadJob job;
      job.keys = keys;
      job.dim = job.value_dim = shape.dim;
      job.scale = scale;
      job.q_rows = query_rows.data();
      job.k_rows = job.v_rows = key_rows.data();
      job.out_rows = out_rows.data();
      job.positions = positions.data();
      tables.apply(relative, job);
      const bool by_head = order == QkvOrder::heads;
      const int64_t first = task % pieces, last = pieces == 1 ? shape.heads : first + 1;
      for (int64_t head = first; head < last; ++head) {
        job.q_offset = head * shape.dim * (by_head ? 3 : 1);
        job.k_offset = job.q_offset + (by_head ? shape.dim : channels);
        job.v_offset = job.k_offset + (by_head ? shape.dim : channels);
        job.out_offset = head * shape.dim;
        if (bias) {
          job.bias = bias + head * keys * keys;
          job.bias_stride = keys;
        }
        attend_head(job, static_cast<int64_t>(query_rows.size()));
      }
    }
  });
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
