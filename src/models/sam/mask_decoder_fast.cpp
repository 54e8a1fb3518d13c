#include "models/sam/mask_decoder_fast.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/fail.h"
#include "base/threads.h"
#include "kernels/gemm.h"
#include "kernels/scratch.h"
#include "kernels/two_way.h"
#include "models/sam/mask_choice.h"

namespace beckon::sam {
namespace {

using kernels::PackedMatrix;

// Image tokens that are worked on while they stay in cache, and tokens that one task walks through.
// Fixed numbers: they decide the order of sums, which must not depend on the machine's threads.
constexpr int64_t kTile = 128;
constexpr int64_t kChunk = 512;
// Prompts that go through the passes together: enough to feed the threads, little memory.
constexpr int64_t kGroup = 8;

int64_t padded(int64_t columns) { return (columns + 15) & ~int64_t{15}; }

// Rows [T*H, width] -> the columns of a right-hand side.
PackedMatrix pack_columns(const float* rows, int64_t count, int64_t width) {
  return kernels::pack(rows, width, count, 1, width);
}

// What a prompt asks of the image in one token-to-image attention: columns of scores [K, T*H].
struct Question {
  PackedMatrix query;
};

// What a prompt does to the image in one image-to-token attention.
struct Effect {
  PackedMatrix key;         // [K, T*H]
  std::vector<float> bias;  // [T*H]
  PackedMatrix value;       // [T*H, C]
};

// A softmax over image tokens in the making: for each of the T*H columns the largest score so far,
// the sum of exp(score - largest), and the sum of image rows weighted with it.
struct Sums {
  std::vector<float> max, sum;
  std::vector<float> rows;  // [T*H, width]
  int64_t columns = 0, width = 0;

  void reset(int64_t columns_, int64_t width_) {
    columns = columns_;
    width = width_;
    max.assign(static_cast<size_t>(columns), -std::numeric_limits<float>::infinity());
    sum.assign(static_cast<size_t>(columns), 0.0f);
    rows.assign(static_cast<size_t>(columns * width), 0.0f);
  }

  // Takes in `count` image tokens: scores [count, columns] are used up, `values` are their rows.
  void add(int64_t count, float* scores, int64_t stride, const PackedMatrix& values) {
    std::vector<float>& factor = scratch_;
    factor.resize(static_cast<size_t>(columns));
    kernels::softmax_step(count, columns, scores, stride, max.data(), sum.data(), factor.data());
    kernels::scale_rows(columns, width, rows.data(), width, factor.data());
    kernels::gemm_serial(columns, {.data = scores, .stride = 1, .col_stride = stride}, values,
                         {.accumulate = true}, rows.data(), width);
  }

