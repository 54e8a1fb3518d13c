// Finds things of known classes in a photo: a box, a name and a score each.
//
//   auto detector = beckon::Detector::load("coco-ssd");        // a name in the store, or a file
//   for (const auto& found : detector.detect(beckon::Image::read("street.jpg")))
//     std::cout << found.name << " " << found.score << "\n";
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "beckon/boxes.h"
#include "beckon/export.h"
#include "beckon/image.h"

namespace beckon {

struct Detection {
  Rect box;  // pixels of the photo, cut off at its borders
  float score = 0;
  int64_t label = 0;  // 0 to classes() - 1; COCO's id less one
  std::string name;
};

struct DetectOptions {
  float threshold = 0.5f;  // boxes of a lower score are left out
  float iou = 0.5f;        // of two boxes of one class that overlap more the better one stays
  int64_t most = 100;
};

// A handle: copies share the network. Safe to use from several threads.
class BECKON_API Detector {
 public:
  // MobileNetV2-SSDLite of TensorFlow's object detection, as TensorFlow.js has it. Throws as
  // Store::find() and Checkpoint::open(); Error(model) if it is no such network.
  static Detector load(const std::string& name_or_path);

  // The best first. Error(usage) for options out of range.
  std::vector<Detection> detect(const Image& photo, const DetectOptions& options = {}) const;

  int64_t classes() const noexcept;
  // "person"; "class 11" for one without a name.
  std::string class_name(int64_t label) const;
  const std::string& path() const noexcept;
  std::string sha256() const;

  struct Model;

 private:
  std::shared_ptr<const Model> model_;
};

}  // namespace beckon
