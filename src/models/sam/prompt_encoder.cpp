#include "models/sam/prompt_encoder.h"

#include <cmath>
#include <numbers>

#include "base/fail.h"
#include "base/threads.h"

namespace beckon::sam {
namespace {

constexpr float kPromptNormEps = 1e-6f;
constexpr float kTau = static_cast<float>(2 * std::numbers::pi);

Tensor constant_labels(int64_t rows, std::initializer_list<TokenLabel> labels) {
  Tensor result = Tensor::empty({rows, static_cast<int64_t>(labels.size())}, DType::i64);
  int64_t* to = result.data_as<int64_t>();
  for (int64_t row = 0; row < rows; ++row)
    for (const TokenLabel label : labels) *to++ = static_cast<int64_t>(label);
  return result;
}

Tensor concat_labels(const Tensor& a, const Tensor& b) {
  const int64_t rows = a.dim(0), left = a.dim(1), right = b.dim(1);
  Tensor result = Tensor::empty({rows, left + right}, DType::i64);
  int64_t* to = result.data_as<int64_t>();
  for (int64_t row = 0; row < rows; ++row) {
    const Tensor* const parts[] = {&a, &b};
    for (const Tensor* part : parts) {
      const int64_t* from = part->data_as<int64_t>() + row * part->dim(1);
      to = std::copy(from, from + part->dim(1), to);
    }
  }
  return result;
}

// position_code() of the middles of a grid, [1,h,w,C]. An angle is one of the row and one of the
// column together: sin(a + b) = sin a cos b + cos a sin b spares all but one in h + w sines, which
// were most of the time a model took to load.
Tensor code_of_grid(const Tensor& gaussian, int64_t rows, int64_t columns) {
  const int64_t half = gaussian.dim(1);
  const Tensor plain = gaussian.contiguous();  // [2,C/2]: of x, of y
  struct Side {
    std::vector<float> sine, cosine;  // [places,C/2]
  };
  const auto side = [&](int64_t places, const float* g) {
    Side result;
    for (int64_t i = 0; i < places; ++i) {
      const double at = 2 * (static_cast<double>(i) + 0.5) / static_cast<double>(places) - 1;
      for (int64_t c = 0; c < half; ++c) {
        const double angle = 2 * std::numbers::pi * at * static_cast<double>(g[c]);
        result.sine.push_back(static_cast<float>(std::sin(angle)));
        result.cosine.push_back(static_cast<float>(std::cos(angle)));
      }
    }
    return result;
  };
  const float* g = plain.values().data();
  const Side x = side(columns, g), y = side(rows, g + half);
  Tensor code = Tensor::empty({1, rows, columns, 2 * half});
  float* all = code.data();
  parallel_for(rows, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float* sy = &y.sine[static_cast<size_t>(i * half)];
      const float* cy = &y.cosine[static_cast<size_t>(i * half)];
      for (int64_t j = 0; j < columns; ++j) {
        const float* sx = &x.sine[static_cast<size_t>(j * half)];
        const float* cx = &x.cosine[static_cast<size_t>(j * half)];
        float* to = all + (i * columns + j) * 2 * half;
        for (int64_t c = 0; c < half; ++c) {
          to[c] = sx[c] * cy[c] + cx[c] * sy[c];
          to[half + c] = cx[c] * cy[c] - sx[c] * sy[c];
        }
      }
    }
  });
  return code;
}

}  // namespace

PromptEncoder::PromptEncoder(const nn::Params& p, const PromptEncoderConfig& c)
    : config_(c),
      gaussian_(
          (p / "pe_layer")
              .buffer("positional_encoding_gaussian_matrix", {2, c.dim / 2}, nn::Init::weight)),
      not_a_point_((p / "not_a_point_embed").tensor("weight", {1, c.dim})),
      mask1_(p / "mask_downscaling" / 0, 1, c.mask_channels / 4, 2, Conv().stride(2)),
      mask_norm1_(p / "mask_downscaling" / 1, c.mask_channels / 4, kPromptNormEps),
      mask2_(p / "mask_downscaling" / 3, c.mask_channels / 4, c.mask_channels, 2, Conv().stride(2)),
      mask_norm2_(p / "mask_downscaling" / 4, c.mask_channels, kPromptNormEps),
      mask3_(p / "mask_downscaling" / 6, c.mask_channels, c.dim, 1, {}),
      no_mask_((p / "no_mask_embed").tensor("weight", {1, c.dim})) {
  for (int64_t i = 0; i < 4; ++i)
    point_embeddings_.push_back((p / "point_embeddings" / i).tensor("weight", {1, c.dim}));

  grid_code_ = code_of_grid(gaussian_, c.grid_h, c.grid_w);
}

