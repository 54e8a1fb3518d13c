#include "kernels/norm.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include "base/threads.h"
#include "kernels/target.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/norm.cpp"
#include "hwy/foreach_target.h"
#include "kernels/lanes-inl.h"
#include "kernels/vmath-inl.h"

HWY_BEFORE_NAMESPACE();
namespace beckon::kernels {
namespace HWY_NAMESPACE {

struct Moments {
  float mean, rstd;
};

HWY_INLINE Moments RowMoments(const float* x, int64_t cols, float eps) {
  const float mean =
      SumOver(cols, [=](int64_t j, auto access) HWY_ATTR { return access.load(x + j); }) /
      static_cast<float>(cols);
  const VF m = hn::Set(F(), mean);
  const float squares = SumOver(cols, [=](int64_t j, auto access) HWY_ATTR {
    const VF distance = hn::Sub(access.load(x + j), m);
    return hn::Mul(distance, distance);
  });
  return {mean, 1.0f / std::sqrt(squares / static_cast<float>(cols) + eps)};
}

template <Activation activation>
HWY_INLINE void NormalizeRow(const float* x, int64_t cols, const float* weight, const float* bias,
                             Moments moments, float* y) {
  const F f;
  const VF mean = hn::Set(f, moments.mean), rstd = hn::Set(f, moments.rstd);
  const auto run = [=](auto with_weight, auto with_bias) HWY_ATTR {
    ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
      VF v = hn::Mul(hn::Sub(access.load(x + j), mean), rstd);
      if constexpr (with_weight && with_bias) {
        v = hn::MulAdd(v, access.load(weight + j), access.load(bias + j));
      } else if constexpr (with_weight) {
        v = hn::Mul(v, access.load(weight + j));
      } else if constexpr (with_bias) {
        v = hn::Add(v, access.load(bias + j));
      }
      access.store(Activate<activation>(F(), v), y + j);
    });
  };
  const std::true_type yes;
  const std::false_type no;
  if (weight && bias) return run(yes, yes);
  if (weight) return run(yes, no);
  if (bias) return run(no, yes);
  run(no, no);
}

void LayerNormRange(const float* x, int64_t rows, int64_t cols, const float* weight,
                    const float* bias, float eps, float* y, Activation activation, float* mean,
                    float* rstd) {
  WithActivation(activation, [=]<Activation kActivation>() {
    for (int64_t r = 0; r < rows; ++r) {
      const Moments moments = RowMoments(x + r * cols, cols, eps);
      NormalizeRow<kActivation>(x + r * cols, cols, weight, bias, moments, y + r * cols);
      if (mean) mean[r] = moments.mean;
      if (rstd) rstd[r] = moments.rstd;
    }
  });
}

void LayerNormFill(const LayerNormRows& source, int64_t begin, int64_t end, float* out,
                   int64_t out_stride) {
  for (int64_t r = begin; r < end; ++r, out += out_stride) {
    const int64_t from = source.gather ? source.gather[r] : r;
    if (from < 0) {
      if (source.padding) {
        std::copy_n(source.padding, source.cols, out);
      } else {
        std::fill_n(out, source.cols, 0.0f);
      }
      continue;
    }
    const float* x = source.x + from * source.stride;
    NormalizeRow<Activation::none>(x, source.cols, source.weight, source.bias,
                                   RowMoments(x, source.cols, source.eps), out);
  }
}

// With z = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - z mean(g z)).
void LayerNormGradRange(const float* x, const float* dy, int64_t rows, int64_t cols,
                        const float* weight, const float* mean, const float* rstd, float* dx) {
  const F f;
  for (int64_t r = 0; r < rows; ++r, x += cols, dy += cols, dx += cols) {
    const VF m = hn::Set(f, mean[r]), s = hn::Set(f, rstd[r]);
    const auto gradient = [=](int64_t j, auto access) HWY_ATTR {
      const VF g = access.load(dy + j);
      return weight ? hn::Mul(g, access.load(weight + j)) : g;
    };
    const auto normalized = [=](int64_t j, auto access)
                                HWY_ATTR { return hn::Mul(hn::Sub(access.load(x + j), m), s); };
    const float scale = 1.0f / static_cast<float>(cols);
    const VF mean_g = hn::Set(f, scale * SumOver(cols, gradient));
    const VF mean_gz = hn::Set(f, scale * SumOver(cols, [=](int64_t j, auto access) HWY_ATTR {
                                    return hn::Mul(gradient(j, access), normalized(j, access));
                                  }));
    float* to = dx;
    ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
      const VF centred = hn::Sub(gradient(j, access), mean_g);
      access.store(hn::Mul(s, hn::NegMulAdd(normalized(j, access), mean_gz, centred)), to + j);
    });
  }
}

