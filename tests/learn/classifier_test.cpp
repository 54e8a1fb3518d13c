// Learning classifiers end to end: every method on a small network, files of prompts good and
// hostile, checkpoints, options that make no sense.
#include <cmath>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "base/threads.h"
#include "beckon/classifier_prompt.h"
#include "learn/classify/tensor_file.h"
#include "learn/small_networks.h"
#include "support/check.h"
#include "support/small_clip.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Three classes that differ by a colour on one side of noisy pictures.
void write_coloured_data(const fs::path& folder, int each, uint64_t seed) {
  beckon::Random random(seed);
  const char* names[] = {"red", "green", "blue"};
  for (int c = 0; c < 3; ++c) {
    fs::create_directories(folder / names[c]);
    for (int i = 0; i < each; ++i) {
      std::vector<uint8_t> pixels(20 * 18 * 3);
      for (int p = 0; p < 20 * 18; ++p)
        for (int k = 0; k < 3; ++k)
          pixels[static_cast<size_t>(3 * p + k)] =
              static_cast<uint8_t>(random.below(100) + (k == c && p % 20 < 12 ? 130 : 0));
      Image(20, 18, 3, pixels)
          .write_png((folder / names[c] / (std::to_string(i) + ".png")).string());
    }
  }
}

class Classifier : public ::testing::Test {
 protected:
  Classifier() {
    vit_ = folder_ / "vit.safetensors";
    swin_ = folder_ / "swin.safetensors";
    write_small_vit(vit_);
    write_small_swin(swin_);
    write_coloured_data(folder_.path() / "data", 12, 1);
    data_ = folder_ / "data";
  }
  static LearnClassifierOptions quick(const std::string& method) {
    LearnClassifierOptions o;
    o.method.name = method;
    o.method.tokens = 4;
    o.method.prompt_size = 4;
    o.epochs = 6;
    o.batch = 8;
    o.seed = 3;
    return o;
  }
  std::string saved(const LearnedClassifier& learned, const std::string& name) const {
    learned.prompt.save(folder_ / name);
    const auto bytes = read_bytes(folder_ / name);
    return {bytes.begin(), bytes.end()};
  }
  TempDir folder_;
  std::string vit_, swin_, data_;
};

TEST_F(Classifier, EveryMethodLearnsAndSurvivesTheDisk) {
  const fs::path fresh = folder_.path() / "fresh";
  write_coloured_data(fresh, 4, 99);
  for (const char* name : {"linear", "mlp-3", "partial-1", "full", "bias", "adapter", "lora",
                           "vpt-shallow", "vpt-deep", "pixel-pad", "pixel-patch", "reprogram"}) {
    SCOPED_TRACE(name);
    LearnClassifierOptions o = quick(name);
    const bool pixels = std::string(name).starts_with("pixel") || std::string(name) == "reprogram";
    o.epochs = pixels ? 30 : 25;
    if (!pixels) o.learning_rate = std::string(name) == "full" ? 1e-3 : 0.01;
    o.method.lambda = 1e-5f;
    const LearnedClassifier learned = learn_classifier(vit_, data_, o);
    EXPECT_EQ(learned.train_pictures, 30);
    EXPECT_EQ(learned.validation_pictures, 6);
    EXPECT_LT(learned.epochs.back().loss, learned.epochs.front().loss);
    if (!pixels) {
      EXPECT_GE(learned.epochs.back().accuracy, 0.8);
    }

    const std::string path = folder_ / (std::string(name) + ".safetensors");
    learned.prompt.save(path);
    EXPECT_TRUE(ClassifierPrompt::recognise(path));
    const ClassifierPrompt prompt = ClassifierPrompt::load(path);
    EXPECT_EQ(prompt.labels(), (std::vector<std::string>{"blue", "green", "red"}));
    EXPECT_EQ(prompt.parameter_count(), learned.learned_parameters);
    EXPECT_EQ(prompt.picture().has_value(), pixels);
    int right = 0;
    for (const auto& label : prompt.labels())
      for (int i = 0; i < 4; ++i) {
        const Image image = Image::read((fresh / label / (std::to_string(i) + ".png")).string());
        const auto chances = prompt.classify(image);
        EXPECT_EQ(chances, learned.prompt.classify(image));
        double sum = 0;
        for (const float p : chances) sum += static_cast<double>(p);
        EXPECT_NEAR(sum, 1, 1e-5);
        right += prompt.labels()[static_cast<size_t>(
                     std::max_element(chances.begin(), chances.end()) - chances.begin())] == label;
      }
    if (!pixels) {
      EXPECT_GE(right, 9) << "of 12 pictures nobody learned from";
    }
  }
}

