// Operations on tensors, each with its gradient. All compute in f32.
//
// Letters: B batch, N tokens, C channels, H and W height and width. Feature maps are [B,H,W,C].
// Negative dimensions count from the end. Wrong shapes throw Error(usage) with the shapes in the
// message. Results do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "beckon/activation.h"
#include "beckon/tensor.h"

namespace beckon {

// ---- Element by element. Two tensors broadcast as in NumPy: aligned at the right, sizes equal
// or 1. ----
BECKON_API Tensor add(const Tensor& a, const Tensor& b);
BECKON_API Tensor sub(const Tensor& a, const Tensor& b);
BECKON_API Tensor mul(const Tensor& a, const Tensor& b);
BECKON_API Tensor div(const Tensor& a, const Tensor& b);
BECKON_API Tensor add(const Tensor& a, float b);
BECKON_API Tensor mul(const Tensor& a, float b);
BECKON_API Tensor maximum(const Tensor& a, const Tensor& b);
BECKON_API Tensor minimum(const Tensor& a, const Tensor& b);
inline Tensor operator+(const Tensor& a, const Tensor& b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, const Tensor& b) { return sub(a, b); }
inline Tensor operator*(const Tensor& a, const Tensor& b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, const Tensor& b) { return div(a, b); }
inline Tensor operator+(const Tensor& a, float b) { return add(a, b); }
inline Tensor operator-(const Tensor& a, float b) { return add(a, -b); }
inline Tensor operator*(const Tensor& a, float b) { return mul(a, b); }
inline Tensor operator/(const Tensor& a, float b) { return mul(a, 1.0f / b); }
inline Tensor operator*(float a, const Tensor& b) { return mul(b, a); }
inline Tensor operator-(const Tensor& a) { return mul(a, -1.0f); }

BECKON_API Tensor exp(const Tensor& x);
BECKON_API Tensor log(const Tensor& x);
BECKON_API Tensor sqrt(const Tensor& x);
BECKON_API Tensor pow(const Tensor& x, float exponent);
BECKON_API Tensor abs(const Tensor& x);
BECKON_API Tensor sin(const Tensor& x);
BECKON_API Tensor cos(const Tensor& x);
BECKON_API Tensor tanh(const Tensor& x);
BECKON_API Tensor sigmoid(const Tensor& x);
BECKON_API Tensor relu(const Tensor& x);
BECKON_API Tensor gelu(const Tensor& x);        // exact, erf
BECKON_API Tensor quick_gelu(const Tensor& x);  // x * sigmoid(1.702 x)
BECKON_API Tensor silu(const Tensor& x);
BECKON_API Tensor clamp(const Tensor& x, float low, float high);
BECKON_API Tensor activate(const Tensor& x, Activation activation);
// where(mask, a, b): a where mask (any type, broadcast) is not zero, else b.
BECKON_API Tensor where(const Tensor& mask, const Tensor& a, const Tensor& b);

// ---- Reductions. `dims` are removed, or kept with size 1. ----
BECKON_API Tensor sum(const Tensor& x);  // of everything, a scalar
BECKON_API Tensor sum(const Tensor& x, std::initializer_list<int> dims, bool keep = false);
BECKON_API Tensor mean(const Tensor& x);
BECKON_API Tensor mean(const Tensor& x, std::initializer_list<int> dims, bool keep = false);
BECKON_API Tensor max(const Tensor& x, int dim,
                      bool keep = false);  // the gradient goes to the first largest
BECKON_API Tensor argmax(const Tensor& x, int dim, bool keep = false);  // i64, the first largest
// The k largest of a dimension in falling order (equal values by rising index), and their indices
// (i64).
BECKON_API std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int dim);

// ---- Rearranging (views are members of Tensor). ----
BECKON_API Tensor concat(std::span<const Tensor> parts, int dim);
BECKON_API Tensor concat(std::initializer_list<Tensor> parts, int dim);
BECKON_API Tensor stack(std::initializer_list<Tensor> parts, int dim);
BECKON_API std::vector<Tensor> split(const Tensor& x, std::span<const int64_t> sizes, int dim);
BECKON_API std::vector<Tensor> split(const Tensor& x, std::initializer_list<int64_t> sizes,
                                     int dim);
// before/after: one number per dimension, not negative.
BECKON_API Tensor pad(const Tensor& x, const Shape& before, const Shape& after, float value = 0.0f);
// Element i moves to (i + shift) mod size.
BECKON_API Tensor roll(const Tensor& x, std::initializer_list<int64_t> shifts,
                       std::initializer_list<int> dims);
