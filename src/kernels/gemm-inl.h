// The micro kernel of the matrix product: a few rows of A times one panel of B, and what is done to
// the result on its way to C. Shared by gemm.cpp and attention.cpp, compiled once for each
// instruction set.
#if defined(BECKON_KERNELS_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef BECKON_KERNELS_GEMM_INL_H_
#undef BECKON_KERNELS_GEMM_INL_H_
#else
#define BECKON_KERNELS_GEMM_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <utility>

#include "hwy/highway.h"
#include "kernels/gemm.h"
#include "kernels/lanes-inl.h"
#include "kernels/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

inline constexpr int64_t kPanel = 2 * kLanes;

// Register budget: 2 vectors a row, 2 of B, 1 broadcast. AVX-512 and AArch64 have 32 registers, the
// others 16.
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON
inline constexpr int kTileRows = 12;
#else
inline constexpr int kTileRows = 6;
#endif

// Writes `cols` rows of `k` floats as the columns of a panel: panel[i * width + j] = row(j)[i].
template <typename RowOf>
HWY_INLINE void transpose_to_panel(const RowOf& row, int64_t cols, int64_t k,
                                   float* HWY_RESTRICT panel, int64_t width) {
  int64_t j = 0;
#if HWY_TARGET != HWY_SCALAR
  // Squares of four.
  const hn::FixedTag<float, 4> f4;
  for (; j + 4 <= cols; j += 4) {
    const float *r0 = row(j), *r1 = row(j + 1), *r2 = row(j + 2), *r3 = row(j + 3);
    int64_t i = 0;
    for (; i + 4 <= k; i += 4) {
      const auto a = hn::LoadU(f4, r0 + i), b = hn::LoadU(f4, r1 + i);
      const auto c = hn::LoadU(f4, r2 + i), d = hn::LoadU(f4, r3 + i);
      const auto ac0 = hn::InterleaveLower(f4, a, c), ac1 = hn::InterleaveUpper(f4, a, c);
      const auto bd0 = hn::InterleaveLower(f4, b, d), bd1 = hn::InterleaveUpper(f4, b, d);
      float* to = panel + i * width + j;
      hn::StoreU(hn::InterleaveLower(f4, ac0, bd0), f4, to);
      hn::StoreU(hn::InterleaveUpper(f4, ac0, bd0), f4, to + width);
      hn::StoreU(hn::InterleaveLower(f4, ac1, bd1), f4, to + 2 * width);
      hn::StoreU(hn::InterleaveUpper(f4, ac1, bd1), f4, to + 3 * width);
    }
    for (; i < k; ++i) {
      float* to = panel + i * width + j;
      to[0] = r0[i], to[1] = r1[i], to[2] = r2[i], to[3] = r3[i];
    }
  }
#endif
  for (; j < cols; ++j) {
    const float* from = row(j);
    for (int64_t i = 0; i < k; ++i) panel[i * width + j] = from[i];
  }
}

// acc row R += x * (one row of the panel).
template <int NV, int R>
HWY_INLINE void multiply_add_row(VF* HWY_RESTRICT acc, float x, const VF* HWY_RESTRICT b) {
  const VF v = hn::Set(F(), x);
  acc[NV * R] = hn::MulAdd(v, b[0], acc[NV * R]);
  if constexpr (NV == 2) acc[NV * R + 1] = hn::MulAdd(v, b[1], acc[NV * R + 1]);
}

// One step of k. Rows are addressed in threes from few base pointers, which x86 can do without
// extra instructions.
template <int NV, size_t... R>
HWY_INLINE void multiply_add_step(VF* HWY_RESTRICT acc, const float* const* HWY_RESTRICT base,
                                  int64_t stride, int64_t k, const float* HWY_RESTRICT panel,
                                  std::index_sequence<R...>) {
  VF b[NV];
  b[0] = hn::Load(F(), panel);
  if constexpr (NV == 2) b[1] = hn::Load(F(), panel + kLanes);
  (multiply_add_row<NV, R>(acc, base[R / 3][(R % 3) * stride + k], b), ...);
}

// One tile of a product: out[r] = start[r] + sum over i < k of a[r * stride + i] * panel[i], (+
// bias), for a few rows r and one panel.
struct TileJob {
  const float* a;
  int64_t stride;
  const float* panel;
  int64_t k;
  const float* start;  // null: zeros
  int64_t start_stride;
  const float* bias;  // null: none
  float* out;
  int64_t out_stride;
  const float*
      prefetch;  // read next, after this tile: k / 4 lines of it are brought to the level-2 cache
};

