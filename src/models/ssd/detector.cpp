#include "beckon/detector.h"

#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "beckon/checkpoint.h"
#include "beckon/resize.h"
#include "beckon/store.h"
#include "models/ssd/ssd.h"

namespace beckon {

struct Detector::Model {
  Model(std::string path_, const nn::Params& file, const ssd::SsdConfig& c)
      : path(std::move(path_)), net(ssd::from_tensorflow(file, c), c) {}
  std::string path;
  ssd::Ssd net;
};

namespace {

// Stretched to the network's square, whatever the proportions; values of -1 to 1.
Tensor stretched(const Image& photo, int64_t side) {
  const std::vector<float> pixels =
      resize_legacy_bilinear(photo.rgb(), static_cast<int>(side), static_cast<int>(side));
  Tensor x = Tensor::empty({1, side, side, 3});
  for (size_t i = 0; i < pixels.size(); ++i) x.data()[i] = pixels[i] * 0.007843137718737125f - 1.0f;
  return x;
}

Rect inside(const Rect& box, const Image& photo) {
  const auto width = static_cast<float>(photo.width()), height = static_cast<float>(photo.height());
  return {std::clamp(box.x0 * width, 0.0f, width), std::clamp(box.y0 * height, 0.0f, height),
          std::clamp(box.x1 * width, 0.0f, width), std::clamp(box.y1 * height, 0.0f, height)};
}

}  // namespace

Detector Detector::load(const std::string& name_or_path) {
  const std::string path = Store().find(name_or_path);
  const nn::Params file = nn::Params::from(Checkpoint::open(path));
  if (!ssd::holds_ssd(file))
    fail(Kind::model,
         "{}: no detector that is known: expected MobileNetV2-SSDLite with "
         "TensorFlow's names",
         path);
  Detector detector;
  detector.model_ = std::make_shared<const Model>(path, file, ssd::detect(file));
  return detector;
}

std::vector<Detection> Detector::detect(const Image& photo, const DetectOptions& o) const {
  const auto share = [](float value, const char* name) {
    if (!(value >= 0 && value <= 1)) fail(Kind::usage, "{} {}, expected 0 to 1", name, value);
  };
  share(o.threshold, "threshold");
  share(o.iou, "IoU");
  if (o.most < 1) fail(Kind::usage, "at most {} detections, expected 1 or more", o.most);
  if (photo.empty()) fail(Kind::usage, "a photo without pixels shows nothing");

  const NoGrad no_grad;
  const ssd::Ssd& net = model_->net;
  const auto maps = net.maps(stretched(photo, net.config().image));
  const Tensor scores = sigmoid(net.classes(maps)).contiguous(),
               boxes = net.boxes(maps).contiguous();
  std::vector<Rect> rects;
  std::vector<float> best;
  std::vector<int64_t> labels;
  const int64_t classes = net.config().classes;
  for (int64_t a = 0; a < net.config().anchors; ++a) {
    const float* of_box = scores.data() + a * classes;
    const auto label = std::max_element(of_box, of_box + classes) - of_box;
    // A box that a strange file made of no numbers is none.
    const float* corner = boxes.data() + a * 4;
    const bool finite = std::all_of(corner, corner + 4, [](float v) { return std::isfinite(v); });
    if (!finite || !(of_box[label] >= o.threshold)) continue;
    rects.push_back(inside({corner[1], corner[0], corner[3], corner[2]}, photo));
    best.push_back(of_box[label]);
    labels.push_back(label);
  }
  std::vector<Detection> found;
  for (const int64_t i : class_wise_nms(rects, best, labels, o.iou)) {
    const auto at = static_cast<size_t>(i);
    if (!(area(rects[at]) > 0)) continue;  // outside of the photo
    found.push_back({rects[at], best[at], labels[at], class_name(labels[at])});
    if (static_cast<int64_t>(found.size()) == o.most) break;
  }
  return found;
}

int64_t Detector::classes() const noexcept { return model_->net.config().classes; }
std::string Detector::class_name(int64_t label) const { return ssd::class_name(label, classes()); }
const std::string& Detector::path() const noexcept { return model_->path; }
std::string Detector::sha256() const { return Store().sha256(model_->path); }

}  // namespace beckon
