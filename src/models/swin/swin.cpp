#include "models/swin/swin.h"

#include <cmath>

#include "base/fail.h"

namespace beckon::swin {
namespace {

constexpr float kNormEps = 1e-5f;
constexpr float kMasked = -100.0f;  // as in the reference: not quite never

// [1,w*w,w*w]: masked where of two positions one lies in the last `shift` rows (columns) and the
// other does not.
Tensor edge_mask(int64_t window, int64_t shift, bool rows, bool columns) {
  const int64_t n = window * window, edge = window - shift;
  Tensor mask = Tensor::zeros({1, n, n});
  for (int64_t a = 0; a < n; ++a)
    for (int64_t b = 0; b < n; ++b) {
      const bool apart_y = rows && (a / window >= edge) != (b / window >= edge);
      const bool apart_x = columns && (a % window >= edge) != (b % window >= edge);
      if (apart_y || apart_x) mask.data()[a * n + b] = kMasked;
    }
  return mask;
}

Shape shape_of(const nn::Params& file, const std::string& name, int rank) {
  const auto shape = file.shape(name);
  if (!shape) fail(Kind::model, "{}: there is no tensor '{}'", file.origin(), name);
  bool fine = shape->rank() == rank;
  for (const int64_t size : *shape) fine = fine && size >= 1 && size <= 1 << 24;
  if (!fine)
    fail(Kind::model, "{}: tensor '{}' has shape {}, expected {} sizes of at least 1",
         file.origin(), name, shape->str(), rank);
  return *shape;
}

int64_t root(int64_t n) { return std::llround(std::sqrt(static_cast<double>(n))); }

}  // namespace

WindowedAttention::WindowedAttention(const nn::Params& p, int64_t dim, int64_t heads,
                                     int64_t window, int64_t shift)
    : qkv_(p / "qkv", dim, 3 * dim),
      proj_(p / "proj", dim, dim),
      table_(
          p.tensor("relative_position_bias_table", {(2 * window - 1) * (2 * window - 1), heads})),
      heads_(heads),
      window_(window),
      shift_(shift) {}

WindowedAttention::Biases WindowedAttention::biases() const {
  const int64_t w = window_, n = w * w;
  Tensor index = Tensor::empty({n * n}, DType::i64);
  int64_t* to = index.data_as<int64_t>();
  for (int64_t a = 0; a < n; ++a)
    for (int64_t b = 0; b < n; ++b)
      *to++ = (a / w - b / w + w - 1) * (2 * w - 1) + (a % w - b % w + w - 1);
  Biases result;
  result.inside = index_select(table_, 0, index).reshape({n, n, heads_}).permute({2, 0, 1});
  result.inside = result.inside.contiguous();
  if (shift_ > 0) {
    result.bottom = result.inside + edge_mask(w, shift_, true, false);
    result.right = result.inside + edge_mask(w, shift_, false, true);
    result.corner = result.inside + edge_mask(w, shift_, true, true);
  }
  return result;
}

Tensor WindowedAttention::add_to(const Tensor& x, const nn::LayerNorm& norm) const {
  const auto bias = biases_.get({&table_}, [&] { return biases(); });
  const auto attend = [&](const Tensor& qkv, const Tensor& with) {
    return window_attention(qkv, {.heads = heads_, .window = window_, .bias = with});
  };
  if (shift_ == 0)
    return proj_(attend(nn::normed_linear(norm, qkv_, x), bias->inside), {.residual = x});

  // Of the shifted windows only those at the bottom and at the right hold more than one region.
  const Tensor qkv = nn::normed_linear(norm, qkv_, roll(x, {-shift_, -shift_}, {1, 2}));
  const int64_t h = x.dim(1), w = x.dim(2), y1 = h - window_, x1 = w - window_;
  const Tensor top = qkv.slice(1, 0, y1), bottom = qkv.slice(1, y1, h);
  const Tensor above = concat({attend(top.slice(2, 0, x1).contiguous(), bias->inside),
                               attend(top.slice(2, x1, w).contiguous(), bias->right)},
                              2);
  const Tensor below = concat({attend(bottom.slice(2, 0, x1).contiguous(), bias->bottom),
                               attend(bottom.slice(2, x1, w).contiguous(), bias->corner)},
                              2);
  return proj_(roll(concat({above, below}, 1), {shift_, shift_}, {1, 2}), {.residual = x});
}

Tensor WindowedAttention::prompted_bias(int64_t batch, int64_t prompts, int64_t h,
                                        int64_t w) const {
  const auto bias = biases_.get({&table_}, [&] { return biases(); });
  const auto with_prompts = [&](const Tensor& inside) {
    return pad(inside, {0, prompts, prompts}, {0, 0, 0}).unsqueeze(0);
  };
  if (shift_ == 0) return with_prompts(bias->inside);
  // One of four kinds for each window: in the last row, in the last column, both or neither.
  const Tensor kinds = concat({with_prompts(bias->inside), with_prompts(bias->right),
                               with_prompts(bias->bottom), with_prompts(bias->corner)},
                              0);
  Tensor index = Tensor::empty({batch * h * w}, DType::i64);
  int64_t* to = index.data_as<int64_t>();
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t y = 0; y < h; ++y)
      for (int64_t x = 0; x < w; ++x) *to++ = (y + 1 == h ? 2 : 0) + (x + 1 == w ? 1 : 0);
  return index_select(kinds, 0, index);
}

