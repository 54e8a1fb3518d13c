// Prompts for classifiers that are learned from one's own pictures: a few tokens, a frame of
// pixels, a head, on a network that stays as it is; and every baseline beside them.
//
//   beckon::LearnClassifierOptions options;
//   options.method.name = "vpt-deep";
//   auto learned = beckon::learn_classifier("vit-b16.npz", "flowers", options);
//   learned.prompt.save("flowers.safetensors");
//   auto prompt = beckon::ClassifierPrompt::load("flowers.safetensors");
//   std::vector<float> chances = prompt.classify(beckon::Image::read("new.jpg"));
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "beckon/backbone.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/train.h"

namespace beckon {

namespace learn {
class Learner;
}

// What learns. The names are those of the VPT and pixel prompt papers.
struct ClassifierMethod {
  // "linear", "mlp-K" (K layers), "partial-K" (the last K blocks), "full", "bias", "sidetune";
  // "adapter", "lora", "vpt-shallow", "vpt-deep" (ViT; VPT on Swin too); "pixel-pad",
  // "pixel-patch", "pixel-random" (networks with classes, or CLIP), "reprogram" (with classes).
  std::string name = "vpt-deep";

  // VPT. "prepend", "add", "add-1", "pad"; what the head sees: "original" (the class token),
  // "imgprompt_pool", "img_pool", "prompt_pool".
  int64_t tokens = 10;
  int64_t project = 0;  // width of prompts before a projection; 0: the network's
  float dropout = 0;
  std::string location = "prepend", pool = "original";
  bool reference_batch_mixing = false;  // of Swin; see docs/learn.md

  int64_t reduction = 8;  // of adapters
  bool adapter_zeros = false;
  int64_t rank = 4;  // of LoRA
  float lora_alpha = 0;

  int64_t prompt_size = 30;  // of pixel prompts
  bool colours = false;      // in units of colours instead of the network's input

  int64_t small = 0;  // side of the pictures that are reprogrammed; 0: 36, or half of the input
  int64_t labels_per_class = 1;
  float lambda = 0.01f;
  // What the network's classes mean: "first", "frequent", or "given" by label_map.
  std::string labels_from = "first";
  std::vector<std::vector<int64_t>> label_map;
  std::string sentence = "This is a photo of a {}";  // of CLIP

  std::string side_weights;  // AlexNet's file for side-tuning; empty: by chance
};

// How far learning is.
struct LearnClassifierProgress {
  enum class Stage : uint8_t { reading, learning, testing } stage = Stage::reading;
  int64_t done = 0, total = 0;  // pictures, or steps
  int64_t epoch = 0, epochs = 0;
  double loss = 0, accuracy = 0, learning_rate = 0;  // of the epoch so far
  double pictures_per_second = 0;
  // At the end of an epoch: the share of right answers on the pictures held out.
  bool measured = false, best = false;
  double validation_accuracy = 0, validation_loss = 0;
};

struct LearnClassifierOptions {
  ClassifierMethod method;

  OptimizerKind optimizer = OptimizerKind::adam;
  double learning_rate = 0;  // 0: the method's own, see docs/learn.md
  float weight_decay = 0, momentum = 0.9f;
  int64_t epochs = 30, batch = 32;
  int64_t accumulate = 1;  // a batch is computed in so many parts
  // "step": warm-up and half a cosine by step; "epoch": by epoch, as VPT has it (epoch 0 learns
  // nothing if there is a warm-up); "constant".
  std::string schedule = "step";
  double warmup = 0.05;  // share of the steps or epochs
  int64_t patience = 0;  // stop after so many epochs without a better one; 0: never
  uint64_t seed = 0;

  double validation = 0.2;      // the share set aside of data without a validation part
  bool select_on_test = false;  // let the test part decide what is kept, as some papers' code does
  bool flip = false, random_crop = false;
  bool stretch = false;  // to the input without keeping proportions, as VTAB has it
  bool skip_broken = false;
  int64_t max_pixels = ReadOptions{}.max_pixels;
  int64_t most_per_class = 0;  // the first ones of each part; 0: all
  // Features that nothing learning comes before are computed once and kept up to this size, as are
  // pictures.
  int64_t cache_bytes = int64_t{2} << 30;

