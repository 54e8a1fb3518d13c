// MobileNetV2-SSDLite against the published graph, run by TensorFlow.js.
#include "models/ssd/ssd.h"

#include <cmath>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/backbone.h"
#include "beckon/checkpoint.h"
#include "beckon/detector.h"
#include "beckon/ops.h"
#include "beckon/resize.h"
#include "beckon/store.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

Tensor thinned(const Tensor& x, int64_t every) {
  std::vector<int64_t> index;
  for (int64_t i = 0; i < x.dim(1); i += every) index.push_back(i);
  return index_select(
      x, 1, Tensor::from(std::span<const int64_t>(index), {static_cast<int64_t>(index.size())}));
}

// The photo as the graph sees it.
Tensor seen_by_graph(const Image& photo) {
  const std::vector<float> pixels = resize_legacy_bilinear(photo, 300, 300);
  return Tensor::from(std::span<const float>(pixels), {1, 300, 300, 3}) * (2 / 255.0f) - 1.0f;
}

TEST(Ssd, MatchesGolden) {
  for (const Golden& golden : goldens("coco_ssd")) {
    if (!golden.has_file("weights.safetensors")) continue;
    SCOPED_TRACE(golden.name);
    const auto& wanted = golden.json().at("config");
    const Arrays& io = golden.tensors("io");
    const nn::Params file =
        nn::Params::from(Checkpoint::open((golden.folder / "weights.safetensors").string()));
    ASSERT_TRUE(ssd::holds_ssd(file));
    const ssd::SsdConfig c = ssd::detect(file);
    EXPECT_EQ(c.classes, wanted.at("classes").get<int64_t>());
    EXPECT_EQ(c.last, wanted.at("last").get<int64_t>());
    EXPECT_EQ(c.anchors, 1917);
    const ssd::Ssd net(ssd::from_tensorflow(file, c), c);

    const Array& photo = io.at("in.photo");
    Image image(static_cast<int>(photo.shape[1]), static_cast<int>(photo.shape[0]), 3);
    const std::vector<float> values = photo.as_floats();
    const auto row = static_cast<size_t>(photo.shape[1]) * 3;
    for (size_t i = 0; i < values.size(); ++i)
      image.mutable_row(static_cast<int>(i / row))[i % row] = static_cast<uint8_t>(values[i]);

    Tensor seen = seen_by_graph(image);
    const int64_t every = wanted.at("every");
    {
      const NoGrad no_grad;
      const auto maps = net.maps(seen);
      for (size_t m = 1; m < ssd::kMaps; ++m)
        expect_golden(golden, "mid.map" + std::to_string(m), maps[m]);
      expect_golden(golden, "out.scores", thinned(sigmoid(net.classes(maps)), every));
      expect_golden(golden, "out.boxes", thinned(net.boxes(maps), every));
    }
    // Column 0 of the weights belongs to the background and is 0.
    seen.set_requires_grad();
    const auto maps = net.maps(seen);
    const Tensor weights = tensor(io.at("in.class_weights"));
    sum(net.classes(maps) * weights.slice(2, 1, c.classes + 1)).backward();
    expect_golden(golden, "grad.seen", seen.grad().slice(1, 100, 140).slice(2, 100, 140));
  }
}

TEST(Ssd, FindsWhatTheGraphFindsOnPhotos) {
  for (const Golden& golden : goldens("coco_ssd")) {
    if (!golden.json().contains("photos")) continue;
    std::optional<Detector> detector;
    try {
      detector = Detector::load("coco-ssd");
    } catch (const Error& error) {
      if (error.kind() != Kind::unavailable || !is_quick()) ADD_FAILURE() << error.what();
      return;
    }
    for (const auto& [name, wanted] : golden.json().at("photos").items()) {
      SCOPED_TRACE(name);
      const Image photo =
          Image::read((golden_root() / "mobile_sam_real" / name / "photo.png").string());
      ASSERT_EQ(photo.width(), wanted.at("width").get<int>());
      // With an IoU of 1 nothing is suppressed but what is the same.
      const auto found = detector->detect(photo, {.threshold = 0.2f, .iou = 1});
      ASSERT_EQ(found.size(), wanted.at("boxes").size());
      for (const auto& box : wanted.at("boxes")) {
        const auto same = std::find_if(found.begin(), found.end(), [&](const Detection& d) {
          return std::abs(d.score - box.at("score").get<float>()) < 1e-4f &&
                 d.label == box.at("label").get<int64_t>();
        });
        ASSERT_NE(same, found.end()) << box.dump();
        const auto at = [&](size_t i) {
          return std::clamp(box.at("box")[i].get<float>(), 0.0f, 1.0f);
        };
        const auto w = static_cast<float>(photo.width()), h = static_cast<float>(photo.height());
        EXPECT_NEAR(same->box.y0, at(0) * h, 0.05);
        EXPECT_NEAR(same->box.x0, at(1) * w, 0.05);
        EXPECT_NEAR(same->box.y1, at(2) * h, 0.05);
        EXPECT_NEAR(same->box.x1, at(3) * w, 0.05);
      }
    }
    const Image cat = Image::read((golden_root() / "mobile_sam_real/chelsea/photo.png").string());
    const auto best = detector->detect(cat);
    ASSERT_FALSE(best.empty());
    EXPECT_EQ(best[0].name, "cat");
  }
}

