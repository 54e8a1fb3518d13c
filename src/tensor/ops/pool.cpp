// Pooling of maps [B,H,W,C].
#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "base/fail.h"
#include "beckon/ops.h"
#include "tensor/ops/common.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::floats;
using detail::for_rows;

// The stretch of input that each output covers along one axis, cut to what lies inside.
struct Windows {
  int64_t in = 0;
  std::vector<int64_t> begin, end;
  int64_t count() const { return static_cast<int64_t>(begin.size()); }
  void push_back(int64_t from, int64_t to) {
    begin.push_back(std::clamp<int64_t>(from, 0, in));
    end.push_back(std::clamp<int64_t>(to, 0, in));
  }
};

Windows sliding(int64_t in, const Pool& pool) {
  Windows windows;
  windows.in = in;
  const int64_t out = (in + 2 * pool.padding - pool.kernel) / pool.stride + 1;
  for (int64_t i = 0; i < out; ++i) {
    const int64_t from = i * pool.stride - pool.padding;
    windows.push_back(from, from + pool.kernel);
  }
  return windows;
}

// Output i of n covers floor(i in / n) to ceil((i + 1) in / n).
Windows adaptive(int64_t in, int64_t n) {
  Windows windows;
  windows.in = in;
  for (int64_t i = 0; i < n; ++i) windows.push_back(i * in / n, ((i + 1) * in + n - 1) / n);
  return windows;
}

void check_pool(const char* name, const Tensor& x, const Pool& pool) {
  constexpr int64_t kLargest = int64_t{1} << 30;
  if (x.rank() != 4)
    fail(Kind::usage, "{}: a tensor of shape {}, expected [B,H,W,C]", name, x.shape().str());
  if (pool.kernel < 1 || pool.kernel > kLargest || pool.stride < 1 || pool.padding < 0 ||
      pool.padding > pool.kernel / 2)
    fail(Kind::usage,
         "{}: kernel {}, stride {}, padding {}; the padding may be half of the kernel at most",
         name, pool.kernel, pool.stride, pool.padding);
  const int64_t side = std::min(x.dim(1), x.dim(2));
  if (side < 1 || side + 2 * pool.padding < pool.kernel)
    fail(Kind::usage, "{}: a kernel of {} on a map of shape {}", name, pool.kernel,
         x.shape().str());
}

// Means over windows. divisor 0: of the elements inside, else what every sum is divided by.
Tensor mean_pool(const char* name, const Tensor& x, const Windows& rows, const Windows& columns,
                 int64_t divisor) {
  const int64_t width = x.dim(2), channels = x.dim(3), out_w = columns.count();
  Tensor y = Tensor::empty({x.dim(0), rows.count(), out_w, channels});
  const auto scale_of = [=](const Windows& r, const Windows& c, int64_t oy, int64_t ox) {
    const auto i = static_cast<size_t>(oy), j = static_cast<size_t>(ox);
    const int64_t inside = (r.end[i] - r.begin[i]) * (c.end[j] - c.begin[j]);
    return 1.0f / static_cast<float>(divisor > 0 ? divisor : inside);
  };
  {
    const float* from = x.data();
    float* to = y.data();
    const int64_t work = x.size() / std::max<int64_t>(1, x.dim(0) * rows.count());
    for_rows(x.dim(0) * rows.count(), work, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t oy = row % rows.count(), map = row / rows.count() * rows.in;
        for (int64_t ox = 0; ox < out_w; ++ox) {
          const auto i = static_cast<size_t>(oy), j = static_cast<size_t>(ox);
          float* result = to + (row * out_w + ox) * channels;
          std::fill_n(result, channels, 0.0f);
          for (int64_t iy = rows.begin[i]; iy < rows.end[i]; ++iy)
            for (int64_t ix = columns.begin[j]; ix < columns.end[j]; ++ix) {
              const float* pixel = from + ((map + iy) * width + ix) * channels;
              for (int64_t c = 0; c < channels; ++c) result[c] += pixel[c];
            }
          const float scale = scale_of(rows, columns, oy, ox);
          for (int64_t c = 0; c < channels; ++c) result[c] *= scale;
        }
      }
    });
  }
  return record(name, y, {x}, [=, shape = x.shape()](const Tensor& dy) -> Grads {
    // Every input row gathers from the output rows that cover it.
    Tensor dx = Tensor::zeros(shape);
    const float* from = dy.data();
    float* to = dx.data();
    const int64_t work = dy.size() / std::max<int64_t>(1, shape[0] * rows.in);
    for_rows(shape[0] * rows.in, work + width * channels, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const int64_t iy = row % rows.in, map = row / rows.in * rows.count();
        // Windows begin and end in rising order.
        const auto first = std::upper_bound(rows.end.begin(), rows.end.end(), iy);
        for (int64_t oy = first - rows.end.begin();
             oy < rows.count() && rows.begin[static_cast<size_t>(oy)] <= iy; ++oy)
          for (int64_t ox = 0; ox < out_w; ++ox) {
            const float* pixel = from + ((map + oy) * out_w + ox) * channels;
            const float scale = scale_of(rows, columns, oy, ox);
            const auto j = static_cast<size_t>(ox);
            for (int64_t ix = columns.begin[j]; ix < columns.end[j]; ++ix) {
              float* target = to + (row * width + ix) * channels;
              for (int64_t c = 0; c < channels; ++c) target[c] += scale * pixel[c];
            }
          }
      }
    });
    return {dx};
  });
}

}  // namespace

