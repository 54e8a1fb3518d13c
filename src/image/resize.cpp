// Pillow's resampling of 8-bit pictures, reproduced to the bit (goldens sam_preprocess,
// preprocess).
#include "beckon/resize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/fail.h"
#include "base/threads.h"

namespace beckon {
namespace {

// ---- filters: value at distance x (in units of the filter's own scale), and half width
// -------------------------------

double box(double x) { return x > -0.5 && x <= 0.5 ? 1.0 : 0.0; }

double triangle(double x) {
  x = std::abs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

double hamming(double x) {
  x = std::abs(x);
  if (x == 0.0) return 1.0;
  if (x >= 1.0) return 0.0;
  x *= M_PI;
  return std::sin(x) / x * (0.54f + 0.46f * std::cos(x));  // Pillow's constants are floats
}

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

double sinc(double x) {
  if (x == 0.0) return 1.0;
  x *= M_PI;
  return std::sin(x) / x;
}

double lanczos(double x) { return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3) : 0.0; }

struct Kernel {
  double (*value)(double);
  double support;
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::box:
      return {box, 0.5};
    case Filter::hamming:
      return {hamming, 1.0};
    case Filter::bicubic:
      return {cubic, 2.0};
    case Filter::lanczos:
      return {lanczos, 3.0};
    default:
      return {triangle, 1.0};
  }
}

// ---- weights
// ---------------------------------------------------------------------------------------------------------

// A weighted sum of bytes stays within 32 bits: 8 for the byte, 2 for the overshoot of a cubic.
constexpr int kFractionBits = 32 - 8 - 2;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

// One side: output i is the sum over t < count[i] of weight[i * taps + t] * input[first[i] + t],
// rounded.
struct Weights {
  int taps;
  std::vector<int32_t> first, count, weight;
};

Weights weights_of(int in, int out, const Kernel& kernel) {
  const double scale = static_cast<double>(in) / out;
  const double stretch = std::max(scale, 1.0);
  const double support = kernel.support * stretch;
  const double shrink = 1.0 / stretch;
  const int taps = std::min(static_cast<int>(std::ceil(support)) * 2 + 1, in);
  Weights result{taps, {}, {}, {}};
  result.first.resize(static_cast<size_t>(out));
  result.count.resize(static_cast<size_t>(out));
  result.weight.assign(static_cast<size_t>(out) * static_cast<size_t>(taps), 0);
  std::vector<double> exact(static_cast<size_t>(taps));
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(static_cast<int>(center - support + 0.5), 0);
    const int count = std::min(static_cast<int>(center + support + 0.5), in) - first;
    double sum = 0;
    for (int t = 0; t < count; ++t) {
      exact[t] = kernel.value((t + first - center + 0.5) * shrink);
      sum += exact[t];
    }
    for (int t = 0; t < count; ++t) {
      const double share = (sum != 0.0 ? exact[t] / sum : exact[t]) * (1 << kFractionBits);
      result.weight[static_cast<size_t>(i) * taps + t] =
          static_cast<int32_t>(share < 0 ? share - 0.5 : share + 0.5);
    }
    result.first[i] = first;
    result.count[i] = count;
  }
  return result;
}

uint8_t to_byte(int32_t sum) {
  return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
}

// ---- the two passes
// --------------------------------------------------------------------------------------------------

template <int channels>
void resize_row(const uint8_t* from, uint8_t* to, const Weights& weights, int width) {
  for (int x = 0; x < width; ++x) {
    const uint8_t* pixel = from + static_cast<size_t>(weights.first[x]) * channels;
    const int32_t* weight = weights.weight.data() + static_cast<size_t>(x) * weights.taps;
    int32_t sum[channels];
    for (int c = 0; c < channels; ++c) sum[c] = kHalf;
    for (int t = 0; t < weights.count[x]; ++t) {
      for (int c = 0; c < channels; ++c) sum[c] += weight[t] * pixel[t * channels + c];
    }
    for (int c = 0; c < channels; ++c) to[x * channels + c] = to_byte(sum[c]);
  }
}