// Random Fourier features: sine and cosine of 2 pi (2 uv - 1) G.
Tensor PromptEncoder::position_code(const Tensor& uv) const {
  const Tensor z = matmul(uv * 2.0f - 1.0f, gaussian_) * kTau;
  return concat({sin(z), cos(z)}, -1);
}

Tensor PromptEncoder::tokens(const Tensor& xy, const Tensor& labels) const {
  const int64_t rows = xy.dim(0), count = xy.dim(1);
  if (xy.rank() != 3 || xy.dim(2) != 2 || !(labels.shape() == Shape{rows, count}))
    fail(Kind::usage, "prompt tokens: positions {} and labels {}, expected [P,S,2] and [P,S]",
         xy.shape().str(), labels.shape().str());
  Tensor row = Tensor::empty({rows, count}, DType::i64);
  Tensor is_position = Tensor::empty({rows, count, 1});
  const int64_t* label = labels.data_as<int64_t>();
  for (int64_t i = 0; i < rows * count; ++i) {
    if (label[i] < -1 || label[i] > 3)
      fail(Kind::usage, "prompt tokens: label {} is not one of -1 to 3", label[i]);
    row.data_as<int64_t>()[i] = label[i] + 1;
    is_position.data()[i] = label[i] >= 0 ? 1.0f : 0.0f;
  }
  // Positions are corners of pixels; half a pixel on is the middle (in the resized frame, as the
  // reference has it).
  const Tensor size = Tensor::from({static_cast<float>(config_.image_w),  //
                                    static_cast<float>(config_.image_h)},
                                   {2});
  const Tensor code = position_code((xy + 0.5f) / size);
  const Tensor table = concat({not_a_point_, point_embeddings_[0], point_embeddings_[1],
                               point_embeddings_[2], point_embeddings_[3]},
                              0);
  // A padding point has no position: its token is `not_a_point` alone.
  return where(is_position, code, Tensor::zeros({1})) + embedding(table, row);
}

Tensor PromptEncoder::sparse(const Tensor& points, const Tensor& labels,
                             const Tensor& boxes) const {
  if (points.defined() != labels.defined())
    fail(Kind::usage, "points need labels, and labels points");
  if (points.defined() && boxes.defined() && points.dim(0) != boxes.dim(0))
    fail(Kind::usage, "{} rows of points and {} boxes", points.dim(0), boxes.dim(0));
  if (!points.defined() && !boxes.defined()) return {};
  const int64_t rows = points.defined() ? points.dim(0) : boxes.dim(0);
  const Tensor end = boxes.defined() ? boxes.reshape({rows, 2, 2}) : Tensor::zeros({rows, 1, 2});
  const Tensor end_labels =
      boxes.defined() ? constant_labels(rows, {TokenLabel::top_left, TokenLabel::bottom_right})
                      : constant_labels(rows, {TokenLabel::padding});
  if (!points.defined()) return tokens(end, end_labels);
  return tokens(concat({points, end}, 1), concat_labels(labels.contiguous(), end_labels));
}

Tensor PromptEncoder::dense(const Tensor& masks) const {
  const Shape expected = {masks.dim(0), 4 * config_.grid_h, 4 * config_.grid_w, 1};
  if (!(masks.shape() == expected))
    fail(Kind::usage, "mask prompt of shape {}, expected {}", masks.shape().str(), expected.str());
  Tensor x = gelu(mask_norm1_(mask1_(masks)));
  x = gelu(mask_norm2_(mask2_(x)));
  return mask3_(x);
}

Tensor PromptEncoder::no_mask() const { return no_mask_.reshape({1, 1, 1, config_.dim}); }

}  // namespace beckon::sam
