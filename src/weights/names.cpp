#include "weights/names.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_map>

#include "base/fail.h"
#include "weights/cursor.h"
#include "weights/impl.h"
#include "weights/onnx.h"

namespace beckon {
namespace {

using weights::Contents;
using weights::Entry;
using weights::OnnxGraph;
using weights::OnnxNode;
using weights::printable;

void replace(std::string& text, std::string_view from, std::string_view to) {
  if (const size_t at = text.find(from); at != text.npos) text.replace(at, from.size(), to);
}

bool is_official(std::string_view name) {
  return name.starts_with("image_encoder.") || name.starts_with("prompt_encoder.") ||
         name.starts_with("mask_decoder.");
}

bool is_hugging_face(std::string_view name) {
  return name.starts_with("vision_encoder.") || name.starts_with("shared_image_embedding.");
}

std::string without_prefixes(std::string name) {
  for (bool changed = true; changed;) {
    changed = false;
    for (std::string_view prefix : {"module.", "model.", "sam."})
      if (name.starts_with(prefix)) name.erase(0, prefix.size()), changed = true;
  }
  return name;
}

// ---------------------------------------------------------------------------------------------------------------------
// ONNX. The rule is derived from the graph instead of listing 327 names, because the exporter
// numbers its tensors
// ("onnx::MatMul_2385"): another export of the same model has other numbers, but the same module
// paths.

// "/patch_embed/seq/seq.0/c/Conv" -> "patch_embed.seq.0.c": the exporter repeats the name of a
// Sequential before its number, and puts the operation last.
std::string module_of(std::string_view node) {
  std::string path;
  std::string_view last;
  while (!node.empty()) {
    node.remove_prefix(node[0] == '/' ? 1 : 0);
    const std::string_view part = node.substr(0, node.find('/'));
    node.remove_prefix(part.size());
    if (node.empty()) break;  // the operation
    const bool numbered = !last.empty() && part.size() > last.size() && part.starts_with(last) &&
                          part[last.size()] == '.';
    if (numbered) path.resize(path.size() - last.size());
    if (!path.empty() && path.back() != '.') path += '.';
    path += part;
    last = part;
  }
  return path;
}

class ExportedSam {
 public:
  ExportedSam(const Checkpoint::Impl& impl, const OnnxGraph& graph, std::vector<Entry>& out)
      : impl_(impl), graph_(graph), out_(out) {
    for (const Entry& entry : impl.contents.entries)
      if (entry.info.name.starts_with(graph.scope + "mask_decoder.")) is_decoder_ = true;
  }

  void run() {
    for (const Entry& entry : impl_.contents.entries) {
      if (!entry.info.name.starts_with(graph_.scope)) continue;
      std::string name = entry.info.name.substr(graph_.scope.size());
      if (entry.info.dtype != DType::f32) continue;  // axes, sizes: the graph's own numbers
      if (name.starts_with("onnx::")) {
        unnamed_.insert(name);
      } else if (name.find('/') == name.npos &&
                 (name.ends_with(".weight") || name.ends_with(".bias") ||
                  name.ends_with("gaussian_matrix"))) {
        add(entry, is_decoder_ ? without_prefixes(name) : "image_encoder." + name);
      }
    }
    for_each_node(graph_, [this](const OnnxNode& node) { visit(node); });
    if (!unnamed_.empty())
      fail(Kind::model, "{}: '{}' is not used in a way that SAM uses a weight", impl_.contents.path,
           printable(*unnamed_.begin()));
  }

 private:
  void add(Entry entry, std::string name) {
    entry.info.name = std::move(name);
    out_.push_back(std::move(entry));
  }

  // The official path of a node's module.
  std::string official(std::string_view node) const {
    const std::string module = module_of(node);
    if (!is_decoder_) return "image_encoder." + module;
    return (module.starts_with("mask_downscaling") ? "prompt_encoder." : "mask_decoder.") + module;
  }

  void visit(const OnnxNode& node) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const std::string input(node.inputs[i]);
      if (unnamed_.erase(input) != 0) use(node, i, impl_.at(graph_.scope + input));
    }
    if (node.op == "Constant" && node.outputs.size() == 1 &&
        module_of(node.name).ends_with(".attn"))
      bias_table(node);
  }

