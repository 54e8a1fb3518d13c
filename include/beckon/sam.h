// Segment Anything: an image and a click become masks.
//
//   auto sam = beckon::Sam::load("mobile-sam");  // or the path of an official file
//   auto seen = sam.encode(beckon::Image::read("truck.jpg"));  // once an image
//   auto masks = seen.segment(beckon::Point{500, 375});        // milliseconds, best first
//   masks.best().write_png("mask.png");
//
// All of these are values that share what they hold: copying is cheap, and every const function may
// be called from several threads at once. Results do not depend on the number of threads.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "beckon/dtype.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/mask.h"
#include "beckon/prompt.h"
#include "beckon/rle.h"

namespace beckon {

namespace sam {
struct SamModel;
struct Seen;
}  // namespace sam

// Which of the model's masks are asked for. A click may mean a shirt, a person or a group: the
// model has three readings of that, and one mask of its own for when the prompts are clear.
enum class Multimask : uint8_t {
  automatic,  // `readings` if the object's only prompt is one point, else `single`
  single,     // mask token 0
  readings,   // mask tokens 1 to 3
  all,        // all of them, mostly to look inside
};

struct SegmentOptions {
  Multimask multimask = Multimask::automatic;
  // Masks whose predicted IoU is not above this are left out, before the costly half of the work is
  // done for them.
  float score_above = -std::numeric_limits<float>::infinity();
};

// What is known about one object. At most one box (it is the whole object) and one mask.
struct ObjectQuery {
  std::vector<Prompt> prompts;
  // PredictedMask::logits() of an earlier answer about this object, to be refined; or empty.
  std::vector<float> mask_logits;
};

// One mask of an answer. What needs the full size is worked out when it is first asked for, and
// kept.
class BECKON_API PredictedMask {
 public:
  // How good the model thinks the mask is: the predicted IoU with the true one, about 0 to 1.
  float score() const noexcept;
  // Which mask token it is of: 0 single, 1 to 3 the readings.
  int token() const noexcept;

  // The low-resolution logits, logits_size().height rows of logits_size().width (256 x 256). They
  // cover the whole square the image was padded to.
  std::span<const float> logits() const noexcept;
  ImageSize logits_size() const noexcept;

  // At the image's size: the object is where the logit is above 0. A mask takes a byte a pixel,
  // kept from the first call on; run lengths and what follows take next to nothing.
  const Mask& mask() const;
  const Rle& rle() const;
  int64_t area() const;
  PixelBox bounding_box() const;
  void write_png(const std::string& path) const { mask().write_png(path); }
  // How little the mask changes with the threshold: #(logit > offset) / #(logit > -offset) at the
  // image's size. NaN if nothing is above -offset.
  double stability(float offset = 1.0f) const;
  // Logits at the image's size, height rows of width. 4 bytes a pixel, not kept.
  std::vector<float> full_logits() const;

  struct Impl;
  explicit PredictedMask(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

 private:
  std::shared_ptr<Impl> impl_;
};

// The answer about one object: masks by falling score.
class BECKON_API Masks {
 public:
  Masks() = default;
  explicit Masks(std::vector<PredictedMask> masks) : masks_(std::move(masks)) {}

  size_t size() const noexcept { return masks_.size(); }
  bool empty() const noexcept { return masks_.empty(); }
  // Error(usage) if there is no such mask.
  const PredictedMask& operator[](size_t i) const;
  // The one with the highest score; Error(usage) if `score_above` left none.
  const PredictedMask& best() const;
  auto begin() const noexcept { return masks_.begin(); }
  auto end() const noexcept { return masks_.end(); }

 private:
  std::vector<PredictedMask> masks_;
};

// An image as the model sees it.
class BECKON_API Embedding {
 public:
  // Of the image, in pixels. Prompts are in its coordinates.
  ImageSize image_size() const noexcept;