WindowedAttention::Prompted WindowedAttention::add_to(const Prompted& in, const nn::LayerNorm& norm,
                                                      bool mix_batch) const {
  const int64_t b = in.x.dim(0), h = in.x.dim(1) / window_, w = in.x.dim(2) / window_;
  const int64_t c = in.x.dim(3), p = in.prompts.dim(1), n = h * w, m = window_ * window_;
  Tensor x = norm(in.x);
  if (shift_ > 0) x = roll(x, {-shift_, -shift_}, {1, 2});
  x = x.reshape({b, h, window_, w, window_, c}).permute({0, 1, 3, 2, 4, 5}).reshape({b * n, m, c});
  // Each window's prompts: row = image * n + window, or window * b + image in the reference.
  const Tensor prompts = norm(in.prompts).reshape({mix_batch ? 1 : b, mix_batch ? b : 1, p, c});
  const Tensor copies =
      prompts.expand({mix_batch ? n : b, mix_batch ? b : n, p, c}).reshape({b * n, p, c});

  const Tensor qkv = qkv_(concat({copies, x}, 1));
  const Tensor bias = prompted_bias(b, p, h, w);
  Tensor y = attention(qkv.slice(2, 0, c), qkv.slice(2, c, 2 * c), qkv.slice(2, 2 * c, 3 * c),
                       {.heads = heads_}, bias.dim(0) == 1 ? bias.squeeze(0) : bias);
  y = proj_(y);
  const Tensor of_prompts = y.slice(1, 0, p).reshape({mix_batch ? n : b, mix_batch ? b : n, p, c});
  Tensor map = y.slice(1, p, p + m)
                   .reshape({b, h, w, window_, window_, c})
                   .permute({0, 1, 3, 2, 4, 5})
                   .reshape(in.x.shape());
  if (shift_ > 0) map = roll(map, {shift_, shift_}, {1, 2});
  const Tensor averaged = mix_batch ? mean(of_prompts, {0}) : mean(of_prompts, {1});
  return {in.prompts + averaged, in.x + map};
}

SwinBlock::SwinBlock(const nn::Params& p, int64_t dim, const SwinStage& stage, int64_t shift,
                     int64_t hidden)
    : norm1(p / "norm1", dim, kNormEps),
      attn(p / "attn", dim, stage.heads, stage.window, shift),
      norm2(p / "norm2", dim, kNormEps),
      mlp(p / "mlp", dim, hidden, Activation::gelu, {"fc1", "fc2"}) {}

PatchMerging::PatchMerging(const nn::Params& p, int64_t dim)
    : norm(p / "norm", 4 * dim, kNormEps),
      reduction((p / "reduction").tensor("weight", {2 * dim, 4 * dim})) {}

Tensor PatchMerging::forward(const Tensor& x) const {
  const int64_t h = x.dim(1), w = x.dim(2);
  const auto every_other = [&](int64_t y, int64_t x0) {
    return x.slice(1, y, h, 2).slice(2, x0, w, 2);
  };
  const Tensor four =
      concat({every_other(0, 0), every_other(1, 0), every_other(0, 1), every_other(1, 1)}, 3);
  return norm_linear(four, norm.norm, reduction);
}

Tensor PatchMerging::merge_prompts(const Tensor& prompts) const {
  return norm_linear(concat({prompts, prompts, prompts, prompts}, 2), norm.norm, reduction);
}

Swin::Swin(const nn::Params& p, const SwinConfig& c)
    : config_(c),
      patch_embed_(p / "patch_embed" / "proj", 3, c.dim, c.patch, Conv().stride(c.patch)),
      patch_norm_(p / "patch_embed" / "norm", c.dim, kNormEps),
      norm_(p / "norm", c.features(), kNormEps) {
  for (size_t s = 0; s < c.stages.size(); ++s) {
    const SwinStage& stage = c.stages[s];
    const nn::Params layer = p / "layers" / static_cast<int64_t>(s);
    Stage& made = stages_.emplace_back();
    for (int64_t i = 0; i < stage.depth; ++i) {
      const int64_t shift = i % 2 == 1 && c.side(s) > stage.window ? stage.window / 2 : 0;
      made.blocks.emplace_back(layer / "blocks" / i, c.width(s), stage, shift,
                               c.mlp_ratio * c.width(s));
    }
    if (s + 1 == c.stages.size()) continue;
    const nn::Params merging = c.timm ? p / "layers" / static_cast<int64_t>(s + 1) : layer;
    made.downsample.emplace(merging / "downsample", c.width(s));
  }
  if (c.classes > 0)
    head_.emplace(c.timm ? p / "head" / "fc" : p / "head", c.features(), c.classes);
}

