#include "models/sam/mask_decoder_low_rank.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "base/threads.h"
#include "kernels/gemm.h"
#include "kernels/scratch.h"
#include "kernels/token_panels.h"
#include "kernels/two_way.h"
#include "models/sam/mask_choice.h"

namespace beckon::sam {
namespace {

// Image tokens whose scores are kept together for a softmax over image tokens. A fixed number: it
// decides the order of sums, which must not depend on threads.
constexpr int64_t kRankChunk = 512;
// Prompts that go through the decoder together, and those of them that one task takes along a
// chunk, while what is known of the image there stays in cache.
constexpr int64_t kRankGroup = 8;
constexpr int64_t kTaskPrompts = 4;

Tensor transpose_of(const Tensor& x) { return x.transpose(0, 1).contiguous(); }
// Rows without their mean over the last dimension.
Tensor centred(const Tensor& x) { return x - mean(x, {-1}, true); }
// w [out,in] behind a norm's gamma [in], so that rows meet what gamma has not yet been applied to.
Tensor behind(const Tensor& w, const Tensor& gamma) { return (w * gamma).contiguous(); }
// left [a,C], right [b,C] -> [a,b]
Tensor products(const Tensor& left, const Tensor& right) {
  return matmul(left, transpose_of(right)).contiguous();
}
Tensor apply(const Tensor& w, const Tensor& x) {
  return matmul(w, x.reshape({-1, 1})).reshape({-1}).contiguous();
}
const float* data(const Tensor& x) { return std::as_const(x).data(); }

// What is known of an image token, as rows of a panel. Projections are d rows each.
enum Row : int64_t {
  kQuery0,  // of block 0, image to token, with the position code and bias
  kOut0,
  kKey1,
  kValue1,
  kQuery1,  // of x
  kOutD,
  kOut1,
  kKeyF,
  kValueF,  // of x'
  kCodeKey1,
  kCodeQuery1,
  kCodeKeyF,  // of the position code
  kProjections,
};

}  // namespace

struct LowRankMaskDecoder::Weights {
  int64_t d = 0, c = 0;
  // Left-hand sides of what is made of x, x' and the position code, in the order of Row; the last
  // [C,C] of from_changed is the first up-scaling convolution.
  Tensor from_image, from_changed, from_code;
  Tensor code_bias;       // [3d]
  Tensor first_bias;      // [C] that x has in addition to the image tokens
  Tensor gamma1, beta;    // [C]
  float beta_square = 0;  // |beta|^2
  // Products of bases, [d,d], by which values of one attention meet queries of another:
  // of |x + A0 B0|^2, |x' + A0 D0|^2, the questions of block 1 and of the end, ...
  Tensor norm0, norm_d, key1, query1, cross, key_f0, norm1, key_f1;
  Tensor value1, value_f0, value_f1;  // [d,d]
  Tensor up0, up1;                    // [d,C]
  // beta against the same bases.
  Tensor beta_d, beta_1, beta_key, beta_value, beta_up;
  Tensor value1_bias, value_f_bias, up_bias;
  Tensor upscale2;       // [4 C/8, C/4]: the four places of the 2x2 kernel
  Tensor upscale2_bias;  // [4 C/8]
};

struct LowRankMaskDecoder::Image {
  int64_t h = 0, w = 0, places = 0, panels = 0, d = 0, c = 0, width = 0;
  Tensor keys, values;  // [N,d] of block 0, token to image
  kernels::AlignedFloats rows;