 private:
  std::vector<float> scratch_;
};

// The weighted means over all tokens: sums of chunks, combined in their order. out [columns, width]
void combine(std::span<const Sums> chunks, float* out) {
  const int64_t columns = chunks[0].columns, width = chunks[0].width;
  for (int64_t c = 0; c < columns; ++c) {
    const auto i = static_cast<size_t>(c);
    float top = chunks[0].max[i];
    for (const Sums& s : chunks) top = std::max(top, s.max[i]);
    float total = 0;
    for (const Sums& s : chunks) total += s.sum[i] * std::exp(s.max[i] - top);
    float* row = out + c * width;
    std::fill_n(row, width, 0.0f);
    for (const Sums& s : chunks) {
      const float share = std::exp(s.max[i] - top) / total;
      const float* from = s.rows.data() + c * width;
      for (int64_t j = 0; j < width; ++j) row[j] += share * from[j];
    }
  }
}

Tensor transposed(const Tensor& x) { return x.transpose(0, 1).contiguous(); }

}  // namespace

struct FastMaskDecoder::Weights {
  struct Attention {
    PackedMatrix value;  // token to image: v_proj as a right-hand side [C, d]
    Tensor out_rows;     // image to token: out_proj transposed [d, C]
  };
  std::vector<Attention> blocks;
  PackedMatrix final_value;
  PackedMatrix upscale1, upscale2;  // [C, 4 C/4], [C/4, 4 C/8]: the four places of the 2x2 kernel
  std::vector<float> upscale1_bias, upscale2_bias;
};

namespace {

// weight [in,out,2,2] as a right-hand side [in, 4 out], place by place.
PackedMatrix pack_up_conv(const UpConv& conv, std::vector<float>* bias) {
  const int64_t in = conv.weight.dim(0), out = conv.weight.dim(1);
  const Tensor places = conv.weight.permute({0, 2, 3, 1}).contiguous();
  bias->clear();
  for (int i = 0; i < 4; ++i) bias->insert(bias->end(), conv.bias.data(), conv.bias.data() + out);
  return kernels::pack(std::as_const(places).data(), in, 4 * out, 4 * out, 1, kernels::Life::model);
}

PackedMatrix pack_linear(const nn::Linear& linear) {
  const Tensor w = linear.weight.to(DType::f32).contiguous();
  return kernels::pack(std::as_const(w).data(), w.dim(1), w.dim(0), 1, w.dim(1),
                       kernels::Life::model);
}

}  // namespace

FastMaskDecoder::FastMaskDecoder(const MaskDecoder& decoder) : decoder_(decoder) {}

std::shared_ptr<const FastMaskDecoder::Weights> FastMaskDecoder::weights() const {
  const UpConv &up1 = decoder_.upscale1, &up2 = decoder_.upscale2;
  std::vector<const Tensor*> read = {&decoder_.final_attn.v_proj.weight, &up1.weight, &up1.bias,
                                     &up2.weight, &up2.bias};
  for (const TwoWayBlock& block : decoder_.blocks) {
    read.push_back(&block.token_to_image.v_proj.weight);
    read.push_back(&block.image_to_token.out_proj.weight);
  }
  return weights_.get(read, [&] {
    Weights weights;
    for (const TwoWayBlock& block : decoder_.blocks)
      weights.blocks.push_back({pack_linear(block.token_to_image.v_proj),
                                transposed(block.image_to_token.out_proj.weight)});
    weights.final_value = pack_linear(decoder_.final_attn.v_proj);
    weights.upscale1 = pack_up_conv(up1, &weights.upscale1_bias);
    weights.upscale2 = pack_up_conv(up2, &weights.upscale2_bias);
    return weights;
  });
}

std::vector<const Tensor*> FastMaskDecoder::read_by_prepare() const {
  const DecoderAttention &look = decoder_.blocks.front().token_to_image,
                         &act = decoder_.blocks.front().image_to_token;
  return {&look.k_proj.weight, &look.k_proj.bias,  &look.v_proj.weight,
          &look.v_proj.bias,   &act.q_proj.weight, &act.q_proj.bias};
}

FastMaskDecoder::~FastMaskDecoder() = default;

bool FastMaskDecoder::suits(int64_t tokens) const {
  // Per image token: T*H columns of C against a projection to d and T columns of it.
  const int64_t c = decoder_.config.dim, d = c / 2, h = decoder_.config.heads;
  return tokens * h * c < c * d + d * tokens;
}

std::shared_ptr<const FastMaskDecoder::Image> FastMaskDecoder::prepare(
    const Tensor& embedding, const Tensor& no_mask, const Tensor& image_code) const {
  NoGrad no_grad;
  auto image = std::make_shared<Image>();
  image->h = embedding.dim(1);
  image->w = embedding.dim(2);
  image->places = image->h * image->w;
  const int64_t c = decoder_.config.dim;
  image->embedding = embedding.reshape({image->places, c}).contiguous();
  image->tokens = add(image->embedding, no_mask.reshape({1, c}));
  image->code = image_code.reshape({image->places, c});
  const Tensor coded = image->tokens + image->code;
  const TwoWayBlock& first = decoder_.blocks.front();
  image->keys = first.token_to_image.k_proj(coded);
  image->queries = first.image_to_token.q_proj(coded);
  image->values = first.token_to_image.v_proj(image->tokens);
  return image;
}

// A few prompts on their way through the decoder together.
struct FastMaskDecoder::Group {
  const MaskDecoder& decoder;
  const Weights& weights;
  const Image& image;
  int64_t prompts, tokens, heads, c, d, columns, chunks;
  bool prepared;  // no masks: the first block meets projections of the image that were made once
  float scale;
  Tensor dense;            // [G,N,C] mask prompts, or none
  Tensor code;             // [G,T,C] the tokens at the start
  Tensor queries;          // [G,T,C]
  Tensor keys;             // [G,N,C] image tokens after the last pass
  std::vector<Sums> sums;  // [G,chunks]

