// From the tensors of TensorFlow's object detection, as its exporter froze them: kernels [height,
// width, in, out] with the batch norms' scales in them, depth-wise ones with the scale beside them,
// and the predictors' norms as they were trained.
#include <map>

#include "base/fail.h"
#include "models/ssd/ssd.h"

namespace beckon::ssd {
namespace {

constexpr float kNormEps = 0.001f;
constexpr int64_t kMostChannels = 1 << 14;

const std::string kFeatures = "FeatureExtractor/MobilenetV2/";
constexpr const char* kKernel = "/Conv2D/merged_input";
constexpr const char* kShift = "/BatchNorm/batchnorm/sub";
constexpr const char* kAnchors = "Postprocessor/ExpandDims";

std::string block_path(size_t i) {
  return kFeatures + (i == 0 ? "expanded_conv" : fmt::format("expanded_conv_{}", i));
}
// The widths in these names are those of the published network; a narrower one keeps them.
std::string squeeze_path(size_t i) {
  static constexpr const char* kNames[] = {
      "layer_19_1_Conv2d_2_1x1_256", "layer_19_1_Conv2d_3_1x1_128", "layer_19_1_Conv2d_4_1x1_128",
      "layer_19_1_Conv2d_5_1x1_64"};
  return kFeatures + kNames[i];
}
std::string extra_path(size_t i) {
  static constexpr const char* kNames[] = {
      "layer_19_2_Conv2d_2_3x3_s2_512", "layer_19_2_Conv2d_3_3x3_s2_256",
      "layer_19_2_Conv2d_4_3x3_s2_256", "layer_19_2_Conv2d_5_3x3_s2_128"};
  return kFeatures + kNames[i];
}
std::string predictor_path(size_t m, const char* kind) {
  return fmt::format("BoxPredictor_{}/{}Predictor", m, kind);
}

int64_t columns(const nn::Params& file, const std::string& name) {
  const auto shape = file.shape(name);
  if (!shape) fail(Kind::model, "{}: there is no tensor '{}'", file.origin(), name);
  bool fine = shape->rank() == 4;
  for (const int64_t size : *shape) fine = fine && size >= 1 && size <= kMostChannels;
  if (!fine)
    fail(Kind::model, "{}: tensor '{}' has shape {}, expected [height,width,in,out]", file.origin(),
         name, shape->str());
  return (*shape)[3];
}

class Converter {
 public:
  explicit Converter(const nn::Params& file) : file_(file) {}

  void conv(const std::string& to, const std::string& from, int64_t in, int64_t out,
            int64_t kernel) {
    kernel_of(to, from + kKernel, in, out, kernel);
    tensors_[to + ".bias"] = file_.tensor(from + kShift, {out});
  }
  void depthwise(const std::string& to, const std::string& from, int64_t channels) {
    const Tensor scale = file_.tensor(from + "/BatchNorm/batchnorm/mul", {channels});
    scaled_taps(to, from, channels, scale);
    tensors_[to + ".bias"] = file_.tensor(from + kShift, {channels});
  }
  void predictor(const std::string& to, const std::string& from, int64_t in, int64_t out) {
    const std::string norm = from + "_depthwise/BatchNorm/";
    const Tensor gamma = file_.tensor(norm + "gamma", {in}),
                 beta = file_.tensor(norm + "beta", {in});
    const Tensor average = file_.tensor(norm + "moving_mean", {in});
    const Tensor scale = gamma / sqrt(file_.tensor(norm + "moving_variance", {in}) + kNormEps);
    scaled_taps(to + ".depthwise", from + "_depthwise", in, scale);
    tensors_[to + ".depthwise.bias"] = beta - average * scale;
    kernel_of(to + ".pointwise", from + "/weights", in, out, 1);
    tensors_[to + ".pointwise.bias"] = file_.tensor(from + "/biases", {out});
  }
  void anchors(int64_t count) {
    tensors_["anchors"] = file_.tensor(kAnchors, {1, count, 4}).reshape({count, 4});
  }
  nn::Params result() { return nn::Params::from(std::move(tensors_), file_.origin()); }

 private:
  void kernel_of(const std::string& to, const std::string& from, int64_t in, int64_t out,
                 int64_t kernel) {
    tensors_[to + ".weight"] =
        file_.tensor(from, {kernel, kernel, in, out}).permute({3, 2, 0, 1}).contiguous();
  }
  void scaled_taps(const std::string& to, const std::string& from, int64_t channels,
                   const Tensor& scale) {
    const Tensor taps = file_.tensor(from + "/depthwise_weights", {3, 3, channels, 1});
    tensors_[to + ".weight"] =
        (taps.permute({2, 3, 0, 1}) * scale.reshape({channels, 1, 1, 1})).contiguous();
  }