TEST_F(Classifier, LearnsOnSwinAndClip) {
  const LearnedClassifier swin = learn_classifier(swin_, data_, quick("vpt-deep"));
  EXPECT_LT(swin.epochs.back().loss, swin.epochs.front().loss);
  write_small_clip(folder_ / "clip.safetensors");
  LearnClassifierOptions o = quick("pixel-pad");
  o.epochs = 4;
  const LearnedClassifier clip = learn_classifier(folder_ / "clip.safetensors", data_, o);
  EXPECT_LT(clip.epochs.back().loss, clip.epochs.front().loss);
  EXPECT_EQ(clip.learned_parameters, 3 * (2 * 4 * 32 + 2 * 4 * 24));
}

TEST_F(Classifier, GoesOnAfterAStopWithTheSameBytes) {
  for (const char* name : {"vpt-deep", "mlp-2", "reprogram", "linear"}) {
    SCOPED_TRACE(name);
    LearnClassifierOptions o = quick(name);
    o.method.dropout = 0.1f;
    o.flip = std::string(name) == "vpt-deep";
    o.random_crop = o.flip;
    o.epochs = 3;
    const std::string expected = saved(learn_classifier(vit_, data_, o), "whole.safetensors");

    o.checkpoint = folder_ / (std::string(name) + ".checkpoint");
    o.checkpoint_seconds = 0;  // after every step
    o.resume = true;
    for (const int64_t stop : {2, 3, 5, 8, 11}) {
      o.progress = [stop](const LearnClassifierProgress& p) {
        return p.stage != LearnClassifierProgress::Stage::learning || p.done < stop;
      };
      expect_error(Kind::interrupted, "", [&] { learn_classifier(vit_, data_, o); });
    }
    o.progress = {};
    EXPECT_EQ(saved(learn_classifier(vit_, data_, o), "parts.safetensors"), expected);

    o.learning_rate = 0.5;
    expect_error(Kind::input, "of other options", [&] { learn_classifier(vit_, data_, o); });
    std::ofstream(o.checkpoint) << "no checkpoint";
    expect_error(Kind::input, "", [&] { learn_classifier(vit_, data_, o); });
  }
}

TEST_F(Classifier, IsTheSameForAnyNumberOfThreadsAndDiffersBySeed) {
  LearnClassifierOptions o = quick("vpt-deep");
  o.epochs = 2;
  set_threads(1);
  const std::string one = saved(learn_classifier(vit_, data_, o), "one.safetensors");
  set_threads(3);
  const std::string three = saved(learn_classifier(vit_, data_, o), "three.safetensors");
  set_threads(0);
  EXPECT_EQ(one, three);
  o.seed = 4;
  EXPECT_NE(saved(learn_classifier(vit_, data_, o), "other.safetensors"), one);
}

TEST_F(Classifier, ABatchInPartsIsTheSameBatch) {
  LearnClassifierOptions o = quick("vpt-shallow");
  o.epochs = 2;
  const LearnedClassifier whole = learn_classifier(vit_, data_, o);
  o.accumulate = 3;
  const LearnedClassifier parts = learn_classifier(vit_, data_, o);
  for (size_t e = 0; e < 2; ++e)
    EXPECT_NEAR(whole.epochs[e].loss, parts.epochs[e].loss, 1e-4 * whole.epochs[e].loss);
}

TEST_F(Classifier, FeaturesThatAreKeptChangeNothing) {
  for (const char* name : {"linear", "partial-1", "vpt-deep"}) {
    LearnClassifierOptions o = quick(name);
    o.epochs = 2;
    const LearnedClassifier kept = learn_classifier(vit_, data_, o);
    o.cache_bytes = 0;
    const LearnedClassifier anew = learn_classifier(vit_, data_, o);
    for (size_t e = 0; e < 2; ++e)
      EXPECT_NEAR(kept.epochs[e].loss, anew.epochs[e].loss, 1e-4) << name;
  }
}

TEST_F(Classifier, StopsEarlyAndKeepsTheBest) {
  LearnClassifierOptions o = quick("linear");
  o.epochs = 200;
  o.patience = 4;
  const LearnedClassifier learned = learn_classifier(vit_, data_, o);
  EXPECT_LT(learned.epochs.size(), 200u);
  double most = -1;
  size_t at = 0;
  for (size_t e = 0; e < learned.epochs.size(); ++e) {
    const double accuracy = learned.epochs[e].validation_accuracy;
    if (accuracy > most) most = accuracy, at = e + 1;
  }
  EXPECT_EQ(learned.epochs.size(), at + 4);
  EXPECT_EQ(learned.epochs[static_cast<size_t>(learned.best_epoch)].validation_accuracy, most);
}

