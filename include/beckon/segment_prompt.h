// Prompts for segmenters that are learned from a few photos with masks: "segment things like
// these", in a file of kilobytes, with the model as it is.
//
//   auto sam = beckon::Sam::load("mobile-sam");
//   auto learned = beckon::learn_segment_prompt(sam, "mine");     // mine/images, mine/masks
//   learned.prompt.save("mine.safetensors");
//   auto mask = learned.prompt.apply(sam.encode(beckon::Image::read("new.jpg")));
//   mask.write_png("mask.png");
//
// A prompt has up to three parts, all in the input space of SAM's mask decoder:
//   - a prior: a direction in the space of the image's features, and an offset. Connected places
//     of a photo that lie far enough along it are where something like the examples is, as PerSAM
//     (Zhang et al., "Personalize Segment Anything Model with One Shot") finds its target; the
//     model is asked about a box around each;
//   - sparse tokens, beside those of the box;
//   - a dense vector, added to what the model is told about every place.
// The prior is found in closed form from the features under the masks and outside of them. Tokens
// and vector begin as "nothing was said" and are learned by gradient through the frozen decoder:
// what belongs to the thing within a box, and that there is nothing in boxes where the prior was
// wrong.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "beckon/evaluation.h"
#include "beckon/export.h"
#include "beckon/mask.h"
#include "beckon/rle.h"
#include "beckon/sam.h"
#include "beckon/tensor.h"

namespace beckon {

// C: the model's prompt dimension, 256.
struct SegmentPromptTensors {
  Tensor tokens;     // [k,C], or none
  Tensor dense;      // [C], or none
  Tensor direction;  // [C], or none: there is no prior
  Tensor offset;     // [1], with direction
};

// A value: copying is cheap, and what it holds is never changed.
class BECKON_API SegmentPrompt {
 public:
  static constexpr int kMostTokens = 64;

  // Error(usage) if a shape does not fit the model, there is no part at all, or a number is not
  // finite. `about`: what is to be remembered of how it was made.
  SegmentPrompt(const Sam& sam, SegmentPromptTensors tensors,
                std::map<std::string, std::string> about = {});

  // A file that save() wrote. Error(missing) if it is not there, Error(input) if it is no such
  // file, broken, or was changed since it was written, Error(model) if it was learned for another
  // model.
  static SegmentPrompt load(const Sam& sam, const std::string& path);
  // Whether a file begins like one: cheap, and no promise that load() takes it.
  static bool recognise(const std::string& path);
  // A safetensors file, whole or not at all. Error(output).
  void save(const std::string& path) const;

  // The mask of all that is like the examples. Error(usage) if another model made the embedding.
  // The same bits for any number of threads.
  PredictedMask apply(const Embedding& embedding) const;
  // The things one by one, by falling score: what the model answers for each part of the prior.
  // Empty answers are left out, and of two that are nearly the same (IoU above 0.7) the lower one.
  std::vector<PredictedMask> instances(const Embedding& embedding) const;
  // What the prior alone makes of an image, as logits: h rows of w places of its features. Empty
  // if there is no prior.
  std::vector<float> prior(const Embedding& embedding) const;

  const std::string& model_hash() const noexcept { return model_hash_; }
  // "label", "option.learning_rate", "metric.validation_iou", ...: how it was made and how well it
  // did.
  const std::map<std::string, std::string>& about() const noexcept { return about_; }
  const SegmentPromptTensors& tensors() const noexcept { return tensors_; }
  int64_t parameter_count() const;