BECKON_API Tensor flip(const Tensor& x, std::initializer_list<int> dims);
// gather: y[..i..] = x[..index[..i..]..] along dim (index i64, same rank, other sizes not larger);
// scatter_add: the reverse, adding src to a copy of x. index_select: whole slices, index of rank 1.
BECKON_API Tensor gather(const Tensor& x, int dim, const Tensor& index);
BECKON_API Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& src);
BECKON_API Tensor index_select(const Tensor& x, int dim, const Tensor& index);
// Rows of table [V,C] by index (i64, any shape S) -> [S..., C].
BECKON_API Tensor embedding(const Tensor& table, const Tensor& index);

// ---- Products. ----
// [..., M,K] x [..., K,N] -> [..., M,N]; the leading dimensions broadcast.
BECKON_API Tensor matmul(const Tensor& a, const Tensor& b);

// What linear and conv2d do with their result in passing.
struct Fused {
  Activation activation = Activation::none;
  Tensor residual = {};                    // added, same shape as the result
  bool activation_after_residual = false;  // act(y + residual) instead of act(y) + residual
};
// x [..., K], weight [N,K], bias [N] or none -> [..., N]: x weight^T + bias, then `fused`.
BECKON_API Tensor linear(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                         const Fused& fused = {});
// linear(layer_norm(x, gamma, beta, eps), weight, bias): the norm happens while the product reads
// its rows.
struct Norm {
  Tensor gamma, beta;
  float eps = 1e-5f;
};
BECKON_API Tensor norm_linear(const Tensor& x, const Norm& norm, const Tensor& weight,
                              const Tensor& bias = {}, const Fused& fused = {});

// ---- Convolution. x [B,H,W,C]; weight [O, C/groups, kh, kw] as in checkpoints; bias [O] or none.
// ----
struct Conv {
  int64_t stride_h = 1, stride_w = 1;
  int64_t pad_top = 0, pad_left = 0, pad_bottom = 0, pad_right = 0;  // zeros
  int64_t dilation_h = 1, dilation_w = 1;
  int64_t groups = 1;
  Conv& stride(int64_t s) { return stride_h = stride_w = s, *this; }
  Conv& padding(int64_t p) { return pad_top = pad_left = pad_bottom = pad_right = p, *this; }
  Conv& dilation(int64_t d) { return dilation_h = dilation_w = d, *this; }
  Conv& group(int64_t g) { return groups = g, *this; }
};
BECKON_API Tensor conv2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                         const Conv& conv = {}, const Fused& fused = {});
// weight [C, O/groups, kh, kw]; the gradient of conv2d as an operation. output_pad adds rows and
// columns at the end.
BECKON_API Tensor conv_transpose2d(const Tensor& x, const Tensor& weight, const Tensor& bias = {},
                                   const Conv& conv = {}, int64_t output_pad = 0);

// The inverted bottleneck of mobile networks: 1x1 convolution, activation, depth-wise 3x3
// convolution (padding 1), activation, 1x1 convolution; with a residual also + x and the activation
// once more. The expanded map is never stored unless a gradient is wanted. Biases may be none.
struct MbConv {
  Tensor expand, expand_bias;        // [E,C,1,1]
  Tensor depthwise, depthwise_bias;  // [E,1,3,3]
  Tensor project, project_bias;      // [O,E,1,1]
};
BECKON_API Tensor mbconv(const Tensor& x, const MbConv& weights, int64_t stride,
                         Activation activation, bool residual);

// The feed-forward half of a transformer block, y + fc2(activation(fc1(layer_norm(y)))), with y = x
// or, for a map with a local convolution [C,1,3,3] (padding 1), y = conv(x). The hidden activations
// are never stored unless a gradient is wanted. Biases and norm parameters may be none.
struct FeedForward {
  Norm norm;
  Tensor fc1, fc1_bias;  // [H,C]
  Tensor fc2, fc2_bias;  // [C,H]
  Activation activation = Activation::gelu;
  Tensor local, local_bias;
};
BECKON_API Tensor feed_forward(const Tensor& x, const FeedForward& weights);

// ---- Normalisation. ----
// Over the last dimension; with channels last this is also the "2-d layer norm" of SAM. gamma, beta
// [C] or none.
BECKON_API Tensor layer_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta, float eps);
// x [B,...,C], statistics over all positions and the C/groups channels of a group.
BECKON_API Tensor group_norm(const Tensor& x, int64_t groups, const Tensor& gamma,
                             const Tensor& beta, float eps);