  int64_t panel_size() const { return (kProjections * d + c + 3) * width; }
  const float* panel(int64_t p) const { return rows.get() + p * panel_size(); }
  const float* projection(int64_t p, Row row) const { return panel(p) + row * d * width; }
  const float* upscaled(int64_t p) const { return panel(p) + kProjections * d * width; }
  // |x|^2, |x'|^2, x' beta: [W] each
  const float* squares(int64_t p) const { return panel(p) + (kProjections * d + c) * width; }
};

LowRankMaskDecoder::LowRankMaskDecoder(const MaskDecoder& decoder) : decoder_(decoder) {}
LowRankMaskDecoder::~LowRankMaskDecoder() = default;

bool LowRankMaskDecoder::suits(int64_t tokens) const {
  const MaskDecoderConfig& c = decoder_.config;
  return c.depth == 2 && tokens * c.heads * 2 <= c.dim;
}

std::vector<const Tensor*> LowRankMaskDecoder::read() const {
  std::vector<const Tensor*> list;
  for (const TwoWayBlock& block : decoder_.blocks) {
    const DecoderAttention& act = block.image_to_token;
    for (const nn::Linear* l : {&act.q_proj, &act.out_proj}) {
      list.push_back(&l->weight);
      list.push_back(&l->bias);
    }
    list.push_back(&block.norm4.norm.gamma);
    list.push_back(&block.norm4.norm.beta);
  }
  for (const DecoderAttention* look :
       {&decoder_.blocks.back().token_to_image, &decoder_.final_attn})
    for (const Tensor* t : {&look->k_proj.weight, &look->v_proj.weight, &look->v_proj.bias})
      list.push_back(t);
  for (const UpConv* up : {&decoder_.upscale1, &decoder_.upscale2}) {
    list.push_back(&up->weight);
    list.push_back(&up->bias);
  }
  return list;
}

std::vector<const Tensor*> LowRankMaskDecoder::read_by_prepare() const { return read(); }

std::shared_ptr<const LowRankMaskDecoder::Weights> LowRankMaskDecoder::weights() const {
  return weights_.get(read(), [&] {
    const NoGrad no_grad;
    const TwoWayBlock &first = decoder_.blocks[0], &second = decoder_.blocks[1];
    const DecoderAttention& look = second.token_to_image;
    const DecoderAttention& act = second.image_to_token;
    const DecoderAttention& last = decoder_.final_attn;
    const Tensor &g1 = first.norm4.norm.gamma, &b1 = first.norm4.norm.beta;
    const Tensor &g2 = second.norm4.norm.gamma, &b2 = second.norm4.norm.beta;
    Weights w;
    w.c = decoder_.config.dim;
    w.d = act.q_proj.weight.dim(0);

    // The bases of what the blocks do: B0 = v C0, D0 = v C_d, B1 = v C1.
    const Tensor c0 = centred(transpose_of(first.image_to_token.out_proj.weight));
    const Tensor cd = centred(c0 * g1);
    const Tensor c1 = centred(transpose_of(act.out_proj.weight));
    const Tensor key1 = behind(look.k_proj.weight, g1), value1 = behind(look.v_proj.weight, g1);
    const Tensor query1 = behind(act.q_proj.weight, g1);
    const Tensor key_f = behind(last.k_proj.weight, g2), value_f = behind(last.v_proj.weight, g2);
    // weight [in,out,2,2] -> [4 out,in], place by place
    const Tensor places = decoder_.upscale1.weight.permute({2, 3, 1, 0}).contiguous();
    const Tensor convolution = places.reshape({-1, w.c});
    const Tensor up = behind(convolution, g2);

    w.from_image = concat({c0, key1, value1, query1}, 0);
    w.from_changed = concat({cd, c1, key_f, value_f, up}, 0);
    w.from_code = concat({look.k_proj.weight, act.q_proj.weight, last.k_proj.weight}, 0);
    // Scores of the image's questions keep their constant; those of the tokens', shifted by the
    // same for all image tokens, do not need it.
    w.code_bias = concat({Tensor::zeros({w.d}), act.q_proj.bias + apply(act.q_proj.weight, b1),
                          Tensor::zeros({w.d})},
                         0);
    w.first_bias = first.image_to_token.out_proj.bias.contiguous();
    w.gamma1 = g1.contiguous();
    w.beta = centred((b1 + act.out_proj.bias).reshape({1, -1})).reshape({-1}).contiguous();
    for (int64_t i = 0; i < w.c; ++i) w.beta_square += data(w.beta)[i] * data(w.beta)[i];

    w.norm0 = products(c0, c0);
    w.norm_d = products(cd, cd);
    w.key1 = products(c0, key1);
    w.query1 = products(c0, query1);
    w.cross = products(cd, c1);
    w.key_f0 = products(cd, key_f);
    w.norm1 = products(c1, c1);
    w.key_f1 = products(c1, key_f);
    w.value1 = products(c0, value1);
    w.value_f0 = products(cd, value_f);
    w.value_f1 = products(c1, value_f);
    w.up0 = products(cd, up);
    w.up1 = products(c1, up);
    w.beta_d = apply(cd, w.beta);
    w.beta_1 = apply(c1, w.beta);
    w.beta_key = apply(key_f, w.beta);
    w.beta_value = apply(value_f, w.beta);
    w.beta_up = apply(up, w.beta);
    w.value1_bias = look.v_proj.bias + apply(look.v_proj.weight, b1);
    w.value_f_bias = last.v_proj.bias + apply(last.v_proj.weight, b2);
    const Tensor& bias1 = decoder_.upscale1.bias;
    w.up_bias = concat({bias1, bias1, bias1, bias1}, 0) + apply(convolution, b2);
    const Tensor& weight2 = decoder_.upscale2.weight;
    w.upscale2 = weight2.permute({2, 3, 1, 0}).contiguous().reshape({-1, weight2.dim(0)});
    const Tensor& bias2 = decoder_.upscale2.bias;
    w.upscale2_bias = concat({bias2, bias2, bias2, bias2}, 0);
    return w;
  });
}

namespace {

// Rows [N,n] as panels [panels][n,W]; what the last panel has too much is zero.
kernels::AlignedFloats in_panels(const Tensor& rows, int64_t panels, int64_t width) {
  const int64_t count = rows.dim(0), n = rows.dim(1);
  kernels::AlignedFloats out = kernels::allocate_floats(panels * n * width);
  const float* from = data(rows);
  parallel_for(panels, 4, [&](int64_t begin, int64_t end) {
    for (int64_t p = begin; p < end; ++p) {
      float* to = out.get() + p * n * width;
      const int64_t here = std::min(width, count - p * width);
      if (here < width) std::fill_n(to, n * width, 0.0f);
      const float* source = from + p * width * n;
      for (int64_t i0 = 0; i0 < n; i0 += 16)  // squares keep both sides in cache
        for (int64_t j = 0; j < here; ++j)
          for (int64_t i = i0; i < std::min(i0 + 16, n); ++i) to[i * width + j] = source[j * n + i];
    }
  });
  return out;
}

// Takes the mean over the rows off each column of x [n, width].
void centre(int64_t n, int64_t width, float* x) {
  std::vector<float> mean(static_cast<size_t>(width), 0.0f);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < width; ++j) mean[static_cast<size_t>(j)] += x[i * width + j];
  for (float& m : mean) m /= static_cast<float>(n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < width; ++j) x[i * width + j] -= mean[static_cast<size_t>(j)];
}

void add_to_rows(int64_t n, int64_t width, const float* bias, float* x) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j < width; ++j) x[i * width + j] += bias[i];
}

}  // namespace

