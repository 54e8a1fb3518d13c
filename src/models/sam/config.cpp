#include "models/sam/config.h"

#include <cmath>

#include "base/fail.h"

namespace beckon::sam {
namespace {

// Larger than any published model by far; keeps sizes from a broken file from multiplying over.
constexpr int64_t kMostChannels = 1 << 14;
constexpr int64_t kMostBlocks = 256;
constexpr int64_t kLargestImage = 1 << 14;

VitConfig vit(int64_t dim, int64_t depth, int64_t heads, std::vector<int64_t> global_blocks) {
  VitConfig c;
  c.dim = dim;
  c.depth = depth;
  c.heads = heads;
  c.global_blocks = std::move(global_blocks);
  c.mlp = 4 * dim;
  return c;
}

// The shape of a tensor that tells a size.
Shape shape_of(const nn::Params& p, const std::string& name, int rank) {
  const std::optional<Shape> shape = p.shape(name);
  if (!shape) fail(Kind::model, "{}: there is no tensor '{}'", p.origin(), name);
  bool fine = shape->rank() == rank;
  for (const int64_t size : *shape) fine = fine && size >= 1;
  if (!fine)
    fail(Kind::model, "{}: tensor '{}' has shape {}, expected {} sizes of at least 1", p.origin(),
         name, shape->str(), rank);
  return *shape;
}

void check_range(const nn::Params& p, const char* what, int64_t value, int64_t most) {
  if (value < 1 || value > most)
    fail(Kind::model, "{}: {} would be {}, expected 1 to {}", p.origin(), what, value, most);
}

VitConfig detect_vit(const nn::Params& p) {
  VitConfig c;
  const Shape patch = shape_of(p, "image_encoder.patch_embed.proj.weight", 4);
  c.dim = patch[0];
  c.patch = patch[2];
  const Shape position = shape_of(p, "image_encoder.pos_embed", 4);
  c.depth = p.count("image_encoder.blocks");
  check_range(p, "the width", c.dim, kMostChannels);
  check_range(p, "the number of blocks", c.depth, kMostBlocks);
  // The masks that are prompts and answers have four places along a patch.
  check_range(p, "the patch size", c.patch, kLargestImage);
  if (c.patch % 4 != 0)
    fail(Kind::model, "{}: a patch size of {}, expected a multiple of 4", p.origin(), c.patch);
  check_range(p, "the image size", position[1], kLargestImage / c.patch);
  c.image = position[1] * c.patch;
  c.mlp = shape_of(p, "image_encoder.blocks.0.mlp.lin1.weight", 2)[0];
  c.out = shape_of(p, "image_encoder.neck.0.weight", 4)[0];

  // A table of relative positions has 2s-1 rows for a window of s: blocks over the whole grid give
  // themselves away.
  c.window = 0;
  c.global_blocks.clear();
  for (int64_t i = 0; i < c.depth; ++i) {
    const Shape table =
        shape_of(p, "image_encoder.blocks." + std::to_string(i) + ".attn.rel_pos_h", 2);
    if (i == 0) {
      if (c.dim % table[1] != 0)
        fail(Kind::model, "{}: relative positions of width {} do not divide the width {}",
             p.origin(), table[1], c.dim);
      c.heads = c.dim / table[1];
    }
    const int64_t side = (table[0] + 1) / 2;
    if (side == c.grid()) {
      c.global_blocks.push_back(i);
    } else {
      c.window = side;
    }
  }
  return c;
}

TinyVitConfig detect_tiny_vit(const nn::Params& p) {
  TinyVitConfig c;
  const nn::Params encoder = p / "image_encoder";
  c.dims[0] = shape_of(p, "image_encoder.patch_embed.seq.2.c.weight", 4)[0];
  for (size_t i = 0; i < 4; ++i) {
    const std::string layer = "image_encoder.layers." + std::to_string(i);
    c.depths[i] = p.count(layer + ".blocks");
    check_range(p, "the number of blocks", c.depths[i], kMostBlocks);
    if (i < 3) c.dims[i + 1] = shape_of(p, layer + ".downsample.conv1.c.weight", 4)[0];
    check_range(p, "the width", c.dims[i], kMostChannels);
    if (i == 0) {
      c.expand_ratio = static_cast<double>(shape_of(p, layer + ".blocks.0.conv1.c.weight", 4)[0]) /
                       static_cast<double>(c.dims[0]);
      continue;
    }
    const Shape biases = shape_of(p, layer + ".blocks.0.attn.attention_biases", 2);
    c.heads[i] = biases[0];
    c.windows[i] = std::llround(std::sqrt(static_cast<double>(biases[1])));
    if (c.windows[i] * c.windows[i] != biases[1])
      fail(Kind::model, "{}: {} attention biases a head are no square", p.origin(), biases[1]);
    c.mlp_ratio = static_cast<double>(shape_of(p, layer + ".blocks.0.mlp.fc1.weight", 2)[0]) /
                  static_cast<double>(c.dims[i]);
  }
  c.out = shape_of(p, "image_encoder.neck.0.weight", 4)[0];
  return c;
}

}  // namespace

int64_t TinyVitConfig::grid() const {
  const auto halved = [](int64_t n, int64_t stride) { return (n - 1) / stride + 1; };
  int64_t side = halved(halved(image, 2), 2);
  for (const int64_t stride : strides) side = halved(side, stride);
  return side;
}

int64_t SamConfig::image() const {
  return std::visit([](const auto& c) { return c.image; }, encoder);
}

SamConfig official_config(const std::string& variant) {
  SamConfig c;
  c.name = variant;
  if (variant == "vit_b") {
    c.encoder = vit(768, 12, 12, {2, 5, 8, 11});
  } else if (variant == "vit_l") {
    c.encoder = vit(1024, 24, 16, {5, 11, 17, 23});
  } else if (variant == "vit_h") {
    c.encoder = vit(1280, 32, 16, {7, 15, 23, 31});
  } else if (variant == "vit_t") {
    c.encoder = TinyVitConfig{};
  } else {
    fail(Kind::usage, "there is no SAM variant '{}'; there are vit_b, vit_l, vit_h and vit_t",
         variant);
  }
  return c;
}

SamConfig detect_config(const nn::Params& p) {
  SamConfig c;
  if (p.has("image_encoder.patch_embed.seq.0.c.weight")) {
    c.encoder = detect_tiny_vit(p);
  } else if (p.has("image_encoder.patch_embed.proj.weight")) {
    c.encoder = detect_vit(p);
  } else {
    fail(Kind::model,
         "{}: this is no Segment Anything checkpoint (neither "
         "'image_encoder.patch_embed.proj.weight' of ViT nor "
         "'image_encoder.patch_embed.seq.0.c.weight' of TinyViT is in it)",
         p.origin());
  }

  const Shape tokens = shape_of(p, "mask_decoder.mask_tokens.weight", 2);
  c.decoder.multimask = tokens[0] - 1;
  c.decoder.dim = tokens[1];
  check_range(p, "the number of masks", c.decoder.multimask, 64);
  check_range(p, "the prompt width", c.decoder.dim, kMostChannels);
  c.decoder.depth = p.count("mask_decoder.transformer.layers");
  check_range(p, "the number of decoder layers", c.decoder.depth, kMostBlocks);
  c.decoder.mlp = shape_of(p, "mask_decoder.transformer.layers.0.mlp.lin1.weight", 2)[0];
  c.decoder.iou_depth = p.count("mask_decoder.iou_prediction_head.layers");
  c.decoder.iou_hidden = shape_of(p, "mask_decoder.iou_prediction_head.layers.0.weight", 2)[0];
  if (c.decoder.dim % (2 * c.decoder.heads) != 0 || c.decoder.dim % 8 != 0)
    fail(Kind::model, "{}: a prompt width of {} cannot be split into {} heads", p.origin(),
         c.decoder.dim, 2 * c.decoder.heads);

  c.prompt.dim = c.decoder.dim;
  c.prompt.mask_channels = shape_of(p, "prompt_encoder.mask_downscaling.3.weight", 4)[0];
  const int64_t grid = std::visit([](const auto& e) { return e.grid(); }, c.encoder);
  c.prompt.grid_h = c.prompt.grid_w = grid;
  c.prompt.image_h = c.prompt.image_w = c.image();

  c.name = "custom";
  for (const char* variant : {"vit_b", "vit_l", "vit_h", "vit_t"}) {
    const SamConfig official = official_config(variant);
    if (official.encoder.index() != c.encoder.index()) continue;
    if (const auto* e = std::get_if<VitConfig>(&c.encoder)) {
      const auto& o = std::get<VitConfig>(official.encoder);
      if (e->dim == o.dim && e->depth == o.depth) c.name = variant;
    } else if (std::get<TinyVitConfig>(c.encoder).dims ==
               std::get<TinyVitConfig>(official.encoder).dims) {
      c.name = variant;
    }
  }
  return c;
}

}  // namespace beckon::sam