  // One object, from one prompt or several. No prompt at all is allowed: the model then names what
  // it finds salient. Throws Error(usage) for two boxes or masks (see objects() in prompt.h), a
  // mask of another size than the image, or numbers that check() refuses; Error(unsupported) for a
  // kind of prompt that SAM has no use for (text, example, ground, learned).
  Masks segment(const Prompt& prompt, const SegmentOptions& options = {}) const;
  Masks segment(std::span<const Prompt> prompts, const SegmentOptions& options = {}) const;
  Masks segment(std::initializer_list<Prompt> prompts, const SegmentOptions& options = {}) const {
    return segment(std::span<const Prompt>(prompts.begin(), prompts.size()), options);
  }
  Masks segment(const ObjectQuery& query, const SegmentOptions& options = {}) const;
  // Many objects of this image at once, in the given order: faster than one by one. From eight
  // prompts of a kind on (as many tokens, no masks) the decoder takes a shorter way, whose logits
  // differ from those of single calls by rounding, some 1e-4; the first such call keeps 29 MB with
  // the embedding. The same call always gives the same bits.
  std::vector<Masks> segment(std::span<const ObjectQuery> queries,
                             const SegmentOptions& options = {}) const;

  // The numbers, [1,channels,rows,columns] as other tools keep them.
  std::vector<float> values() const;
  int channels() const noexcept;
  ImageSize grid() const noexcept;
  // Sam::model_hash() of the model that made it.
  const std::string& model_hash() const;

  // pixel_hash() of the image (embedding_cache.h) where it is known, else empty.
  const std::string& pixels() const noexcept;

  // A safetensors file with the tensor "image_embedding" and what Sam::load_embedding() needs to
  // know; f16 takes half the place of f32. Error(output) if it cannot be written, Error(usage) for
  // another type.
  void save(const std::string& path, DType dtype = DType::f32) const;

  // For what is built on the model itself.
  explicit Embedding(std::shared_ptr<const sam::Seen> seen) : seen_(std::move(seen)) {}
  const sam::Seen& seen() const noexcept { return *seen_; }

 private:
  std::shared_ptr<const sam::Seen> seen_;
};

class BECKON_API Sam {
 public:
  // A name of the model store ("mobile-sam", "sam-vit-b"), or a path: the official .pth and .pt
  // files, the same names in safetensors, Hugging Face's SamModel, or the folder with MobileSAM's
  // two ONNX files. The variant is read off the shapes. A path is one if it exists; weights are
  // mapped, not copied, where the file allows it. Throws Error(missing) for a path that is not
  // there, Error(unavailable) for a model that is not in the store, Error(model) for a file that is
  // broken or holds another kind of model.
  static Sam load(const std::string& name_or_path);

  // Sees an image of any size; grey and alpha become RGB. Error(usage) if it is empty.
  Embedding encode(const Image& image) const;
  // An embedding that was saved. Error(model) if another model made it, Error(input) if the file is
  // broken or none.
  Embedding load_embedding(const std::string& path) const;

  // "vit_b", "vit_l", "vit_h", "vit_t", or "custom" for other sizes.
  const std::string& variant() const noexcept;
  // What it was loaded from.
  const std::string& origin() const noexcept;
  // The side of the square that images are fitted into: 1024.
  int image_size() const noexcept;
  int64_t parameter_count() const noexcept;
  // SHA-256 over names, shapes and values of the parameters: the same for the same weights in
  // whatever kind of file. Worked out at first use and kept: training afterwards does not change
  // it.
  const std::string& model_hash() const;

  // For what is built on the model itself, such as learning prompts.
  explicit Sam(std::shared_ptr<const sam::SamModel> model) : model_(std::move(model)) {}
  const sam::SamModel& model() const noexcept { return *model_; }
  const std::shared_ptr<const sam::SamModel>& shared_model() const noexcept { return model_; }

 private:
  std::shared_ptr<const sam::SamModel> model_;
};

}  // namespace beckon
