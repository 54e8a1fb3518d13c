// Normalisations over channels-last data, and their gradients.
//
// Statistics are two-pass (mean first, then squared distances), variances are the population's.
// Sums over rows are taken in runs of 256 rows, the runs one after the other: no result depends on
// the number of threads. y may be x.
#pragma once

#include <cstdint>

#include "beckon/activation.h"

namespace beckon::kernels {

// y[r,:] = activation((x[r,:] - mean_r) * rstd_r * weight + bias) with rstd = 1 / sqrt(variance +
// eps). weight and bias [cols] may be null (1 and 0). mean and rstd [rows] are written if not null.
void layer_norm(const float* x, int64_t rows, int64_t cols, const float* weight, const float* bias,
                float eps, float* y, Activation activation = Activation::none,
                float* mean = nullptr, float* rstd = nullptr);

// Normalised rows as they are needed: a source of rows for gemm().
//   const LayerNormRows norm{x, stride, cols, weight, bias, eps};
//   gemm(m, Rows{.fill = LayerNormRows::fill, .context = &norm}, ...);
struct LayerNormRows {
  const float* x;
  int64_t stride;  // floats from a row of x to the next
  int64_t cols;
  const float* weight;
  const float* bias;
  float eps;
  // Row i is row gather[i] of x (window partition); a negative index stands for a padding row,
  // which is `padding` [cols], or zeros if that is null. Without gather row i is row i.
  const int32_t* gather = nullptr;
  const float* padding = nullptr;

  static void fill(const void* context, int64_t begin, int64_t end, float* out, int64_t out_stride);
};

// The gradients of layer_norm without activation. mean and rstd are what the forward pass wrote. dx
// [rows,cols] (may be dy), dweight and dbias [cols] are written if not null.
void layer_norm_grad(const float* x, const float* dy, int64_t rows, int64_t cols,
                     const float* weight, const float* mean, const float* rstd, float* dx,
                     float* dweight, float* dbias);

// y[r,c] = activation(x[r,c] * scale[c] + shift[c]): batch norm with known statistics.
void scale_shift_channels(const float* x, int64_t rows, int64_t cols, const float* scale,
                          const float* shift, float* y, Activation activation = Activation::none);

// x [n, pixels, channels]; statistics over the pixels and channels of each of `groups` equal
// groups; weight and bias [channels], or null. mean and rstd [n, groups] are written if not null.
// With n = 1 and groups = channels this is batch norm with the statistics of the batch.
void group_norm(const float* x, int64_t n, int64_t pixels, int64_t channels, int64_t groups,
                const float* weight, const float* bias, float eps, float* y,
                Activation activation = Activation::none, float* mean = nullptr,
                float* rstd = nullptr);

// The gradients of group_norm without activation, as for layer_norm_grad.
void group_norm_grad(const float* x, const float* dy, int64_t n, int64_t pixels, int64_t channels,
                     int64_t groups, const float* weight, const float* mean, const float* rstd,
                     float* dx, float* dweight, float* dbias);

}  // namespace beckon::kernels
