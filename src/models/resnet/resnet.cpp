#include "models/resnet/resnet.h"

#include "base/fail.h"

namespace beckon::resnet {
namespace {

constexpr int64_t kMostChannels = 1 << 14;

Shape weight_shape(const nn::Params& file, const std::string& name, int rank) {
  const auto shape = file.shape(name);
  if (!shape) fail(Kind::model, "{}: there is no tensor '{}'", file.origin(), name);
  bool fine = shape->rank() == rank;
  for (const int64_t size : *shape) fine = fine && size >= 1 && size <= kMostChannels;
  if (!fine)
    fail(Kind::model, "{}: tensor '{}' has shape {}, expected {} sizes of 1 to {}", file.origin(),
         name, shape->str(), rank, kMostChannels);
  return *shape;
}

std::string layer_name(size_t stage) { return "layer" + std::to_string(stage + 1); }

}  // namespace

Block::Block(const nn::Params& p, const ResNetConfig& c, int64_t in,
             const ResNetConfig::Stage& stage, int64_t stride) {
  const auto add = [&](const char* conv, const char* norm, int64_t from, int64_t to, int64_t kernel,
                       const Conv& how) {
    convs_.emplace_back(p / conv, p / norm, from, to, kernel, how);
  };
  const Conv wide = Conv().padding(1);
  if (c.bottleneck) {
    add("conv1", "bn1", in, stage.mid, 1, {});
    add("conv2", "bn2", stage.mid, stage.mid, 3, Conv(wide).stride(stride).group(c.groups));
    add("conv3", "bn3", stage.mid, stage.out, 1, {});
  } else {
    add("conv1", "bn1", in, stage.mid, 3, Conv(wide).stride(stride));
    add("conv2", "bn2", stage.mid, stage.out, 3, wide);
  }
  if (stride != 1 || in != stage.out)
    downsample_.emplace(p / "downsample" / 0, p / "downsample" / 1, in, stage.out, 1,
                        Conv().stride(stride));
}

Tensor Block::forward(const Tensor& x) const {
  Tensor y = x;
  for (size_t i = 0; i + 1 < convs_.size(); ++i) y = convs_[i](y, {Activation::relu});
  const Tensor identity = downsample_ ? (*downsample_)(x) : x;
  return convs_.back()(y, {Activation::relu, identity, true});
}

ResNet::ResNet(const nn::Params& p, const ResNetConfig& c)
    : config_(c), conv1_(p / "conv1", p / "bn1", 3, c.stem, 7, Conv().stride(2).padding(3)) {
  int64_t in = c.stem;
  for (size_t s = 0; s < 4; ++s)
    for (int64_t i = 0; i < c.stages[s].depth; ++i) {
      layers_[s].emplace_back(p / layer_name(s) / i, c, in, c.stages[s], s > 0 && i == 0 ? 2 : 1);
      in = c.stages[s].out;
    }
  if (c.classes > 0) fc_.emplace(p / "fc", c.features(), c.classes);
}

Tensor ResNet::forward(const Tensor& image, const nn::Watch& watch) const {
  Tensor x =
      max_pool2d(conv1_(image, {Activation::relu}), {.kernel = 3, .stride = 2, .padding = 1});
  if (watch) watch("stem", x);
  for (size_t s = 0; s < 4; ++s) {
    for (const Block& block : layers_[s]) x = block.forward(x);
    if (watch) watch(layer_name(s), x);
  }
  return mean(x, {1, 2});
}

Tensor ResNet::logits(const Tensor& feature) const {
  if (!fc_) fail(Kind::usage, "this ResNet has no head for classes");
  return (*fc_)(feature);
}

bool holds_resnet(const nn::Params& file) {
  return file.has("conv1.weight") && file.has("bn1.running_mean") &&
         file.has("layer1.0.conv1.weight") && file.has("layer4.0.conv2.weight");
}

ResNetConfig detect(const nn::Params& file) {
  ResNetConfig c;
  c.stem = weight_shape(file, "conv1.weight", 4)[0];
  c.bottleneck = file.has("layer1.0.conv3.weight");
  for (size_t s = 0; s < 4; ++s) {
    const std::string block = layer_name(s) + ".0.";
    const Shape middle = weight_shape(file, block + "conv2.weight", 4);
    ResNetConfig::Stage& stage = c.stages[s];
    stage.depth = file.count(layer_name(s));
    if (stage.depth < 1 || stage.depth > 256)
      fail(Kind::model, "{}: {} blocks in {}, expected 1 to 256", file.origin(), stage.depth,
           layer_name(s));
    stage.mid = middle[0];
    stage.out = middle[0];
    if (!c.bottleneck) continue;
    stage.out = weight_shape(file, block + "conv3.weight", 4)[0];
    if (stage.mid % middle[1] != 0 || (s > 0 && stage.mid / middle[1] != c.groups))
      fail(Kind::model, "{}: tensor '{}conv2.weight' has shape {}, {} channels in groups of {}",
           file.origin(), block, middle.str(), stage.mid, middle[1]);
    c.groups = stage.mid / middle[1];
  }
  if (const auto head = file.shape("fc.weight"); head && head->rank() == 2) c.classes = (*head)[0];
  return c;
}

}  // namespace beckon::resnet
