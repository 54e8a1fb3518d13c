#include "models/sam/image_encoder_tiny_vit.h"

#include <cstdlib>

namespace beckon::sam {
namespace {

constexpr float kTinyVitNormEps = 1e-5f;

Conv depthwise(int64_t channels, int64_t stride = 1) {
  return Conv().padding(1).stride(stride).group(channels);
}

// Rounded down as in the reference; the small addend is for ratios that are quotients of widths.
int64_t scaled(int64_t dim, double ratio) {
  return static_cast<int64_t>(static_cast<double>(dim) * ratio + 1e-6);
}

}  // namespace

MBConv::MBConv(const nn::Params& p, int64_t in, int64_t hidden, int64_t out, int64_t stride,
               bool residual)
    : conv1_(p / "conv1", in, hidden, 1, {}),
      conv2_(p / "conv2", hidden, hidden, 3, depthwise(hidden, stride)),
      conv3_(p / "conv3", hidden, out, 1, {}),
      stride_(stride),
      residual_(residual) {}

Tensor MBConv::forward(const Tensor& x) const {
  const auto a = conv1_.folded(), b = conv2_.folded(), c = conv3_.folded();
  return mbconv(x, {a->weight, a->bias, b->weight, b->bias, c->weight, c->bias}, stride_,
                Activation::gelu, residual_);
}

TinyAttention::TinyAttention(const nn::Params& p, int64_t dim, int64_t heads, int64_t window)
    : norm_(p / "norm", dim, kTinyVitNormEps),
      qkv_(p / "qkv", dim, 3 * dim),
      proj_(p / "proj", dim, dim),
      biases_(p.tensor("attention_biases", {heads, window * window}, nn::Init::zeros)),
      heads_(heads),
      window_(window) {}

// Query (y1,x1) and key (y2,x2) share the bias of |y1-y2|, |x1-x2|.
Tensor TinyAttention::expanded_bias() const {
  const int64_t positions = window_ * window_;
  Tensor index = Tensor::empty({positions * positions}, DType::i64);
  int64_t* to = index.data_as<int64_t>();
  for (int64_t q = 0; q < positions; ++q)
    for (int64_t k = 0; k < positions; ++k)
      *to++ = std::abs(q / window_ - k / window_) * window_ + std::abs(q % window_ - k % window_);
  return index_select(biases_, 1, index).reshape({heads_, positions, positions});
}

Tensor TinyAttention::add_to(const Tensor& x) const {
  const auto bias = bias_.get({&biases_}, [&] { return expanded_bias(); });
  const auto pad_row = pad_row_.get({&norm_.norm.beta, &qkv_.weight, &qkv_.bias}, [&] {
    return qkv_(norm_.norm.beta.reshape({1, -1})).reshape({-1});
  });
  const WindowAttention options{
      .heads = heads_, .window = window_, .per_head = true, .bias = *bias};
  const Tensor qkv = nn::normed_linear(norm_, qkv_, x);
  return proj_(window_attention(qkv, options, *pad_row), {.residual = x});
}

TinyVitBlock::TinyVitBlock(const nn::Params& p, int64_t dim, int64_t heads, int64_t window,
                           int64_t hidden)
    : attn(p / "attn", dim, heads, window),
      local_conv(p / "local_conv", dim, dim, 3, depthwise(dim)),
      mlp_norm(p / "mlp" / "norm", dim, kTinyVitNormEps),
      mlp(p / "mlp", dim, hidden, Activation::gelu, {"fc1", "fc2"}) {}

Tensor TinyVitBlock::forward(const Tensor& x) const {
  // The local convolution has neither activation nor residual.
  const auto local = local_conv.folded();
  FeedForward rest = mlp.weights(mlp_norm);
  rest.local = local->weight;
  rest.local_bias = local->bias;
  return feed_forward(attn.add_to(x), rest);
}

TinyVitEncoder::TinyVitEncoder(const nn::Params& p, const TinyVitConfig& c)
    : patch1_(p / "patch_embed" / "seq" / 0, 3, c.dims[0] / 2, 3, Conv().stride(2).padding(1)),
      patch2_(p / "patch_embed" / "seq" / 2, c.dims[0] / 2, c.dims[0], 3,
              Conv().stride(2).padding(1)),
      neck_(p / "neck", c.dims[3], c.out) {
  for (size_t i = 0; i < 4; ++i) {
    const nn::Params layer = p / "layers" / static_cast<int64_t>(i);
    for (int64_t j = 0; j < c.depths[i]; ++j) {
      const nn::Params block = layer / "blocks" / j;
      if (i == 0) {
        stage0_.emplace_back(block, c.dims[0], scaled(c.dims[0], c.expand_ratio), c.dims[0], 1,
                             true);
      } else {
        stages_[i - 1].emplace_back(block, c.dims[i], c.heads[i], c.windows[i],
                                    scaled(c.dims[i], c.mlp_ratio));
      }
    }
    if (i < 3)
      downsample_.emplace_back(layer / "downsample", c.dims[i], c.dims[i + 1], c.dims[i + 1],
                               c.strides[i], false);
  }
}

Tensor TinyVitEncoder::forward(const Tensor& image, const nn::Watch& watch) const {
  return neck_(body(image, watch), watch);
}

Tensor TinyVitEncoder::body(const Tensor& image, const nn::Watch& watch) const {
  const auto tell = [&](const std::string& stage, const Tensor& x) {
    if (watch) watch(stage, x);
  };
  Tensor x = patch2_(patch1_(image, {Activation::gelu}));
  tell("patch_embed", x);
  for (size_t i = 0; i < 4; ++i) {
    const std::string layer = "layers" + std::to_string(i);
    const size_t depth = i == 0 ? stage0_.size() : stages_[i - 1].size();
    for (size_t j = 0; j < depth; ++j) {
      x = i == 0 ? stage0_[j].forward(x) : stages_[i - 1][j].forward(x);
      tell(layer + ".block" + std::to_string(j), x);
    }
    if (i < 3) {
      x = downsample_[i].forward(x);
      tell(layer + ".downsample", x);
    }
  }
  return x;
}

}  // namespace beckon::sam