 private:
  SegmentPrompt() = default;
  const sam::Seen& seen_by_its_model(const Embedding& embedding) const;
  SegmentPromptTensors tensors_;
  std::string model_hash_, variant_;
  std::map<std::string, std::string> about_;
};

// The parts of a mask that touch by sides or corners, largest first; those of fewer than `min_area`
// pixels are left out.
BECKON_API std::vector<Rle> separate_parts(const Mask& mask, int64_t min_area = 1);

// Which pictures of a data set, and what of them.
struct ExampleSelection {
  std::string annotations;  // the COCO file, where a folder has several
  // The category that is meant, of data sets with names: pictures that only have others are
  // examples of where nothing is. Empty: every object of any name.
  std::string label;
  MaskKind masks = MaskKind::automatic;
  int64_t most_pictures = 0;  // the first ones; 0: all
  int64_t max_pixels = ReadOptions{}.max_pixels;
  // Pictures that cannot be read are reported and left out, instead of an error.
  bool skip_broken = false;
  // How to see a picture: sam.encode(), or a cache. Empty: sam.encode().
  std::function<Embedding(const Sam&, const Image&)> encode;
};

// How far learning is; the numbers of things that have not happened yet are 0.
struct LearnSegmentProgress {
  enum class Stage : uint8_t { reading, learning } stage = Stage::reading;
  int64_t done = 0, total = 0;  // pictures read, or steps
  // Of the last step: the loss, its parts, and the IoU on the pictures of the step.
  double loss = 0, dice = 0, focal = 0, bce = 0, iou = 0, learning_rate = 0;
  // If the prompt was measured after this step: the mean IoU on the pictures that decide which
  // prompt is kept, and whether this one is the best so far.
  bool measured = false, best = false;
  double measured_iou = 0;
};

struct LearnSegmentOptions {
  ExampleSelection examples;
  int tokens = 4;     // 0 to SegmentPrompt::kMostTokens
  bool dense = true;  // learn the dense vector
  bool prior = true;  // learn the prior
  int64_t steps = 150;
  int64_t batch = 1;  // pictures a step
  double learning_rate = 0.002, weight_decay = 0;
  int64_t warmup = 10;  // steps; then half a cosine
  // Weights of the losses, over the pixels of the low-resolution mask.
  double dice_weight = 1, focal_weight = 20, bce_weight = 1;
  // Of the pictures this share is held out, at random, and decides which prompt is kept; 0: the
  // training pictures decide. At least one picture remains on either side. With fewer than four
  // pictures nothing is held out unless `validation` was set by the caller.
  double validation = -1;  // -1: a fifth from four pictures on
  uint64_t seed = 0;
  // Stop if no measured prompt was better for so many measurements in a row; 0: never.
  int64_t patience = 0;
  // Where to keep all that is needed to go on after a crash, or empty. It is written at every
  // measurement, and removed by nobody.
  std::string checkpoint;
  bool resume = false;  // go on from the checkpoint if it is there: ends with the same bytes
  // Called after every picture and step; false stops with Error(interrupted).
  std::function<bool(const LearnSegmentProgress&)> progress;
};

// IoU at the pictures' own size, means over pictures. A picture where nothing is counts as 1 if
// nothing is found in it.
struct SegmentPromptQuality {
  double iou = 0;
  int64_t pictures = 0;
};

struct LearnedSegmentPrompt {
  SegmentPrompt prompt;
  SegmentPrompt start;    // from the examples' features alone
  int64_t best_step = 0;  // 0: before any step by gradient
  // Of the start from the examples' features, and of the prompt that was kept.
  SegmentPromptQuality start_training, start_validation, training, validation;
  std::vector<std::string> validation_pictures;
  std::vector<PictureFailure> failures;  // with skip_broken
};

// `data` as evaluate_segmentation() takes it: a folder with images/ and masks/, COCO annotations,
// or an index. Throws Error(usage) for options out of range, Error(missing) and Error(input) for
// data that is not there, of no known layout, or has no object; Error(input) if the loss is no
// longer finite: the message says at which step, and a checkpoint then holds the best prompt before
// it. Results depend on the seed alone, not on threads.
BECKON_API LearnedSegmentPrompt learn_segment_prompt(const Sam& sam, const std::string& data,
                                                     const LearnSegmentOptions& options = {});

struct PromptPictureScore {
  std::string picture;
  double iou = 0;
  int64_t area = 0, true_area = 0;
};
struct SegmentPromptScores {
  double miou = 0;        // mean over pictures, as SegmentPromptQuality
  double pooled_iou = 0;  // pixels of all pictures together
  std::vector<PromptPictureScore> pictures;
  std::vector<PictureFailure> failures;  // with skip_broken
};

// Masks that the prompt makes against true ones. Errors as learn_segment_prompt().
BECKON_API SegmentPromptScores
evaluate_segment_prompt(const Sam& sam, const SegmentPrompt& prompt, const std::string& data,
                        const ExampleSelection& examples = {},
                        const std::function<bool(int64_t done, int64_t total)>& progress = {});

}  // namespace beckon
