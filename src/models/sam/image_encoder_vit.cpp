#include "models/sam/image_encoder_vit.h"

#include <algorithm>

#include "base/fail.h"

namespace beckon::sam {
namespace {

constexpr float kVitNormEps = 1e-6f;

// A table [L,D] as one of `rows` rows: linear in between, half-pixel centres, as the reference does
// for grids it was not trained on.
Tensor resized_table(const Tensor& table, int64_t rows) {
  if (table.dim(0) == rows) return table;
  const int64_t width = table.dim(1);
  return resize(table.reshape({1, table.dim(0), 1, width}), rows, 1, Interpolation::bilinear)
      .reshape({rows, width});
}

}  // namespace

VitAttention::VitAttention(const nn::Params& p, int64_t dim, int64_t heads_, int64_t window_,
                           int64_t rows_h, int64_t rows_w)
    : qkv(p / "qkv", dim, 3 * dim),
      proj(p / "proj", dim, dim),
      rel_h(p.tensor("rel_pos_h", {rows_h, dim / heads_}, nn::Init::zeros)),
      rel_w(p.tensor("rel_pos_w", {rows_w, dim / heads_}, nn::Init::zeros)),
      heads(heads_),
      window(window_) {}

Tensor VitAttention::forward(const Tensor& x, const nn::LayerNorm* norm,
                             const Tensor& residual) const {
  const int64_t h = window ? window : x.dim(1), w = window ? window : x.dim(2);
  const WindowAttention options{.heads = heads,
                                .window = window,
                                .rel_h = resized_table(rel_h, 2 * h - 1),
                                .rel_w = resized_table(rel_w, 2 * w - 1)};
  // The map is padded with zeros after the norm: such a token's projection is the bias alone.
  const Tensor projected = norm ? nn::normed_linear(*norm, qkv, x) : qkv(x);
  return proj(window_attention(projected, options, qkv.bias), {.residual = residual});
}

VitBlock::VitBlock(const nn::Params& p, const VitConfig& c, int64_t window)
    : norm1(p / "norm1", c.dim, kVitNormEps),
      attn(p / "attn", c.dim, c.heads, window, 2 * (window ? window : c.grid()) - 1,
           2 * (window ? window : c.grid()) - 1),
      norm2(p / "norm2", c.dim, kVitNormEps),
      mlp(p / "mlp", c.dim, c.mlp, Activation::gelu, {"lin1", "lin2"}) {}

Tensor VitBlock::forward(const Tensor& x) const {
  const Tensor y = attn.forward(x, &norm1, x);
  return mlp.add_to(y, norm2);
}

VitEncoder::VitEncoder(const nn::Params& p, const VitConfig& c)
    : patch_embed_(p / "patch_embed" / "proj", 3, c.dim, c.patch, Conv().stride(c.patch)),
      pos_embed_(p.tensor("pos_embed", {1, c.grid(), c.grid(), c.dim})),
      neck_(p / "neck", c.dim, c.out) {
  for (int64_t i = 0; i < c.depth; ++i) {
    const bool global =
        std::find(c.global_blocks.begin(), c.global_blocks.end(), i) != c.global_blocks.end();
    blocks_.emplace_back(p / "blocks" / i, c, global ? 0 : c.window);
  }
}

Tensor VitEncoder::forward(const Tensor& image, const nn::Watch& watch) const {
  // The convolution adds the position table as it writes, unless someone wants to see it without.
  Tensor x;
  if (watch || image.dim(0) != 1) {
    x = patch_embed_(image);
    if (watch) watch("patch_embed", x);
    x = x + pos_embed_;
  } else {
    x = patch_embed_(image, {.residual = pos_embed_});
  }
  for (size_t i = 0; i < blocks_.size(); ++i) {
    x = blocks_[i].forward(x);
    if (watch) watch("block" + std::to_string(i), x);
  }
  return neck_(x, watch);
}

}  // namespace beckon::sam
