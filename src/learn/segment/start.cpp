#include "learn/segment/start.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "beckon/ops.h"
#include "learn/segment/network.h"

namespace beckon::learn {
namespace {

// Logits of the prior at the mean of the objects and of the rest, before anything is learned: as
// sure as SAM is of a rough mask.
constexpr double kFirstMargin = 4;
constexpr double kTokenNoise = 0.02;

// Of the mean variance, added to every one: features that hardly vary say little.
constexpr double kRidge = 0.002;

struct FeatureMeans {
  std::vector<double> object, rest;  // [C]
  double object_weight = 0, rest_weight = 0;
};

// How much of each place of the features is object: the mean of 4 x 4 low-resolution logits.
std::vector<float> cover_of_places(const SegmentExample& e, const OnImage& part) {
  std::vector<float> cover(static_cast<size_t>(part.rows * part.columns));
  const float* low = std::as_const(e.cover).data();
  for (int64_t i = 0; i < part.rows; ++i)
    for (int64_t j = 0; j < part.columns; ++j) {
      float sum = 0;
      int64_t count = 0;
      for (int64_t y = 4 * i; y < std::min(4 * i + 4, e.rows); ++y)
        for (int64_t x = 4 * j; x < std::min(4 * j + 4, e.columns); ++x, ++count)
          sum += low[y * e.columns + x];
      cover[static_cast<size_t>(i * part.columns + j)] =
          count > 0 ? sum / static_cast<float>(count) : 0;
    }
  return cover;
}

OnImage places_of(const SegmentExample& e) {
  return on_image(e.seen().frame, e.seen().embedding.dim(1), e.seen().embedding.dim(2));
}

const float* feature(const SegmentExample& e, int64_t row, int64_t column) {
  const Tensor& x = e.seen().embedding;
  return std::as_const(x).data() + (row * x.dim(2) + column) * x.dim(3);
}

FeatureMeans means_of(std::span<const SegmentExample> examples, int64_t channels) {
  FeatureMeans m{std::vector<double>(static_cast<size_t>(channels)),
                 std::vector<double>(static_cast<size_t>(channels))};
  for (const SegmentExample& e : examples) {
    const OnImage part = places_of(e);
    const std::vector<float> cover = cover_of_places(e, part);
    for (int64_t i = 0; i < part.rows; ++i)
      for (int64_t j = 0; j < part.columns; ++j) {
        const double in = static_cast<double>(cover[static_cast<size_t>(i * part.columns + j)]);
        const float* x = feature(e, i, j);
        m.object_weight += in;
        m.rest_weight += 1 - in;
        for (size_t c = 0; c < m.object.size(); ++c) {
          m.object[c] += in * static_cast<double>(x[c]);
          m.rest[c] += (1 - in) * static_cast<double>(x[c]);
        }
      }
  }
  for (double& v : m.object) v /= std::max(m.object_weight, 1e-9);
  for (double& v : m.rest) v /= std::max(m.rest_weight, 1e-9);
  return m;
}

// a x = b for a symmetric, positive definite matrix, by Cholesky's decomposition in place.
std::vector<double> solve(std::vector<double> a, std::vector<double> b) {
  const size_t n = b.size();
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double v = a[i * n + j];
      for (size_t k = 0; k < j; ++k) v -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(std::max(v, 1e-30)) : v / a[j * n + j];
    }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= a[i * n + k] * b[k];
    b[i] /= a[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= a[k * n + i] * b[k];
    b[i] /= a[i * n + i];
  }
  return b;
}

}  // namespace