  Group(const MaskDecoder& plain, const Weights& packed, const Image& seen, const Tensor& sparse,
        const Tensor& masks, int64_t count)
      : decoder(plain),
        weights(packed),
        image(seen),
        prompts(count),
        prepared(!masks.defined()),
        dense(masks) {
    code = decoder.initial_tokens(sparse, prompts);
    queries = code;
    tokens = code.dim(1);
    heads = decoder.config.heads;
    c = decoder.config.dim;
    d = c / 2;
    columns = tokens * heads;
    scale = 1.0f / std::sqrt(static_cast<float>(d) / static_cast<float>(heads));
    chunks = (image.places + kChunk - 1) / kChunk;
    keys = Tensor::empty({prompts, image.places, c});
    sums.resize(static_cast<size_t>(prompts * chunks));
  }

  void self_attention(const TwoWayBlock& block) {
    if (block.first) {
      queries = block.norm1(block.self_attn(queries, queries, queries));
    } else {
      const Tensor q = queries + code;
      queries = block.norm1(queries + block.self_attn(q, q, queries));
    }
  }

  // [T*H, width] rows for one prompt: each token's head either as it is, in its own columns (the
  // first block meets projected image tokens), or taken through the other side's projection w
  // [d,C].
  std::vector<float> head_rows(const float* x, const Tensor& w, bool projected) const {
    const int64_t e = d / heads, width = projected ? d : c;
    std::vector<float> rows(static_cast<size_t>(columns * width));
    if (!projected) {
      kernels::project_heads(tokens, heads, e, c, x, d, w.data(), scale, rows.data());
      return rows;
    }
    for (int64_t t = 0; t < tokens; ++t)
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t i = h * e; i < (h + 1) * e; ++i)
          rows[static_cast<size_t>((t * heads + h) * width + i)] = scale * x[t * d + i];
    return rows;
  }