  const nn::Params& file_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace

bool holds_ssd(const nn::Params& file) {
  return file.has(kFeatures + "Conv/Conv2D/merged_input") &&
         file.has("BoxPredictor_0/ClassPredictor/weights") && file.has(kAnchors);
}

SsdConfig detect(const nn::Params& file) {
  SsdConfig c;
  c.stem = columns(file, kFeatures + "Conv" + kKernel);
  for (size_t i = 0; i < kBlocks; ++i) {
    c.expanded[i] = i == 0 ? c.stem : columns(file, block_path(i) + "/expand" + kKernel);
    c.widths[i] = columns(file, block_path(i) + "/project" + kKernel);
    if (i > 0 && c.expanded[i] == c.widths[i - 1])
      fail(Kind::unsupported, "{}: block {} of {} channels does not widen them", file.origin(), i,
           c.expanded[i]);
  }
  c.last = columns(file, kFeatures + "Conv_1" + kKernel);
  for (size_t i = 0; i < kExtras; ++i) {
    c.squeezed[i] = columns(file, squeeze_path(i) + kKernel);
    c.extras[i] = columns(file, extra_path(i) + kKernel);
  }
  for (size_t m = 0; m < kMaps; ++m) {
    const int64_t codes = columns(file, predictor_path(m, "BoxEncoding") + "/weights");
    const int64_t scores = columns(file, predictor_path(m, "Class") + "/weights");
    c.boxes[m] = codes / 4;
    if (codes % 4 != 0 || scores % c.boxes[m] != 0 || scores / c.boxes[m] < 2 ||
        (m > 0 && scores / c.boxes[m] != c.classes + 1))
      fail(Kind::model, "{}: predictor {} has {} numbers for boxes and {} for classes",
           file.origin(), m, codes, scores);
    c.classes = scores / c.boxes[m] - 1;
  }
  const auto anchors = file.shape(kAnchors);
  if (!anchors || anchors->rank() != 3 || (*anchors)[1] < 1 || (*anchors)[1] > 1 << 20)
    fail(Kind::model, "{}: tensor '{}' has shape {}, expected [1,boxes,4]", file.origin(), kAnchors,
         anchors ? anchors->str() : "none");
  c.anchors = (*anchors)[1];
  return c;
}

nn::Params from_tensorflow(const nn::Params& file, const SsdConfig& c) {
  const NoGrad no_grad;
  Converter to(file);
  to.conv("stem", kFeatures + "Conv", 3, c.stem, 3);
  for (size_t i = 0; i < kBlocks; ++i) {
    const std::string block = fmt::format("blocks.{}.", i), path = block_path(i);
    const int64_t in = i == 0 ? c.stem : c.widths[i - 1];
    if (i > 0) to.conv(block + "expand", path + "/expand", in, c.expanded[i], 1);
    to.depthwise(block + "depthwise", path + "/depthwise", c.expanded[i]);
    to.conv(block + "project", path + "/project", c.expanded[i], c.widths[i], 1);
  }
  to.conv("last", kFeatures + "Conv_1", c.widths[kBlocks - 1], c.last, 1);
  for (size_t i = 0; i < kExtras; ++i) {
    const std::string extra = fmt::format("extras.{}.", i);
    to.conv(extra + "squeeze", squeeze_path(i), i == 0 ? c.last : c.extras[i - 1], c.squeezed[i],
            1);
    to.depthwise(extra + "depthwise", extra_path(i) + "_depthwise", c.squeezed[i]);
    to.conv(extra + "expand", extra_path(i), c.squeezed[i], c.extras[i], 1);
  }
  for (size_t m = 0; m < kMaps; ++m) {
    const std::string predictor = fmt::format("predictors.{}.", m);
    to.predictor(predictor + "boxes", predictor_path(m, "BoxEncoding"), c.map_width(m),
                 c.boxes[m] * 4);
    to.predictor(predictor + "classes", predictor_path(m, "Class"), c.map_width(m),
                 c.boxes[m] * (c.classes + 1));
  }
  to.anchors(c.anchors);
  return to.result();
}

}  // namespace beckon::ssd
