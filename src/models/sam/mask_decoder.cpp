#include "models/sam/mask_decoder.h"

#include <algorithm>

#include "base/fail.h"

namespace beckon::sam {
namespace {

constexpr float kDecoderNormEps = 1e-5f;
constexpr float kUpscaleNormEps = 1e-6f;

}  // namespace

DecoderAttention::DecoderAttention(const nn::Params& p, int64_t dim, int64_t heads_,
                                   int64_t downsample)
    : q_proj(p / "q_proj", dim, dim / downsample),
      k_proj(p / "k_proj", dim, dim / downsample),
      v_proj(p / "v_proj", dim, dim / downsample),
      out_proj(p / "out_proj", dim / downsample, dim),
      heads(heads_) {}

Tensor DecoderAttention::operator()(const Tensor& q, const Tensor& k, const Tensor& v) const {
  return out_proj(attention(q_proj(q), k_proj(k), v_proj(v), {.heads = heads}));
}

TwoWayBlock::TwoWayBlock(const nn::Params& p, const MaskDecoderConfig& c, bool first_)
    : self_attn(p / "self_attn", c.dim, c.heads, 1),
      token_to_image(p / "cross_attn_token_to_image", c.dim, c.heads, 2),
      image_to_token(p / "cross_attn_image_to_token", c.dim, c.heads, 2),
      norm1(p / "norm1", c.dim, kDecoderNormEps),
      norm2(p / "norm2", c.dim, kDecoderNormEps),
      norm3(p / "norm3", c.dim, kDecoderNormEps),
      norm4(p / "norm4", c.dim, kDecoderNormEps),
      mlp(p / "mlp", c.dim, c.mlp, Activation::relu, {"lin1", "lin2"}),
      first(first_) {}

Tokens TwoWayBlock::forward(Tensor queries, Tensor keys, const Tensor& query_code,
                            const Tensor& key_code) const {
  if (first) {
    queries = norm1(self_attn(queries, queries, queries));
  } else {
    const Tensor q = queries + query_code;
    queries = norm1(queries + self_attn(q, q, queries));
  }
  queries = norm2(queries + token_to_image(queries + query_code, keys + key_code, keys));
  queries = norm3(queries + mlp(queries));
  keys = norm4(keys + image_to_token(keys + key_code, queries + query_code, queries));
  return {queries, keys};
}

Perceptron::Perceptron(const nn::Params& p, int64_t in, int64_t hidden, int64_t out,
                       int64_t depth) {
  for (int64_t i = 0; i < depth; ++i)
    layers.emplace_back(p / "layers" / i, i == 0 ? in : hidden, i + 1 == depth ? out : hidden);
}

Tensor Perceptron::operator()(Tensor x) const {
  for (size_t i = 0; i < layers.size(); ++i)
    x = layers[i](x, {i + 1 < layers.size() ? Activation::relu : Activation::none});
  return x;
}

UpConv::UpConv(const nn::Params& p, int64_t in, int64_t out)
    : weight(p.tensor("weight", {in, out, 2, 2})), bias(p.tensor("bias", {out}, nn::Init::zeros)) {}

Tensor UpConv::operator()(const Tensor& x) const {
  return conv_transpose2d(x, weight, bias, Conv().stride(2));
}

MaskDecoder::MaskDecoder(const nn::Params& p, const MaskDecoderConfig& c)
    : config(c),
      iou_token((p / "iou_token").tensor("weight", {1, c.dim})),
      mask_tokens((p / "mask_tokens").tensor("weight", {c.masks(), c.dim})),
      final_attn(p / "transformer" / "final_attn_token_to_image", c.dim, c.heads, 2),
      norm_final(p / "transformer" / "norm_final_attn", c.dim, kDecoderNormEps),
      upscale1(p / "output_upscaling" / 0, c.dim, c.dim / 4),
      upscale_norm(p / "output_upscaling" / 1, c.dim / 4, kUpscaleNormEps),
      upscale2(p / "output_upscaling" / 3, c.dim / 4, c.dim / 8),
      iou_head(p / "iou_prediction_head", c.dim, c.iou_hidden, c.masks(), c.iou_depth) {
  for (int64_t i = 0; i < c.depth; ++i)
    blocks.emplace_back(p / "transformer" / "layers" / i, c, i == 0);
  for (int64_t i = 0; i < c.masks(); ++i)
    hypernetworks.emplace_back(p / "output_hypernetworks_mlps" / i, c.dim, c.dim, c.dim / 8, 3);
}

Tensor MaskDecoder::initial_tokens(const Tensor& sparse, int64_t prompts) const {
  const Tensor own = concat({iou_token, mask_tokens}, 0)
                         .unsqueeze(0)
                         .expand({prompts, 1 + config.masks(), config.dim});
  return sparse.defined() ? concat({own, sparse}, 1) : own.contiguous();
}

MaskDecoder::Output MaskDecoder::forward(const Tensor& image, const Tensor& image_code,
                                         const Tensor& sparse, const Tensor& dense,
                                         const nn::Watch& watch) const {
  const int64_t h = image.dim(1), w = image.dim(2), places = h * w;
  const int64_t prompts =
      std::max({image.dim(0), dense.dim(0), sparse.defined() ? sparse.dim(0) : 1});
  const auto tell = [&](const std::string& stage, const Tensor& x) {
    if (watch) watch(stage, x);
  };

  const Tensor query_code = initial_tokens(sparse, prompts);
  const Tensor key_code = image_code.reshape({1, places, config.dim});
  Tensor keys = (image + dense).reshape({-1, places, config.dim});
  if (keys.dim(0) != prompts) keys = keys.expand({prompts, places, config.dim}).contiguous();

  Tensor queries = query_code;
  for (size_t i = 0; i < blocks.size(); ++i) {
    const Tokens t = blocks[i].forward(queries, keys, query_code, key_code);
    queries = t.queries;
    keys = t.keys;
    tell("layer" + std::to_string(i) + ".queries", queries);
    tell("layer" + std::to_string(i) + ".keys", keys);
  }
  queries = norm_final(queries + final_attn(queries + query_code, keys + key_code, keys));
  tell("transformer.queries", queries);

  // The image, four times as large, against a vector for each mask.
  const Tensor map = keys.reshape({prompts, h, w, config.dim});
  const Tensor upscaled = gelu(upscale2(gelu(upscale_norm(upscale1(map)))));  // [P,4h,4w,C/8]
  tell("upscaled", upscaled);
  std::vector<Tensor> vectors;
  for (int64_t i = 0; i < config.masks(); ++i)
    vectors.push_back(hypernetworks[static_cast<size_t>(i)](queries.select(1, 1 + i)).unsqueeze(1));
  const Tensor pixels = upscaled.reshape({prompts, 16 * places, config.dim / 8});
  const Tensor masks = matmul(concat(vectors, 1), pixels.transpose(1, 2));
  return {masks.reshape({prompts, config.masks(), 4 * h, 4 * w}), iou_head(queries.select(1, 0))};
}

}  // namespace beckon::sam
