// Google's npz layout of ViT.
#include <map>

#include "base/fail.h"
#include "models/vit/forms.h"
#include "models/vit/vit.h"

namespace beckon::vit {
namespace {

// What stands before every name.
std::string prefix_of(const nn::Params& npz) {
  for (const char* prefix : {"", "opt/target/", "params/"})
    if (npz.has(std::string(prefix) + "embedding/kernel")) return prefix;
  fail(Kind::model, "{}: this is no ViT in Google's layout (no 'embedding/kernel')", npz.origin());
}

}  // namespace

nn::Params from_google(const nn::Params& npz, const VitConfig& c) {
  NoGrad no_grad;
  const std::string prefix = prefix_of(npz);
  std::map<std::string, Tensor> tensors;
  const auto take = [&](const std::string& name, const Shape& shape) {
    return npz.tensor(prefix + name, shape);
  };
  // Dense kernels are [in,out], those of attention split one of the two into heads.
  const auto add_linear = [&](const std::string& name, const std::string& from, const Shape& kernel,
                              const Shape& bias, int64_t in, int64_t out) {
    tensors[name + ".weight"] =
        take(from + "/kernel", kernel).reshape({in, out}).transpose(0, 1).contiguous();
    tensors[name + ".bias"] = take(from + "/bias", bias).reshape({out});
  };
  const auto add_norm = [&](const std::string& name, const std::string& from) {
    tensors[name + ".weight"] = take(from + "/scale", {c.dim});
    tensors[name + ".bias"] = take(from + "/bias", {c.dim});
  };

  tensors["embeddings.cls_token"] = take("cls", {1, 1, c.dim});
  tensors["embeddings.patch_embeddings.weight"] =
      take("embedding/kernel", {c.patch, c.patch, 3, c.dim}).permute({3, 2, 0, 1}).contiguous();
  tensors["embeddings.patch_embeddings.bias"] = take("embedding/bias", {c.dim});
  const std::string positions = "Transformer/posembed_input/pos_embedding";
  const auto shape = npz.shape(prefix + positions);
  if (!shape || shape->rank() != 3)
    fail(Kind::model, "{}: '{}' is missing or not [1,tokens,channels]", npz.origin(), positions);
  tensors["embeddings.position_embeddings"] =
      resized_positions(npz.origin(), take(positions, {1, (*shape)[1], c.dim}), c.grid(),
                        PositionResize::linear_corners);

  const Shape split = {c.dim, c.heads, c.dim / c.heads}, split_bias = {c.heads, c.dim / c.heads};
  for (int64_t i = 0; i < c.depth; ++i) {
    const std::string to = "encoder.layer." + std::to_string(i) + ".";
    const std::string from = "Transformer/encoderblock_" + std::to_string(i) + "/";
    const std::string attention = from + "MultiHeadDotProductAttention_1/";
    for (const char* name : {"query", "key", "value"})
      add_linear(to + "attn." + name, attention + name, split, split_bias, c.dim, c.dim);
    add_linear(to + "attn.out", attention + "out", {c.heads, c.dim / c.heads, c.dim}, {c.dim},
               c.dim, c.dim);
    add_linear(to + "ffn.fc1", from + "MlpBlock_3/Dense_0", {c.dim, c.mlp}, {c.mlp}, c.dim, c.mlp);
    add_linear(to + "ffn.fc2", from + "MlpBlock_3/Dense_1", {c.mlp, c.dim}, {c.dim}, c.mlp, c.dim);
    add_norm(to + "attention_norm", from + "LayerNorm_0");
    add_norm(to + "ffn_norm", from + "LayerNorm_2");
  }
  add_norm("encoder.encoder_norm", "Transformer/encoder_norm");
  if (c.classes > 0) {
    const int64_t width = c.representation > 0 ? c.representation : c.dim;
    if (c.representation > 0)
      add_linear("pre_logits", "pre_logits", {c.dim, width}, {width}, c.dim, width);
    add_linear("head", "head", {width, c.classes}, {c.classes}, width, c.classes);
  }
  return nn::Params::from(std::move(tensors), npz.origin());
}

VitConfig detect_google(const nn::Params& npz, int64_t image) {
  const std::string prefix = prefix_of(npz);
  const auto shape = [&](const std::string& name, int rank) {
    const auto found = npz.shape(prefix + name);
    if (!found || found->rank() != rank || found->elements() < 1)
      fail(Kind::model, "{}: '{}' is missing or not of {} dimensions", npz.origin(), name, rank);
    return *found;
  };
  VitConfig c;
  c.image = image;
  const Shape patch = shape("embedding/kernel", 4);
  c.patch = patch[0];
  c.dim = patch[3];
  const std::string block = "Transformer/encoderblock_";
  c.heads = shape(block + "0/MultiHeadDotProductAttention_1/query/kernel", 3)[1];
  c.mlp = shape(block + "0/MlpBlock_3/Dense_0/kernel", 2)[1];
  c.depth = 0;
  while (npz.has(prefix + block + std::to_string(c.depth) + "/LayerNorm_0/scale")) ++c.depth;
  if (image == 0)
    c.image = c.patch * grid_of(npz.origin(), shape("Transformer/posembed_input/pos_embedding", 3));
  if (const auto head = npz.shape(prefix + "head/kernel"); head && head->rank() == 2)
    c.classes = (*head)[1];
  if (const auto layer = npz.shape(prefix + "pre_logits/kernel"); layer && layer->rank() == 2)
    c.representation = (*layer)[1];
  check_sizes(npz.origin(), c);
  return c;
}

}  // namespace beckon::vit
