// case.json of SAM's parts -> their configurations.
#pragma once

#include <nlohmann/json.hpp>

#include "models/sam/config.h"

namespace beckon::test {

inline sam::VitConfig vit_config(const nlohmann::json& c) {
  sam::VitConfig vit;
  vit.image = c.at("img_size");
  vit.patch = c.at("patch_size");
  vit.dim = c.at("embed_dim");
  vit.depth = c.at("depth");
  vit.heads = c.at("num_heads");
  vit.window = c.at("window_size");
  vit.global_blocks = c.at("global_attn_indexes").get<std::vector<int64_t>>();
  vit.mlp = static_cast<int64_t>(c.value("mlp_ratio", 4.0) * static_cast<double>(vit.dim));
  vit.out = c.contains("out_chans") ? c.at("out_chans") : c.at("dim");
  return vit;
}

inline sam::TinyVitConfig tiny_vit_config(const nlohmann::json& c) {
  sam::TinyVitConfig tiny;
  tiny.image = c.at("img_size");
  tiny.dims = c.at("embed_dims");
  tiny.depths = c.at("depths");
  tiny.heads = c.at("num_heads");
  tiny.windows = c.at("window_sizes");
  tiny.strides = c.value("merge_strides", tiny.strides);
  tiny.mlp_ratio = c.at("mlp_ratio");
  tiny.expand_ratio = c.at("mbconv_expand_ratio");
  tiny.out = c.at("out_chans");
  return tiny;
}

inline sam::MaskDecoderConfig mask_decoder_config(const nlohmann::json& c) {
  sam::MaskDecoderConfig decoder;
  decoder.dim = c.at("dim");
  // In the golden of the whole model "depth" is the encoder's.
  decoder.depth = c.contains("embed_dim") ? c.value("dec_depth", 2) : c.value("depth", 2);
  decoder.heads = c.contains("dec_heads") ? c.at("dec_heads") : c.at("num_heads");
  decoder.mlp = c.at("mlp_dim");
  decoder.multimask = c.at("num_multimask_outputs");
  decoder.iou_depth = c.value("iou_head_depth", 3);
  decoder.iou_hidden = c.contains("iou_hidden") ? c.at("iou_hidden") : c.at("iou_head_hidden_dim");
  return decoder;
}

// The whole model of the golden "sam".
inline sam::SamConfig sam_config(const nlohmann::json& c) {
  sam::SamConfig config;
  config.name = "custom";
  const sam::VitConfig vit = vit_config(c);
  config.encoder = vit;
  config.decoder = mask_decoder_config(c);
  config.prompt.dim = config.decoder.dim;
  config.prompt.grid_h = config.prompt.grid_w = vit.grid();
  config.prompt.image_h = config.prompt.image_w = vit.image;
  config.prompt.mask_channels = c.at("mask_in_chans");
  config.mean = c.at("pixel_mean");
  config.deviation = c.at("pixel_std");
  return config;
}

}  // namespace beckon::test
