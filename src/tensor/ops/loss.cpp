// Losses: each a mean, a scalar.
#include <algorithm>
#include <cmath>
#include <vector>

#include "base/fail.h"
#include "beckon/ops.h"
#include "kernels/elementwise.h"
#include "kernels/softmax.h"
#include "tensor/ops/common.h"
#include "tensor/tape.h"

namespace beckon {
namespace {

using detail::floats;
using detail::for_elements;
using detail::for_rows;

constexpr int64_t kIgnored = -100;  // a target that is left out, as in PyTorch

void check_same_shape(const char* name, const Tensor& x, const Tensor& target) {
  if (!(x.shape() == target.shape()))
    fail(Kind::usage, "{}: shape {} with a target of shape {}", name, x.shape().str(),
         target.shape().str());
}

// A loss between two arrays element by element, not yet averaged. value, slope_x and slope_t are
// of one pair (x, t).
template <typename Value, typename SlopeX, typename SlopeT>
Tensor pairwise(const char* name, const Tensor& x_in, const Tensor& target_in, Value value,
                SlopeX slope_x, SlopeT slope_t) {
  const Tensor x = floats(name, x_in), t = floats(name, target_in);
  check_same_shape(name, x, t);
  Tensor y = Tensor::empty(x.shape());
  const float *x0 = x.data(), *t0 = t.data();
  float* to = y.data();
  for_elements(x.size(), [=](int64_t i) { to[i] = value(x0[i], t0[i]); });
  return record(name, y, {x, t}, [x, t, slope_x, slope_t](const Tensor& dy) -> Grads {
    const auto times_dy = [&](auto slope) {
      Tensor dx = Tensor::empty(dy.shape());
      const float *px = x.data(), *pt = t.data(), *pdy = dy.data();
      float* pdx = dx.data();
      for_elements(dy.size(), [=](int64_t i) { pdx[i] = pdy[i] * slope(px[i], pt[i]); });
      return dx;
    };
    return {x.requires_grad() ? times_dy(slope_x) : Tensor(),
            t.requires_grad() ? times_dy(slope_t) : Tensor()};
  });
}

float logistic(float x) {
  // exp of a negative number only: nothing overflows.
  const float e = std::exp(-std::fabs(x));
  return (x >= 0 ? 1.0f : e) / (1.0f + e);
}

// -t log p - (1 - t) log(1 - p) with p = sigmoid(x), as max(x, 0) - x t + log(1 + exp(-|x|)).
Tensor bce_elements(const char* name, const Tensor& x, const Tensor& target) {
  return pairwise(
      name, x, target,
      [](float v, float t) {
        return std::max(v, 0.0f) - v * t + std::log1p(std::exp(-std::fabs(v)));
      },
      [](float v, float t) { return logistic(v) - t; }, [](float v, float) { return -v; });
}

float sign(float v) { return v > 0 ? 1.0f : v < 0 ? -1.0f : 0.0f; }

// Each row's terms summed in double, then the rows in order.
template <typename RowLoss>
double sum_of_rows(int64_t rows, int64_t cols, RowLoss&& row_loss) {
  std::vector<double> losses(static_cast<size_t>(rows));
  for_rows(rows, cols, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) losses[static_cast<size_t>(r)] = row_loss(r);
  });
  double total = 0;
  for (double loss : losses) total += loss;
  return total;
}

Tensor log_probabilities(const Tensor& logits) {
  Tensor logp = Tensor::empty(logits.shape());
  if (logits.size() > 0)
    kernels::log_softmax(logits.data(), logits.dim(0), logits.dim(1), {}, logp.data());
  return logp;
}

// Targets are class numbers.
Tensor cross_entropy_of_classes(const Tensor& logits, const Tensor& classes, float smoothing) {
  const int64_t rows = logits.dim(0), cols = logits.dim(1);
  const int64_t* label = classes.data_as<int64_t>();
  int64_t counted = 0;
  for (int64_t r = 0; r < rows; ++r) {
    if (label[r] == kIgnored) continue;
    if (label[r] < 0 || label[r] >= cols)
      fail(Kind::usage, "cross_entropy: class {} in row {}, expected 0 to {} or {}", label[r], r,
           cols - 1, kIgnored);
    ++counted;
  }
  // Smoothing moves this much of the target to each class.
  const double share = smoothing / static_cast<double>(cols), rest = 1.0 - smoothing;
  const Tensor logp = log_probabilities(logits);
  const float* lp = logp.data();
  const double total = sum_of_rows(rows, cols, [&](int64_t r) {
    if (label[r] == kIgnored) return 0.0;
    double all = 0;
    if (share > 0)
      for (int64_t c = 0; c < cols; ++c) all += lp[r * cols + c];
    return -rest * lp[r * cols + label[r]] - share * all;
  });
  const auto loss = static_cast<float>(total / static_cast<double>(counted));  // of nothing: NaN
  return record("cross_entropy", Tensor::full({}, loss), {logits},
                [logp, classes, counted, share, rest](const Tensor& dy) -> Grads {
                  Tensor dx = Tensor::zeros(logp.shape());
                  const int64_t k = logp.dim(1);
                  const int64_t* target = classes.data_as<int64_t>();
                  const float* log_p = logp.data();
                  float* to = dx.data();
                  const float scale = dy.item() / static_cast<float>(counted);
                  for_rows(logp.dim(0), k, [&](int64_t begin, int64_t end) {
                    for (int64_t r = begin; r < end; ++r) {
                      if (target[r] == kIgnored) continue;
                      float* row = to + r * k;
                      for (int64_t c = 0; c < k; ++c)
                        row[c] = scale * (std::exp(log_p[r * k + c]) - static_cast<float>(share));
                      row[target[r]] -= scale * static_cast<float>(rest);
                    }
                  });
                  return {dx};
                });
}

