// The three parts of SAM together, and the frame that images and prompts are brought into.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "beckon/image.h"
#include "beckon/resize.h"
#include "models/sam/image_encoder.h"
#include "models/sam/mask_decoder.h"
#include "models/sam/mask_decoder_fast.h"
#include "models/sam/mask_decoder_low_rank.h"
#include "models/sam/prompt_encoder.h"

namespace beckon::sam {

// How an image lies in the square that the encoder sees: enlarged or shrunk to fill the long side,
// at the top left, zeros below and to the right.
struct Frame {
  ImageSize image;    // as given
  ImageSize resized;  // within the square
  int side = 0;       // of the square

  // Pixels of the image to places in the frame, as the reference's predictor computes them: scaled
  // in double, kept in float.
  float x(double image_x) const;
  float y(double image_y) const;
};

struct SamModel {
  SamModel(const nn::Params& p, const SamConfig& config);
  SamModel(const SamModel&) = delete;
  SamModel& operator=(const SamModel&) = delete;

  SamConfig config;
  std::unique_ptr<ImageEncoder> image_encoder;
  PromptEncoder prompt_encoder;
  MaskDecoder mask_decoder;
  FastMaskDecoder fast_decoder;
  LowRankMaskDecoder low_rank_decoder;
  std::vector<nn::Parameter> parameters;  // under official names
  std::string origin;

  Frame frame(ImageSize image) const;
  // [1,S,S,3]: resized as bytes, normalised, padded with zeros afterwards.
  Tensor input(const Image& image) const;
  const std::string& hash() const;

 private:
  mutable std::once_flag hashed_;
  mutable std::string hash_;
};

}  // namespace beckon::sam