TEST_F(Classifier, SaysInWhichStepTheLossIsLost) {
  LearnClassifierOptions o = quick("reprogram");
  o.optimizer = OptimizerKind::sgd;
  o.schedule = "constant";
  o.learning_rate = 1e6;
  o.method.lambda = 1e6f;
  o.epochs = 40;
  o.checkpoint = folder_ / "lost.checkpoint";
  expect_error(Kind::input, "the loss is no number in step",
               [&] { learn_classifier(vit_, data_, o); });
  // What is there is what was before, if an epoch had ended.
  if (!fs::exists(o.checkpoint)) return;
  const auto before = learn::read_tensor_file(o.checkpoint, "classifier-checkpoint").tensors;
  for (const auto& [name, tensor] : before) {
    if (!name.starts_with("best.")) continue;
    for (const float v : tensor.values()) ASSERT_TRUE(std::isfinite(v)) << name;
  }
}

TEST_F(Classifier, BrokenPicturesAreFatalOrLeftOut) {
  std::ofstream(data_ + "/red/zz.png") << "no picture";
  LearnClassifierOptions o = quick("linear");
  o.epochs = 1;
  expect_error(Kind::input, "zz.png", [&] { learn_classifier(vit_, data_, o); });
  o.skip_broken = true;
  const LearnedClassifier learned = learn_classifier(vit_, data_, o);
  ASSERT_EQ(learned.skipped.size(), 1u);
  EXPECT_NE(learned.skipped[0].find("zz.png"), std::string::npos);
  for (int i = 0; i < 12; ++i) std::ofstream(data_ + "/red/" + std::to_string(i) + ".png") << "x";
  expect_error(Kind::input, "class 'red' has no picture left",
               [&] { learn_classifier(vit_, data_, o); });
}

TEST_F(Classifier, TheTestPartDecidesOnlyIfAsked) {
  const fs::path parts = folder_.path() / "parts";
  write_coloured_data(parts / "train", 8, 1);
  write_coloured_data(parts / "test", 4, 2);
  LearnClassifierOptions o = quick("linear");
  const LearnedClassifier usual = learn_classifier(vit_, parts.string(), o);
  EXPECT_EQ(usual.test_pictures, 12);
  EXPECT_EQ(usual.validation_pictures, 6);
  EXPECT_GE(usual.test_accuracy, 0);
  EXPECT_EQ(usual.prompt.about().at("metrics").find("selected_on_test"), std::string::npos);
  int64_t counted = 0;
  for (const auto& row : usual.confusion)
    for (const int64_t n : row) counted += n;
  EXPECT_EQ(counted, 12);
  o.select_on_test = true;
  const LearnedClassifier peeking = learn_classifier(vit_, parts.string(), o);
  EXPECT_EQ(peeking.train_pictures, 24);
  EXPECT_NE(peeking.prompt.about().at("metrics").find("selected_on_test"), std::string::npos);
}

TEST_F(Classifier, MapsLabelsByFrequency) {
  LearnClassifierOptions o = quick("pixel-pad");
  o.epochs = 1;
  o.method.labels_from = "frequent";
  const LearnedClassifier learned = learn_classifier(vit_, data_, o);
  const json method = json::parse(learned.prompt.about().at("method_options"));
  ASSERT_EQ(method.at("label_map").size(), 3u);
  learned.prompt.save(folder_ / "f.safetensors");
  const Image image = Image::read(data_ + "/red/0.png");
  EXPECT_EQ(ClassifierPrompt::load(folder_ / "f.safetensors").classify(image),
            learned.prompt.classify(image));
  o.method.labels_from = "given";
  expect_error(Kind::usage, "no label map was given", [&] { learn_classifier(vit_, data_, o); });
  o.method.label_map = {{0}, {1}};
  expect_error(Kind::usage, "a label map for 2 classes, the data have 3",
               [&] { learn_classifier(vit_, data_, o); });
  o.method.label_map = {{0}, {1}, {12}};
  expect_error(Kind::usage, "label 12, the network has 12",
               [&] { learn_classifier(vit_, data_, o); });
}

TEST_F(Classifier, RefusesOptionsThatMakeNoSense) {
  const auto refused = [&](const std::string& part,
                           const std::function<void(LearnClassifierOptions&)>& change) {
    LearnClassifierOptions o = quick("linear");
    change(o);
    expect_error(Kind::usage, part, [&] { learn_classifier(vit_, data_, o); });
  };
  refused("method 'vpt': expected one of", [](auto& o) { o.method.name = "vpt"; });
  refused("method 'mlp-0'", [](auto& o) { o.method.name = "mlp-0"; });
  refused("0 epochs", [](auto& o) { o.epochs = 0; });
  refused("schedule 'x'", [](auto& o) { o.schedule = "x"; });
  refused("needs a checkpoint", [](auto& o) { o.resume = true; });
  refused("a share of 1", [](auto& o) { o.validation = 1; });
  refused("no test part", [](auto& o) { o.select_on_test = true; });
  refused("in 9 parts", [](auto& o) { o.accumulate = 9; });
  refused("learning rate nan", [](auto& o) { o.learning_rate = std::nan(""); });
}

