#include "learn/methods/side_network.h"

#include <cmath>

#include "base/fail.h"

namespace beckon::learn {
namespace {

struct SideLayerShape {
  int number;
  int64_t kernel, stride, padding;
  bool pooled;  // a max pooling of 3 with stride 2 follows
};
constexpr std::array<SideLayerShape, 5> kSideLayers = {{
    {0, 11, 4, 2, true},
    {3, 5, 1, 2, true},
    {6, 3, 1, 1, false},
    {8, 3, 1, 1, false},
    {10, 3, 1, 1, true},
}};
constexpr int64_t kSideGrid = 6;

}  // namespace

SideNetwork::SideNetwork(const Widths& widths, int64_t dim, Random& random, const Own& own) {
  alpha_ = own("side_alpha", Tensor::zeros({}), true);
  int64_t in = 3;
  for (size_t i = 0; i < kSideLayers.size(); ++i) {
    const SideLayerShape& shape = kSideLayers[i];
    Layer layer;
    layer.name = fmt::format("features.{}.", shape.number);
    layer.conv = Conv().stride(shape.stride).padding(shape.padding);
    layer.pooled = shape.pooled;
    const double bound = 1 / std::sqrt(static_cast<double>(in * shape.kernel * shape.kernel));
    layer.weight = own("side." + layer.name + "weight",
                       uniform({widths[i], in, shape.kernel, shape.kernel}, bound, random), true);
    layer.bias = own("side." + layer.name + "bias", uniform({widths[i]}, bound, random), true);
    layers_.push_back(layer);
    in = widths[i];
  }
  const int64_t flat = in * kSideGrid * kSideGrid;
  projection_ = own("side_projection.weight",
                    uniform({dim, flat}, 1 / std::sqrt(static_cast<double>(flat)), random), true);
}

Tensor SideNetwork::mix(const Tensor& feature, const Tensor& images) const {
  // 63 -> 15 -> 7 -> 3 -> 1
  if (images.dim(1) < 63)
    fail(Kind::usage, "side-tuning needs pictures of at least 63 pixels a side, these have {}",
         images.dim(1));
  Tensor x = images;
  for (const Layer& layer : layers_) {
    x = conv2d(x, layer.weight, layer.bias, layer.conv, {Activation::relu});
    if (layer.pooled) x = max_pool2d(x, {.kernel = 3, .stride = 2});
  }
  x = adaptive_avg_pool2d(x, kSideGrid, kSideGrid).permute({0, 3, 1, 2});
  const Tensor side = linear(x.reshape({x.dim(0), -1}), projection_);
  const Tensor share = sigmoid(alpha_);
  return feature * share + side * (share * -1.0f + 1.0f);
}

void SideNetwork::load(const Checkpoint& file) {
  const Checkpoint alexnet = file.unwrapped();
  for (Layer& layer : layers_)
    for (const auto& [name, tensor] : {std::pair{"weight", &layer.weight}, {"bias", &layer.bias}}) {
      const std::string full = layer.name + name;
      const Shape found = alexnet.info(full).shape;
      if (found != tensor->shape())
        fail(Kind::model, "{}: tensor '{}' has shape {}, AlexNet's has {}", alexnet.path(), full,
             found.str(), tensor->shape().str());
      alexnet.read_f32(full, {tensor->data(), static_cast<size_t>(tensor->size())});
    }
}

}  // namespace beckon::learn