  void use(const OnnxNode& node, size_t input, const Entry& entry) {
    const std::string module = official(node.name);
    const Shape& shape = entry.info.shape;
    if (node.op == "Conv" && module.ends_with(".c") && (input == 1 || input == 2)) {
      const std::string conv_and_norm = module.substr(0, module.size() - 2);
      if (input == 1) return add(entry, module + ".weight");
      return folded_norm(entry, conv_and_norm + ".bn");
    }
    if (node.op == "MatMul" && input == 1 && shape.rank() == 2)
      return add(transposed(entry), module + ".weight");
    if (node.op == "Expand" && shape.rank() == 3 && shape[0] == 1 && shape[1] > 1)
      return tokens(entry);
    if (node.op == "Mul" && module_of(node.name).empty() && shape.rank() == 4)
      return add(reshaped(entry, {1, shape.elements()}), "prompt_encoder.no_mask_embed.weight");
    if (node.op == "Mul") return add(reshaped(entry, {shape.elements()}), module + ".weight");
    if (node.op == "Add") return add(reshaped(entry, {shape.elements()}), module + ".bias");
    unnamed_.insert(std::string(node.inputs[input]));  // another node may say more
  }

  // These keep the element order, which is contiguous in ONNX files.
  static Entry reshaped(Entry entry, const Shape& shape) {
    entry.info.shape = shape;
    entry.strides = weights::row_major_strides(shape);
    return entry;
  }
  static Entry transposed(Entry entry) {
    std::swap(entry.info.shape[0], entry.info.shape[1]);
    std::swap(entry.strides[0], entry.strides[1]);
    return entry;
  }

  // The convolution already holds the norm's scale; what is left is y = x + bias.
  void folded_norm(const Entry& bias, const std::string& norm) {
    const Shape shape = bias.info.shape;
    add(bias, norm + ".bias");
    add(constant(1.0f, shape), norm + ".weight");
    add(constant(0.0f, shape), norm + ".running_mean");
    // With the norm's epsilon of 1e-5 this is sqrt(1) in float32, exactly.
    add(constant(1.0f - 1e-5f, shape), norm + ".running_var");
  }
  static Entry constant(float value, const Shape& shape) {
    std::vector<std::byte> bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    Entry entry = weights::make_entry("", weights::Stored::f32, shape,
                                      weights::memory_storage(std::move(bytes)));
    for (int64_t& stride : entry.strides) stride = 0;
    return entry;
  }

  // [1, 1 + masks, C]: the IoU token, then the mask tokens.
  void tokens(const Entry& entry) {
    const int64_t count = entry.info.shape[1], width = entry.info.shape[2];
    add(reshaped(entry, {1, width}), "mask_decoder.iou_token.weight");
    Entry masks = reshaped(entry, {count - 1, width});
    masks.offset += width;
    add(masks, "mask_decoder.mask_tokens.weight");
  }

  // The bias between all pairs of a window, [heads, N, N]. It depends on the distance of the pair
  // alone, and the first row holds every distance: column dy * window + dx is the pair of (0,0) and
  // (dy,dx).
  void bias_table(const OnnxNode& node) {
    const Entry* entry = impl_.find(graph_.scope + std::string(node.outputs[0]));
    if (!entry || entry->info.dtype != DType::f32) return;
    const Shape& shape = entry->info.shape;
    if (shape.rank() != 3 || shape[1] != shape[2] || shape[1] < 2) return;
    Entry first_row = *entry;
    first_row.info.shape = {shape[0], shape[2]};
    first_row.strides = {entry->strides[0], entry->strides[2]};
    add(first_row, official(node.name) + ".attention_biases");
  }

  const Checkpoint::Impl& impl_;
  const OnnxGraph& graph_;
  std::vector<Entry>& out_;
  std::set<std::string> unnamed_;
  bool is_decoder_ = false;
};

}  // namespace

