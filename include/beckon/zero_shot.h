// Classifying pictures by words alone, with CLIP.
//
//   auto clip = beckon::Backbone::load("clip-vit-b32");
//   beckon::ZeroShot judge(clip, {"a diagram", "a dog", "a cat"});
//   std::vector<float> chances = judge.classify(beckon::Image::read("photo.jpg"));
#pragma once

#include <span>
#include <string>
#include <vector>

#include "beckon/backbone.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/tensor.h"

namespace beckon {

struct ZeroShotOptions {
  // What is said of a label; "{}" is where the label goes. With several the texts' features are
  // averaged.
  std::vector<std::string> templates = {"a photo of a {}."};
  // Texts of more tokens than the model takes are cut instead of refused.
  bool truncate = false;
};

class BECKON_API ZeroShot {
 public:
  // Throws Error(usage) if `clip` is no CLIP, there is no label or no template, a template has no
  // "{}", or a text is too long; Error(model) if its vocabulary is not the one of the published
  // models.
  ZeroShot(const Backbone& clip, std::vector<std::string> labels,
           const ZeroShotOptions& options = {});

  const std::vector<std::string>& labels() const noexcept { return labels_; }
  // [labels, feature_dim], rows of length 1.
  const Tensor& label_features() const noexcept { return label_features_; }

  // Features of pictures [B, feature_dim] as Backbone::features() gives them -> [B, labels]: the
  // cosine times the model's scale. On the tape.
  Tensor logits(const Tensor& features) const;
  // A probability for each label; they sum to 1.
  std::vector<float> classify(const Image& image) const;

 private:
  Backbone clip_;
  std::vector<std::string> labels_;
  Tensor label_features_;
};

// Features of texts [texts, feature_dim], not yet of length 1. Throws as ZeroShot.
BECKON_API Tensor encode_texts(const Backbone& clip, std::span<const std::string> texts,
                               bool truncate = false);

}  // namespace beckon