  std::vector<Question> ask(const DecoderAttention& attention) const {
    const Tensor q = attention.q_proj(queries + code);
    std::vector<Question> questions(static_cast<size_t>(prompts));
    parallel_for(prompts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const auto rows = head_rows(q.data() + p * tokens * d, attention.k_proj.weight, false);
        questions[static_cast<size_t>(p)].query = pack_columns(rows.data(), columns, c);
      }
    });
    return questions;
  }

  std::vector<Effect> act(size_t b) const {
    const DecoderAttention& attention = decoder.blocks[b].image_to_token;
    const bool projected = prepared && b == 0;
    const Tensor k = attention.k_proj(queries + code), v = attention.v_proj(queries);
    const Tensor& out_rows = weights.blocks[b].out_rows;
    std::vector<Effect> effects(static_cast<size_t>(prompts));
    parallel_for(2 * prompts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t p = task / 2, e = d / heads;
        Effect& effect = effects[static_cast<size_t>(p)];
        if (task % 2 == 0) {
          const float* key = k.data() + p * tokens * d;
          const auto rows = head_rows(key, attention.q_proj.weight, projected);
          effect.key = pack_columns(rows.data(), columns, projected ? d : c);
          effect.bias.assign(static_cast<size_t>(columns), 0.0f);
          if (projected) continue;  // the prepared queries have their bias in them
          const float* bias = attention.q_proj.bias.data();
          for (int64_t t = 0; t < tokens; ++t)
            for (int64_t h = 0; h < heads; ++h)
              for (int64_t i = h * e; i < (h + 1) * e; ++i)
                effect.bias[static_cast<size_t>(t * heads + h)] += scale * bias[i] * key[t * d + i];
        } else {
          std::vector<float> rows(static_cast<size_t>(columns * c));
          kernels::project_heads(tokens, heads, e, c, v.data() + p * tokens * d, d, out_rows.data(),
                                 1.0f, rows.data());
          effect.value = kernels::pack(rows.data(), columns, c, c, 1);
        }
      }
    });
    return effects;
  }

  // Runs body(prompt, chunk, first row, last row) over all image tokens of all prompts.
  template <typename Body>
  void each_chunk(Body&& body) {
    parallel_for(prompts * chunks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t chunk = task % chunks;
        body(task / chunks, sums[static_cast<size_t>(task)], chunk * kChunk,
             std::min((chunk + 1) * kChunk, image.places));
      }
    });
  }

  // Token to image in the first block, from the prepared projections: they are the same for all
  // prompts, so these ask as one. [G,T,d]
  Tensor look(const DecoderAttention& attention_) const {
    const Tensor q = attention_.q_proj(queries + code).reshape({1, prompts * tokens, d});
    return attention(q, image.keys.unsqueeze(0), image.values.unsqueeze(0), {.heads = heads})
        .reshape({prompts, tokens, d});
  }

  // The same, by sums over tiles, where every prompt has an image side of its own: the embedding
  // and a mask.
  void look_at_masks(const std::vector<Question>& questions) {
    const int64_t stride = padded(columns);
    const float* embedding = std::as_const(image.embedding).data();
    const float* code_rows = image.code.data();
    const float* masks = std::as_const(dense).data();
    float* all_keys = keys.data();
    each_chunk([&](int64_t p, Sums& sum, int64_t begin, int64_t end) {
      sum.reset(columns, c);
      const kernels::ScratchLease scores(kTile * stride), coded(kTile * c);
      PackedMatrix packed;
      for (int64_t r = begin; r < end; r += kTile) {
        const int64_t rows = std::min(kTile, end - r), at = (p * image.places + r) * c;
        kernels::add_and_pack(rows, c, embedding + r * c, masks + at, all_keys + at, nullptr);
        if (packed.k() != rows) packed = PackedMatrix(rows, c);
        kernels::add_and_pack(rows, c, all_keys + at, code_rows + r * c, coded.data(), &packed);
        kernels::gemm_serial(rows, {.data = coded.data(), .stride = c},
                             questions[static_cast<size_t>(p)].query, {}, scores.data(), stride);
        sum.add(rows, scores.data(), stride, packed);
      }
    });
  }

  // Image to token of block b, its norm, and the next token-to-image attention, tile by tile.
  void pass(size_t b, const std::vector<Effect>& effects, const std::vector<Question>& questions) {
    const TwoWayBlock& block = decoder.blocks[b];
    const bool first = prepared && b == 0;
    const int64_t stride = padded(columns);
    const float* code_rows = image.code.data();
    const float* queries0 = std::as_const(image.queries).data();
    float* all_keys = keys.data();
    each_chunk([&](int64_t p, Sums& sum, int64_t begin, int64_t end) {
      sum.reset(columns, c);
      const Effect& effect = effects[static_cast<size_t>(p)];
      float* own = all_keys + p * image.places * c;
      const kernels::ScratchLease scores(kTile * stride), coded(kTile * c);
      PackedMatrix packed;
      for (int64_t r = begin; r < end; r += kTile) {
        const int64_t rows = std::min(kTile, end - r);
        float* key = own + r * c;
        const float* before = first ? std::as_const(image.tokens).data() + r * c : key;
        if (!first) kernels::add_and_pack(rows, c, key, code_rows + r * c, coded.data(), nullptr);
        const kernels::Rows side = first ? kernels::Rows{.data = queries0 + r * d, .stride = d}
                                         : kernels::Rows{.data = coded.data(), .stride = c};
        kernels::gemm_serial(rows, side, effect.key, {.bias = effect.bias.data()}, scores.data(),
                             stride);
        kernels::softmax_over_tokens(rows, tokens, heads, scores.data(), stride);
        kernels::gemm_serial(rows, {.data = scores.data(), .stride = stride}, effect.value,
                             {.bias = block.image_to_token.out_proj.bias.data(),
                              .residual = before,
                              .residual_stride = c},
                             key, c);
        if (packed.k() != rows) packed = PackedMatrix(rows, c);
        const Norm& norm = block.norm4.norm;
        kernels::norm_add_pack(rows, c, key, norm.gamma.data(), norm.beta.data(), norm.eps,
                               code_rows + r * c, coded.data(), &packed);
        kernels::gemm_serial(rows, {.data = coded.data(), .stride = c},
                             questions[static_cast<size_t>(p)].query, {}, scores.data(), stride);
        sum.add(rows, scores.data(), stride, packed);
      }
    });
  }

  // What the tokens have seen: the means of `sums`, through the value projection, [G,T,d].
  Tensor seen(const PackedMatrix& value, const Tensor& value_bias) const {
    const int64_t e = d / heads;
    Tensor result = Tensor::empty({prompts, tokens, d});
    float* out = result.data();
    parallel_for(prompts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const kernels::ScratchLease means(columns * c), projected(columns * d);
        combine(
            std::span(sums).subspan(static_cast<size_t>(p * chunks), static_cast<size_t>(chunks)),
            means.data());
        kernels::gemm_serial(columns, {.data = means.data(), .stride = c}, value,
                             {.bias = value_bias.data()}, projected.data(), d);
        for (int64_t t = 0; t < tokens; ++t)
          for (int64_t h = 0; h < heads; ++h)
            std::memcpy(out + (p * tokens + t) * d + h * e,
                        projected.data() + (t * heads + h) * d + h * e,
                        static_cast<size_t>(e) * sizeof(float));
      }
    });
    return result;
  }

  void transform() {
    const std::vector<TwoWayBlock>& blocks = decoder.blocks;
    self_attention(blocks[0]);
    if (!prepared) look_at_masks(ask(blocks[0].token_to_image));
    for (size_t b = 0; b < blocks.size(); ++b) {
      const TwoWayBlock& block = blocks[b];
      const Tensor view = prepared && b == 0
                              ? look(block.token_to_image)
                              : seen(weights.blocks[b].value, block.token_to_image.v_proj.bias);
      queries = block.norm2(block.token_to_image.out_proj(view, {.residual = queries}));
      queries = block.norm3(queries + block.mlp(queries));
      const std::vector<Effect> effects = act(b);
      const bool last = b + 1 == blocks.size();
      if (!last) self_attention(blocks[b + 1]);
      pass(b, effects, ask(last ? decoder.final_attn : blocks[b + 1].token_to_image));
    }
    const Tensor view = seen(weights.final_value, decoder.final_attn.v_proj.bias);
    queries = decoder.norm_final(decoder.final_attn.out_proj(view, {.residual = queries}));
  }

  // vectors [K,C/8] -> logits [K,4h,4w] of one prompt.
  Tensor upscale(int64_t p, const Tensor& vectors) const {
    const int64_t k = vectors.dim(0), quarter = c / 4, eighth = c / 8;
    Tensor masks = Tensor::empty({k, 4 * image.h, 4 * image.w});
    float* out = masks.data();
    const float* own = std::as_const(keys).data() + p * image.places * c;
    parallel_for(image.places, kTile / 2, [&](int64_t begin, int64_t end) {
      const int64_t rows = end - begin;
      const kernels::ScratchLease twice(rows * 4 * quarter), four(rows * 16 * eighth);
      kernels::gemm_serial(rows, {.data = own + begin * c, .stride = c}, weights.upscale1,
                           {.bias = weights.upscale1_bias.data()}, twice.data(), 4 * quarter);
      const Norm& norm = decoder.upscale_norm.norm;
      kernels::norm_rows(4 * rows, quarter, twice.data(), quarter, norm.gamma.data(),
                         norm.beta.data(), norm.eps, Activation::gelu);
      kernels::gemm_serial(4 * rows, {.data = twice.data(), .stride = quarter}, weights.upscale2,
                           {.bias = weights.upscale2_bias.data(), .activation = Activation::gelu},
                           four.data(), 4 * eighth);
      kernels::place_logits(rows, eighth, k, four.data(), vectors.data(), begin, image.w, out,
                            16 * image.places);
    });
    return masks;
  }
};