  BackboneOptions backbone;
  std::string checkpoint;          // all that is needed to go on after a crash; empty: none
  bool resume = false;             // go on from it if it is there: ends with the same bytes
  double checkpoint_seconds = 30;  // also written at the end of each epoch
  int64_t show_wrong = 0;          // keep up to so many pictures that were classified wrongly
  // Called after every step; false stops with Error(interrupted).
  std::function<bool(const LearnClassifierProgress&)> progress;
};

// A value: copies share what it holds. Safe to use from several threads.
class BECKON_API ClassifierPrompt {
 public:
  // A file that save() wrote, on the network it names or on `backbone` (a name of the store or a
  // path). Error(missing) if it is not there, Error(input) if it is no such file, broken, or was
  // changed since it was written, Error(model) if the network is another than it was learned for.
  static ClassifierPrompt load(const std::string& path, const std::string& backbone = "");
  // What a file says of itself, without its network: "method", "backbone", "labels" (JSON), ...
  static std::map<std::string, std::string> describe(const std::string& path);
  // Whether a file begins like one: cheap, and no promise that load() takes it.
  static bool recognise(const std::string& path);
  // A safetensors file, whole or not at all. Error(output).
  void save(const std::string& path) const;

  const std::vector<std::string>& labels() const noexcept { return labels_; }
  // A probability for each label.
  std::vector<float> classify(const Image& image) const;
  // Of several pictures at once [B,labels], logits.
  Tensor logits(std::span<const Image> images) const;
  // A prompt of pixels as a picture; nothing of other methods.
  std::optional<Image> picture() const;
  const std::map<std::string, std::string>& about() const noexcept { return about_; }
  const Backbone& backbone() const noexcept;
  int64_t parameter_count() const;  // numbers that were learned

  // For code inside the library.
  ClassifierPrompt(std::shared_ptr<const learn::Learner> learner, std::vector<std::string> labels,
                   std::map<std::string, std::string> about);

 private:
  std::shared_ptr<const learn::Learner> learner_;
  std::vector<std::string> labels_;
  std::map<std::string, std::string> about_;
};

struct LearnedClassifier {
  struct Epoch {
    double loss = 0, accuracy = 0;                         // of what was learned from
    double validation_loss = 0, validation_accuracy = -1;  // -1: nothing was held out
  };
  ClassifierPrompt prompt;
  std::vector<Epoch> epochs;
  int64_t best_epoch = 0;
  double test_accuracy = -1;  // -1: the data have no test part
  std::vector<std::vector<int64_t>>
      confusion;  // of the test part, else of what was held out: [true][said]
  // Of the same part, the first ones in its order, with long sides of at most 160.
  struct Wrong {
    std::string path;
    int64_t label = 0, said = 0;
    Image picture;
  };
  std::vector<Wrong> wrong;
  // Of at most 400 steps, evenly spread over all that were made; counted from 1.
  struct Rate {
    int64_t step = 0;
    double rate = 0;
  };
  std::vector<Rate> learning_rates;
  int64_t steps_per_epoch = 0;
  int64_t train_pictures = 0, validation_pictures = 0, test_pictures = 0;
  int64_t learned_parameters = 0, backbone_parameters = 0;
  std::vector<std::string> skipped;  // broken pictures, with the reason
  double seconds = 0;
};

// Learns from a data set in any form that docs/learn.md names. Throws as the readers of data and
// networks do; Error(usage) for options that make no sense together; Error(input) if the loss is
// no number any more, with the step: the checkpoint then holds what was before.
BECKON_API LearnedClassifier learn_classifier(const std::string& backbone, const std::string& data,
                                              const LearnClassifierOptions& options = {});

}  // namespace beckon
