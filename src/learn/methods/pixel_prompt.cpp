#include "learn/methods/pixel_prompt.h"

#include <algorithm>
#include <cctype>

#include "base/fail.h"
#include "beckon/ops.h"

namespace beckon::learn {

PixelPrompt::PixelPrompt(Kind kind, int64_t side, int64_t size, double deviation, Random& random,
                         const Own& own)
    : kind_(kind), side_(side), size_(size) {
  const int64_t most = kind == Kind::padding ? (side - 1) / 2 : side - 1;
  if (size < 1 || size > most)
    fail(beckon::Kind::usage, "a pixel prompt of {} on pictures of {}, expected 1 to {}", size,
         side, most);
  const auto add = [&](const char* name, int64_t height, int64_t width) {
    return own(name, normal({1, 3, height, width}, deviation, random), true);
  };
  if (kind == Kind::padding) {
    up_ = add("pad_up", size, side);
    down_ = add("pad_down", size, side);
    left_ = add("pad_left", side - 2 * size, size);
    right_ = add("pad_right", side - 2 * size, size);
  } else {
    patch_ = add("patch", size, size);
  }
}

Tensor PixelPrompt::canvas(Pass& pass) const {
  if (kind_ == Kind::random_patch) {
    // The last place is never drawn, as in the reference; the row is drawn first.
    const int64_t row = pass.random.below(side_ - size_);
    return canvas_at(row, pass.random.below(side_ - size_));
  }
  if (kind_ == Kind::fixed_patch) return canvas_at(0, 0);
  const int64_t inside = side_ - 2 * size_;
  const Tensor middle = concat({left_, Tensor::zeros({1, 3, inside, inside}), right_}, 3);
  return concat({up_, middle, down_}, 2).permute({0, 2, 3, 1});
}

Tensor PixelPrompt::canvas_at(int64_t row, int64_t column) const {
  const int64_t rest = side_ - size_;
  return pad(patch_, {0, 0, row, column}, {0, 0, rest - row, rest - column}).permute({0, 2, 3, 1});
}

namespace {

// "Sea_Lion" -> "sea lion", as the reference words its labels.
std::string worded(std::string label) {
  for (char& c : label)
    c = c == '_' || c == '-' ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return label;
}

}  // namespace

PixelLearner::PixelLearner(const Backbone& backbone, const PixelOptions& options,
                           const PixelTask& task, Random& random)
    : Learner(backbone), options_(options), task_(task) {
  if (backbone.family() == "clip") {
    std::vector<std::string> labels;
    for (const std::string& label : task.labels) labels.push_back(worded(label));
    words_.emplace(backbone, labels, ZeroShotOptions{.templates = {task.sentence}});
  } else {
    if (backbone.classes() == 0)
      fail(Kind::usage,
           "{}: a prompt of pixels needs a network with classes or words; this {} has "
           "neither",
           backbone.path(), backbone.name());
    check(task.map, backbone.classes());
  }
  // In units of colours a deviation of 1 would be black and white noise.
  prompt_.emplace(options.kind, side(), options.size, options.colours ? 0.1 : 1.0, random,
                  [this](const std::string& name, Tensor tensor, bool trainable) {
                    return own(name, std::move(tensor), trainable);
                  });
}

Tensor PixelLearner::prompted(const Tensor& images, Pass& pass) const {
  const Tensor prompt = prompt_->canvas(pass);
  if (!options_.colours) return images + prompt;
  const Preprocessing& p = backbone_.preprocessing();
  const Tensor colours = images * Tensor::from(p.deviation, {3}) + Tensor::from(p.mean, {3});
  return backbone_.normalise(clamp(colours + prompt, 0, 1));
}

Tensor PixelLearner::logits(const Tensor& images, Pass& pass) const {
  const Tensor feature = backbone_.features(prompted(images, pass));
  return words_ ? words_->logits(feature) : mapped(backbone_.logits(feature), task_.map);
}

}  // namespace beckon::learn
