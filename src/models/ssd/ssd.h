// A single-shot detector for small machines: MobileNetV2 with separable predictors on six maps.
// Liu et al., "SSD: Single Shot MultiBox Detector"; Sandler et al., "MobileNetV2: Inverted
// Residuals and Linear Bottlenecks" (SSDLite).
//
// Letters: B images, H and W of a map, A boxes of all maps together, K classes (without the
// background).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "nn/layers.h"

namespace beckon::ssd {

constexpr size_t kBlocks = 17, kExtras = 4, kMaps = 6;

struct SsdConfig {
  int64_t image = 300;
  int64_t stem = 32;
  std::array<int64_t, kBlocks> widths = {};    // of a block's result
  std::array<int64_t, kBlocks> expanded = {};  // inside of it; block 0 does not expand
  int64_t last = 1280;
  std::array<int64_t, kExtras> squeezed = {}, extras = {};
  std::array<int64_t, kMaps> boxes = {};  // at each place of a map
  int64_t classes = 90;
  int64_t anchors = 0;  // A

  // Of the map that predictor `m` sees.
  int64_t map_width(size_t m) const {
    return m == 0 ? expanded[13] : m == 1 ? last : extras[m - 2];
  }
};

// The names of TensorFlow's object detection in a frozen graph
// ("FeatureExtractor/MobilenetV2/expanded_conv_3/expand/Conv2D/merged_input").
bool holds_ssd(const nn::Params& file);
SsdConfig detect(const nn::Params& file);
// The file's tensors under the names and in the layouts that Ssd takes ("blocks.3.expand.weight"),
// with the predictors' batch norms folded. Error(model) that names the tensor if one is missing or
// does not fit.
nn::Params from_tensorflow(const nn::Params& file, const SsdConfig& config);

// A 1x1 convolution, or a 3x3 whose zeros lie as TensorFlow's SAME has them: more of them at the
// bottom and the right if they are not even. Then relu6, unless it is linear.
class Layer {
 public:
  Layer(const nn::Params& p, int64_t in, int64_t out, int64_t kernel, int64_t stride,
        bool depthwise, bool linear);
  Tensor operator()(const Tensor& x, const Tensor& residual = {}) const;

 private:
  nn::Conv2d conv_;
  int64_t kernel_;
  bool linear_;
};

// 1x1 up, depth-wise 3x3, 1x1 down; with a shortcut where the shapes agree.
struct Block {
  std::optional<Layer> expand;
  Layer depthwise, project;
  bool residual;

  Block(const nn::Params& p, int64_t in, int64_t expanded, int64_t out, int64_t stride);
  Tensor forward(const Tensor& x) const { return reduce(widen(x), x); }
  // The two halves: the first predictor sees what is between them.
  Tensor widen(const Tensor& x) const { return expand ? (*expand)(x) : x; }
  Tensor reduce(const Tensor& wide, const Tensor& x) const;
};

// Boxes or classes at every place of a map: depth-wise 3x3, 1x1.
struct Predictor {
  Layer depthwise, pointwise;
  int64_t values;  // of each box

  Predictor(const nn::Params& p, int64_t in, int64_t boxes, int64_t values);
  // map [B,H,W,C] -> [B,H*W*boxes,values]
  Tensor operator()(const Tensor& map) const;
};

class Ssd {
 public:
  Ssd(const nn::Params& p, const SsdConfig& config);

  // image [B,S,S,3] in [-1,1] -> the six maps, from fine to coarse. S may be any size from 32.
  std::array<Tensor, kMaps> maps(const Tensor& image, const nn::Watch& watch = {}) const;
  // Logits of the K classes; each class is a yes or no of its own. [B,A,K]
  Tensor classes(const std::array<Tensor, kMaps>& maps) const;
  // Only for images of config.image, which the anchors are made for. [B,A,4]: y0, x0, y1, x1 in
  // fractions of the image.
  Tensor boxes(const std::array<Tensor, kMaps>& maps) const;

  const SsdConfig& config() const { return config_; }

 private:
  SsdConfig config_;
  Layer stem_;
  std::vector<Block> blocks_;
  Layer last_;
  struct Extra {
    Layer squeeze, depthwise, expand;
  };
  std::vector<Extra> extras_;
  std::vector<Predictor> boxes_, classes_;
  Tensor anchors_;  // [A,4]: y0, x0, y1, x1
};

// COCO's name of class `index` (0 to 89, COCO's ids less one); "class 11" for those that COCO left
// out, or of a file with another number of classes.
std::string class_name(int64_t index, int64_t classes);

}  // namespace beckon::ssd