// Sums over one run of rows: dbias[c] = sum dy, dweight[c] = sum dy z; either may be null.
void LayerNormWeightGradRun(const float* x, const float* dy, int64_t rows, int64_t cols,
                            const float* mean, const float* rstd, float* dweight, float* dbias) {
  const F f;
  ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
    VF sum_w = hn::Zero(f), sum_b = hn::Zero(f);
    for (int64_t r = 0; r < rows; ++r) {
      const VF g = access.load(dy + r * cols + j);
      const VF z =
          hn::Mul(hn::Sub(access.load(x + r * cols + j), hn::Set(f, mean[r])), hn::Set(f, rstd[r]));
      sum_b = hn::Add(sum_b, g);
      sum_w = hn::MulAdd(g, z, sum_w);
    }
    if (dweight) access.store(sum_w, dweight + j);
    if (dbias) access.store(sum_b, dbias + j);
  });
}

void ScaleShiftChannelsRange(const float* x, int64_t rows, int64_t cols, const float* scale,
                             const float* shift, float* y, Activation activation) {
  WithActivation(activation, [=]<Activation kActivation>() {
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = x + r * cols;
      float* to = y + r * cols;
      ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
        const VF v =
            hn::MulAdd(access.load(from + j), access.load(scale + j), access.load(shift + j));
        access.store(Activate<kActivation>(F(), v), to + j);
      });
    }
  });
}

// Per channel over a run of rows: sums[c] = sum of (x - centre[c]), or of its square.
void ChannelSumRun(const float* x, int64_t rows, int64_t cols, const float* centre, bool squared,
                   float* sums) {
  ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
    VF s = hn::Zero(F());
    const VF m = access.load(centre + j);
    for (int64_t r = 0; r < rows; ++r) {
      const VF v = hn::Sub(access.load(x + r * cols + j), m);
      s = hn::Add(s, squared ? hn::Mul(v, v) : v);
    }
    access.store(s, sums + j);
  });
}

// Per channel over a run of rows: sums[c] = sum dy, sums[cols + c] = sum dy (x - centre[c]).
void ChannelGradRun(const float* x, const float* dy, int64_t rows, int64_t cols,
                    const float* centre, float* sums) {
  ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
    VF plain = hn::Zero(F()), product = hn::Zero(F());
    const VF m = access.load(centre + j);
    for (int64_t r = 0; r < rows; ++r) {
      const VF g = access.load(dy + r * cols + j);
      plain = hn::Add(plain, g);
      product = hn::MulAdd(g, hn::Sub(access.load(x + r * cols + j), m), product);
    }
    access.store(plain, sums + j);
    access.store(product, sums + cols + j);
  });
}