std::shared_ptr<const LowRankMaskDecoder::Image> LowRankMaskDecoder::prepare(
    const FastMaskDecoder::Image& seen) const {
  NoGrad no_grad;
  const auto w = weights();
  auto image = std::make_shared<Image>();
  const int64_t width = kernels::token_panel(), d = w->d, c = w->c;
  image->h = seen.h;
  image->w = seen.w;
  image->places = seen.places;
  image->panels = (seen.places + width - 1) / width;
  image->d = d;
  image->c = c;
  image->width = width;
  image->keys = seen.keys;
  image->values = seen.values;
  image->rows = kernels::allocate_floats(image->panels * image->panel_size());
  const auto tokens = in_panels(seen.tokens, image->panels, width);
  const auto code = in_panels(seen.code, image->panels, width);
  const auto queries = in_panels(seen.queries, image->panels, width);
  parallel_for(image->panels, 1, [&](int64_t begin, int64_t end) {
    const kernels::ScratchLease changed(c * width);
    for (int64_t p = begin; p < end; ++p) {
      float* out = image->rows.get() + p * image->panel_size();
      const auto rows_of = [&](int64_t row) { return out + row * d * width; };
      std::copy_n(queries.get() + p * d * width, d * width, rows_of(kQuery0));

      float* x = tokens.get() + p * c * width;
      add_to_rows(c, width, data(w->first_bias), x);
      centre(c, width, x);
      for (int64_t i = 0; i < c; ++i)
        for (int64_t j = 0; j < width; ++j)
          changed.data()[i * width + j] = x[i * width + j] * data(w->gamma1)[i];
      centre(c, width, changed.data());
      kernels::panel_product(4 * d, c, data(w->from_image), c, x, false, rows_of(kOut0));
      kernels::panel_product(4 * d, c, data(w->from_changed), c, changed.data(), false,
                             rows_of(kOutD));
      kernels::panel_product(3 * d, c, data(w->from_code), c, code.get() + p * c * width, false,
                             rows_of(kCodeKey1));
      add_to_rows(3 * d, width, data(w->code_bias), rows_of(kCodeKey1));
      kernels::panel_product(c, c, data(w->from_changed) + 4 * d * c, c, changed.data(), false,
                             rows_of(kProjections));

      float* squares = rows_of(kProjections) + c * width;
      std::fill_n(squares, 3 * width, 0.0f);
      kernels::panel_dot(c, x, x, squares);
      kernels::panel_dot(c, changed.data(), changed.data(), squares + width);
      for (int64_t i = 0; i < c; ++i)
        for (int64_t j = 0; j < width; ++j)
          squares[2 * width + j] += changed.data()[i * width + j] * data(w->beta)[i];
    }
  });
  return image;
}

// A few prompts on their way through the decoder together.
struct LowRankMaskDecoder::Group {
  // What a chunk of image tokens says to the prompt tokens: for each of the J rows the largest
  // score, the sum of exp(score - largest), and sums weighted with it.
  struct Sums {
    std::vector<float> max, sum;
    std::vector<float> values;  // [J,e] of the head's own value channels
    std::vector<float> a0, a1;  // [J,K] of A0 and A1
  };
  // One prompt. A head's weights of the prompt tokens sum to one, so those of the last token need
  // not be kept: A0 and A1 have K = (T - 1) * H + 1 rows, the last of ones, and meet values from
  // which the last token's were taken, and those of the last token (less_last()).
  struct Side {
    // Queries, keys and values of the prompt tokens, [T,d]; scaled where they meet scores.
    std::vector<float> key0, value0, twice_value0, query1, key1, value1, query_f;
    // Left-hand sides that meet A0 and A1: symmetric forms [K,K] of which half is enough
    // (lower_half()), and others [J,K] or [K,K].
    std::vector<float> norm0, norm_d, norm1, ask1, ask_image, cross, ask_f0, ask_f1;
    std::vector<float> beta_d, twice_beta_1;                // [K]
    std::vector<float> beta_key;                            // [J]
    std::vector<float> value_f0, value_f1, value_1;         // [K,d]
    float *a0 = nullptr, *a1 = nullptr;                     // [panels][K,W], J rows apart
    float *r1 = nullptr, *r2 = nullptr, *square = nullptr;  // [panels][W]
    std::vector<Sums> sums;                                 // of chunks
  };

