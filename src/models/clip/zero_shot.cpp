#include "beckon/zero_shot.h"

#include <algorithm>

#include "base/fail.h"
#include "beckon/ops.h"
#include "models/backbone/network.h"
#include "models/clip/clip.h"
#include "models/clip/tokenizer.h"

namespace beckon {
namespace {

const clip::Clip& clip_of(const Backbone& backbone) {
  const clip::Clip* model = backbone.network().as_clip();
  if (!model)
    fail(Kind::usage, "{}: words need a CLIP, this is a {}", backbone.path(), backbone.name());
  return *model;
}

std::string filled(const std::string& sentence, const std::string& label) {
  std::string text = sentence;
  for (size_t at = 0; (at = text.find("{}", at)) != text.npos; at += label.size())
    text.replace(at, 2, label);
  return text;
}

}  // namespace

Tensor encode_texts(const Backbone& backbone, std::span<const std::string> texts, bool truncate) {
  const clip::Clip& model = clip_of(backbone);
  if (texts.empty()) fail(Kind::usage, "no texts to encode");
  if (model.config().vocabulary != clip::Tokenizer::kVocabulary)
    fail(Kind::model, "{}: tensor 'token_embedding.weight' has {} tokens, CLIP's vocabulary {}",
         backbone.path(), model.config().vocabulary, clip::Tokenizer::kVocabulary);
  const Tensor ids = clip::Tokenizer::get().tokenize(texts, model.config().context, truncate);
  // Some at a time: the memory is that of a piece.
  constexpr int64_t kPiece = 64;
  std::vector<Tensor> parts;
  for (int64_t begin = 0; begin < ids.dim(0); begin += kPiece)
    parts.push_back(model.encode_text(ids.slice(0, begin, std::min(begin + kPiece, ids.dim(0)))));
  return concat(parts, 0);
}

ZeroShot::ZeroShot(const Backbone& clip, std::vector<std::string> labels,
                   const ZeroShotOptions& options)
    : clip_(clip), labels_(std::move(labels)) {
  clip_of(clip);
  if (labels_.empty()) fail(Kind::usage, "no labels to choose from");
  if (options.templates.empty()) fail(Kind::usage, "no template for the labels");
  for (const std::string& sentence : options.templates)
    if (sentence.find("{}") == sentence.npos)
      fail(Kind::usage, "the template '{}' has no {{}} for the label", sentence);

  const NoGrad no_grad;
  const auto count = static_cast<int64_t>(labels_.size());
  std::vector<std::string> texts;
  for (const std::string& label : labels_)
    for (const std::string& sentence : options.templates) texts.push_back(filled(sentence, label));
  const Tensor features = clip::normalised(encode_texts(clip, texts, options.truncate));
  label_features_ = clip::normalised(
      mean(features.reshape({count, static_cast<int64_t>(options.templates.size()), -1}), {1}));
}

Tensor ZeroShot::logits(const Tensor& features) const {
  return clip_of(clip_).logits_per_image(features, label_features_);
}

std::vector<float> ZeroShot::classify(const Image& image) const {
  const NoGrad no_grad;
  const Tensor chances = softmax(logits(clip_.features(clip_.input(image))), 1).contiguous();
  return {chances.values().begin(), chances.values().end()};
}

}  // namespace beckon