// dx = dy a[c] + (x - centre[c]) b[c] + d[c]
void ChannelGradApply(const float* x, const float* dy, int64_t rows, int64_t cols,
                      const float* centre, const float* a, const float* b, const float* d,
                      float* dx) {
  for (int64_t r = 0; r < rows; ++r, x += cols, dy += cols, dx += cols) {
    const float *from = x, *gradient = dy;
    float* to = dx;
    ForEachVector(cols, [=](int64_t j, auto access) HWY_ATTR {
      const VF v = hn::Sub(access.load(from + j), access.load(centre + j));
      const VF rest = hn::MulAdd(v, access.load(b + j), access.load(d + j));
      access.store(hn::MulAdd(access.load(gradient + j), access.load(a + j), rest), to + j);
    });
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace beckon::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace beckon::kernels {

HWY_EXPORT(LayerNormRange);
HWY_EXPORT(LayerNormFill);
HWY_EXPORT(LayerNormGradRange);
HWY_EXPORT(LayerNormWeightGradRun);
HWY_EXPORT(ScaleShiftChannelsRange);
HWY_EXPORT(ChannelSumRun);
HWY_EXPORT(ChannelGradRun);
HWY_EXPORT(ChannelGradApply);

namespace {

constexpr int64_t kRun = 256;  // rows summed at a stretch

int64_t rows_grain(int64_t cols) {
  return std::max<int64_t>(1, (int64_t{1} << 14) / std::max<int64_t>(1, cols));
}

// The sums of all runs: one_run(begin, rows, out) writes `width` floats for rows [begin, begin +
// rows); they are added up in double, run after run.
template <typename OneRun>
std::vector<double> sum_runs(int64_t rows, int64_t width, const OneRun& one_run) {
  const int64_t runs = (rows + kRun - 1) / kRun;
  std::vector<float> partial(static_cast<size_t>(runs * width));
  parallel_for(runs, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      one_run(i * kRun, std::min(kRun, rows - i * kRun), partial.data() + i * width);
  });
  std::vector<double> total(static_cast<size_t>(width));
  for (int64_t i = 0; i < runs; ++i)
    for (int64_t c = 0; c < width; ++c)
      total[static_cast<size_t>(c)] += partial[static_cast<size_t>(i * width + c)];
  return total;
}

}  // namespace

void layer_norm(const float* x, int64_t rows, int64_t cols, const float* weight, const float* bias,
                float eps, float* y, Activation activation, float* mean, float* rstd) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(LayerNormRange)
    (x + begin * cols, end - begin, cols, weight, bias, eps, y + begin * cols, activation,
     mean ? mean + begin : nullptr, rstd ? rstd + begin : nullptr);
  });
}

void LayerNormRows::fill(const void* context, int64_t begin, int64_t end, float* out,
                         int64_t out_stride) {
  HWY_DYNAMIC_DISPATCH(LayerNormFill)
  (*static_cast<const LayerNormRows*>(context), begin, end, out, out_stride);
}

void layer_norm_grad(const float* x, const float* dy, int64_t rows, int64_t cols,
                     const float* weight, const float* mean, const float* rstd, float* dx,
                     float* dweight, float* dbias) {
  // The weights first: dx may overwrite dy.
  if (dweight || dbias) {
    const auto run = HWY_DYNAMIC_DISPATCH(LayerNormWeightGradRun);
    const std::vector<double> total =
        sum_runs(rows, 2 * cols, [&](int64_t begin, int64_t count, float* out) {
          run(x + begin * cols, dy + begin * cols, count, cols, mean + begin, rstd + begin, out,
              out + cols);
        });
    for (size_t c = 0; c < static_cast<size_t>(cols); ++c) {
      if (dweight) dweight[c] = static_cast<float>(total[c]);
      if (dbias) dbias[c] = static_cast<float>(total[static_cast<size_t>(cols) + c]);
    }
  }
  if (!dx) return;
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(LayerNormGradRange)
    (x + begin * cols, dy + begin * cols, end - begin, cols, weight, mean + begin, rstd + begin,
     dx + begin * cols);
  });
}

void scale_shift_channels(const float* x, int64_t rows, int64_t cols, const float* scale,
                          const float* shift, float* y, Activation activation) {
  parallel_for(rows, rows_grain(cols), [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(ScaleShiftChannelsRange)
    (x + begin * cols, end - begin, cols, scale, shift, y + begin * cols, activation);
  });
}