  const MaskDecoder& decoder;
  const Weights& weights;
  const Image& image;
  int64_t prompts, tokens, heads, c, d, e, columns, kept, width, chunk_panels, chunks;
  float scale;
  Tensor code;     // [G,T,C] the tokens at the start
  Tensor queries;  // [G,T,C]
  std::vector<Side> sides;
  std::optional<kernels::ScratchLease> memory;  // of the sides' panels

  Group(const MaskDecoder& plain, const Weights& w, const Image& seen, const Tensor& sparse,
        int64_t count)
      : decoder(plain), weights(w), image(seen), prompts(count) {
    code = decoder.initial_tokens(sparse, prompts);
    queries = code;
    tokens = code.dim(1);
    heads = decoder.config.heads;
    c = w.c;
    d = w.d;
    e = d / heads;
    columns = tokens * heads;
    kept = columns - heads + 1;
    width = image.width;
    scale = 1.0f / std::sqrt(static_cast<float>(e));
    chunk_panels = kRankChunk / width;
    chunks = (image.panels + chunk_panels - 1) / chunk_panels;
    sides.resize(static_cast<size_t>(prompts));
    // Megabytes a prompt: a thread that takes group after group keeps them.
    const int64_t wide = image.panels * columns * width, narrow = image.panels * width;
    memory.emplace(prompts * (2 * wide + 3 * narrow));
    float* next = memory->data();
    for (Side& side : sides) {
      for (float** a : {&side.a0, &side.a1}) *a = std::exchange(next, next + wide);
      for (float** r : {&side.r1, &side.r2, &side.square}) *r = std::exchange(next, next + narrow);
      side.sums.resize(static_cast<size_t>(chunks));
    }
  }

  void self_attention(const TwoWayBlock& block) {
    if (block.first) {
      queries = block.norm1(block.self_attn(queries, queries, queries));
    } else {
      const Tensor q = queries + code;
      queries = block.norm1(queries + block.self_attn(q, q, queries));
    }
  }

  // One prompt's share of x [G,T,d], times a factor.
  std::vector<float> own(const Tensor& x, int64_t p, float factor = 1.0f) const {
    std::vector<float> result(static_cast<size_t>(tokens * d));
    const float* from = data(x) + p * tokens * d;
    for (size_t i = 0; i < result.size(); ++i) result[i] = factor * from[i];
    return result;
  }
  // v [T,d] with the last token's row taken from the others'.
  std::vector<float> less_last(std::vector<float> v) const {
    const size_t last = static_cast<size_t>((tokens - 1) * d);
    for (size_t i = 0; i < last; ++i) v[i] -= v[last + i % static_cast<size_t>(d)];
    return v;
  }
  const float* last_row(const std::vector<float>& v) const { return v.data() + (tokens - 1) * d; }

  // What is kept of values v, less_last() [T,d], in a basis [d,n]: [K,n].
  std::vector<float> spread(const std::vector<float>& v, const Tensor& basis) const {
    const int64_t n = basis.dim(1);
    std::vector<float> rows(static_cast<size_t>(kept * n));
    kernels::project_heads(tokens - 1, heads, e, n, v.data(), d, data(basis), 1.0f, rows.data());
    kernels::project_heads(1, 1, d, n, last_row(v), d, data(basis), 1.0f,
                           rows.data() + (kept - 1) * n);
    return rows;
  }
  // [J,K]: row j is the left-hand side that gives, of all that v has added to an image token, what
  // row j of q [T,d] asks for.
  std::vector<float> asked(const std::vector<float>& v, const Tensor& basis,
                           const std::vector<float>& q) const {
    std::vector<float> out(static_cast<size_t>(columns * kept));
    kernels::couple_heads(kept, tokens, heads, e, spread(v, basis).data(), q.data(), out.data(),
                          kept);
    return out;
  }
  // [K,K]: the products of what v has added with what u adds, both less_last().
  std::vector<float> met(const std::vector<float>& v, const Tensor& basis,
                         const std::vector<float>& u) const {
    std::vector<float> out(static_cast<size_t>(kept * kept));
    const std::vector<float> left = spread(v, basis);
    kernels::couple_heads(kept, tokens - 1, heads, e, left.data(), u.data(), out.data(), kept);
    kernels::couple_heads(kept, 1, 1, d, left.data(), last_row(u), out.data() + (kept - 1) * kept,
                          kept);
    return out;
  }
  // A matrix [K,K] of the same quadratic form with nothing above its diagonal.
  std::vector<float> lower_half(std::vector<float> m) const {
    for (int64_t i = 0; i < kept; ++i)
      for (int64_t j = i + 1; j < kept; ++j) {
        const auto above = static_cast<size_t>(i * kept + j),
                   below = static_cast<size_t>(j * kept + i);
        m[below] += std::exchange(m[above], 0.0f);
      }
    return m;
  }
  // [J]: q [T,d] against a vector [d], head by head.
  std::vector<float> along(const std::vector<float>& q, const Tensor& vector) const {
    std::vector<float> result(static_cast<size_t>(columns));
    kernels::couple_heads(1, tokens, heads, e, data(vector), q.data(), result.data(), 1);
    return result;
  }
  // [K]: the same for values less_last().
  std::vector<float> along_kept(const std::vector<float>& v, const Tensor& vector) const {
    std::vector<float> result = along(v, vector);
    const float* last = last_row(v);
    result.resize(static_cast<size_t>(kept));
    result.back() = std::inner_product(last, last + d, data(vector), 0.0f);
    return result;
  }

