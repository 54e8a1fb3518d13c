// CLIP's published files: names and sizes.
#include <algorithm>
#include <cmath>
#include <map>

#include "base/fail.h"
#include "models/clip/clip.h"

namespace beckon::clip {
namespace {

constexpr int64_t kMostChannels = 1 << 14;

Shape shape_of(const nn::Params& file, const std::string& name, int rank) {
  const auto shape = file.shape(name);
  if (!shape) fail(Kind::model, "{}: there is no tensor '{}'", file.origin(), name);
  bool fine = shape->rank() == rank;
  for (const int64_t size : *shape) fine = fine && size >= 1 && size <= 1 << 20;
  if (!fine)
    fail(Kind::model, "{}: tensor '{}' has shape {}, expected {} sizes of at least 1",
         file.origin(), name, shape->str(), rank);
  return *shape;
}

// 1 + n*n rows.
int64_t grid_of(const nn::Params& file, const std::string& name) {
  const Shape table = shape_of(file, name, 2);
  const auto side = std::llround(std::sqrt(static_cast<double>(table[0] - 1)));
  if (side < 1 || side * side + 1 != table[0])
    fail(Kind::model, "{}: tensor '{}' has {} rows, expected 1 + a square", file.origin(), name,
         table[0]);
  return side;
}

// Hugging Face's CLIPModel, one tower's blocks.
void add_blocks(const nn::Params& file, const std::string& from, const std::string& to,
                int64_t width, int64_t depth, std::map<std::string, Tensor>& tensors) {
  const auto copy = [&](const std::string& theirs, const std::string& ours, const Shape& shape) {
    tensors[ours] = file.tensor(theirs, shape);
  };
  const auto pair = [&](const std::string& theirs, const std::string& ours, int64_t out,
                        int64_t in) {
    copy(theirs + ".weight", ours + ".weight", in > 0 ? Shape({out, in}) : Shape({out}));
    copy(theirs + ".bias", ours + ".bias", {out});
  };
  for (int64_t i = 0; i < depth; ++i) {
    const std::string theirs = from + std::to_string(i) + ".", ours = to + std::to_string(i) + ".";
    std::vector<Tensor> weights, biases;
    for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
      const std::string projection = theirs + "self_attn." + name;
      weights.push_back(file.tensor(projection + ".weight", {width, width}));
      biases.push_back(file.tensor(projection + ".bias", {width}));
    }
    tensors[ours + "attn.in_proj_weight"] = concat(weights, 0);
    tensors[ours + "attn.in_proj_bias"] = concat(biases, 0);
    pair(theirs + "self_attn.out_proj", ours + "attn.out_proj", width, width);
    pair(theirs + "layer_norm1", ours + "ln_1", width, 0);
    pair(theirs + "layer_norm2", ours + "ln_2", width, 0);
    pair(theirs + "mlp.fc1", ours + "mlp.c_fc", 4 * width, width);
    pair(theirs + "mlp.fc2", ours + "mlp.c_proj", width, 4 * width);
  }
}

nn::Params from_hugging_face(const nn::Params& file) {
  const NoGrad no_grad;
  std::map<std::string, Tensor> tensors;
  const std::string vision = "vision_model.", text = "text_model.";
  const auto copy = [&](const std::string& theirs, const std::string& ours, const Shape& shape) {
    tensors[ours] = file.tensor(theirs, shape);
  };
  const auto norm = [&](const std::string& theirs, const std::string& ours, int64_t width) {
    copy(theirs + ".weight", ours + ".weight", {width});
    copy(theirs + ".bias", ours + ".bias", {width});
  };
  const auto blocks = [&](const std::string& tower) {
    const int64_t depth = file.count(tower + "encoder.layers");
    if (depth > 256) fail(Kind::model, "{}: {} blocks in {}encoder", file.origin(), depth, tower);
    return depth;
  };

  const Shape patch = shape_of(file, vision + "embeddings.patch_embedding.weight", 4);
  const int64_t width = patch[0];
  copy(vision + "embeddings.patch_embedding.weight", "visual.conv1.weight", patch);
  copy(vision + "embeddings.class_embedding", "visual.class_embedding", {width});
  const std::string positions = vision + "embeddings.position_embedding.weight";
  copy(positions, "visual.positional_embedding", {shape_of(file, positions, 2)[0], width});
  norm(vision + "pre_layrnorm", "visual.ln_pre", width);
  norm(vision + "post_layernorm", "visual.ln_post", width);
  add_blocks(file, vision + "encoder.layers.", "visual.transformer.resblocks.", width,
             blocks(vision), tensors);
  const Shape projection = shape_of(file, "visual_projection.weight", 2);
  tensors["visual.proj"] =
      file.tensor("visual_projection.weight", projection).transpose(0, 1).contiguous();

  const Shape words = shape_of(file, text + "embeddings.token_embedding.weight", 2);
  copy(text + "embeddings.token_embedding.weight", "token_embedding.weight", words);
  const std::string places = text + "embeddings.position_embedding.weight";
  copy(places, "positional_embedding", {shape_of(file, places, 2)[0], words[1]});
  add_blocks(file, text + "encoder.layers.", "transformer.resblocks.", words[1], blocks(text),
             tensors);
  norm(text + "final_layer_norm", "ln_final", words[1]);
  const Shape text_projection = shape_of(file, "text_projection.weight", 2);
  tensors["text_projection"] =
      file.tensor("text_projection.weight", text_projection).transpose(0, 1).contiguous();
  copy("logit_scale", "logit_scale", {});
  return nn::Params::from(std::move(tensors), file.origin());
}

bool is_hugging_face(const nn::Params& file) {
  return file.has("vision_model.embeddings.patch_embedding.weight");
}

}  // namespace