void group_norm(const float* x, int64_t n, int64_t pixels, int64_t channels, int64_t groups,
                const float* weight, const float* bias, float eps, float* y, Activation activation,
                float* mean, float* rstd) {
  assert(groups > 0 && channels % groups == 0);
  const int64_t width = channels / groups;
  const double count = static_cast<double>(pixels * width);
  const auto run = HWY_DYNAMIC_DISPATCH(ChannelSumRun);
  std::vector<float> centre(static_cast<size_t>(channels));
  std::vector<float> scale(centre.size()), shift(centre.size());
  for (int64_t i = 0; i < n; ++i, x += pixels * channels, y += pixels * channels) {
    // Sums of one group, from the channels' sums about `centre`.
    const auto group_sums = [&](bool squared) {
      const std::vector<double> channel =
          sum_runs(pixels, channels, [&](int64_t begin, int64_t rows, float* out) {
            run(x + begin * channels, rows, channels, centre.data(), squared, out);
          });
      std::vector<double> group(static_cast<size_t>(groups));
      for (int64_t c = 0; c < channels; ++c)
        group[static_cast<size_t>(c / width)] += channel[static_cast<size_t>(c)];
      return group;
    };
    std::fill(centre.begin(), centre.end(), 0.0f);
    const std::vector<double> sums = group_sums(false);
    for (int64_t c = 0; c < channels; ++c)
      centre[static_cast<size_t>(c)] =
          static_cast<float>(sums[static_cast<size_t>(c / width)] / count);
    const std::vector<double> squares = group_sums(true);
    for (int64_t c = 0; c < channels; ++c) {
      const auto k = static_cast<size_t>(c);
      const double variance = squares[static_cast<size_t>(c / width)] / count;
      const auto r = static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(eps)));
      scale[k] = weight ? r * weight[k] : r;
      shift[k] = (bias ? bias[k] : 0.0f) - centre[k] * scale[k];
      if (c % width == 0 && mean) mean[i * groups + c / width] = centre[k];
      if (c % width == 0 && rstd) rstd[i * groups + c / width] = r;
    }
    scale_shift_channels(x, pixels, channels, scale.data(), shift.data(), y, activation);
  }
}

void group_norm_grad(const float* x, const float* dy, int64_t n, int64_t pixels, int64_t channels,
                     int64_t groups, const float* weight, const float* mean, const float* rstd,
                     float* dx, float* dweight, float* dbias) {
  assert(groups > 0 && channels % groups == 0);
  const int64_t width = channels / groups;
  const double count = static_cast<double>(pixels * width);
  const auto run = HWY_DYNAMIC_DISPATCH(ChannelGradRun);
  const size_t size = static_cast<size_t>(channels);
  std::vector<float> centre(size), a(size), b(size), d(size);
  std::vector<double> weight_total(size), bias_total(size);
  for (int64_t i = 0; i < n; ++i) {
    const float *image = x + i * pixels * channels, *gradient = dy + i * pixels * channels;
    for (int64_t c = 0; c < channels; ++c)
      centre[static_cast<size_t>(c)] = mean[i * groups + c / width];
    const std::vector<double> sums =
        sum_runs(pixels, 2 * channels, [&](int64_t begin, int64_t rows, float* out) {
          run(image + begin * channels, gradient + begin * channels, rows, channels, centre.data(),
              out);
        });
    for (int64_t g = 0; g < groups; ++g) {
      // As for a layer norm row, with the group's means of g = dy weight and of g z.
      const double r = rstd[i * groups + g];
      double mean_g = 0.0, mean_gz = 0.0;
      for (int64_t c = g * width; c < (g + 1) * width; ++c) {
        const auto k = static_cast<size_t>(c);
        const double w = weight ? weight[k] : 1.0;
        mean_g += w * sums[k] / count;
        mean_gz += w * sums[size + k] * r / count;
        bias_total[k] += sums[k];
        weight_total[k] += sums[size + k] * r;
      }
      for (int64_t c = g * width; c < (g + 1) * width; ++c) {
        const auto k = static_cast<size_t>(c);
        a[k] = static_cast<float>(r * (weight ? weight[k] : 1.0));
        b[k] = static_cast<float>(-r * r * mean_gz);
        d[k] = static_cast<float>(-r * mean_g);
      }
    }
    if (!dx) continue;
    parallel_for(pixels, rows_grain(channels), [&](int64_t begin, int64_t end) {
      HWY_DYNAMIC_DISPATCH(ChannelGradApply)
      (image + begin * channels, gradient + begin * channels, end - begin, channels, centre.data(),
       a.data(), b.data(), d.data(), dx + (i * pixels + begin) * channels);
    });
  }
  for (size_t k = 0; k < size; ++k) {
    if (dweight) dweight[k] = static_cast<float>(weight_total[k]);
    if (dbias) dbias[k] = static_cast<float>(bias_total[k]);
  }
}

}  // namespace beckon::kernels
#endif  // HWY_ONCE
