// Frozen networks that turn a picture into a feature: ViT, Swin, ResNet, BiT, CLIP's picture
// towers, MobileSAM's encoder, MobileNetV2-SSD. Their published files are read as they are.
//
//   auto net = beckon::Backbone::load("clip-vit-b32");      // a name in the store, or a file
//   beckon::Tensor x = net.input(beckon::Image::read("cat.jpg"));
//   beckon::Tensor feature = net.features(x);               // [1, net.feature_dim()]
//
// Gradients flow through to the input: a leaf that images are made from (a frame of pixels) learns
// while the network stays as it is.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/resize.h"
#include "beckon/tensor.h"

namespace beckon {

// From a picture to the square the network sees.
struct Preprocessing {
  enum class Fit : uint8_t {
    crop,     // the short side becomes `resize`, the middle input x input is cut out
    pad,      // the long side becomes the input's, zeros below and to the right (after normalising)
    stretch,  // both sides become `input`, whatever the proportions were, as VTAB-1k has it
  };
  Fit fit = Fit::crop;
  int input = 224;  // pixels a side
  int resize = 256;
  Filter filter = Filter::bilinear;
  // A value v of 0 to 255 becomes (v / 255 - mean) / deviation, for red, green and blue.
  std::array<float, 3> mean = {0, 0, 0};
  std::array<float, 3> deviation = {1, 1, 1};
};

struct BackboneOptions {
  // Pixels a side of the input. 0: as the file was trained. Position tables of ViT are resized as
  // the library does that the file comes from; Swin takes what its windows divide, CLIP only its
  // own size, MobileSAM multiples of 16.
  int input = 0;
  // Instead of the family's, for files that were trained on other colours (many of timm's: 0.5).
  // Deviations above 0, else Error(usage).
  std::optional<std::array<float, 3>> mean, deviation;
};

struct BackboneParameter {
  std::string name;       // as documented with the family, see docs/backbones.md
  Tensor tensor;          // shared with the network: set_requires_grad() here makes it learn
  bool trainable = true;  // false: running statistics
};

namespace backbone {
class Network;
}

// A handle: copies share the network. Safe to use from several threads while nothing in it learns.
class BECKON_API Backbone {
 public:
  // Reads a file by a name of the store or by its path; what it is is seen by the names of its
  // tensors. Throws as Store::find() and Checkpoint::open(); Error(model) if it is no network of a
  // known family, or a tensor is missing or has a wrong shape (the message names file and tensor);
  // Error(unsupported) for variants with other parts; Error(usage) for an input size that does not
  // fit.
  static Backbone load(const std::string& name_or_path, const BackboneOptions& options = {});

  // "vit-b16", "swin-b", "resnet50", "bit-r50x1", "clip-vit-b32", "mobile-sam", "coco-ssd"; sizes
  // that have no name of their own: "vit-32x3".
  const std::string& name() const noexcept;
  // "vit", "swin", "resnet", "bit", "clip", "tiny-vit", "ssd".
  const std::string& family() const noexcept;
  // The file it was read from.
  const std::string& path() const noexcept;
  // Of the file, as Store::sha256(); computed when it is first asked for.
  const std::string& sha256() const;

  const Preprocessing& preprocessing() const noexcept;
  int input_size() const noexcept { return preprocessing().input; }
  int64_t feature_dim() const noexcept;  // columns of features()
  int64_t embed_dim() const noexcept;    // width of the first tokens or maps
  // Of the head in the file; 0 if it has none.
  int64_t classes() const noexcept;

  // [1,S,S,3], resized, cut and normalised.
  Tensor input(const Image& image) const;
  // [B,S,S,3]; Error(usage) for no images.
  Tensor input(std::span<const Image> images) const;
  // The same for values of 0 to 1 that are a tensor already [...,3]; on the tape.
  Tensor normalise(const Tensor& values) const;

  // images [B,S,S,3], normalised -> [B,feature_dim()]: the class token, or the mean over the map;
  // of SSD that and the evidence for each class in all boxes; of CLIP the point in the space it
  // shares with texts, not yet of length 1.
  Tensor features(const Tensor& images) const;
  // features -> [B,classes()]; Error(usage) if the file has no head.
  Tensor logits(const Tensor& features) const;

  std::span<const BackboneParameter> parameters() const noexcept;
  // Numbers in trainable parameters.
  int64_t parameter_count() const noexcept;

  // For code inside the library: the network behind the handle.
  const backbone::Network& network() const noexcept { return *network_; }
  explicit Backbone(std::shared_ptr<const backbone::Network> network)
      : network_(std::move(network)) {}

 private:
  std::shared_ptr<const backbone::Network> network_;
};

}  // namespace beckon