FastMaskDecoder::Output FastMaskDecoder::forward(const Image& image, const Tensor& sparse,
                                                 const Tensor& dense, const Choose& choose) const {
  NoGrad no_grad;
  const int64_t m = decoder_.config.masks(), c = decoder_.config.dim;
  const int64_t prompts = sparse.defined() ? sparse.dim(0) : dense.defined() ? dense.dim(0) : 1;
  const Shape expected = {prompts, image.h, image.w, c};
  if (dense.defined() && !(dense.shape() == expected))
    fail(Kind::usage, "mask decoder: mask prompts {}, expected {}", dense.shape().str(),
         expected.str());
  const auto rows = [](const Tensor& x, int64_t from, int64_t to) {
    return x.defined() ? x.slice(0, from, to).contiguous() : x;
  };
  const std::shared_ptr<const Weights> packed = weights();
  Output output{Tensor::empty({prompts, m}), std::vector<Tensor>(static_cast<size_t>(prompts))};
  for (int64_t begin = 0; begin < prompts; begin += kGroup) {
    const int64_t end = std::min(begin + kGroup, prompts);
    Group group(decoder_, *packed, image, rows(sparse, begin, end), rows(dense, begin, end),
                end - begin);
    group.transform();
    choose_and_upscale(decoder_, group.queries, begin, choose, output,
                       [&](int64_t p, const Tensor& vectors) { return group.upscale(p, vectors); });
  }
  return output;
}

}  // namespace beckon::sam
