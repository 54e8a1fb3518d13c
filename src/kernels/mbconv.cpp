#include "kernels/mbconv.h"

#include <algorithm>
#include <cassert>

#include "base/threads.h"
#include "kernels/depthwise.h"
#include "kernels/scratch.h"
#include "kernels/target.h"

namespace beckon::kernels {
namespace {

// How the output is cut: every tile is computed by itself, with the halo of its expansion.
struct Tiles {
  int64_t rows, cols;    // of a tile, in output pixels
  int64_t down, across;  // tiles of an image
};

Tiles cut(const MbConv& block) {
  const int64_t out_height = block.out_height(), out_width = block.out_width();
  const int64_t expanded = block.expand->n();
  // An output column needs three expanded rows of `stride` columns and one of the depth-wise
  // result; half of the cache is for them, the rest for the weights and the rows of x and y. More
  // than 64 columns gain nothing (measured with a cache of 2 MB: 32 to 256 columns are within 4 %).
  const int64_t column_bytes =
      expanded * (3 * block.stride + 1) * static_cast<int64_t>(sizeof(float));
  const int64_t widest = std::clamp<int64_t>(l2_bytes() / 2 / column_bytes, 16, 64);
  Tiles t;
  t.across = (out_width + widest - 1) / widest;
  t.cols = (out_width + t.across - 1) / t.across;
  // Tall tiles repeat fewer halo rows; several tiles for every thread even out the load.
  const int64_t rows_each = block.n * out_height * t.across / (4 * threads());
  t.rows = std::min(out_height, std::clamp<int64_t>(rows_each, 16, 64));
  t.down = (out_height + t.rows - 1) / t.rows;
  t.rows = (out_height + t.down - 1) / t.down;
  return t;
}

// One tile of one image. `scratch` holds three expanded rows and one row of the depth-wise result.
void run_tile(const MbConv& block, const float* x, float* y, int64_t row_begin, int64_t row_end,
              int64_t col_begin, int64_t col_end, float* scratch) {
  const int64_t in_channels = block.expand->k(), expanded = block.expand->n();
  const int64_t out_channels = block.project->n(), out_width = block.out_width();
  const int64_t stride = block.stride, cols = col_end - col_begin;
  // The input columns that the tile reads, halo included, as far as they exist.
  const int64_t in_begin = std::max<int64_t>(0, col_begin * stride - 1);
  const int64_t in_end = std::min(block.width, (col_end - 1) * stride + 2);
  const int64_t ring_row = (in_end - in_begin) * expanded;
  float* filtered = scratch + 3 * ring_row;
  // Row r of the expanded map lives in ring row r % 3.
  const auto ring = [&](int64_t r) { return scratch + r % 3 * ring_row; };

  const Epilogue after_expand = {.bias = block.expand_bias, .activation = block.activation};
  int64_t next = std::max<int64_t>(0, row_begin * stride - 1);  // first row not expanded yet
  for (int64_t row = row_begin; row < row_end; ++row) {
    const int64_t last = std::min(block.height, row * stride + 2);
    for (; next < last; ++next)
      gemm_serial(
          in_end - in_begin,
          {.data = x + (next * block.width + in_begin) * in_channels, .stride = in_channels},
          *block.expand, after_expand, ring(next), expanded);

    DepthwiseRow filter = {.rows = {},
                           .in_begin = in_begin,
                           .in_end = in_end,
                           .stride = stride,
                           .out_begin = col_begin,
                           .out_end = col_end,
                           .channels = expanded,
                           .weights = block.taps,
                           .bias = block.depthwise_bias,
                           .activation = block.activation,
                           .out = filtered};
    for (int64_t k = 0; k < 3; ++k) {
      const int64_t r = row * stride - 1 + k;
      // Outside the map the *expanded* map is zero, not the expansion of a zero.
      if (r >= 0 && r < block.height) filter.rows[k] = ring(r);
    }
    depthwise_row(filter);

    Epilogue after_project = {.bias = block.project_bias};
    const int64_t pixel = row * out_width + col_begin;
    if (block.residual) {
      after_project.residual = x + pixel * in_channels;
      after_project.residual_stride = in_channels;
      after_project.activation = block.activation;
      after_project.activation_after_residual = true;
    }
    gemm_serial(cols, {.data = filtered, .stride = expanded}, *block.project, after_project,
                y + pixel * out_channels, out_channels);
  }
}

}  // namespace

void mbconv(const MbConv& block, const float* x, float* y) {
  assert(block.stride == 1 || block.stride == 2);
  assert(block.expand->n() == block.project->k());
  assert(!block.residual || (block.stride == 1 && block.expand->k() == block.project->n()));
  if (block.n == 0 || block.height == 0 || block.width == 0) return;
  const int64_t out_height = block.out_height(), out_width = block.out_width();
  const int64_t image_in = block.height * block.width * block.expand->k();
  const int64_t image_out = out_height * out_width * block.project->n();
  const Tiles tiles = cut(block);
  const int64_t scratch_floats =
      (3 * (tiles.cols * block.stride + 2) + tiles.cols) * block.expand->n();
  const int64_t per_image = tiles.down * tiles.across;
  parallel_for(block.n * per_image, 1, [&](int64_t begin, int64_t end) {
    const ScratchLease scratch(scratch_floats);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / per_image, tile = i % per_image;
      const int64_t row = tile / tiles.across * tiles.rows, col = tile % tiles.across * tiles.cols;
      run_tile(block, x + image * image_in, y + image * image_out, row,
               std::min(out_height, row + tiles.rows), col, std::min(out_width, col + tiles.cols),
               scratch.data());
    }
  });
}

}  // namespace beckon::kernels
