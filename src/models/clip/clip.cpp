#include "models/clip/clip.h"

#include <algorithm>
#include <limits>

#include "base/fail.h"

namespace beckon::clip {
namespace {

constexpr float kNormEps = 1e-5f;

// [N,N]: no token sees a later one.
Tensor causal_mask(int64_t n) {
  Tensor mask = Tensor::zeros({n, n});
  for (int64_t i = 0; i < n; ++i)
    std::fill(mask.data() + i * n + i + 1, mask.data() + (i + 1) * n,
              -std::numeric_limits<float>::infinity());
  return mask;
}

void check_side(const Tensor& image, int64_t side) {
  if (image.rank() != 4 || image.dim(1) != side || image.dim(2) != side)
    fail(Kind::usage, "CLIP for {0}x{0} pixels was given {1}", side, image.shape().str());
}

using VisionTower = std::variant<VisionTransformer, ModifiedResNet>;
VisionTower make_tower(const nn::Params& p, const ClipConfig& c) {
  if (c.is_vit()) return VisionTower(std::in_place_type<VisionTransformer>, p, c);
  return VisionTower(std::in_place_type<ModifiedResNet>, p, c);
}

}  // namespace

ResidualAttentionBlock::ResidualAttentionBlock(const nn::Params& p, int64_t width,
                                               Activation activation)
    : ln_1_(p / "ln_1", width, kNormEps),
      in_weight_((p / "attn").tensor("in_proj_weight", {3 * width, width})),
      in_bias_((p / "attn").tensor("in_proj_bias", {3 * width}, nn::Init::zeros)),
      out_(p / "attn" / "out_proj", width, width),
      ln_2_(p / "ln_2", width, kNormEps),
      mlp_(p / "mlp", width, 4 * width, activation, {"c_fc", "c_proj"}),
      heads_(std::max<int64_t>(width / kHeadWidth, 1)) {}

Tensor ResidualAttentionBlock::forward(const Tensor& x, const Tensor& mask, int64_t rows) const {
  const Tensor qkv = norm_linear(x, ln_1_.norm, in_weight_, in_bias_);
  const int64_t c = x.dim(2);
  Tensor y;
  if (!mask.defined() && rows == 0) {
    y = window_attention(qkv.unsqueeze(1), {.heads = heads_}).squeeze(1);
  } else {
    const Tensor query = rows > 0 ? qkv.slice(1, 0, rows) : qkv;
    y = attention(query.slice(2, 0, c), qkv.slice(2, c, 2 * c), qkv.slice(2, 2 * c, 3 * c),
                  {.heads = heads_}, mask.defined() ? mask.unsqueeze(0) : mask);
  }
  y = out_(y, {.residual = rows > 0 ? x.slice(1, 0, rows) : x});
  return mlp_.add_to(y, ln_2_);
}

VisionTransformer::VisionTransformer(const nn::Params& p, const ClipConfig& c)
    : image_(c.image),
      conv1_(p / "conv1", 3, c.vision_width, c.patch, Conv().stride(c.patch), false),
      class_embedding_(p.tensor("class_embedding", {c.vision_width})),
      positional_embedding_(
          p.tensor("positional_embedding", {1 + c.grid() * c.grid(), c.vision_width})),
      ln_pre_(p / "ln_pre", c.vision_width, kNormEps),
      ln_post_(p / "ln_post", c.vision_width, kNormEps),
      proj_(p.tensor("proj", {c.vision_width, c.embed})) {
  for (int64_t i = 0; i < c.vision_layers; ++i)
    blocks_.emplace_back(p / "transformer" / "resblocks" / i, c.vision_width, c.activation);
}

Tensor VisionTransformer::embed(const Tensor& image) const {
  check_side(image, image_);
  const int64_t batch = image.dim(0), width = class_embedding_.dim(0);
  const Tensor patches = conv1_(image).reshape({batch, -1, width});
  const Tensor first = class_embedding_.reshape({1, 1, width}).expand({batch, 1, width});
  return ln_pre_(concat({first, patches}, 1) + positional_embedding_);
}

Tensor VisionTransformer::encode(Tensor x, const nn::Watch& watch) const {
  for (size_t i = 0; i < blocks_.size(); ++i) {
    // Of the last block only the first token is wanted.
    const bool last = i + 1 == blocks_.size() && !watch;
    x = blocks_[i].forward(x, {}, last ? 1 : 0);
    if (watch) watch("visual.resblock" + std::to_string(i), x);
  }
  x = ln_post_(x.select(1, 0));
  if (watch) watch("visual.ln_post", x);
  return matmul(x, proj_);
}

ModifiedResNet::Bottleneck::Bottleneck(const nn::Params& p, int64_t in, int64_t planes,
                                       int64_t stride_)
    : conv1(p / "conv1", p / "bn1", in, planes, 1, {}),
      conv2(p / "conv2", p / "bn2", planes, planes, 3, Conv().padding(1)),
      conv3(p / "conv3", p / "bn3", planes, 4 * planes, 1, {}),
      stride(stride_) {
  if (stride > 1 || in != 4 * planes)
    downsample.emplace(p / "downsample" / 0, p / "downsample" / 1, in, 4 * planes, 1, Conv());
}

Tensor ModifiedResNet::Bottleneck::forward(const Tensor& x) const {
  const auto shrunk = [&](const Tensor& map) {
    return stride > 1 ? avg_pool2d(map, {.kernel = stride, .stride = stride}) : map;
  };
  const Tensor y = shrunk(conv2(conv1(x, {Activation::relu}), {Activation::relu}));
  const Tensor identity = downsample ? (*downsample)(shrunk(x)) : x;
  return conv3(y, {Activation::relu, identity, true});
}

ModifiedResNet::ModifiedResNet(const nn::Params& p, const ClipConfig& c)
    : conv1_(p / "conv1", p / "bn1", 3, c.vision_width / 2, 3, Conv().stride(2).padding(1)),
      conv2_(p / "conv2", p / "bn2", c.vision_width / 2, c.vision_width / 2, 3, Conv().padding(1)),
      conv3_(p / "conv3", p / "bn3", c.vision_width / 2, c.vision_width, 3, Conv().padding(1)),
      positional_embedding_(
          (p / "attnpool")
              .tensor("positional_embedding", {1 + c.grid() * c.grid(), 32 * c.vision_width})),
      query_(p / "attnpool" / "q_proj", 32 * c.vision_width, 32 * c.vision_width),
      key_(p / "attnpool" / "k_proj", 32 * c.vision_width, 32 * c.vision_width),
      value_(p / "attnpool" / "v_proj", 32 * c.vision_width, 32 * c.vision_width),
      out_(p / "attnpool" / "c_proj", 32 * c.vision_width, c.embed),
      image_(c.image),
      heads_(std::max<int64_t>(32 * c.vision_width / kHeadWidth, 1)) {
  int64_t in = c.vision_width;
  for (size_t s = 0; s < 4; ++s) {
    const int64_t planes = c.vision_width << s;
    for (int64_t i = 0; i < c.vision_blocks[s]; ++i) {
      layers_[s].emplace_back(p / ("layer" + std::to_string(s + 1)) / i, in, planes,
                              s > 0 && i == 0 ? 2 : 1);
      in = 4 * planes;
    }
  }
}

Tensor ModifiedResNet::pool(const Tensor& x) const {
  const int64_t batch = x.dim(0), c = x.dim(3);
  const Tensor tokens =
      concat({mean(x, {1, 2}).unsqueeze(1), x.reshape({batch, -1, c})}, 1) + positional_embedding_;
  const Tensor query = query_(tokens.slice(1, 0, 1));
  return out_(attention(query, key_(tokens), value_(tokens), {.heads = heads_})).squeeze(1);
}

Tensor ModifiedResNet::forward(const Tensor& image, const nn::Watch& watch) const {
  check_side(image, image_);
  Tensor x = image;
  for (const nn::ConvBN* conv : {&conv1_, &conv2_, &conv3_}) x = (*conv)(x, {Activation::relu});
  x = avg_pool2d(x, {.kernel = 2, .stride = 2});
  if (watch) watch("visual.stem", x);
  for (size_t s = 0; s < 4; ++s) {
    for (const Bottleneck& block : layers_[s]) x = block.forward(x);
    if (watch) watch("visual.layer" + std::to_string(s + 1), x);
  }
  x = pool(x);
  if (watch) watch("visual.attnpool", x);
  return x;
}

TextTransformer::TextTransformer(const nn::Params& p, const ClipConfig& c)
    : token_embedding_((p / "token_embedding").tensor("weight", {c.vocabulary, c.text_width})),
      positional_embedding_(p.tensor("positional_embedding", {c.context, c.text_width})),
      ln_final_(p / "ln_final", c.text_width, kNormEps),
      text_projection_(p.tensor("text_projection", {c.text_width, c.embed})) {
  for (int64_t i = 0; i < c.text_layers; ++i)
    blocks_.emplace_back(p / "transformer" / "resblocks" / i, c.text_width, c.activation);
}

Tensor TextTransformer::forward(const Tensor& ids, const nn::Watch& watch) const {
  if (ids.rank() != 2 || ids.dtype() != DType::i64 || ids.dim(0) < 1 || ids.dim(1) < 1 ||
      ids.dim(1) > context())
    fail(Kind::usage, "encode_text: ids {}, expected whole numbers [B,N] with N from 1 to {}",
         ids.shape().str(), context());
  const int64_t batch = ids.dim(0), length = ids.dim(1);
  const Tensor rows_of_ids = ids.contiguous();
  std::vector<int64_t> end;  // where the largest id is, the first of them
  for (int64_t b = 0; b < batch; ++b) {
    const int64_t* row = rows_of_ids.data_as<int64_t>() + b * length;
    end.push_back(std::max_element(row, row + length) - row);
  }
  // What comes after the last end changes nothing before it.
  const int64_t n = watch ? length : *std::max_element(end.begin(), end.end()) + 1;
  Tensor x = embedding(token_embedding_, ids.slice(1, 0, n).contiguous()) +
             positional_embedding_.slice(0, 0, n);
  const Tensor mask = causal_mask(n);
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = blocks_[i].forward(x, mask);
    if (watch) watch("text.resblock" + std::to_string(i), x);
  }
  if (watch) watch("text.ln_final", ln_final_(x));
  Tensor rows = Tensor::empty({batch}, DType::i64);
  for (int64_t b = 0; b < batch; ++b)
    rows.data_as<int64_t>()[b] = b * n + end[static_cast<size_t>(b)];
  const Tensor last = index_select(x.reshape({batch * n, -1}), 0, rows);
  return matmul(ln_final_(last), text_projection_);
}

Clip::Clip(const nn::Params& p, const ClipConfig& c)
    : config_(c),
      visual_(make_tower(p / "visual", c)),
      text_(p, c),
      logit_scale_(p.tensor("logit_scale", {}, nn::Init::zeros)) {}

Tensor Clip::encode_image(const Tensor& image, const nn::Watch& watch) const {
  if (const auto* resnet = std::get_if<ModifiedResNet>(&visual_))
    return resnet->forward(image, watch);
  const auto& vit = std::get<VisionTransformer>(visual_);
  const Tensor tokens = vit.embed(image);
  if (watch) watch("visual.ln_pre", tokens);
  return vit.encode(tokens, watch);
}

Tensor Clip::encode_text(const Tensor& ids, const nn::Watch& watch) const {
  return text_.forward(ids, watch);
}

Tensor Clip::logits_per_image(const Tensor& images, const Tensor& texts) const {
  return exp(logit_scale_) * matmul(normalised(images), normalised(texts).transpose(0, 1));
}

Tensor normalised(const Tensor& x) { return x / sqrt(sum(x * x, {-1}, true)); }

}  // namespace beckon::clip
