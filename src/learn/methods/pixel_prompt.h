// A prompt of pixels that is added to every picture. Bahng et al., "Exploring Visual Prompts for
// Adapting Large-Scale Models".
//
// Letters: B pictures, S their side, p the prompt's size.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "beckon/zero_shot.h"
#include "learn/methods/label_map.h"
#include "learn/methods/learner.h"

namespace beckon::learn {

class PixelPrompt {
 public:
  enum class Kind : uint8_t {
    padding,       // a frame, p wide
    fixed_patch,   // a square in the top left corner
    random_patch,  // a square at another place in every pass, in evaluation too
  };
  using Own = std::function<Tensor(const std::string& name, Tensor tensor, bool trainable)>;

  // Adds pad_up, pad_down [1,3,p,S], pad_left, pad_right [1,3,S-2p,p], or patch [1,3,p,p] to `own`;
  // they start as normal numbers of this deviation (1 in the reference). Error(usage) if the prompt
  // does not fit.
  PixelPrompt(Kind kind, int64_t side, int64_t size, double deviation, Random& random,
              const Own& own);

  // The prompt alone [1,S,S,3], zero where there is none.
  Tensor canvas(Pass& pass) const;
  // The same with its random patch at a given place.
  Tensor canvas_at(int64_t row, int64_t column) const;

 private:
  Kind kind_;
  int64_t side_, size_;
  Tensor up_, down_, left_, right_, patch_;
};

struct PixelOptions {
  PixelPrompt::Kind kind = PixelPrompt::Kind::padding;
  int64_t size = 30;
  // In the units of the network's input, as the reference adds it; or in those of colours, 0 to 1,
  // where what leaves the range of colours is cut off: then every prompted picture is a picture.
  bool colours = false;
};

// What the prompted pictures are classified by: a network's own classes, or CLIP and words.
struct PixelTask {
  LabelMap map;                     // of networks with a head
  std::vector<std::string> labels;  // of CLIP
  std::string sentence = "This is a photo of a {}";
};

class PixelLearner : public Learner {
 public:
  // Error(usage) if the backbone has neither a head nor words.
  PixelLearner(const Backbone& backbone, const PixelOptions& options, const PixelTask& task,
               Random& random);

  Tensor logits(const Tensor& images, Pass& pass) const override;
  // Pictures with the prompt on them.
  Tensor prompted(const Tensor& images, Pass& pass) const;
  const PixelPrompt& prompt() const { return *prompt_; }
  bool in_colours() const { return options_.colours; }

 private:
  PixelOptions options_;
  PixelTask task_;
  std::optional<PixelPrompt> prompt_;
  std::optional<ZeroShot> words_;
};

}  // namespace beckon::learn
