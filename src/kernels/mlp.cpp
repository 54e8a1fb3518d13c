#include "kernels/mlp.h"

#include <algorithm>
#include <cassert>

#include "base/threads.h"
#include "kernels/depthwise.h"
#include "kernels/norm.h"
#include "kernels/scratch.h"
#include "kernels/target.h"

namespace beckon::kernels {
namespace {

// Beyond this the weights do not stay in the caches between blocks of rows, and reading them again
// for every block costs more than storing the hidden activations once.
constexpr int64_t kMaxWeightBytes = int64_t{8} << 20;

bool fuses(const Mlp& block) { return block.fc1->bytes() + block.fc2->bytes() <= kMaxWeightBytes; }

// Rows whose normalised, hidden and output values fill half of the cache; fewer if there are few.
int64_t rows_of_a_block(const Mlp& block, int64_t rows) {
  const int64_t row_bytes =
      (2 * block.fc1->k() + block.fc1->n()) * static_cast<int64_t>(sizeof(float));
  const int64_t fit = std::clamp<int64_t>(l2_bytes() / 2 / row_bytes, 48, 384);
  const int64_t tasks = 4 * threads();
  return std::clamp<int64_t>((rows + tasks - 1) / tasks, std::min<int64_t>(rows, 48), fit);
}

LayerNormRows normalized(const Mlp& block, const float* x) {
  return {.x = x,
          .stride = block.fc1->k(),
          .cols = block.fc1->k(),
          .weight = block.norm_weight,
          .bias = block.norm_bias,
          .eps = block.eps};
}

// Both layers, by `multiply`: gemm() or gemm_serial(). hidden [rows, H].
template <typename Multiply>
void run_rows(const Mlp& block, int64_t rows, const float* x, float* y, float* hidden,
              const Multiply& multiply) {
  const int64_t channels = block.fc1->k(), width = block.fc1->n();
  const LayerNormRows source = normalized(block, x);
  multiply(rows, Rows{.fill = LayerNormRows::fill, .context = &source}, *block.fc1,
           Epilogue{.bias = block.bias1, .activation = block.activation}, hidden, width);
  multiply(rows, Rows{.data = hidden, .stride = width}, *block.fc2,
           Epilogue{.bias = block.bias2, .residual = x, .residual_stride = channels}, y, channels);
}

}  // namespace

void mlp(const Mlp& block, int64_t rows, const float* x, float* y) {
  assert(block.fc1->n() == block.fc2->k() && block.fc1->k() == block.fc2->n());
  if (rows == 0) return;
  const int64_t channels = block.fc1->k(), width = block.fc1->n();
  if (!fuses(block)) {
    const ScratchLease hidden(rows * width);
    return run_rows(block, rows, x, y, hidden.data(), gemm);
  }
  const int64_t grain = rows_of_a_block(block, rows);
  parallel_for(rows, grain, [&](int64_t begin, int64_t end) {
    const ScratchLease hidden(grain * width);
    for (int64_t row = begin; row < end; row += grain)
      run_rows(block, std::min(grain, end - row), x + row * channels, y + row * channels,
               hidden.data(), gemm_serial);
  });
}

void local_conv_mlp(const LocalConv& conv, const Mlp& block, const float* x, float* y) {
  const int64_t channels = block.fc1->k(), width = block.fc1->n();
  const int64_t lines = conv.n * conv.height, line = conv.width * channels;
  if (lines * conv.width == 0) return;
  const DepthwiseConv whole = {
      .n = conv.n, .height = conv.height, .width = conv.width, .channels = channels};
  if (!fuses(block)) {
    depthwise_conv(whole, x, conv.taps, conv.bias, Activation::none, y);
    return mlp(block, lines * conv.width, y, y);
  }
  // Blocks are whole lines of the image: a line of the convolution is written to y, and the second
  // layer adds to it.
  const int64_t grain =
      std::max<int64_t>(1, rows_of_a_block(block, lines * conv.width) / conv.width);
  parallel_for(lines, grain, [&](int64_t begin, int64_t end) {
    const ScratchLease hidden(grain * conv.width * width);
    for (int64_t first = begin; first < end; first += grain) {
      const int64_t last = std::min(end, first + grain);
      for (int64_t i = first; i < last; ++i) {
        DepthwiseRow row = {.rows = {},
                            .in_begin = 0,
                            .in_end = conv.width,
                            .stride = 1,
                            .out_begin = 0,
                            .out_end = conv.width,
                            .channels = channels,
                            .weights = conv.taps,
                            .bias = conv.bias,
                            .activation = Activation::none,
                            .out = y + i * line};
        const int64_t in_image = i % conv.height;
        for (int64_t k = 0; k < 3; ++k)
          if (in_image - 1 + k >= 0 && in_image - 1 + k < conv.height)
            row.rows[k] = x + (i - 1 + k) * line;
        depthwise_row(row);
      }
      run_rows(block, (last - first) * conv.width, y + first * line, y + first * line,
               hidden.data(), gemm_serial);
    }
  });
}

}  // namespace beckon::kernels