// As a frozen network: classes at any size, and gradients to the picture.
TEST(Ssd, IsABackboneForAnySize) {
  const Golden golden = goldens("coco_ssd").front();
  const std::string path = (golden.folder / "weights.safetensors").string();
  const Backbone net = Backbone::load(path, {.input = 65});
  EXPECT_EQ(net.family(), "ssd");
  EXPECT_EQ(net.classes(), 5);
  EXPECT_EQ(net.feature_dim(), 165);
  Tensor x = Tensor::full({2, 65, 65, 3}, 0.25f);
  x.set_requires_grad();
  const Tensor logits = net.logits(net.features(x));
  EXPECT_EQ(logits.shape(), (Shape{2, 5}));
  sum(logits).backward();
  float largest = 0;
  for (const float g : std::as_const(x).grad().contiguous().values())
    largest = std::max(largest, std::abs(g));
  EXPECT_GT(largest, 0);

  // The evidence of a class is the logarithm of its odds, summed over all boxes.
  const nn::Params file = nn::Params::from(Checkpoint::open(path));
  const ssd::SsdConfig c = ssd::detect(file);
  const ssd::Ssd plain(ssd::from_tensorflow(file, c), c);
  const NoGrad no_grad;
  const Tensor scores = plain.classes(plain.maps(x)).contiguous();
  double odds = 0;
  for (int64_t a = 0; a < scores.dim(1); ++a)
    odds += std::exp(static_cast<double>(scores.data()[a * 5 + 3]));
  EXPECT_NEAR(logits.contiguous().data()[3], std::log(odds), 1e-4);
}

TEST(Ssd, BrokenFilesAreErrors) {
  const Golden golden = goldens("coco_ssd").front();
  const Arrays& weights = golden.tensors("weights");
  const auto with = [&](const std::string& name, const Tensor& instead) {
    std::map<std::string, Tensor> tensors;
    for (const auto& [key, array] : weights)
      if (array.dtype == "F32") tensors[key] = tensor(array);
    if (instead.defined())
      tensors[name] = instead;
    else
      tensors.erase(name);
    return nn::Params::from(std::move(tensors), "x");
  };
  const auto refused = [&](const std::string& name, const Tensor& instead, const char* part) {
    expect_error(Kind::model, part, [&] {
      const nn::Params file = with(name, instead);
      const ssd::SsdConfig c = ssd::detect(file);
      ssd::from_tensorflow(file, c);
    });
  };
  const std::string conv =
      "FeatureExtractor/MobilenetV2/expanded_conv_3/expand/Conv2D/merged_input";
  refused(conv, {}, "there is no tensor 'FeatureExtractor/MobilenetV2/expanded_conv_3/expand");
  refused(conv, Tensor::zeros({1, 1, 5}), "expected [height,width,in,out]");
  refused(conv, Tensor::zeros({1, 1, 5, 7}), "expanded_conv_3/expand");
  refused("BoxPredictor_1/ClassPredictor/weights", Tensor::zeros({1, 1, 160, 37}),
          "predictor 1 has 24 numbers for boxes and 37 for classes");
  refused("BoxPredictor_2/BoxEncodingPredictor/weights", Tensor::zeros({1, 1, 64, 1}),
          "predictor 2 has 1 numbers");
  refused("Postprocessor/ExpandDims", Tensor::zeros({4}), "expected [1,boxes,4]");
}

}  // namespace
}  // namespace beckon::test
