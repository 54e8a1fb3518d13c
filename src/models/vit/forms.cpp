// The published forms of ViT's weights in PyTorch: the same tensors under other names.
#include "models/vit/forms.h"

#include <map>

#include "base/fail.h"

namespace beckon::vit {
namespace {

// Names in one form. A block's names follow `block` and its number.
struct Form {
  const char* library;
  const char *cls, *positions, *patch;
  const char *block, *norm1, *norm2;
  const char *qkv_weight, *qkv_bias;  // of the three projections in one, or none:
  const char *query, *key, *value;    // separate ones
  const char *out, *fc1, *fc2, *norm, *pre_logits, *head;
  PositionResize resize;
  float norm_eps;
};

constexpr Form kForms[] = {
    {"timm",
     "cls_token",
     "pos_embed",
     "patch_embed.proj",
     "blocks.",
     "norm1",
     "norm2",
     "attn.qkv.weight",
     "attn.qkv.bias",
     "",
     "",
     "",
     "attn.proj",
     "mlp.fc1",
     "mlp.fc2",
     "norm",
     "pre_logits.fc",
     "head",
     PositionResize::cubic_antialiased,
     1e-6f},
    {"Hugging Face",
     "embeddings.cls_token",
     "embeddings.position_embeddings",
     "embeddings.patch_embeddings.projection",
     "encoder.layer.",
     "layernorm_before",
     "layernorm_after",
     nullptr,
     nullptr,
     "attention.attention.query",
     "attention.attention.key",
     "attention.attention.value",
     "attention.output.dense",
     "intermediate.dense",
     "output.dense",
     "layernorm",
     nullptr,
     "classifier",
     PositionResize::cubic,
     1e-12f},
    {"torchvision",
     "class_token",
     "encoder.pos_embedding",
     "conv_proj",
     "encoder.layers.encoder_layer_",
     "ln_1",
     "ln_2",
     "self_attention.in_proj_weight",
     "self_attention.in_proj_bias",
     "",
     "",
     "",
     "self_attention.out_proj",
     "mlp.linear_1",
     "mlp.linear_2",
     "encoder.ln",
     "heads.pre_logits",
     "heads.head",
     PositionResize::cubic_corners,
     1e-6f},
    {"torchvision",
     "class_token",
     "encoder.pos_embedding",
     "conv_proj",
     "encoder.layers.encoder_layer_",
     "ln_1",
     "ln_2",
     "self_attention.in_proj_weight",
     "self_attention.in_proj_bias",
     "",
     "",
     "",
     "self_attention.out_proj",
     "mlp.0",
     "mlp.3",
     "encoder.ln",
     "heads.pre_logits",
     "heads.head",
     PositionResize::cubic_corners,
     1e-6f},
    {"Beckon",
     "embeddings.cls_token",
     "embeddings.position_embeddings",
     "embeddings.patch_embeddings",
     "encoder.layer.",
     "attention_norm",
     "ffn_norm",
     nullptr,
     nullptr,
     "attn.query",
     "attn.key",
     "attn.value",
     "attn.out",
     "ffn.fc1",
     "ffn.fc2",
     "encoder.encoder_norm",
     "pre_logits",
     "head",
     PositionResize::linear_corners,
     1e-6f},
};

// What a form's names stand behind, in files that hold more than the ViT.
constexpr const char* kPrefixes[] = {"", "vit.", "transformer.", "enc.transformer."};

struct Found {
  const Form* form;
  std::string prefix;
};

std::optional<Found> find_form(const nn::Params& file) {
  for (const Form& form : kForms)
    for (const std::string prefix : kPrefixes)
      if (file.has(prefix + form.patch + ".weight") && file.has(prefix + form.positions) &&
          file.has(prefix + form.block + "0." + form.fc1 + ".weight"))
        return Found{&form, prefix};
  return std::nullopt;
}

bool is_google(const nn::Params& file) {
  for (const std::string prefix : {"", "opt/target/", "params/"})
    if (file.has(prefix + "embedding/kernel") &&
        file.has(prefix + "Transformer/encoder_norm/scale"))
      return true;
  return false;
}

// Parts that would change the result if they were passed over.
void refuse_other_parts(const nn::Params& file, const Found& found) {
  const std::string block = found.prefix + found.form->block + "0.";
  for (const std::string& name :
       {found.prefix + "dist_token", found.prefix + "embeddings.distillation_token",
        found.prefix + "reg_token", found.prefix + "register_tokens", block + "ls1.gamma",
        block + "gamma_1", block + "layer_scale1.lambda1", block + "attn.q_norm.weight",
        block + "attn.relative_position_bias_table", block + "mlp.fc1_g.weight",
        found.prefix + "norm_pre.weight"})
    if (file.has(name))
      fail(Kind::unsupported, "{}: tensor '{}' belongs to no plain ViT", file.origin(), name);
}

Shape shape_of(const nn::Params& file, const std::string& name, int rank) {
  const auto shape = file.shape(name);
  if (!shape) fail(Kind::model, "{}: there is no tensor '{}'", file.origin(), name);
  bool fine = shape->rank() == rank;
  for (const int64_t size : *shape) fine = fine && size >= 1;
  if (!fine)
    fail(Kind::model, "{}: tensor '{}' has shape {}, expected {} sizes of at least 1",
         file.origin(), name, shape->str(), rank);
  return *shape;
}

// Files in PyTorch's form do not say how many heads there are; the published models do.
int64_t heads_of(int64_t dim) { return dim == 1280 ? 16 : dim >= 64 ? dim / 64 : 1; }

VitConfig detect(const nn::Params& file, const Found& found, int64_t image) {
  const Form& f = *found.form;
  const auto shape = [&](const std::string& name, int rank) {
    return shape_of(file, found.prefix + name, rank);
  };
  VitConfig c;
  const Shape patch = shape(std::string(f.patch) + ".weight", 4);
  c.dim = patch[0];
  c.patch = patch[2];
  c.heads = heads_of(c.dim);
  c.norm_eps = f.norm_eps;
  const std::string block = std::string(f.block) + "0.";
  c.mlp = shape(block + f.fc1 + ".weight", 2)[0];
  c.depth = 0;
  while (file.has(found.prefix + f.block + std::to_string(c.depth) + "." + f.norm1 + ".weight"))
    ++c.depth;
  const int64_t grid = grid_of(file.origin(), shape(f.positions, 3));
  if (c.patch > 1 << 14 || grid > 1 << 14)
    fail(Kind::model, "{}: patches of {} in a grid of {}", file.origin(), c.patch, grid);
  c.image = image > 0 ? image : c.patch * grid;
  // A head stands beside the ViT, not in it.
  if (const auto head = file.shape(std::string(f.head) + ".weight"); head && head->rank() == 2) {
    c.classes = (*head)[0];
    if (f.pre_logits)
      if (const auto layer = file.shape(std::string(f.pre_logits) + ".weight");
          layer && layer->rank() == 2)
        c.representation = (*layer)[0];
  }
  check_sizes(file.origin(), c);
  return c;
}

nn::Params renamed(const nn::Params& file, const Found& found, const VitConfig& c) {
  const NoGrad no_grad;
  const Form& f = *found.form;
  std::map<std::string, Tensor> tensors;
  const auto copy = [&](const std::string& to, const std::string& from, const Shape& shape) {
    tensors[to] = file.tensor(from, shape);
  };
  const auto linear = [&](const std::string& to, const std::string& from, int64_t in, int64_t out) {
    copy(to + ".weight", from + ".weight", {out, in});
    copy(to + ".bias", from + ".bias", {out});
  };
  const auto norm = [&](const std::string& to, const std::string& from) {
    copy(to + ".weight", from + ".weight", {c.dim});
    copy(to + ".bias", from + ".bias", {c.dim});
  };

  copy("embeddings.cls_token", found.prefix + f.cls, {1, 1, c.dim});
  const std::string patch = found.prefix + f.patch;
  copy("embeddings.patch_embeddings.weight", patch + ".weight", {c.dim, 3, c.patch, c.patch});
  copy("embeddings.patch_embeddings.bias", patch + ".bias", {c.dim});
  const std::string positions = found.prefix + f.positions;
  const Shape table = *file.shape(positions);
  tensors["embeddings.position_embeddings"] = resized_positions(
      file.origin(), file.tensor(positions, {1, table[1], c.dim}), c.grid(), f.resize);
  for (int64_t i = 0; i < c.depth; ++i) {
    const std::string to = "encoder.layer." + std::to_string(i) + ".";
    const std::string from = found.prefix + f.block + std::to_string(i) + ".";
    norm(to + "attention_norm", from + f.norm1);
    norm(to + "ffn_norm", from + f.norm2);
    if (f.qkv_weight) {
      const Tensor weight = file.tensor(from + f.qkv_weight, {3 * c.dim, c.dim});
      const Tensor bias = file.tensor(from + f.qkv_bias, {3 * c.dim});
      int64_t at = 0;
      for (const char* name : {"attn.query", "attn.key", "attn.value"}) {
        tensors[to + name + ".weight"] = weight.slice(0, at, at + c.dim);
        tensors[to + name + ".bias"] = bias.slice(0, at, at + c.dim);
        at += c.dim;
      }
    } else {
      linear(to + "attn.query", from + f.query, c.dim, c.dim);
      linear(to + "attn.key", from + f.key, c.dim, c.dim);
      linear(to + "attn.value", from + f.value, c.dim, c.dim);
    }
    linear(to + "attn.out", from + f.out, c.dim, c.dim);
    linear(to + "ffn.fc1", from + f.fc1, c.dim, c.mlp);
    linear(to + "ffn.fc2", from + f.fc2, c.mlp, c.dim);
  }
  norm("encoder.encoder_norm", found.prefix + f.norm);
  if (c.classes > 0) {
    const int64_t width = c.representation > 0 ? c.representation : c.dim;
    if (c.representation > 0) linear("pre_logits", f.pre_logits, c.dim, width);
    linear("head", f.head, width, c.classes);
  }
  return nn::Params::from(std::move(tensors), file.origin());
}

}  // namespace

bool holds_vit(const nn::Params& file) { return is_google(file) || find_form(file).has_value(); }

Opened open(const nn::Params& file, int64_t image) {
  if (is_google(file)) {
    const VitConfig config = detect_google(file, image);
    return {from_google(file, config), config};
  }
  const auto found = find_form(file);
  if (!found)
    fail(Kind::model,
         "{}: no ViT in a form that is known (Google's npz, timm, Hugging Face, torchvision)",
         file.origin());
  refuse_other_parts(file, *found);
  const VitConfig config = detect(file, *found, image);
  return {renamed(file, *found, config), config, found->form->resize == PositionResize::cubic};
}

}  // namespace beckon::vit