  // body(side, prompt) for every prompt.
  template <typename Body>
  void each_side(Body&& body) {
    parallel_for(prompts, 1, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) body(sides[static_cast<size_t>(p)], p);
    });
  }

  // body(side, panel) for all panels of a chunk and all prompts of a task, panel by panel, then
  // end(side, sums, first panel, panels, tokens) for each prompt.
  template <typename Body, typename End>
  void each_chunk(Body&& body, End&& finish) {
    const int64_t parts = (prompts + kTaskPrompts - 1) / kTaskPrompts;
    parallel_for(chunks * parts, 1, [&](int64_t begin, int64_t end) {
      const kernels::ScratchLease scores(kTaskPrompts * chunk_panels * columns * width);
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task / parts * chunk_panels;
        const int64_t count = std::min(chunk_panels, image.panels - first);
        const int64_t from = task % parts * kTaskPrompts,
                      to = std::min(from + kTaskPrompts, prompts);
        const auto scores_of = [&](int64_t p) {
          return scores.data() + (p - from) * chunk_panels * columns * width;
        };
        for (int64_t i = 0; i < count; ++i)
          for (int64_t p = from; p < to; ++p)
            body(sides[static_cast<size_t>(p)], first + i, scores_of(p) + i * columns * width);
        for (int64_t p = from; p < to; ++p) {
          Side& side = sides[static_cast<size_t>(p)];
          finish(side, side.sums[static_cast<size_t>(first / chunk_panels)], first, count,
                 std::min(count * width, image.places - first * width), scores_of(p));
        }
      }
    });
  }

  // out [J,W] = the heads' products of q [T,d] with a projection of the image.
  void heads_product(const std::vector<float>& q, int64_t panel, Row row, bool accumulate,
                     float* out) const {
    kernels::panel_heads_product(tokens, heads, e, q.data(), d, image.projection(panel, row),
                                 accumulate, out);
  }
  // out [K,W] += the same for values less_last().
  void add_kept_product(const std::vector<float>& v, int64_t panel, Row row, float* out) const {
    const float* rows = image.projection(panel, row);
    kernels::panel_heads_product(tokens - 1, heads, e, v.data(), d, rows, true, out);
    kernels::panel_product(1, d, last_row(v), d, rows, true, out + (kept - 1) * width);
  }
  // out = m a, of a left-hand side [rows,K] and A0 or A1.
  void kept_product(int64_t rows, const std::vector<float>& m, const float* a, bool accumulate,
                    float* out) const {
    kernels::panel_product(rows, kept, m.data(), kept, a, accumulate, out);
  }
  // The same for a lower_half(), a few rows at a time up to their diagonal.
  void half_product(const std::vector<float>& m, const float* a, float* out) const {
    constexpr int64_t kRows = 12;
    for (int64_t r = 0; r < kept; r += kRows) {
      const int64_t end = std::min(r + kRows, kept);
      kernels::panel_product(end - r, end, m.data() + r * kept, kept, a, false, out + r * width);
    }
  }
  // Scores [J,W] become weights [K,W].
  void weigh(float* a) const {
    kernels::panel_softmax(tokens, heads, a);
    std::fill_n(a + (kept - 1) * width, width, 1.0f);
  }

  void inverse_root(const float* square, float eps, float* out) const {
    const float share = 1.0f / static_cast<float>(c);
    // A sum of squares cannot be below 0 but by rounding.
    for (int64_t j = 0; j < width; ++j)
      out[j] = 1.0f / std::sqrt(std::max(square[j] * share, 0.0f) + eps);
  }

  // Block 0: the tokens' values go to the image, and block 1 asks it.
  void first_pass() {
    const TwoWayBlock &block = decoder.blocks[0], &next = decoder.blocks[1];
    const Tensor k0 = block.image_to_token.k_proj(queries + code);
    const Tensor v0 = block.image_to_token.v_proj(queries);
    self_attention(next);
    const Tensor q1 = next.token_to_image.q_proj(queries + code);
    each_side([&](Side& side, int64_t p) {
      side.key0 = own(k0, p, scale);
      side.value0 = less_last(own(v0, p));
      side.twice_value0 = less_last(own(v0, p, 2.0f));
      side.query1 = own(q1, p, scale);
      side.norm0 = lower_half(met(side.value0, weights.norm0, side.value0));
      side.norm_d = lower_half(met(side.value0, weights.norm_d, side.value0));
      side.ask1 = asked(side.value0, weights.key1, side.query1);
      side.value_1 = spread(side.value0, weights.value1);
    });
    const float eps = block.norm4.norm.eps;
    const int64_t panel = columns * width;
    each_chunk(
        [&](Side& side, int64_t p, float* scores) {
          const kernels::ScratchLease forms(kept * width), sums(2 * width);
          float* a0 = side.a0 + p * panel;
          heads_product(side.key0, p, kQuery0, false, a0);
          weigh(a0);

          std::copy_n(image.squares(p), 2 * width, sums.data());
          half_product(side.norm0, a0, forms.data());
          add_kept_product(side.twice_value0, p, kOut0, forms.data());
          kernels::panel_dot(kept, a0, forms.data(), sums.data());
          half_product(side.norm_d, a0, forms.data());
          add_kept_product(side.twice_value0, p, kOutD, forms.data());
          kernels::panel_dot(kept, a0, forms.data(), sums.data() + width);
          float *r1 = side.r1 + p * width, *rest = side.square + p * width;
          inverse_root(sums.data(), eps, r1);
          for (int64_t j = 0; j < width; ++j) rest[j] = r1[j] * r1[j] * sums.data()[width + j];

          kept_product(columns, side.ask1, a0, false, scores);
          heads_product(side.query1, p, kKey1, true, scores);
          kernels::panel_scale(columns, nullptr, r1, scores);
          heads_product(side.query1, p, kCodeKey1, true, scores);
        },
        [&](Side& side, Sums& sums, int64_t first, int64_t panels, int64_t count, float* scores) {
          resize(sums);
          kernels::panels_softmax_step(panels, columns, panel, count, side.r1 + first * width,
                                       scores, sums.max.data(), sums.sum.data());
          add_values(sums, scores, first, panels, kValue1);
          add_weights(sums.a0, scores, side.a0, first, panels);
        });
  }

  // Block 1: its tokens' values go to the image, and the last attention asks it.
  void second_pass() {
    const TwoWayBlock& block = decoder.blocks[1];
    const Tensor k1 = block.image_to_token.k_proj(queries + code);
    const Tensor v1 = block.image_to_token.v_proj(queries);
    const Tensor qf = decoder.final_attn.q_proj(queries + code);
    each_side([&](Side& side, int64_t p) {
      side.key1 = own(k1, p, scale);
      side.value1 = less_last(own(v1, p));
      side.query_f = own(qf, p, scale);
      side.ask_image = asked(side.value0, weights.query1, side.key1);
      side.cross = met(side.value0, weights.cross, side.value1);
      side.norm1 = lower_half(met(side.value1, weights.norm1, side.value1));
      side.ask_f0 = asked(side.value0, weights.key_f0, side.query_f);
      side.ask_f1 = asked(side.value1, weights.key_f1, side.query_f);
      side.beta_d = along_kept(side.value0, weights.beta_d);
      side.twice_beta_1 = along_kept(side.value1, weights.beta_1);
      for (float& b : side.twice_beta_1) b *= 2;
      side.beta_key = along(side.query_f, weights.beta_key);
      side.value_f0 = spread(side.value0, weights.value_f0);
      side.value_f1 = spread(side.value1, weights.value_f1);
    });
    const float eps = block.norm4.norm.eps;
    const int64_t panel = columns * width;
    each_chunk(
        [&](Side& side, int64_t p, float* scores) {
          const kernels::ScratchLease forms(kept * width), sums(2 * width);
          const float *a0 = side.a0 + p * panel, *r1 = side.r1 + p * width;
          float* a1 = side.a1 + p * panel;
          kept_product(columns, side.ask_image, a0, false, a1);
          heads_product(side.key1, p, kQuery1, true, a1);
          kernels::panel_scale(columns, nullptr, r1, a1);
          heads_product(side.key1, p, kCodeQuery1, true, a1);
          weigh(a1);

          // |r1 (x' + A0 D0) + beta + A1 B1|^2, term by term.
          float *total = sums.data(), *mixed = total + width;
          for (int64_t j = 0; j < width; ++j) {
            total[j] = side.square[p * width + j] + weights.beta_square;
            mixed[j] = image.squares(p)[2 * width + j];
          }
          half_product(side.norm1, a1, forms.data());
          kernels::panel_dot(kept, a1, forms.data(), total);
          kept_product(1, side.twice_beta_1, a1, true, total);
          kept_product(kept, side.cross, a0, false, forms.data());
          add_kept_product(side.value1, p, kOut1, forms.data());
          kernels::panel_dot(kept, a1, forms.data(), mixed);
          kept_product(1, side.beta_d, a0, true, mixed);
          for (int64_t j = 0; j < width; ++j) total[j] += 2 * r1[j] * mixed[j];
          float* r2 = side.r2 + p * width;
          inverse_root(total, eps, r2);

          kept_product(columns, side.ask_f0, a0, false, scores);
          heads_product(side.query_f, p, kKeyF, true, scores);
          kernels::panel_scale(columns, nullptr, r1, scores);
          kept_product(columns, side.ask_f1, a1, true, scores);
          kernels::panel_scale(columns, side.beta_key.data(), r2, scores);
          heads_product(side.query_f, p, kCodeKeyF, true, scores);
        },
        [&](Side& side, Sums& sums, int64_t first, int64_t panels, int64_t count, float* scores) {
          resize(sums);
          kernels::panels_softmax_step(panels, columns, panel, count, side.r2 + first * width,
                                       scores, sums.max.data(), sums.sum.data());
          add_weights(sums.a1, scores, side.a1, first, panels);
          for (int64_t i = 0; i < panels; ++i)
            kernels::panel_scale(columns, nullptr, side.r1 + (first + i) * width,
                                 scores + i * panel);
          add_values(sums, scores, first, panels, kValueF);
          add_weights(sums.a0, scores, side.a0, first, panels);
        });
  }

  void resize(Sums& sums) const {
    const auto j = static_cast<size_t>(columns);
    sums.max.resize(j);
    sums.sum.resize(j);
    sums.values.resize(j * static_cast<size_t>(e));
    sums.a0.resize(j * static_cast<size_t>(kept));
    sums.a1.resize(j * static_cast<size_t>(kept));
  }

  void add_values(Sums& sums, const float* scores, int64_t first, int64_t panels, Row row) const {
    for (int64_t h = 0; h < heads; ++h)
      kernels::panels_dots(panels, tokens, e, scores + h * width, heads * width, columns * width,
                           image.projection(first, row) + h * e * width, image.panel_size(),
                           sums.values.data() + h * e, heads * e);
  }

  void add_weights(std::vector<float>& sum, const float* scores, const float* weights_of,
                   int64_t first, int64_t panels) const {
    const int64_t panel = columns * width;
    kernels::panels_dots(panels, columns, kept, scores, width, panel, weights_of + first * panel,
                         panel, sum.data(), kept);
  }

  // The weighted means over all image tokens, from those of the chunks. parts: which member.
  std::vector<float> means(const Side& side, std::vector<float> Sums::*part) const {
    const size_t n = (side.sums[0].*part).size() / static_cast<size_t>(columns);
    std::vector<float> result(n * static_cast<size_t>(columns), 0.0f);
    for (size_t j = 0; j < static_cast<size_t>(columns); ++j) {
      float top = side.sums[0].max[j], total = 0;
      for (const Sums& s : side.sums) top = std::max(top, s.max[j]);
      for (const Sums& s : side.sums) total += s.sum[j] * std::exp(s.max[j] - top);
      for (const Sums& s : side.sums) {
        const float share = std::exp(s.max[j] - top) / total;
        const float* from = (s.*part).data() + j * n;
        for (size_t i = 0; i < n; ++i) result[j * n + i] += share * from[i];
      }
    }
    return result;
  }

  // What the tokens see in block 1 (last: in the final attention), before its output projection:
  // [G,T,d].
  Tensor seen(bool last) {
    Tensor result = Tensor::empty({prompts, tokens, d});
    float* out = result.data();
    each_side([&](Side& side, int64_t p) {
      const std::vector<float> values = means(side, &Sums::values), a0 = means(side, &Sums::a0);
      const std::vector<float> a1 = last ? means(side, &Sums::a1) : std::vector<float>();
      const std::vector<float>& base0 = last ? side.value_f0 : side.value_1;
      const float* bias = data(last ? weights.value_f_bias : weights.value1_bias);
      for (int64_t t = 0; t < tokens; ++t)
        for (int64_t h = 0; h < heads; ++h) {
          const int64_t j = t * heads + h;
          float* to = out + (p * tokens + t) * d + h * e;
          for (int64_t i = 0; i < e; ++i)
            to[i] = values[static_cast<size_t>(j * e + i)] + bias[h * e + i];
          for (int64_t from = 0; from < kept; ++from) {
            const auto at = static_cast<size_t>(j * kept + from);
            const auto row = static_cast<size_t>(from * d + h * e);
            for (int64_t i = 0; i < e; ++i) to[i] += a0[at] * base0[row + static_cast<size_t>(i)];
            if (!last) continue;
            for (int64_t i = 0; i < e; ++i)
              to[i] += a1[at] * side.value_f1[row + static_cast<size_t>(i)];
          }
          if (!last) continue;
          const float ones = a1[static_cast<size_t>(j * kept + kept - 1)];
          for (int64_t i = 0; i < e; ++i) to[i] += ones * data(weights.beta_value)[h * e + i];
        }
    });
    return result;
  }

  void transform() {
    const TwoWayBlock &first = decoder.blocks[0], &second = decoder.blocks[1];
    const auto take = [&](const TwoWayBlock& block, const Tensor& view) {
      queries = block.norm2(block.token_to_image.out_proj(view, {.residual = queries}));
      queries = block.norm3(queries + block.mlp(queries));
    };
    self_attention(first);
    // The image side of the first look is the same for all prompts, so these ask as one.
    const Tensor q = first.token_to_image.q_proj(queries + code).reshape({1, prompts * tokens, d});
    take(first, attention(q, image.keys.unsqueeze(0), image.values.unsqueeze(0), {.heads = heads})
                    .reshape({prompts, tokens, d}));
    first_pass();
    take(second, seen(false));
    second_pass();
    queries = decoder.norm_final(decoder.final_attn.out_proj(seen(true), {.residual = queries}));
  }

  // vectors [K,C/8] -> logits [K,4h,4w] of one prompt.
  Tensor upscale(int64_t p, const Tensor& vectors) {
    const Side& side = sides[static_cast<size_t>(p)];
    const int64_t k = vectors.dim(0), quarter = c / 4, eighth = c / 8, inner = 2 * kept;
    // [C, 2K]: what r1 r2 A0 and r2 A1 bring to the convolution, and r2 beta with the ones of A1.
    std::vector<float> left(static_cast<size_t>(c * inner));
    const std::vector<float> u0 = spread(side.value0, weights.up0);
    const std::vector<float> u1 = spread(side.value1, weights.up1);
    for (int64_t o = 0; o < c; ++o) {
      float* to = left.data() + o * inner;
      for (int64_t j = 0; j < kept; ++j) {
        to[j] = u0[static_cast<size_t>(j * c + o)];
        to[kept + j] = u1[static_cast<size_t>(j * c + o)];
      }
      to[2 * kept - 1] += data(weights.beta_up)[o];
    }
    Tensor masks = Tensor::empty({k, 4 * image.h, 4 * image.w});
    float* out = masks.data();
    const int64_t panel = columns * width;
    parallel_for(image.panels, 2, [&](int64_t begin, int64_t end) {
      const kernels::ScratchLease right(inner * width), twice(c * width), four(4 * eighth * width),
          dots(k * width), pixels(k * 16 * width), both(width);
      for (int64_t n = begin; n < end; ++n) {
        const float *r1 = side.r1 + n * width, *r2 = side.r2 + n * width;
        for (int64_t j = 0; j < width; ++j) both.data()[j] = r1[j] * r2[j];
        std::copy_n(side.a0 + n * panel, kept * width, right.data());
        std::copy_n(side.a1 + n * panel, kept * width, right.data() + kept * width);
        kernels::panel_scale(kept, nullptr, both.data(), right.data());
        kernels::panel_scale(kept, nullptr, r2, right.data() + kept * width);
        kernels::panel_scale_bias(c, image.upscaled(n), both.data(), data(weights.up_bias),
                                  twice.data());
        kernels::panel_product(c, inner, left.data(), inner, right.data(), true, twice.data());
        const Norm& norm = decoder.upscale_norm.norm;
        for (int64_t place = 0; place < 4; ++place) {
          float* map = twice.data() + place * quarter * width;
          kernels::panel_norm(quarter, norm.gamma.data(), norm.beta.data(), norm.eps,
                              Activation::gelu, map);
          kernels::panel_product(4 * eighth, quarter, data(weights.upscale2), quarter, map, false,
                                 four.data());
          kernels::panel_bias_activate(4 * eighth, data(weights.upscale2_bias), Activation::gelu,
                                       four.data());
          for (int64_t i = 0; i < 4; ++i) {
            kernels::panel_product(k, eighth, data(vectors), eighth,
                                   four.data() + i * eighth * width, false, dots.data());
            for (int64_t m = 0; m < k; ++m)
              std::copy_n(dots.data() + m * width, width,
                          pixels.data() + (m * 16 + place * 4 + i) * width);
          }
        }
        const int64_t first = n * width, count = std::min(width, image.places - first);
        for (int64_t m = 0; m < k; ++m)
          kernels::panel_place(pixels.data() + m * 16 * width, first, count, image.w,
                               out + m * 16 * image.places);
      }
    });
    return masks;
  }
};