SegmentPromptTensors start_from_features(std::span<const SegmentExample> examples,
                                         const LearnSegmentOptions& options, Random& random) {
  const sam::SamModel& model = *examples.front().seen().model;
  const int64_t channels = model.config.dim();
  const FeatureMeans m = means_of(examples, channels);
  SegmentPromptTensors prompt;
  if (options.prior) {
    double square = 0, middle = 0;
    for (size_t c = 0; c < m.object.size(); ++c) {
      const double d = m.object[c] - m.rest[c];
      square += d * d;
      middle += d * (m.object[c] + m.rest[c]) / 2;
    }
    // direction . (object - middle) = kFirstMargin
    const double scale = 2 * kFirstMargin / std::max(square, 1e-12);
    prompt.direction = Tensor::empty({channels});
    for (size_t c = 0; c < m.object.size(); ++c)
      prompt.direction.data()[c] = static_cast<float>(scale * (m.object[c] - m.rest[c]));
    prompt.offset = Tensor::full({1}, static_cast<float>(-scale * middle));
  }
  if (options.tokens > 0) {
    prompt.tokens = Tensor::empty({options.tokens, channels});
    const float* padding = std::as_const(model.prompt_encoder.not_a_point()).data();
    float* to = prompt.tokens.data();
    for (int k = 0; k < options.tokens; ++k)
      for (int64_t c = 0; c < channels; ++c)
        *to++ = padding[c] + static_cast<float>(kTokenNoise * random.normal());
  }
  if (options.dense) prompt.dense = Tensor::zeros({channels});
  return prompt;
}

void fit_prior(std::span<const SegmentExample> examples, SegmentPromptTensors& prompt) {
  if (!prompt.direction.defined()) return;
  const NoGrad no_grad;
  const int64_t channels = prompt.direction.dim(0);
  const FeatureMeans m = means_of(examples, channels);
  const double all = m.object_weight + m.rest_weight;
  if (m.object_weight < 1e-6 || m.rest_weight < 1e-6) return;  // nothing to tell apart

  // Scatter around the mean of all places, then without that between the two means.
  std::vector<float> centre;
  for (size_t c = 0; c < m.object.size(); ++c)
    centre.push_back(
        static_cast<float>((m.object_weight * m.object[c] + m.rest_weight * m.rest[c]) / all));
  const Tensor middle = Tensor::from(std::span<const float>(centre), {channels});
  std::vector<double> scatter(static_cast<size_t>(channels * channels));
  for (const SegmentExample& e : examples) {
    const OnImage part = places_of(e);
    const Tensor x = (e.seen().embedding.slice(1, 0, part.rows).slice(2, 0, part.columns) - middle)
                         .reshape({part.rows * part.columns, channels});
    const Tensor products = matmul(x.transpose(0, 1).contiguous(), x).contiguous();
    const auto values = std::as_const(products).values();
    for (size_t i = 0; i < scatter.size(); ++i) scatter[i] += static_cast<double>(values[i]);
  }
  const auto n = static_cast<size_t>(channels);
  std::vector<double> apart(n);
  for (size_t c = 0; c < n; ++c) apart[c] = m.object[c] - m.rest[c];
  const double between = m.object_weight * m.rest_weight / all;
  double trace = 0;
  for (size_t i = 0; i < n; ++i) {
    for (size_t j = 0; j < n; ++j)
      scatter[i * n + j] = (scatter[i * n + j] - between * apart[i] * apart[j]) / all;
    trace += scatter[i * n + i];
  }
  const double ridge = std::max(kRidge * trace / static_cast<double>(channels), 1e-12);
  for (size_t i = 0; i < n; ++i) scatter[i * n + i] += ridge;
  const std::vector<double> w = solve(std::move(scatter), apart);

  // Of two normal distributions with this covariance, the log odds.
  double offset = std::log(m.object_weight / m.rest_weight);
  for (size_t c = 0; c < n; ++c) offset -= w[c] * (m.object[c] + m.rest[c]) / 2;
  prompt.direction = Tensor::empty({channels});
  for (size_t c = 0; c < n; ++c) prompt.direction.data()[c] = static_cast<float>(w[c]);
  prompt.offset = Tensor::full({1}, static_cast<float>(offset));
}

}  // namespace beckon::learn