// Unrolled over the rows R... by the index sequence on purpose: with a loop, or with the step in a
// lambda, gcc 12 keeps the accumulators in memory and runs at a third of the speed.
template <int NV, size_t... R>
HWY_INLINE void multiply_tile(const TileJob& job, std::index_sequence<R...> rows) {
  const F f;
  const int64_t stride = job.stride, k = job.k;
  const float* panel = job.panel;
  const float* prefetch = job.prefetch;
  // The lines of C are wanted at the end: fetch them during the sum.
  ((__builtin_prefetch(job.out + R * job.out_stride, 1)), ...);
  if constexpr (NV == 2) ((__builtin_prefetch(job.out + R * job.out_stride + kLanes, 1)), ...);
  VF acc[NV * sizeof...(R)];
  ((acc[NV * R] = hn::Zero(f)), ...);
  if constexpr (NV == 2) ((acc[NV * R + 1] = hn::Zero(f)), ...);
  const float* base[(sizeof...(R) + 2) / 3];
  ((base[R / 3] = job.a + (R / 3) * 3 * stride), ...);
  int64_t i = 0;
  for (; i + 4 <= k; i += 4, panel += 4 * NV * kLanes) {
    __builtin_prefetch(prefetch, 0, 2);
    prefetch += 16;
    multiply_add_step<NV>(acc, base, stride, i, panel, rows);
    multiply_add_step<NV>(acc, base, stride, i + 1, panel + NV * kLanes, rows);
    multiply_add_step<NV>(acc, base, stride, i + 2, panel + 2 * NV * kLanes, rows);
    multiply_add_step<NV>(acc, base, stride, i + 3, panel + 3 * NV * kLanes, rows);
  }
  for (; i < k; ++i, panel += NV * kLanes) multiply_add_step<NV>(acc, base, stride, i, panel, rows);
  if (job.start) {
    ((acc[NV * R] = hn::Add(hn::LoadU(f, job.start + R * job.start_stride), acc[NV * R])), ...);
    if constexpr (NV == 2)
      ((acc[NV * R + 1] =
            hn::Add(hn::LoadU(f, job.start + R * job.start_stride + kLanes), acc[NV * R + 1])),
       ...);
  }
  if (job.bias) {
    const VF b0 = hn::LoadU(f, job.bias);
    ((acc[NV * R] = hn::Add(acc[NV * R], b0)), ...);
    if constexpr (NV == 2) {
      const VF b1 = hn::LoadU(f, job.bias + kLanes);
      ((acc[NV * R + 1] = hn::Add(acc[NV * R + 1], b1)), ...);
    }
  }
  ((hn::StoreU(acc[NV * R], f, job.out + R * job.out_stride)), ...);
  if constexpr (NV == 2)
    ((hn::StoreU(acc[NV * R + 1], f, job.out + R * job.out_stride + kLanes)), ...);
}

using TileFunction = void (*)(const TileJob& job);

template <int NV, int kRows>
HWY_NOINLINE void tile_kernel(const TileJob& job) {
  multiply_tile<NV>(job, std::make_index_sequence<kRows>());
}

template <int NV, size_t... R>
constexpr std::array<TileFunction, sizeof...(R)> make_tile_kernels(std::index_sequence<R...>) {
  return {&tile_kernel<NV, R + 1>...};
}

// The kernel for a number of rows (1 to kTileRows) and a panel of one or two vectors.
inline TileFunction tile_function(int64_t rows, bool half_panel) {
  static constexpr auto kWhole = make_tile_kernels<2>(std::make_index_sequence<kTileRows>());
  static constexpr auto kHalf = make_tile_kernels<1>(std::make_index_sequence<kTileRows>());
  return half_panel ? kHalf[rows - 1] : kWhole[rows - 1];
}

// Applies the epilogue (all but `accumulate`) to one row of the tile.
template <Activation kActivation>
HWY_INLINE void finish_row(const float* HWY_RESTRICT tile, int64_t cols, const float* bias,
                           const float* residual, bool activation_last, float* out) {
  const F f;
  ForEachVector(cols, [&](int64_t j, auto access) HWY_ATTR {
    VF v = hn::LoadU(f, tile + j);
    if (bias) v = hn::Add(v, access.load(bias + j));
    if (residual && activation_last) v = hn::Add(v, access.load(residual + j));
    v = Activate<kActivation>(f, v);
    if (residual && !activation_last) v = hn::Add(v, access.load(residual + j));
    access.store(v, out + j);
  });
}