// x [...,C] with given statistics (evaluation mode).
BECKON_API Tensor batch_norm(const Tensor& x, const Tensor& mean, const Tensor& variance,
                             const Tensor& gamma, const Tensor& beta, float eps);
// Training mode: statistics of this batch over all but the last dimension, returned as {y, mean,
// unbiased variance}.
struct BatchNormed {
  Tensor y, mean, variance;
};
BECKON_API BatchNormed batch_norm_train(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                        float eps);

// ---- Attention. ----
BECKON_API Tensor softmax(const Tensor& x, int dim);
BECKON_API Tensor log_softmax(const Tensor& x, int dim);
// q [B,N,H*D], k [B,M,H*D], v [B,M,H*E] (last dimension contiguous; slices of one wider projection
// are fine)
// -> [B,N,H*E]: softmax(scale * q k^T + bias) v for each of the H heads. bias [H,N,M], [1,N,M],
// [B,H,N,M] or none
// (-infinity masks). Never holds N x M numbers beyond a block of rows unless a gradient is wanted.
struct Attention {
  int64_t heads = 1;
  float scale = 0.0f;  // 0: 1/sqrt(D)
};
BECKON_API Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v,
                            const Attention& options, const Tensor& bias = {});
// Attention within windows of a map: qkv [B,H,W,3C], windows of `window` x `window` from the top
// left. Positions beyond the map (at the right and bottom when the size is no multiple) hold
// pad_row [3C], zeros if none: they are attended to like all others, as the references do. window
// 0: one window, the whole map; of [B,1,N,3C] that is self attention of sequences. -> [B,H,W,C]
struct WindowAttention {
  int64_t heads = 1;
  int64_t window = 0;
  bool per_head =
      false;  // columns of qkv: per head [q|k|v] (TinyViT), else [q|k|v] of all heads (ViT)
  // Added to the scores: bias [heads, S, S] over the S positions of a window, or SAM's decomposed
  // relative positions rel_h [2h-1, D], rel_w [2w-1, D] for a window of h x w (q unscaled times the
  // row of the key's offset).
  Tensor bias = {}, rel_h = {}, rel_w = {};
};
BECKON_API Tensor window_attention(const Tensor& qkv, const WindowAttention& options,
                                   const Tensor& pad_row = {});

// ---- Resizing and pooling of [B,H,W,C]. ----
enum class Interpolation : uint8_t { nearest, bilinear, bicubic };
// As torch.nn.functional.interpolate without antialias; bicubic with a = -0.75.
BECKON_API Tensor resize(const Tensor& x, int64_t height, int64_t width, Interpolation mode,
                         bool align_corners = false);
// grid [B,h,w,2] holds (x,y) in [-1,1]; bilinear, outside is zero.
BECKON_API Tensor grid_sample(const Tensor& x, const Tensor& grid, bool align_corners = false);
struct Pool {
  int64_t kernel = 2, stride = 2, padding = 0;
};
BECKON_API Tensor max_pool2d(const Tensor& x, const Pool& pool);  // padding is -infinity
BECKON_API Tensor avg_pool2d(const Tensor& x, const Pool& pool, bool count_padding = true);
BECKON_API Tensor adaptive_avg_pool2d(const Tensor& x, int64_t height, int64_t width);

// ---- Losses, all means over what they are taken over. ----
// logits [B,K]; target i64 [B] (-100 is left out) or probabilities [B,K].
BECKON_API Tensor cross_entropy(const Tensor& logits, const Tensor& target,
                                float label_smoothing = 0.0f);
BECKON_API Tensor binary_cross_entropy_with_logits(const Tensor& logits, const Tensor& target);
// Both take mask logits and targets [B,...] with one mask a row. dice: 1 - (2 sum(pt) + 1) / (sum p
// + sum t + 1), mean over rows. focal: (1-p_t)^gamma weighted cross-entropy with alpha for the
// positives, mean over all.
BECKON_API Tensor dice_loss(const Tensor& logits, const Tensor& target);
BECKON_API Tensor focal_loss(const Tensor& logits, const Tensor& target, float alpha = 0.25f,
                             float gamma = 2.0f);
BECKON_API Tensor l1_loss(const Tensor& x, const Tensor& target);
BECKON_API Tensor l2_loss(const Tensor& x, const Tensor& target);  // mean squared error

}  // namespace beckon