TEST_F(Classifier, RefusesOtherNetworks) {
  LearnClassifierOptions o = quick("vpt-shallow");
  o.epochs = 1;
  learn_classifier(vit_, data_, o).prompt.save(folder_ / "p.safetensors");
  write_small_vit(folder_ / "other.safetensors", 2);
  expect_error(Kind::model, "it was learned for vit-64x3 (sha256", [&] {
    ClassifierPrompt::load(folder_ / "p.safetensors", folder_ / "other.safetensors");
  });
  fs::rename(vit_, folder_ / "moved.safetensors");
  expect_error(Kind::missing, "name the network that",
               [&] { ClassifierPrompt::load(folder_ / "p.safetensors"); });
  EXPECT_EQ(ClassifierPrompt::load(folder_ / "p.safetensors", folder_ / "moved.safetensors")
                .labels()
                .size(),
            3u);
}

// What somebody may have done to a file: it must be refused, whatever it is.
TEST_F(Classifier, RefusesFilesThatWereChanged) {
  LearnClassifierOptions o = quick("vpt-shallow");
  o.epochs = 1;
  const std::string good = saved(learn_classifier(vit_, data_, o), "p.safetensors");
  const std::string path = folder_ / "q.safetensors";
  const auto refused = [&](const std::string& bytes, const std::string& part) {
    std::ofstream(path, std::ios::binary) << bytes;
    expect_error(Kind::input, part, [&] { ClassifierPrompt::load(path); });
  };
  for (size_t at = 0; at < good.size(); at += 97) {
    std::string bytes = good;
    bytes[at] ^= 0x10;
    std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_THROW(ClassifierPrompt::load(path), Error) << at;
  }
  for (size_t cut = 0; cut < good.size(); cut += 131) refused(good.substr(0, cut), "");
  refused("", "");
  std::ofstream(path) << "{}";
  EXPECT_FALSE(ClassifierPrompt::recognise(path));

  // Sealed again by somebody who knows how.
  const learn::TensorFile file =
      learn::read_tensor_file(folder_ / "p.safetensors", "classifier-prompt");
  const auto resealed = [&](const std::string& part,
                            const std::function<void(learn::TensorFile&)>& change,
                            Kind kind = Kind::input) {
    learn::TensorFile changed = file;
    change(changed);
    learn::write_tensor_file(path, changed);
    expect_error(kind, part, [&] { ClassifierPrompt::load(path); });
  };
  for (const auto& [key, value] : file.about) {
    if (key == "digest" || key == "stretch" || key == "data" || key == "training" ||
        key == "metrics" || key == "version" || key == "method" || key == "pictures" ||
        key == "backbone")
      continue;
    resealed("", [&](auto& f) { f.about.erase(key); });
  }
  resealed("'labels' is no list", [](auto& f) { f.about["labels"] = R"(["a"])"; });
  resealed("'labels' is no list", [](auto& f) { f.about["labels"] = R"(["a", 1, 2])"; });
  resealed("", [](auto& f) { f.about["labels"] = "[[[[[["; });
  resealed("has shape", [](auto& f) { f.about["labels"] = R"(["a", "b"])"; });
  resealed("'tokens' of the method", [](auto& f) {
    f.about["method_options"] = R"({"name": "vpt-shallow", "tokens": 1e12})";
  });
  resealed("'tokens' of the method",
           [](auto& f) { f.about["method_options"] = R"({"name": "vpt-shallow", "tokens": -1})"; });
  resealed("has shape",
           [](auto& f) { f.about["method_options"] = R"({"name": "vpt-shallow", "tokens": 5})"; });
  resealed("method 'rm -rf'", [](auto& f) { f.about["method_options"] = R"({"name": "rm -rf"})"; });
  resealed("no input of a network", [](auto& f) { f.about["input"] = R"({"input": 1e9})"; });
  resealed("holds nan", [](auto& f) {
    Tensor t = f.tensors.at("head.last_layer.bias").clone();
    t.data()[0] = std::nanf("");
    f.tensors["head.last_layer.bias"] = t;
  });
  resealed("there is no tensor", [](auto& f) { f.tensors.erase("head.last_layer.bias"); });
  resealed("4 tensors, the method", [](auto& f) { f.tensors["more"] = Tensor::zeros({2}); });
  resealed(
      "version 7", [](auto& f) { f.about["beckon"] = "7"; }, Kind::unsupported);
  resealed(
      "another network", [](auto& f) { f.about["backbone_sha256"] = std::string(64, '0'); },
      Kind::model);
}

}  // namespace
}  // namespace beckon::test