// Targets are probabilities.
Tensor cross_entropy_of_shares(const Tensor& logits, const Tensor& target, float smoothing) {
  check_same_shape("cross_entropy", logits, target);
  const int64_t rows = logits.dim(0), cols = logits.dim(1);
  const float share = smoothing / static_cast<float>(cols), rest = 1.0f - smoothing;
  const Tensor logp = log_probabilities(logits);
  const float *lp = logp.data(), *t = target.data();
  const double total = sum_of_rows(rows, cols, [&](int64_t r) {
    double sum = 0;
    for (int64_t i = r * cols; i < (r + 1) * cols; ++i)
      sum -= static_cast<double>(rest * t[i] + share) * lp[i];
    return sum;
  });
  const auto loss = static_cast<float>(total / static_cast<double>(rows));
  return record("cross_entropy", Tensor::full({}, loss), {logits, target},
                [logits, target, logp, share, rest](const Tensor& dy) -> Grads {
                  const int64_t n = logp.dim(0), k = logp.dim(1);
                  const float scale = dy.item() / static_cast<float>(n);
                  const float *log_p = logp.data(), *shares = target.data();
                  Grads grads(2);
                  if (logits.requires_grad()) {
                    grads[0] = Tensor::empty(logp.shape());
                    float* to = grads[0].data();
                    for_rows(n, k, [&](int64_t begin, int64_t end) {
                      for (int64_t r = begin; r < end; ++r) {
                        float weight = 0;  // 1, if the targets are probabilities
                        for (int64_t i = r * k; i < (r + 1) * k; ++i)
                          weight += rest * shares[i] + share;
                        for (int64_t i = r * k; i < (r + 1) * k; ++i)
                          to[i] =
                              scale * (weight * std::exp(log_p[i]) - (rest * shares[i] + share));
                      }
                    });
                  }
                  if (target.requires_grad()) grads[1] = mul(logp, -rest * scale);
                  return grads;
                });
}

// One mask a row: [B, ...] as [B, n].
Tensor as_rows(const char* name, const Tensor& x) {
  if (x.rank() < 1) fail(Kind::usage, "{}: a scalar, expected [B,...]", name);
  return x.reshape({x.dim(0), x.dim(0) > 0 ? x.size() / x.dim(0) : 0});
}

}  // namespace

Tensor cross_entropy(const Tensor& logits_in, const Tensor& target, float label_smoothing) {
  const Tensor logits = floats("cross_entropy", logits_in);
  if (logits.rank() != 2 || logits.dim(1) < 1)
    fail(Kind::usage, "cross_entropy: logits of shape {}, expected [B,K]", logits.shape().str());
  if (!(label_smoothing >= 0.0f && label_smoothing <= 1.0f))
    fail(Kind::usage, "cross_entropy: label smoothing {}, expected 0 to 1", label_smoothing);
  if (target.defined() && target.dtype() != DType::i64)
    return cross_entropy_of_shares(logits, floats("cross_entropy", target), label_smoothing);
  const Tensor classes = detail::indices("cross_entropy", target);
  if (!(classes.shape() == Shape{logits.dim(0)}))
    fail(Kind::usage, "cross_entropy: logits of shape {} with classes of shape {}",
         logits.shape().str(), classes.shape().str());
  return cross_entropy_of_classes(logits, classes, label_smoothing);
}

Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& target) {
  return mean(bce_elements("binary_cross_entropy_with_logits", logits, target));
}

Tensor dice_loss(const Tensor& logits, const Tensor& target) {
  const Tensor p = as_rows("dice_loss", sigmoid(logits));
  const Tensor t = as_rows("dice_loss", floats("dice_loss", target));
  check_same_shape("dice_loss", logits, target);
  const Tensor shared = sum(p * t, {1}), both = sum(p, {1}) + sum(t, {1});
  return mean(-((2.0f * shared + 1.0f) / (both + 1.0f)) + 1.0f);
}

Tensor focal_loss(const Tensor& logits, const Tensor& target, float alpha, float gamma) {
  const Tensor t = floats("focal_loss", target);
  const Tensor ce = bce_elements("focal_loss", logits, t);
  // 1 - p_t, the probability of being wrong; in this form nothing cancels.
  const Tensor wrong = sigmoid(logits) * (-t + 1.0f) + sigmoid(-logits) * t;
  const Tensor weight = (2.0f * alpha - 1.0f) * t + (1.0f - alpha);
  return mean(weight * pow(wrong, gamma) * ce);
}

Tensor l1_loss(const Tensor& x, const Tensor& target) {
  return mean(pairwise(
      "l1_loss", x, target, [](float a, float b) { return std::fabs(a - b); },
      [](float a, float b) { return sign(a - b); }, [](float a, float b) { return sign(b - a); }));
}

Tensor l2_loss(const Tensor& x, const Tensor& target) {
  return mean(pairwise(
      "l2_loss", x, target, [](float a, float b) { return (a - b) * (a - b); },
      [](float a, float b) { return 2 * (a - b); }, [](float a, float b) { return 2 * (b - a); }));
}

}  // namespace beckon