Tensor Swin::embed(const Tensor& image) const {
  if (image.rank() != 4 || image.dim(1) != config_.image || image.dim(2) != config_.image)
    fail(Kind::usage, "Swin for {0}x{0} pixels was given {1}", config_.image, image.shape().str());
  return patch_norm_(patch_embed_(image));
}

Tensor Swin::forward(const Tensor& image, const nn::Watch& watch) const {
  const auto tell = [&](const std::string& stage, const Tensor& x) {
    if (watch) watch(stage, x);
  };
  Tensor x = embed(image);
  tell("patch_embed", x);
  for (size_t s = 0; s < stages_.size(); ++s) {
    const std::string layer = "layer" + std::to_string(s) + ".";
    for (size_t i = 0; i < stages_[s].blocks.size(); ++i) {
      x = stages_[s].blocks[i].forward(x);
      tell(layer + "block" + std::to_string(i), x);
    }
    if (!stages_[s].downsample) continue;
    x = stages_[s].downsample->forward(x);
    tell(layer + "downsample", x);
  }
  x = norm_(x);
  tell("norm", x);
  return mean(x, {1, 2});
}

Tensor Swin::logits(const Tensor& feature) const {
  if (!head_) fail(Kind::usage, "this Swin has no head for classes");
  return (*head_)(feature);
}

bool holds_swin(const nn::Params& file) {
  return file.has("patch_embed.proj.weight") &&
         file.has("layers.0.blocks.0.attn.relative_position_bias_table");
}

SwinConfig detect(const nn::Params& file, int64_t image) {
  SwinConfig c;
  const Shape patch = shape_of(file, "patch_embed.proj.weight", 4);
  c.dim = patch[0];
  c.patch = patch[2];
  if (file.has("absolute_pos_embed"))
    fail(Kind::unsupported, "{}: tensor 'absolute_pos_embed': only relative positions are read",
         file.origin());
  if (file.has("layers.0.blocks.0.attn.logit_scale"))
    fail(Kind::unsupported, "{}: this is Swin V2; the first version is read", file.origin());
  const int64_t depth = file.count("layers");
  if (depth < 1 || depth > 8 || c.dim > 1 << 12 || c.patch > 256)
    fail(Kind::model, "{}: {} stages of width {} and patches of {}", file.origin(), depth, c.dim,
         c.patch);
  for (int64_t s = 0; s < depth; ++s) {
    const std::string layer = "layers." + std::to_string(s) + ".blocks";
    const std::string name = layer + ".0.attn.relative_position_bias_table";
    const Shape table = shape_of(file, name, 2);
    SwinStage stage;
    stage.depth = file.count(layer);
    stage.heads = table[1];
    stage.window = (root(table[0]) + 1) / 2;
    if ((2 * stage.window - 1) * (2 * stage.window - 1) != table[0] || stage.window > 64 ||
        c.width(static_cast<size_t>(s)) % stage.heads != 0)
      fail(Kind::model, "{}: tensor '{}' has shape {}, expected [(2w-1)^2,heads]", file.origin(),
           name, table.str());
    c.stages.push_back(stage);
  }
  const Shape hidden = shape_of(file, "layers.0.blocks.0.mlp.fc1.weight", 2);
  c.mlp_ratio = hidden[0] / c.dim;
  c.timm = file.has("layers." + std::to_string(depth - 1) + ".downsample.reduction.weight");
  if (const auto head = file.shape(c.timm ? "head.fc.weight" : "head.weight");
      head && head->rank() == 2)
    c.classes = (*head)[0];

  // The first stage's mask has one entry a window.
  c.image = image;
  if (image == 0) {
    const auto mask = file.shape("layers.0.blocks.1.attn_mask");
    if (mask && mask->rank() == 3 && (*mask)[0] <= 1 << 20)
      c.image = root((*mask)[0]) * c.stages[0].window * c.patch;
    else
      c.image = c.stages[0].window * c.patch << (depth - 1);
  }
  if (c.image < 1 || c.image > 1 << 14)
    fail(Kind::usage, "{}: images of {} pixels a side, expected 1 to {}", file.origin(), c.image,
         1 << 14);
  for (size_t s = 0; s < c.stages.size(); ++s) {
    const int64_t unit = c.patch << s;
    if (c.image % unit != 0 || c.side(s) % c.stages[s].window != 0)
      fail(Kind::usage,
           "{}: images of {} pixels a side cannot be cut into windows of {} in stage {}",
           file.origin(), c.image, c.stages[s].window, s);
  }
  return c;
}

}  // namespace beckon::swin