Image resize_width(const Image& image, int width, const Kernel& kernel) {
  const Weights weights = weights_of(image.width(), width, kernel);
  Image result(width, image.height(), image.channels());
  uint8_t* to = result.mutable_row(0);
  const size_t stride = result.stride();
  parallel_for(image.height(), 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const uint8_t* line = image.row(static_cast<int>(y));
      uint8_t* out = to + static_cast<size_t>(y) * stride;
      if (image.channels() == 1) resize_row<1>(line, out, weights, width);
      if (image.channels() == 3) resize_row<3>(line, out, weights, width);
      if (image.channels() == 4) resize_row<4>(line, out, weights, width);
    }
  });
  return result;
}

Image resize_height(const Image& image, int height, const Kernel& kernel) {
  const Weights weights = weights_of(image.height(), height, kernel);
  Image result(image.width(), height, image.channels());
  uint8_t* to = result.mutable_row(0);
  const size_t stride = result.stride();
  parallel_for(height, 8, [&](int64_t begin, int64_t end) {
    std::vector<int32_t> sums(stride);
    for (int64_t y = begin; y < end; ++y) {
      std::fill(sums.begin(), sums.end(), kHalf);
      int32_t* sum = sums.data();
      for (int t = 0; t < weights.count[y]; ++t) {
        const int32_t weight = weights.weight[static_cast<size_t>(y) * weights.taps + t];
        const uint8_t* line = image.row(weights.first[y] + t);
        for (size_t i = 0; i < stride; ++i) sum[i] += weight * line[i];
      }
      uint8_t* out = to + static_cast<size_t>(y) * stride;
      for (size_t i = 0; i < stride; ++i) out[i] = to_byte(sum[i]);
    }
  });
  return result;
}

// Positions are summed up step by step in double, as Pillow does: with long rows the last bit can
// matter.
std::vector<int> nearest_positions(int in, int out) {
  const double step = static_cast<double>(in) / out;
  double position = step * 0.5;
  std::vector<int> positions(static_cast<size_t>(out));
  for (int& index : positions) {
    index = std::min(static_cast<int>(position), in - 1);
    position += step;
  }
  return positions;
}

Image resize_nearest(const Image& image, int width, int height) {
  const auto columns = nearest_positions(image.width(), width);
  const auto rows = nearest_positions(image.height(), height);
  Image result(width, height, image.channels());
  uint8_t* to = result.mutable_row(0);
  const size_t stride = result.stride();
  const auto channels = static_cast<size_t>(image.channels());
  parallel_for(height, 32, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const uint8_t* line = image.row(rows[y]);
      uint8_t* out = to + static_cast<size_t>(y) * stride;
      for (int x = 0; x < width; ++x) {
        const uint8_t* pixel = line + static_cast<size_t>(columns[x]) * channels;
        for (size_t c = 0; c < channels; ++c) *out++ = pixel[c];
      }
    }
  });
  return result;
}

// ---- alpha
// -----------------------------------------------------------------------------------------------------------

// Colours times alpha, so that what nobody sees does not bleed into what one does; both roundings
// are Pillow's.
Image premultiplied(Image image) {
  uint8_t* pixel = image.mutable_row(0);
  for (int64_t i = int64_t{image.width()} * image.height(); i > 0; --i, pixel += 4) {
    for (int c = 0; c < 3; ++c) {
      const int product = pixel[c] * pixel[3] + 128;
      pixel[c] = static_cast<uint8_t>(((product >> 8) + product) >> 8);
    }
  }
  return image;
}

Image unpremultiplied(Image image) {
  uint8_t* pixel = image.mutable_row(0);
  for (int64_t i = int64_t{image.width()} * image.height(); i > 0; --i, pixel += 4) {
    const int alpha = pixel[3];
    if (alpha == 0 || alpha == 255) continue;
    for (int c = 0; c < 3; ++c)
      pixel[c] = static_cast<uint8_t>(std::min(255 * pixel[c] / alpha, 255));
  }
  return image;
}

}  // namespace

