// SAM's official names under Hugging Face's.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace beckon::test {

inline void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (size_t at = text.find(from); at != text.npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

// The replacements of the conversion that made the published files, in its order.
inline std::string hugging_face_name(std::string name) {
  const std::vector<std::pair<std::string, std::string>> replacements = {
      {"iou_prediction_head.layers.0", "iou_prediction_head.proj_in"},
      {"iou_prediction_head.layers.1", "iou_prediction_head.layers.0"},
      {"iou_prediction_head.layers.2", "iou_prediction_head.proj_out"},
      {"mask_decoder.output_upscaling.0", "mask_decoder.upscale_conv1"},
      {"mask_decoder.output_upscaling.1", "mask_decoder.upscale_layer_norm"},
      {"mask_decoder.output_upscaling.3", "mask_decoder.upscale_conv2"},
      {"mask_downscaling.0", "mask_embed.conv1"},
      {"mask_downscaling.1", "mask_embed.layer_norm1"},
      {"mask_downscaling.3", "mask_embed.conv2"},
      {"mask_downscaling.4", "mask_embed.layer_norm2"},
      {"mask_downscaling.6", "mask_embed.conv3"},
      {"point_embeddings", "point_embed"},
      {"pe_layer.positional_encoding_gaussian_matrix", "shared_embedding.positional_embedding"},
      {"image_encoder", "vision_encoder"},
      {"neck.0", "neck.conv1"},
      {"neck.1", "neck.layer_norm1"},
      {"neck.2", "neck.conv2"},
      {"neck.3", "neck.layer_norm2"},
      {"patch_embed.proj", "patch_embed.projection"},
      {".norm", ".layer_norm"},
      {"blocks", "layers"}};
  for (const auto& [from, to] : replacements) replace_all(name, from, to);
  if (name.find("output_hypernetworks_mlps") != name.npos) {
    replace_all(name, "layers.0", "proj_in");
    replace_all(name, "layers.1", "layers.0");
    replace_all(name, "layers.2", "proj_out");
  }
  return name;
}

}  // namespace beckon::test
