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

// What tells whether a file is still the one it was, as far as the system says.
struct FileIdentity {
  std::string path;
  uint64_t device = 0, inode = 0, bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;

  // Zeros if there is no such file.
  static FileIdentity of(const std::string& path);
  std::string str() const;
  friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

struct SamModel {
  SamModel(const nn::Params& p, const SamConfig& config);
  SamModel(const SamModel&) = delete;
  SamModel& operator=(const SamModel&) = delete;

  // Most of the numbers are the image encoder's: they are read when it is first used, which is
  // never for images whose embeddings are known. The first call may throw what reading throws.
  const ImageEncoder& image_encoder() const;
  // Of all parts, under official names.
  const std::vector<nn::Parameter>& parameters() const;

  SamConfig config;

 private:
  void read() const;
  nn::Params params_;
  std::unique_ptr<ImageEncoder> image_encoder_;

 public:
  PromptEncoder prompt_encoder;
  MaskDecoder mask_decoder;
  FastMaskDecoder fast_decoder;
  LowRankMaskDecoder low_rank_decoder;
  std::string origin;
  std::vector<FileIdentity> files;  // it was loaded from, as they were then; may be none

  Shape embedding_shape() const {
    return {1, config.prompt.grid_h, config.prompt.grid_w, config.prompt.dim};
  }
  Frame frame(ImageSize image) const;
  // [1,S,S,3]: resized as bytes, normalised, padded with zeros afterwards.
  Tensor input(const Image& image) const;
  const std::string& hash() const;

 private:
  std::vector<nn::Parameter> parameters_;
  mutable std::once_flag read_;
  mutable std::once_flag hashed_;
  mutable std::string hash_;
};

}  // namespace beckon::sam
