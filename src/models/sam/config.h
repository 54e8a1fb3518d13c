// The sizes of a Segment Anything model. A variant is a row of numbers; the code is the same.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nn/params.h"

namespace beckon::sam {

// "Segment Anything", table of image encoders.
struct VitConfig {
  int64_t image = 1024, patch = 16;
  int64_t dim = 768, depth = 12, heads = 12;
  int64_t window = 14;
  std::vector<int64_t> global_blocks = {2, 5, 8, 11};  // these attend to the whole map
  int64_t mlp = 3072;
  int64_t out = 256;

  int64_t grid() const { return image / patch; }
};

// "Faster Segment Anything": TinyViT-5M with a stride of 16 instead of 32.
struct TinyVitConfig {
  int64_t image = 1024;
  std::array<int64_t, 4> dims = {64, 128, 160, 320};
  std::array<int64_t, 4> depths = {2, 2, 6, 2};
  std::array<int64_t, 4> heads = {2, 4, 5, 10};  // the first stage has convolutions only
  std::array<int64_t, 4> windows = {7, 7, 14, 7};
  std::array<int64_t, 3> strides = {2, 2, 1};  // of the downsampling after stages 0, 1, 2
  double mlp_ratio = 4;
  double expand_ratio = 4;  // of the MBConv blocks
  int64_t out = 256;

  int64_t grid() const;
};

struct PromptEncoderConfig {
  int64_t dim = 256;
  int64_t grid_h = 64, grid_w = 64;        // of the embedding
  int64_t image_h = 1024, image_w = 1024;  // of the frame that coordinates are in
  int64_t mask_channels = 16;
};

struct MaskDecoderConfig {
  int64_t dim = 256, depth = 2, heads = 8, mlp = 2048;
  int64_t multimask = 3;  // the decoder has one mask token more
  int64_t iou_depth = 3, iou_hidden = 256;

  int64_t masks() const { return multimask + 1; }
};

struct SamConfig {
  std::string name = "vit_b";  // vit_b, vit_l, vit_h, vit_t, or "custom"
  std::variant<VitConfig, TinyVitConfig> encoder;
  PromptEncoderConfig prompt;
  MaskDecoderConfig decoder;
  std::array<float, 3> mean = {123.675f, 116.28f, 103.53f};
  std::array<float, 3> deviation = {58.395f, 57.12f, 57.375f};

  int64_t image() const;
  int64_t dim() const { return decoder.dim; }
};

// "vit_b", "vit_l", "vit_h" or "vit_t" in their official sizes; Error(usage) for another name.
SamConfig official_config(const std::string& variant);

// Reads the sizes off the shapes of a checkpoint with official names. What shapes do not tell is as
// in the official models: 8 decoder heads, strides 2, 2, 1, and an image of 1024 for TinyViT.
// Error(model) if this is no SAM checkpoint.
SamConfig detect_config(const nn::Params& p);

}  // namespace beckon::sam
