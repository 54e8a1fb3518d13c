#include "models/ssd/ssd.h"

#include <algorithm>
#include <string>
#include <tuple>

#include "base/fail.h"

namespace beckon::ssd {
namespace {

int64_t block_stride(size_t block) {
  return block == 1 || block == 3 || block == 6 || block == 13 ? 2 : 1;
}

// Zeros before and after a side of `size` for a kernel of 3: as many as make ceil(size / stride)
// results.
std::pair<int64_t, int64_t> same_padding(int64_t size, int64_t stride) {
  const int64_t results = (size + stride - 1) / stride;
  const int64_t zeros = std::max<int64_t>((results - 1) * stride + 3 - size, 0);
  return {zeros / 2, zeros - zeros / 2};
}

}  // namespace

Layer::Layer(const nn::Params& p, int64_t in, int64_t out, int64_t kernel, int64_t stride,
             bool depthwise, bool linear)
    : conv_(p, in, out, kernel, Conv().stride(stride).group(depthwise ? in : 1)),
      kernel_(kernel),
      linear_(linear) {}

Tensor Layer::operator()(const Tensor& x, const Tensor& residual) const {
  Conv conv = conv_.conv;
  if (kernel_ == 3) {
    std::tie(conv.pad_top, conv.pad_bottom) = same_padding(x.dim(1), conv.stride_h);
    std::tie(conv.pad_left, conv.pad_right) = same_padding(x.dim(2), conv.stride_w);
  }
  const Tensor y = conv2d(x, conv_.weight, conv_.bias, conv, {.residual = residual});
  return linear_ ? y : clamp(y, 0, 6);
}

Block::Block(const nn::Params& p, int64_t in, int64_t expanded, int64_t out, int64_t stride)
    : depthwise(p / "depthwise", expanded, expanded, 3, stride, true, false),
      project(p / "project", expanded, out, 1, 1, false, true),
      residual(stride == 1 && in == out) {
  if (expanded != in) expand.emplace(p / "expand", in, expanded, 1, 1, false, false);
}

Tensor Block::reduce(const Tensor& wide, const Tensor& x) const {
  return project(depthwise(wide), residual ? x : Tensor());
}

Predictor::Predictor(const nn::Params& p, int64_t in, int64_t boxes, int64_t values_)
    : depthwise(p / "depthwise", in, in, 3, 1, true, false),
      pointwise(p / "pointwise", in, boxes * values_, 1, 1, false, true),
      values(values_) {}

Tensor Predictor::operator()(const Tensor& map) const {
  return pointwise(depthwise(map)).reshape({map.dim(0), -1, values});
}

Ssd::Ssd(const nn::Params& p, const SsdConfig& c)
    : config_(c),
      stem_(p / "stem", 3, c.stem, 3, 2, false, false),
      last_(p / "last", c.widths[kBlocks - 1], c.last, 1, 1, false, false),
      anchors_(p.buffer("anchors", {c.anchors, 4})) {
  for (size_t i = 0; i < kBlocks; ++i)
    blocks_.emplace_back(p / "blocks" / static_cast<int64_t>(i), i == 0 ? c.stem : c.widths[i - 1],
                         c.expanded[i], c.widths[i], block_stride(i));
  for (size_t i = 0; i < kExtras; ++i) {
    const nn::Params extra = p / "extras" / static_cast<int64_t>(i);
    const int64_t in = i == 0 ? c.last : c.extras[i - 1], mid = c.squeezed[i];
    extras_.push_back({Layer(extra / "squeeze", in, mid, 1, 1, false, false),
                       Layer(extra / "depthwise", mid, mid, 3, 2, true, false),
                       Layer(extra / "expand", mid, c.extras[i], 1, 1, false, false)});
  }
  for (size_t m = 0; m < kMaps; ++m) {
    const nn::Params predictor = p / "predictors" / static_cast<int64_t>(m);
    boxes_.emplace_back(predictor / "boxes", c.map_width(m), c.boxes[m], 4);
    classes_.emplace_back(predictor / "classes", c.map_width(m), c.boxes[m], c.classes + 1);
  }
}

std::array<Tensor, kMaps> Ssd::maps(const Tensor& image, const nn::Watch& watch) const {
  std::array<Tensor, kMaps> result;
  Tensor x = stem_(image);
  if (watch) watch("stem", x);
  for (size_t i = 0; i < kBlocks; ++i) {
    const Tensor wide = blocks_[i].widen(x);
    if (i == 13) result[0] = wide;
    x = blocks_[i].reduce(wide, x);
    if (watch) watch("block" + std::to_string(i), x);
  }
  result[1] = x = last_(x);
  for (size_t i = 0; i < kExtras; ++i)
    result[i + 2] = x = extras_[i].expand(extras_[i].depthwise(extras_[i].squeeze(x)));
  if (watch)
    for (size_t m = 0; m < kMaps; ++m) watch("map" + std::to_string(m), result[m]);
  return result;
}

Tensor Ssd::classes(const std::array<Tensor, kMaps>& maps) const {
  std::vector<Tensor> all;
  // Column 0 is the background, which nothing is made of: the classes are independent.
  for (size_t m = 0; m < kMaps; ++m)
    all.push_back(classes_[m](maps[m]).slice(2, 1, config_.classes + 1));
  return concat(all, 1);
}

Tensor Ssd::boxes(const std::array<Tensor, kMaps>& maps) const {
  std::vector<Tensor> all;
  for (size_t m = 0; m < kMaps; ++m) all.push_back(boxes_[m](maps[m]));
  const Tensor code = concat(all, 1);
  if (code.dim(1) != config_.anchors)
    fail(Kind::usage, "{} boxes for {} anchors: boxes are for images of {} pixels a side",
         code.dim(1), config_.anchors, config_.image);
  // A box is coded by how far its centre lies from the anchor's, in tenths of the anchor's sides,
  // and by the logarithm of its sides over the anchor's, in fifths.
  const Tensor low = anchors_.slice(1, 0, 2), high = anchors_.slice(1, 2, 4);
  const Tensor sides = high - low, centre = low + sides * 0.5f;
  const Tensor at = code.slice(2, 0, 2) * 0.1f * sides + centre;
  const Tensor half = exp(code.slice(2, 2, 4) * 0.2f) * (sides * 0.5f);
  return concat({at - half, at + half}, 2);
}

std::string class_name(int64_t index, int64_t classes) {
  static constexpr const char* kCoco[90] = {
      "person",       "bicycle",      "car",           "motorcycle",    "airplane",
      "bus",          "train",        "truck",         "boat",          "traffic light",
      "fire hydrant", nullptr,        "stop sign",     "parking meter", "bench",
      "bird",         "cat",          "dog",           "horse",         "sheep",
      "cow",          "elephant",     "bear",          "zebra",         "giraffe",
      nullptr,        "backpack",     "umbrella",      nullptr,         nullptr,
      "handbag",      "tie",          "suitcase",      "frisbee",       "skis",
      "snowboard",    "sports ball",  "kite",          "baseball bat",  "baseball glove",
      "skateboard",   "surfboard",    "tennis racket", "bottle",        nullptr,
      "wine glass",   "cup",          "fork",          "knife",         "spoon",
      "bowl",         "banana",       "apple",         "sandwich",      "orange",
      "broccoli",     "carrot",       "hot dog",       "pizza",         "donut",
      "cake",         "chair",        "couch",         "potted plant",  "bed",
      nullptr,        "dining table", nullptr,         nullptr,         "toilet",
      nullptr,        "tv",           "laptop",        "mouse",         "remote",
      "keyboard",     "cell phone",   "microwave",     "oven",          "toaster",
      "sink",         "refrigerator", nullptr,         "book",          "clock",
      "vase",         "scissors",     "teddy bear",    "hair drier",    "toothbrush"};
  if (classes == 90 && index >= 0 && index < 90 && kCoco[index]) return kCoco[index];
  return fmt::format("class {}", index);
}

}  // namespace beckon::ssd
