#include "models/bit/bit.h"

#include <map>

#include "base/fail.h"

namespace beckon::bit {
namespace {

constexpr int64_t kGroups = 32;
constexpr float kNormEps = 1e-5f, kWeightEps = 1e-10f;
constexpr int64_t kMostChannels = 1 << 15;

std::string unit_name(size_t block, int64_t unit) {
  return fmt::format("block{}/unit{:02}", block + 1, unit + 1);
}

Shape kernel_shape(const nn::Params& npz, const std::string& name) {
  const auto shape = npz.shape(name);
  if (!shape) fail(Kind::model, "{}: there is no tensor '{}'", npz.origin(), name);
  bool fine = shape->rank() == 4;
  for (const int64_t size : *shape) fine = fine && size >= 1 && size <= kMostChannels;
  if (!fine)
    fail(Kind::model, "{}: tensor '{}' has shape {}, expected [height,width,in,out]", npz.origin(),
         name, shape->str());
  return *shape;
}

constexpr const char* kPrefixes[] = {"resnet/", ""};

std::string prefix_of(const nn::Params& npz) {
  for (std::string prefix : kPrefixes)
    if (npz.has(prefix + "root_block/standardized_conv2d/kernel")) return prefix;
  fail(Kind::model, "{}: this is no BiT (no 'resnet/root_block/standardized_conv2d/kernel')",
       npz.origin());
}

}  // namespace

StdConv::StdConv(const nn::Params& p, int64_t in, int64_t out, int64_t kernel, const Conv& conv)
    : weight_(p.tensor("weight", {out, in, kernel, kernel})), conv_(conv) {}

Tensor StdConv::operator()(const Tensor& x, const Fused& fused) const {
  const auto weight = standardised_.get({&weight_}, [&] {
    const Tensor rows = weight_.reshape({weight_.dim(0), -1});
    const Tensor centred = rows - mean(rows, {1}, true);
    const Tensor variance = mean(centred * centred, {1}, true);
    return (centred / sqrt(variance + kWeightEps)).reshape(weight_.shape());
  });
  return conv2d(x, *weight, {}, conv_, fused);
}

NormRelu::NormRelu(const nn::Params& p, int64_t channels)
    : gamma(p.tensor("weight", {channels}, nn::Init::ones)),
      beta(p.tensor("bias", {channels}, nn::Init::zeros)) {}

Tensor NormRelu::operator()(const Tensor& x) const {
  return relu(group_norm(x, kGroups, gamma, beta, kNormEps));
}

Unit::Unit(const nn::Params& p, int64_t in, int64_t mid, int64_t out, int64_t stride)
    : gn1(p / "gn1", in),
      gn2(p / "gn2", mid),
      gn3(p / "gn3", mid),
      conv1(p / "conv1", in, mid, 1, {}),
      conv2(p / "conv2", mid, mid, 3, Conv().padding(1).stride(stride)),
      conv3(p / "conv3", mid, out, 1, {}) {
  if (stride != 1 || in != out)
    downsample.emplace(p / "downsample", in, out, 1, Conv().stride(stride));
}

Tensor Unit::forward(const Tensor& x) const {
  const Tensor active = gn1(x);
  const Tensor shortcut = downsample ? (*downsample)(active) : x;
  return conv3(gn3(conv2(gn2(conv1(active)))), {.residual = shortcut});
}

Bit::Bit(const nn::Params& p, const BitConfig& c)
    : root_(p / "root" / "conv", 3, c.root, 7, Conv().stride(2).padding(3)),
      norm_(p / "head" / "gn", c.features()) {
  int64_t in = c.root;
  for (size_t b = 0; b < 4; ++b)
    for (int64_t u = 0; u < c.stages[b].units; ++u) {
      const nn::Params unit = p / fmt::format("block{}", b + 1) / fmt::format("unit{:02}", u + 1);
      blocks_[b].emplace_back(unit, in, c.stages[b].mid, c.stages[b].out, b > 0 && u == 0 ? 2 : 1);
      in = c.stages[b].out;
    }
  if (c.classes > 0) head_.emplace(p / "head" / "conv", c.features(), c.classes, 1, Conv());
}

Tensor Bit::forward(const Tensor& image, const nn::Watch& watch) const {
  // The zeros around the map take part in the maximum.
  const Tensor padded = pad(root_(image), {0, 1, 1, 0}, {0, 1, 1, 0});
  Tensor x = max_pool2d(padded, {.kernel = 3, .stride = 2, .padding = 0});
  if (watch) watch("root", x);
  for (size_t b = 0; b < 4; ++b) {
    for (const Unit& unit : blocks_[b]) x = unit.forward(x);
    if (watch) watch("block" + std::to_string(b + 1), x);
  }
  return mean(norm_(x), {1, 2});
}

Tensor Bit::logits(const Tensor& feature) const {
  if (!head_) fail(Kind::usage, "this BiT has no head for classes");
  return linear(feature, head_->weight.reshape({head_->weight.dim(0), -1}), head_->bias);
}

bool holds_bit(const nn::Params& file) {
  for (std::string prefix : kPrefixes)
    if (file.has(prefix + "root_block/standardized_conv2d/kernel")) return true;
  return false;
}

BitConfig detect_npz(const nn::Params& npz) {
  const std::string prefix = prefix_of(npz), kernel = "/standardized_conv2d/kernel";
  BitConfig c;
  c.root = kernel_shape(npz, prefix + "root_block/standardized_conv2d/kernel")[3];
  for (size_t b = 0; b < 4; ++b) {
    BitConfig::Stage& stage = c.stages[b];
    stage.mid = kernel_shape(npz, prefix + unit_name(b, 0) + "/a" + kernel)[3];
    stage.out = kernel_shape(npz, prefix + unit_name(b, 0) + "/c" + kernel)[3];
    while (stage.units < 99 && npz.has(prefix + unit_name(b, stage.units) + "/a" + kernel))
      ++stage.units;
    if (stage.mid % kGroups != 0 || stage.out % kGroups != 0 || c.root % kGroups != 0)
      fail(Kind::model, "{}: widths {} and {} of block{} do not divide into {} groups",
           npz.origin(), stage.mid, stage.out, b + 1, kGroups);
  }
  if (npz.has(prefix + "head/conv2d/kernel"))
    c.classes = kernel_shape(npz, prefix + "head/conv2d/kernel")[3];
  return c;
}

nn::Params from_npz(const nn::Params& npz, const BitConfig& c) {
  const NoGrad no_grad;
  const std::string prefix = prefix_of(npz);
  std::map<std::string, Tensor> tensors;
  const auto conv = [&](const std::string& to, const std::string& from, int64_t in, int64_t out,
                        int64_t kernel) {
    tensors[to + ".weight"] =
        npz.tensor(prefix + from, {kernel, kernel, in, out}).permute({3, 2, 0, 1}).contiguous();
  };
  const auto norm = [&](const std::string& to, const std::string& from, int64_t channels) {
    tensors[to + ".weight"] = npz.tensor(prefix + from + "/gamma", {channels});
    tensors[to + ".bias"] = npz.tensor(prefix + from + "/beta", {channels});
  };
  conv("root.conv", "root_block/standardized_conv2d/kernel", 3, c.root, 7);
  int64_t in = c.root;
  for (size_t b = 0; b < 4; ++b)
    for (int64_t u = 0; u < c.stages[b].units; ++u) {
      const int64_t mid = c.stages[b].mid, out = c.stages[b].out;
      const std::string from = unit_name(b, u) + "/", kernel = "/standardized_conv2d/kernel";
      const std::string to = fmt::format("block{}.unit{:02}.", b + 1, u + 1);
      norm(to + "gn1", from + "a/group_norm", in);
      norm(to + "gn2", from + "b/group_norm", mid);
      norm(to + "gn3", from + "c/group_norm", mid);
      conv(to + "conv1", from + "a" + kernel, in, mid, 1);
      conv(to + "conv2", from + "b" + kernel, mid, mid, 3);
      conv(to + "conv3", from + "c" + kernel, mid, out, 1);
      if ((b > 0 && u == 0) || in != out)
        conv(to + "downsample", from + "a/proj" + kernel, in, out, 1);
      in = out;
    }
  norm("head.gn", "group_norm", c.features());
  if (c.classes > 0) {
    conv("head.conv", "head/conv2d/kernel", c.features(), c.classes, 1);
    tensors["head.conv.bias"] = npz.tensor(prefix + "head/conv2d/bias", {c.classes});
  }
  return nn::Params::from(std::move(tensors), npz.origin());
}

}  // namespace beckon::bit
