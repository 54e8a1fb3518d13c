#include "kernels/gemm.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/fail.h"
#include "base/slabs.h"
#include "base/threads.h"
#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/gemm-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

int64_t panel_width() { return kPanel; }

// Rows [row, row + rows) of the product, of which `a` is the first, times panels [panel_begin,
// panel_end) of a packed matrix of n columns.
void multiply_panels(const float* a, int64_t stride, int64_t k, int64_t row, int64_t rows,
                     const float* panels, int64_t n, int64_t panel_begin, int64_t panel_end,
                     const Epilogue& e, float* c, int64_t c_stride) {
  const ScratchLease partial(rows * kPanel);
  for (int64_t p = panel_begin; p < panel_end; ++p) {
    const int64_t col = p * kPanel;
    const float* panel = panels + col * k;
    multiply_panel(a, stride, k, row, rows, panel, panel + kPanel * k, col,
                   std::min(kPanel, n - col), e, c, c_stride, partial.data());
  }
}

// Packs columns [col, col + cols) of b as a panel `width` wide.
void pack_columns(const Batched& b, int64_t k, int64_t col, int64_t cols, int64_t width,
                  float* panel) {
  const float* from = b.data + col * b.col_stride;
  if (cols < width) std::memset(panel, 0, k * width * sizeof(float));
  if (b.row_stride == 1) {
    transpose_to_panel([&](int64_t j) { return from + j * b.col_stride; }, cols, k, panel, width);
  } else if (b.col_stride == 1) {
    for (int64_t i = 0; i < k; ++i) std::copy_n(from + i * b.row_stride, cols, panel + i * width);
  } else {
    for (int64_t i = 0; i < k; ++i)
      for (int64_t j = 0; j < cols; ++j)
        panel[i * width + j] = from[i * b.row_stride + j * b.col_stride];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {
namespace {

HWY_EXPORT(panel_width);
HWY_EXPORT(multiply_panels);
HWY_EXPORT(pack_columns);

// Below this many multiply-adds a second thread costs more than it brings.
constexpr int64_t kSerialWork = 1 << 16;

// A row of A starts where its 12 neighbours use other sets of the level-1 cache and other banks.
int64_t staged_stride(int64_t k) { return ((k + 15) & ~int64_t{15}) + 4; }

// Rows whose starts are multiples of half a page apart fall into few sets of the level-1 cache.
bool crowds_cache(int64_t stride) { return std::gcd(stride * 4, int64_t{4096}) >= 2048; }

bool needs_staging(const Rows& a) {
  return a.fill != nullptr || a.col_stride != 1 || crowds_cache(a.stride);
}

// Writes rows [begin, end) of A to out.
void stage(const Rows& a, int64_t k, int64_t begin, int64_t end, float* out, int64_t out_stride) {
  if (a.fill) return a.fill(a.context, begin, end, out, out_stride);
  if (a.col_stride == 1) {
    for (int64_t i = begin; i < end; ++i)
      std::memcpy(out + (i - begin) * out_stride, a.data + i * a.stride, k * sizeof(float));
    return;
  }
  // A transposed source: squares of 16 keep both sides in cache.
  for (int64_t i0 = begin; i0 < end; i0 += 16)
    for (int64_t k0 = 0; k0 < k; k0 += 16)
      for (int64_t i = i0; i < std::min(i0 + 16, end); ++i)
        for (int64_t j = k0; j < std::min(k0 + 16, k); ++j)
          out[(i - begin) * out_stride + j] = a.data[i * a.stride + j * a.col_stride];
}

// Rows of A that are worked on together. Few, while B stays in the level-2 cache: then C is written
// in short stretches. More when B comes from further away, so that a part of it is used often.
// Measured: 48 is best for 320x1280 and 128x512, 96 for 768x3072 and 3072x768.
int64_t block_rows(const PackedMatrix& b) { return b.bytes() < l2_bytes() * 7 / 8 ? 48 : 96; }

// How the product is cut into tasks: row blocks times groups of panels.
struct Cut {
  int64_t rows, row_blocks;
  int64_t panels, groups;
};

Cut cut(int64_t m, const PackedMatrix& b, int64_t parts) {
  Cut c;
  c.rows = block_rows(b);
  c.row_blocks = (m + c.rows - 1) / c.rows;
  c.groups = 1;
  if (c.row_blocks < parts) {
    // Few rows: every task reads all of them and a part of B, so that no weight is read twice.
    c.groups = std::min(b.panels(), (parts + c.row_blocks - 1) / c.row_blocks);
    const int64_t blocks = std::min((parts + c.groups - 1) / c.groups, (m + 3) / 4);
    c.row_blocks = std::max(c.row_blocks, blocks);
  }
  c.rows = (m + c.row_blocks - 1) / c.row_blocks;
  c.row_blocks = (m + c.rows - 1) / c.rows;
  c.panels = (b.panels() + c.groups - 1) / c.groups;
  c.groups = (b.panels() + c.panels - 1) / c.panels;
  return c;
}

void run(int64_t m, const Rows& a, const PackedMatrix& b, const Epilogue& e, float* c,
         int64_t c_stride, bool parallel) {
  if (m <= 0 || b.n() == 0) return;
  if (b.width() != HWY_DYNAMIC_DISPATCH(panel_width)())
    fail(Kind::internal, "matrix was packed for panels of {} columns, the kernel reads {}",
         b.width(), HWY_DYNAMIC_DISPATCH(panel_width)());
  Rows rows = a;
  const int64_t k = b.k();
  const int workers = parallel && m * b.n() * std::max<int64_t>(k, 1) > kSerialWork ? threads() : 1;
  const Cut plan = cut(m, b, workers == 1 ? 1 : 4 * workers);
  const bool stage_all = plan.groups > 1 && needs_staging(a);
  const ScratchLease shared(stage_all ? m * staged_stride(k) : 0);
  if (stage_all) {
    // Several tasks read the same rows: make them once.
    const int64_t stride = staged_stride(k);
    float* staged = shared.data();
    parallel_for(m, (m + 4 * workers - 1) / (4 * workers), [&](int64_t begin, int64_t end) {
      stage(a, k, begin, end, staged + begin * stride, stride);
    });
    rows = {.data = staged, .stride = stride};
  }
  const auto multiply = HWY_DYNAMIC_DISPATCH(multiply_panels);
  const bool staging = needs_staging(rows);
  const auto body = [&](int64_t task, int64_t task_end) {
    const ScratchLease own(staging ? plan.rows * staged_stride(k) : 0);
    for (; task < task_end; ++task) {
      const int64_t row = task / plan.groups * plan.rows;
      const int64_t count = std::min(plan.rows, m - row);
      const int64_t panel = task % plan.groups * plan.panels;
      const float* block = rows.data + row * rows.stride;
      int64_t stride = rows.stride;
      if (staging) {
        stride = staged_stride(k);
        float* staged = own.data();
        stage(rows, k, row, row + count, staged, stride);
        block = staged;
      }
      multiply(block, stride, k, row, count, b.panel(0), b.n(), panel,
               std::min(panel + plan.panels, b.panels()), e, c, c_stride);
    }
  };
  const int64_t tasks = plan.row_blocks * plan.groups;
  if (workers == 1) {
    body(0, tasks);
  } else {
    parallel_for(tasks, 1, body);
  }
}

// The last panel is half as wide if that holds its columns.
int64_t stored_width(int64_t width, int64_t n, int64_t col) {
  return n - col <= width / 2 ? width / 2 : width;
}

// Floats of all panels of a matrix [k, n].
int64_t packed_size(int64_t width, int64_t k, int64_t n) {
  if (n <= 0) return 0;
  const int64_t last = (n - 1) / width * width;
  return k * (last + stored_width(width, n, last));
}

// Packs the panels [begin, end) of b [k, n].
void pack_panels(const Batched& b, int64_t width, int64_t k, int64_t n, int64_t begin, int64_t end,
                 float* panels) {
  const auto pack_columns_here = HWY_DYNAMIC_DISPATCH(pack_columns);
  for (int64_t p = begin; p < end; ++p) {
    const int64_t col = p * width;
    pack_columns_here(b, k, col, std::min(width, n - col), stored_width(width, n, col),
                      panels + col * k);
  }
}

}  // namespace

PackedMatrix::PackedMatrix(int64_t k, int64_t n, Life life)
    : k_(k), n_(n), width_(HWY_DYNAMIC_DISPATCH(panel_width)()) {
  if (n <= 0) return;
  if (life == Life::model) {
    static Slabs slabs;
    Slabs::Block block = slabs.take(static_cast<size_t>(bytes()));
    owner_ = std::move(block.owner);
    data_ = static_cast<float*>(block.memory);
  } else {
    AlignedFloats memory = allocate_floats(packed_size(width_, k, n));
    data_ = memory.get();
    owner_ = std::shared_ptr<float>(memory.release(), FreeAligned());
  }
}

int64_t PackedMatrix::bytes() const {
  return packed_size(width_, k_, n_) * static_cast<int64_t>(sizeof(float));
}

PackedMatrix pack(const float* b, int64_t k, int64_t n, int64_t row_stride, int64_t col_stride,
                  Life life) {
  PackedMatrix packed(k, n, life);
  const Batched source{b, 0, row_stride, col_stride};
  const int64_t grain =
      std::max<int64_t>(1, kSerialWork / (packed.width() * std::max<int64_t>(k, 1)));
  parallel_for(packed.panels(), grain, [&](int64_t begin, int64_t end) {
    pack_panels(source, packed.width(), k, n, begin, end, packed.panel(0));
  });
  return packed;
}

void gemm_batched(int64_t batch, int64_t m, int64_t k, int64_t n, const Batched& a,
                  const Batched& b, const Epilogue& e, int64_t residual_batch_stride, float* c,
                  int64_t c_batch_stride, int64_t c_stride) {
  if (batch <= 0 || m <= 0 || n <= 0) return;
  const auto rows_of = [&](int64_t i) {
    return Rows{
        .data = a.data + i * a.batch_stride, .stride = a.row_stride, .col_stride = a.col_stride};
  };
  const auto epilogue_of = [&](int64_t i) {
    Epilogue own = e;
    if (e.residual) own.residual += i * residual_batch_stride;
    return own;
  };
  const int64_t work = m * n * std::max<int64_t>(k, 1);
  if (batch < 2 * threads() && work > 4 * kSerialWork) {
    // A few large products: each on all threads.
    for (int64_t i = 0; i < batch; ++i)
      gemm(m, rows_of(i), pack(b.data + i * b.batch_stride, k, n, b.row_stride, b.col_stride),
           epilogue_of(i), c + i * c_batch_stride, c_stride);
    return;
  }
  // Many small ones: packed into scratch memory where they are used.
  const int64_t width = HWY_DYNAMIC_DISPATCH(panel_width)();
  const int64_t panels = (n + width - 1) / width;
  const auto multiply = HWY_DYNAMIC_DISPATCH(multiply_panels);
  const int64_t block = needs_staging(rows_of(0)) ? std::min<int64_t>(m, 96) : m;
  const int64_t grain = std::max<int64_t>(1, kSerialWork / work);
  parallel_for(batch, grain, [&](int64_t begin, int64_t end) {
    const ScratchLease packed(packed_size(width, k, n));
    const ScratchLease staged(block < m || needs_staging(rows_of(0)) ? block * staged_stride(k)
                                                                     : 0);
    for (int64_t i = begin; i < end; ++i) {
      Batched own = b;
      own.data += i * b.batch_stride;
      pack_panels(own, width, k, n, 0, panels, packed.data());
      const Rows rows = rows_of(i);
      const Epilogue epilogue = epilogue_of(i);
      for (int64_t row = 0; row < m; row += block) {
        const int64_t count = std::min(block, m - row);
        const float* from = rows.data + row * rows.stride;
        int64_t stride = rows.stride;
        if (needs_staging(rows)) {
          stride = staged_stride(k);
          stage(rows, k, row, row + count, staged.data(), stride);
          from = staged.data();
        }
        multiply(from, stride, k, row, count, packed.data(), n, 0, panels, epilogue,
                 c + i * c_batch_stride, c_stride);
      }
    }
  });
}

void gemm(int64_t m, const Rows& a, const PackedMatrix& b, const Epilogue& e, float* c,
          int64_t c_stride) {
  run(m, a, b, e, c, c_stride, true);
}

void gemm_serial(int64_t m, const Rows& a, const PackedMatrix& b, const Epilogue& e, float* c,
                 int64_t c_stride) {
  run(m, a, b, e, c, c_stride, false);
}

}  // namespace beckon::kernels
#endif