bool holds_clip(const nn::Params& file) {
  return is_hugging_face(file) || file.has("visual.proj") ||
         file.has("visual.attnpool.positional_embedding");
}

nn::Params official_names(const nn::Params& file) {
  if (!holds_clip(file))
    fail(
        Kind::model,
        "{}: this is no CLIP (neither 'visual.proj' nor 'visual.attnpool.positional_embedding' nor "
        "'vision_model.embeddings.patch_embedding.weight' is in it)",
        file.origin());
  return is_hugging_face(file) ? from_hugging_face(file) : file;
}

ClipConfig detect(const nn::Params& file) {
  ClipConfig c;
  if (file.has("visual.proj")) {
    const Shape conv = shape_of(file, "visual.conv1.weight", 4);
    c.vision_width = conv[0];
    c.patch = conv[2];
    c.vision_layers = file.count("visual.transformer.resblocks");
    c.image = c.patch * grid_of(file, "visual.positional_embedding");
  } else {
    c.patch = 0;
    c.vision_layers = 0;
    const std::string positions = "visual.attnpool.positional_embedding";
    c.vision_width = shape_of(file, "visual.layer1.0.conv1.weight", 4)[0];
    c.image = 32 * grid_of(file, positions);
    for (size_t s = 0; s < 4; ++s) {
      c.vision_blocks[s] = file.count("visual.layer" + std::to_string(s + 1));
      if (c.vision_blocks[s] < 1 || c.vision_blocks[s] > 256)
        fail(Kind::model, "{}: {} blocks in visual.layer{}, expected 1 to 256", file.origin(),
             c.vision_blocks[s], s + 1);
    }
  }
  const Shape projection = shape_of(file, "text_projection", 2);
  c.text_width = projection[0];
  c.embed = projection[1];
  c.context = shape_of(file, "positional_embedding", 2)[0];
  c.vocabulary = shape_of(file, "token_embedding.weight", 2)[0];
  c.text_layers = file.count("transformer.resblocks");
  if (c.vision_width > kMostChannels || c.text_width > kMostChannels || c.image > kMostChannels ||
      c.vision_layers > 256 || c.text_layers > 256 || c.text_layers < 1 ||
      (c.is_vit() && c.vision_layers < 1) || c.context > 1 << 12)
    fail(
        Kind::model,
        "{}: no sizes of a CLIP: widths {} and {}, {} and {} blocks, images of {} pixels, texts of "
        "{} tokens",
        file.origin(), c.vision_width, c.text_width, c.vision_layers, c.text_layers, c.image,
        c.context);
  const auto divides = [&](int64_t width) { return width < kHeadWidth || width % kHeadWidth == 0; };
  if (!divides(c.text_width) || !divides(c.is_vit() ? c.vision_width : 32 * c.vision_width))
    fail(Kind::model, "{}: widths {} and {} do not divide into heads of {}", file.origin(),
         c.vision_width, c.text_width, kHeadWidth);
  return c;
}

}  // namespace beckon::clip