// A tile of results on its way to C: `rows` rows from row `row` of the product, `cols` columns from
// column `col`.
template <Activation kActivation>
HWY_NOINLINE void finish_tile(const float* HWY_RESTRICT tile, int64_t row, int64_t rows,
                              int64_t col, int64_t cols, const Epilogue& e, float* c,
                              int64_t c_stride) {
  const float* bias = e.bias ? e.bias + col : nullptr;
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t target = e.scatter ? e.scatter[row + r] : row + r;
    if (target < 0) continue;
    const float* residual = e.residual ? e.residual + target * e.residual_stride + col : nullptr;
    finish_row<kActivation>(tile + r * kPanel, cols, bias, residual, e.activation_after_residual,
                            c + target * c_stride + col);
  }
}

inline void finish(const float* tile, int64_t row, int64_t rows, int64_t col, int64_t cols,
                   const Epilogue& e, float* c, int64_t c_stride) {
  switch (e.activation) {
    case Activation::none:
      return finish_tile<Activation::none>(tile, row, rows, col, cols, e, c, c_stride);
    case Activation::gelu:
      return finish_tile<Activation::gelu>(tile, row, rows, col, cols, e, c, c_stride);
    case Activation::quick_gelu:
      return finish_tile<Activation::quick_gelu>(tile, row, rows, col, cols, e, c, c_stride);
    case Activation::relu:
      return finish_tile<Activation::relu>(tile, row, rows, col, cols, e, c, c_stride);
    case Activation::silu:
      return finish_tile<Activation::silu>(tile, row, rows, col, cols, e, c, c_stride);
  }
}

// The sum over k is cut into blocks of at most this many terms: a block of a panel stays in the
// level-1 cache while all rows use it, and sums of sums round less than one long sum. The same for
// every instruction set.
inline constexpr int64_t kSumBlock = 256;

// Where block i of a sum over k begins: blocks differ by at most 4 terms, all but the last are
// multiples of 4 long.
inline int64_t sum_blocks(int64_t k) {
  return std::max<int64_t>(1, (k + kSumBlock - 1) / kSumBlock);
}
inline int64_t sum_block_begin(int64_t k, int64_t i) {
  const int64_t blocks = sum_blocks(k);
  return i == blocks ? k : (k / 4 * i / blocks) * 4;
}

// Rows [row, row + rows) of the product, of which `a` is the first, times one panel that covers
// `cols` columns from `col`, k steps long. Tiles have equal heights, or one row less: 50 rows are 5
// tiles of 10, not 4 of 12 and one of 2. `partial` has room for rows * kPanel floats. `next` is
// what will be read after this panel.
inline void multiply_panel(const float* a, int64_t stride, int64_t k, int64_t row, int64_t rows,
                           const float* panel, const float* next, int64_t col, int64_t cols,
                           const Epilogue& e, float* c, int64_t c_stride, float* partial) {
  const bool half = cols <= kLanes;
  const int64_t width = half ? kLanes : kPanel;
  const bool whole = cols == width;
  const bool direct = whole && e.activation == Activation::none && !e.residual && !e.scatter;
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows;
  const int64_t blocks = sum_blocks(k);
  if (e.accumulate && !direct) {
    for (int64_t r = 0; r < rows; ++r) {
      const int64_t target = e.scatter ? e.scatter[row + r] : row + r;
      std::memset(partial + r * kPanel, 0, kPanel * sizeof(float));
      if (target >= 0)
        std::memcpy(partial + r * kPanel, c + target * c_stride + col, cols * sizeof(float));
    }
  }
  for (int64_t block = 0; block < blocks; ++block) {
    const int64_t begin = sum_block_begin(k, block), end = sum_block_begin(k, block + 1);
    const float* after = block + 1 < blocks ? panel + end * width : next;
    int64_t done = 0;
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t height = (rows - done + tiles - t - 1) / (tiles - t);
      float* sums = partial + done * kPanel;
      TileJob job{.a = a + done * stride + begin,
                  .stride = stride,
                  .panel = panel + begin * width,
                  .k = end - begin,
                  .start = block > 0 || e.accumulate ? sums : nullptr,
                  .start_stride = kPanel,
                  .bias = nullptr,
                  .out = sums,
                  .out_stride = kPanel,
                  .prefetch = after + t * (end - begin) / 4 * 16};
      if (direct) {
        float* out = c + (row + done) * c_stride + col;
        if (e.accumulate && block == 0) job.start = out, job.start_stride = c_stride;
        if (block + 1 == blocks) {
          job.bias = e.bias ? e.bias + col : nullptr;
          job.out = out, job.out_stride = c_stride;
        }
      }
      tile_function(height, half)(job);
      if (!direct && block + 1 == blocks)
        finish(sums, row + done, height, col, cols, e, c, c_stride);
      done += height;
    }
  }
}

}  // namespace beckon::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