Tensor max_pool2d(const Tensor& input, const Pool& pool) {
  const Tensor x = floats("max_pool2d", input);
  check_pool("max_pool2d", x, pool);
  const Windows rows = sliding(x.dim(1), pool), columns = sliding(x.dim(2), pool);
  const int64_t width = x.dim(2), channels = x.dim(3), map = rows.in * width * channels;
  Tensor y = Tensor::empty({x.dim(0), rows.count(), columns.count(), channels});
  // Where in its map each maximum was found, if a gradient will ask.
  auto found = std::make_shared<std::vector<int64_t>>();
  const bool traced = wants_grad({&x});
  if (traced) found->resize(static_cast<size_t>(y.size()));
  {
    const float* from = x.data();
    float* to = y.data();
    const int64_t out_row = columns.count() * channels;
    for_rows(x.dim(0) * rows.count(), out_row * pool.kernel, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) {
        const auto i = static_cast<size_t>(row % rows.count());
        const float* pixels = from + row / rows.count() * map;
        for (int64_t ox = 0; ox < columns.count(); ++ox) {
          const auto j = static_cast<size_t>(ox);
          float* best = to + row * out_row + ox * channels;
          int64_t* place = traced ? found->data() + row * out_row + ox * channels : nullptr;
          bool first = true;
          for (int64_t iy = rows.begin[i]; iy < rows.end[i]; ++iy)
            for (int64_t ix = columns.begin[j]; ix < columns.end[j]; ++ix, first = false) {
              const int64_t at = (iy * width + ix) * channels;
              const float* pixel = pixels + at;
              if (first) {
                std::copy_n(pixel, channels, best);
                for (int64_t c = 0; place && c < channels; ++c) place[c] = at + c;
              } else if (!place) {
                // A NaN stays, as one that comes is taken.
                for (int64_t c = 0; c < channels; ++c)
                  best[c] = pixel[c] > best[c] || pixel[c] != pixel[c] ? pixel[c] : best[c];
              } else {
                for (int64_t c = 0; c < channels; ++c)
                  if (pixel[c] > best[c] || pixel[c] != pixel[c]) {
                    best[c] = pixel[c];
                    place[c] = at + c;
                  }
              }
            }
        }
      }
    });
  }
  return record("max_pool2d", y, {x}, [found, map, shape = x.shape()](const Tensor& dy) -> Grads {
    Tensor dx = Tensor::zeros(shape);
    const float* from = dy.data();
    float* to = dx.data();
    // Windows overlap in space but never across channels: groups of those are shared out.
    constexpr int64_t kGroup = 16;
    const int64_t c_count = shape[3], groups = (c_count + kGroup - 1) / kGroup;
    const int64_t pixels = dy.dim(1) * dy.dim(2);
    for_rows(shape[0] * groups, pixels * kGroup, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t b = task / groups, c0 = task % groups * kGroup;
        const int64_t c1 = std::min(c0 + kGroup, c_count);
        for (int64_t p = b * pixels; p < (b + 1) * pixels; ++p)
          for (int64_t c = c0; c < c1; ++c)
            to[b * map + (*found)[static_cast<size_t>(p * c_count + c)]] += from[p * c_count + c];
      }
    });
    return {dx};
  });
}

Tensor avg_pool2d(const Tensor& input, const Pool& pool, bool count_padding) {
  const Tensor x = floats("avg_pool2d", input);
  check_pool("avg_pool2d", x, pool);
  return mean_pool("avg_pool2d", x, sliding(x.dim(1), pool), sliding(x.dim(2), pool),
                   count_padding ? pool.kernel * pool.kernel : 0);
}

Tensor adaptive_avg_pool2d(const Tensor& input, int64_t height, int64_t width) {
  const Tensor x = floats("adaptive_avg_pool2d", input);
  if (x.rank() != 4 || height < 1 || width < 1 || x.dim(1) < 1 || x.dim(2) < 1)
    fail(Kind::usage, "adaptive_avg_pool2d of shape {} to {} x {}, expected [B,H,W,C]",
         x.shape().str(), height, width);
  return mean_pool("adaptive_avg_pool2d", x, adaptive(x.dim(1), height), adaptive(x.dim(2), width),
                   0);
}

}  // namespace beckon