Image resize(const Image& image, int width, int height, Filter filter) {
  if (image.empty()) fail(Kind::usage, "resize: the image is empty");
  if (width < 1 || height < 1)
    fail(Kind::usage, "resize: to {}x{}, expected sides of at least 1", width, height);
  if (width == image.width() && height == image.height()) return image;
  if (filter == Filter::nearest) return resize_nearest(image, width, height);
  const Kernel kernel = kernel_of(filter);
  Image result = image.has_alpha() ? premultiplied(image) : image;
  if (width != result.width()) result = resize_width(result, width, kernel);
  if (height != result.height()) result = resize_height(result, height, kernel);
  return image.has_alpha() ? unpremultiplied(std::move(result)) : result;
}

ImageSize long_side_size(int width, int height, int target) {
  if (width < 1 || height < 1 || target < 1)
    fail(Kind::usage, "long_side_size: {}x{} to {}, expected numbers of at least 1", width, height,
         target);
  const double scale = target * 1.0 / std::max(width, height);
  const auto side = [&](int length) { return std::max(1, static_cast<int>(length * scale + 0.5)); };
  return {side(width), side(height)};
}

ImageSize short_side_size(int width, int height, int target) {
  if (width < 1 || height < 1 || target < 1)
    fail(Kind::usage, "short_side_size: {}x{} to {}, expected numbers of at least 1", width, height,
         target);
  const int shorter = std::min(width, height);
  const int64_t longer = int64_t{target} * std::max(width, height) / shorter;
  if (longer > INT32_MAX)
    fail(Kind::resource, "short_side_size: {}x{} with its short side {} is too long", width, height,
         target);
  const auto other = static_cast<int>(longer);
  return width <= height ? ImageSize{target, other} : ImageSize{other, target};
}

Image center_crop(const Image& image, int width, int height) {
  if (width < 1 || height < 1 || width > image.width() || height > image.height()) {
    fail(Kind::usage, "center_crop: {}x{} does not fit in {}x{}", width, height, image.width(),
         image.height());
  }
  const auto offset = [](int side, int size) {
    return static_cast<int>(std::nearbyint((side - size) / 2.0));
  };
  return image.crop(offset(image.width(), width), offset(image.height(), height), width, height);
}

Image resize_and_crop(const Image& image, int short_side, int crop, Filter filter) {
  if (image.empty()) fail(Kind::usage, "resize_and_crop: the image is empty");
  const ImageSize size = short_side_size(image.width(), image.height(), short_side);
  return center_crop(resize(image, size.width, size.height, filter), crop, crop);
}

std::vector<float> resize_legacy_bilinear(const Image& image, int width, int height) {
  if (image.empty()) fail(Kind::usage, "resize: the image is empty");
  if (width < 1 || height < 1)
    fail(Kind::usage, "resize: to {}x{}, expected sides of at least 1", width, height);
  const float step_x = static_cast<float>(image.width()) / static_cast<float>(width);
  const float step_y = static_cast<float>(image.height()) / static_cast<float>(height);
  const int channels = image.channels();
  std::vector<float> result(static_cast<size_t>(width) * static_cast<size_t>(height) *
                            static_cast<size_t>(channels));
  parallel_for(height, 16, [&](int64_t begin, int64_t end) {
    for (int64_t y = begin; y < end; ++y) {
      const float source_y = static_cast<float>(y) * step_y;
      const int top = std::min(static_cast<int>(source_y), image.height() - 1);
      const int bottom = std::min(top + 1, image.height() - 1);
      const float down = source_y - static_cast<float>(top);
      const uint8_t* upper = image.row(top);
      const uint8_t* lower = image.row(bottom);
      float* out = result.data() + static_cast<size_t>(y) * width * channels;
      for (int x = 0; x < width; ++x) {
        const float source_x = static_cast<float>(x) * step_x;
        const int left = std::min(static_cast<int>(source_x), image.width() - 1);
        const int right = std::min(left + 1, image.width() - 1);
        const float across = source_x - static_cast<float>(left);
        for (int c = 0; c < channels; ++c) {
          const float ul = upper[left * channels + c], ur = upper[right * channels + c];
          const float ll = lower[left * channels + c], lr = lower[right * channels + c];
          const float above = ul + (ur - ul) * across;
          const float below = ll + (lr - ll) * across;
          *out++ = above + (below - above) * down;
        }
      }
    }
  });
  return result;
}

}  // namespace beckon