FastMaskDecoder::Output LowRankMaskDecoder::forward(const Image& image, const Tensor& sparse,
                                                    const FastMaskDecoder::Choose& choose) const {
  NoGrad no_grad;
  const int64_t m = decoder_.config.masks();
  const int64_t prompts = sparse.defined() ? sparse.dim(0) : 1;
  const std::shared_ptr<const Weights> packed = weights();
  FastMaskDecoder::Output output{Tensor::empty({prompts, m}),
                                 std::vector<Tensor>(static_cast<size_t>(prompts))};
  // A group on its own thread has nobody to wait for; a single one shares its image tokens out.
  parallel_for((prompts + kRankGroup - 1) / kRankGroup, 1, [&](int64_t from, int64_t to) {
    const NoGrad on_this_thread;
    for (int64_t begin = from * kRankGroup; begin < std::min(to * kRankGroup, prompts);
         begin += kRankGroup) {
      const int64_t end = std::min(begin + kRankGroup, prompts);
      const Tensor own = sparse.defined() ? sparse.slice(0, begin, end).contiguous() : sparse;
      Group group(decoder_, *packed, image, own, end - begin);
      group.transform();
      choose_and_upscale(
          decoder_, group.queries, begin, choose, output,
          [&](int64_t p, const Tensor& vectors) { return group.upscale(p, vectors); });
    }
  });
  return output;
}

}  // namespace beckon::sam