std::string sam_name_from_hugging_face(std::string_view from) {
  std::string name(from);
  if (name == "shared_image_embedding.positional_embedding" ||
      name == "prompt_encoder.shared_embedding.positional_embedding")
    return "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix";
  if (name.starts_with("vision_encoder.")) {
    replace(name, "vision_encoder.", "image_encoder.");
    replace(name, "patch_embed.projection.", "patch_embed.proj.");
    replace(name, "neck.conv1.", "neck.0.");
    replace(name, "neck.layer_norm1.", "neck.1.");
    replace(name, "neck.conv2.", "neck.2.");
    replace(name, "neck.layer_norm2.", "neck.3.");
    if (name.starts_with("image_encoder.layers.")) {
      replace(name, ".layers.", ".blocks.");
      replace(name, ".layer_norm", ".norm");
    }
  } else if (name.starts_with("prompt_encoder.")) {
    replace(name, ".point_embed.", ".point_embeddings.");
    replace(name, "mask_embed.conv1.", "mask_downscaling.0.");
    replace(name, "mask_embed.layer_norm1.", "mask_downscaling.1.");
    replace(name, "mask_embed.conv2.", "mask_downscaling.3.");
    replace(name, "mask_embed.layer_norm2.", "mask_downscaling.4.");
    replace(name, "mask_embed.conv3.", "mask_downscaling.6.");
  } else if (name.starts_with("mask_decoder.")) {
    replace(name, ".upscale_conv1.", ".output_upscaling.0.");
    replace(name, ".upscale_layer_norm.", ".output_upscaling.1.");
    replace(name, ".upscale_conv2.", ".output_upscaling.3.");
    if (name.starts_with("mask_decoder.transformer.")) {
      replace(name, ".layer_norm", ".norm");
    } else {
      // The heads: proj_in, layers.0, proj_out are layers 0, 1, 2.
      replace(name, ".layers.0.", ".layers.1.");
      replace(name, ".proj_in.", ".layers.0.");
      replace(name, ".proj_out.", ".layers.2.");
    }
  }
  return name;
}

bool holds_sam(const Checkpoint& checkpoint) {
  const Contents& contents = checkpoint.impl().contents;
  for (const OnnxGraph& graph : contents.graphs)
    for (std::string_view known :
         {"neck.0.weight", "mask_decoder.transformer.norm_final_attn.weight"})
      if (checkpoint.contains(graph.scope + std::string(known))) return true;
  const auto names = checkpoint.unwrapped();
  return contents.graphs.empty() &&
         std::any_of(names.names().begin(), names.names().end(), [](const std::string& name) {
           const std::string plain = without_prefixes(name);
           return is_official(plain) || is_hugging_face(plain);
         });
}

Checkpoint sam_names(const Checkpoint& checkpoint) {
  Contents contents = checkpoint.impl().contents;
  std::vector<Entry> entries;
  if (!contents.graphs.empty()) {
    for (const OnnxGraph& graph : contents.graphs)
      ExportedSam(checkpoint.impl(), graph, entries).run();
  } else {
    entries = checkpoint.unwrapped().impl().contents.entries;
    for (Entry& entry : entries) entry.info.name = without_prefixes(std::move(entry.info.name));
    const bool hugging_face = std::any_of(entries.begin(), entries.end(), [](const Entry& entry) {
      return is_hugging_face(entry.info.name);
    });
    if (hugging_face) {
      // The position matrix may be stored once or twice, under two names; the two are the same.
      const auto copy = std::find_if(entries.begin(), entries.end(), [](const Entry& entry) {
        return entry.info.name == "shared_image_embedding.positional_embedding";
      });
      const bool twice = std::any_of(entries.begin(), entries.end(), [](const Entry& entry) {
        return entry.info.name == "prompt_encoder.shared_embedding.positional_embedding";
      });
      if (copy != entries.end() && twice) entries.erase(copy);
      for (Entry& entry : entries) entry.info.name = sam_name_from_hugging_face(entry.info.name);
    }
  }
  if (std::none_of(entries.begin(), entries.end(),
                   [](const Entry& entry) { return is_official(entry.info.name); }))
    fail(Kind::model,
         "{}: no weights of SAM: no name begins with image_encoder, prompt_encoder or "
         "mask_decoder{}",
         contents.path,
         entries.empty() ? "" : "; the first is '" + printable(entries[0].info.name) + "'");
  contents.entries = std::move(entries);
  return Checkpoint(Checkpoint::Impl::make(std::move(contents)));
}

}  // namespace beckon
