// Learned prompts for segmenters, with a small model of random weights: gradients, files, exact
// resume, hostile input. That learning helps is shown with real weights, in tests/golden.
#include "beckon/segment_prompt.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "beckon/checkpoint.h"
#include "beckon/ops.h"
#include "learn/segment/examples.h"
#include "learn/segment/network.h"
#include "learn/segment/start.h"
#include "models/small_sam.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

SegmentPromptTensors some_tensors(int64_t dim = 32) {
  return {random_tensor({3, dim}, 1), random_tensor({dim}, 2), random_tensor({dim}, 3),
          Tensor::full({1}, 0.25f)};
}

std::string bytes_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void put(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

class LearnedPromptTest : public testing::Test {
 protected:
  // images/0.png ... with a bright box in each, and masks of the boxes.
  std::string data(int pictures = 5) {
    const std::string folder = temp_ / "data";
    fs::create_directories(folder + "/images");
    fs::create_directories(folder + "/masks");
    for (int i = 0; i < pictures; ++i) {
      Image picture = small_picture();
      const PixelBox box{10 + 9 * i, 8 + 3 * i, 30, 24};
      for (int y = box.y; y < box.y + box.height; ++y)
        std::fill_n(picture.mutable_row(y) + 3 * box.x, 3 * box.width, uint8_t{250});
      const std::string name = "/" + std::to_string(i) + ".png";
      picture.write_png(folder + "/images" + name);
      Mask::from_box(box, picture.size()).write_png(folder + "/masks" + name);
    }
    return folder;
  }
  LearnSegmentOptions quick() const {
    LearnSegmentOptions options;
    options.steps = 12;
    options.warmup = 2;
    options.learning_rate = 0.02;
    return options;
  }
  std::string file(const std::string& name) const { return temp_ / name; }

  TempDir temp_;
  Sam sam_{small_model()};
};

TEST_F(LearnedPromptTest, GradientIsTheDerivative) {
  const Embedding seen = sam_.encode(small_picture());
  const std::array<float, 4> box = {10, 12, 60, 50};
  const Tensor weights = random_tensor({24 * 24}, 7);  // of a sum over all logits
  SegmentPromptTensors prompt = some_tensors();
  const auto value = [&] {
    const Tensor logits = learn::forward(seen.seen(), prompt, std::span(&box, 1));
    return sum(logits.reshape({-1}) * weights);
  };
  for (Tensor* x : {&prompt.tokens, &prompt.dense}) x->set_requires_grad();
  value().backward();
  for (const nn::Parameter& p : sam_.model().parameters())
    EXPECT_FALSE(p.tensor.requires_grad() || p.tensor.grad().defined()) << p.name;
  for (Tensor* x : {&prompt.tokens, &prompt.dense}) {
    const Tensor grad = x->grad().contiguous();
    const Tensor direction = random_tensor(x->shape(), 11);
    double expected = 0;
    for (int64_t i = 0; i < x->size(); ++i)
      expected += static_cast<double>(std::as_const(grad).data()[i]) *
                  static_cast<double>(std::as_const(direction).data()[i]);
    const NoGrad no_grad;
    const Tensor middle = x->detach().clone();
    const double step = 5e-4;
    const auto at = [&](double t) {
      x->copy_from((middle + direction * static_cast<float>(t)).contiguous());
      return static_cast<double>(value().item());
    };
    const double found = (at(step) - at(-step)) / (2 * step);
    x->copy_from(middle);
    EXPECT_NEAR(found, expected, 2e-2 * std::max(1.0, std::abs(expected)));
    EXPECT_GT(std::abs(expected), 1e-3);
  }
}

TEST_F(LearnedPromptTest, FastAnswersAreThoseOfTheReadableForm) {
  const Embedding seen = sam_.encode(small_picture());
  SegmentPromptTensors prompt = some_tensors();
  const NoGrad no_grad;
  const auto parts = learn::parts_of_prior(seen.seen(), prompt);
  ASSERT_FALSE(parts.empty());
  const auto answers = learn::answers(seen.seen(), prompt);
  ASSERT_EQ(answers.size(), parts.size());
  for (size_t i = 0; i < parts.size(); ++i) {
    const Tensor plain =
        learn::forward(seen.seen(), prompt, std::span(&parts[i].box, 1)).contiguous();
    expect_near(std::as_const(answers[i].logits).values(), std::as_const(plain).values(), 2e-3,
                "part " + std::to_string(i));
  }
  // Without a prior there is one answer, to the tokens alone.
  prompt.direction = prompt.offset = Tensor();
  const auto alone = learn::answers(seen.seen(), prompt);
  ASSERT_EQ(alone.size(), 1u);
  const Tensor plain = learn::forward(seen.seen(), prompt, {}).contiguous();
  expect_near(std::as_const(alone[0].logits).values(), std::as_const(plain).values(), 2e-3,
              "alone");
}

TEST_F(LearnedPromptTest, FisherTellsApartWhatMeansDoNot) {
  const learn::SegmentExamples source(data(3), {});
  std::vector<learn::SegmentExample> examples;
  for (size_t i = 0; i < source.size(); ++i) examples.push_back(source.load(sam_, i));
  beckon::Random random(0);
  SegmentPromptTensors prompt = learn::start_from_features(examples, {}, random);
  const auto wrong = [&](const SegmentPromptTensors& p) {
    double sum = 0;
    for (const learn::SegmentExample& e : examples) {
      const NoGrad no_grad;
      const Tensor rough = resize(learn::prior_logits(e.seen(), p), 24, 24, Interpolation::bilinear)
                               .reshape({24, 24});
      sum +=
          static_cast<double>(binary_cross_entropy_with_logits(e.on_image(rough), e.cover).item());
    }
    return sum;
  };
  const double before = wrong(prompt);
  learn::fit_prior(examples, prompt);
  EXPECT_LT(wrong(prompt), 0.7 * before);
}

TEST_F(LearnedPromptTest, FileGivesTheSamePromptAgain) {
  const SegmentPrompt prompt(sam_, some_tensors(), {{"label", "leaf"}});
  prompt.save(file("p.safetensors"));
  EXPECT_LT(fs::file_size(file("p.safetensors")), 4000u);
  EXPECT_TRUE(SegmentPrompt::recognise(file("p.safetensors")));
  const SegmentPrompt again = SegmentPrompt::load(sam_, file("p.safetensors"));
  EXPECT_EQ(again.about(), prompt.about());
  EXPECT_EQ(again.parameter_count(), 3 * 32 + 32 + 32 + 1);
  const Embedding seen = sam_.encode(small_picture());
  EXPECT_EQ(again.apply(seen).rle(), prompt.apply(seen).rle());
  again.save(file("q.safetensors"));
  EXPECT_EQ(bytes_of(file("p.safetensors")), bytes_of(file("q.safetensors")));
}

TEST_F(LearnedPromptTest, RefusesOtherModelsAndEditedFiles) {
  const std::string path = file("p.safetensors");
  SegmentPrompt(sam_, some_tensors(), {{"label", "leaf"}}).save(path);
  expect_error(Kind::model, "learned for another model",
               [&] { SegmentPrompt::load(Sam(small_model(true)), path); });
  expect_error(Kind::usage, "learned for the model", [&] {
    SegmentPrompt::load(sam_, path).apply(Sam(small_model(true)).encode(small_picture()));
  });
  const std::string good = bytes_of(path);
  const auto refuse = [&](std::string bytes, const std::string& part) {
    put(path, bytes);
    expect_error(Kind::input, part, [&] { SegmentPrompt::load(sam_, path); });
  };
  std::string edited = good;
  edited.back() = static_cast<char>(edited.back() ^ 1);
  refuse(edited, "was changed after it was written");
  edited = good;
  edited.replace(edited.find("leaf"), 4, "tree");
  refuse(edited, "was changed after it was written");
  refuse(good.substr(0, good.size() - 5), path);
  refuse("{\"beckon\": 1, \"prompts\": []}", path);
  refuse("", path);
  EXPECT_FALSE(SegmentPrompt::recognise(path));
  expect_error(Kind::missing, "", [&] { SegmentPrompt::load(sam_, file("none.safetensors")); });
}

TEST_F(LearnedPromptTest, RefusesTensorsThatDoNotFit) {
  const auto refuse = [&](SegmentPromptTensors tensors, const std::string& part) {
    expect_error(Kind::usage, part, [&] { SegmentPrompt(sam_, std::move(tensors)); });
  };
  refuse({}, "the prompt is empty");
  refuse({.tokens = Tensor::zeros({3, 31})}, "'tokens' is f32 [3,31], expected f32 [k,32]");
  refuse({.tokens = Tensor::zeros({65, 32})}, "65 tokens, expected 1 to 64");
  refuse({.dense = Tensor::zeros({2, 32})}, "'dense' is f32 [2,32]");
  refuse({.direction = Tensor::zeros({32})}, "a prior needs both");
  refuse({.dense = Tensor::full({32}, NAN)}, "not finite");

  // The same from a file, whatever its metadata say.
  const auto write = [&](const char* name, const Shape& shape) {
    const Tensor x = Tensor::zeros(shape);
    const TensorBytes bytes{name, DType::f32, shape, std::as_bytes(x.values())};
    write_safetensors(file("p.safetensors"), std::span(&bytes, 1),
                      {{"beckon", "segment prompt 1"}, {"model_hash", sam_.model_hash()}});
  };
  const auto refuse_file = [&](const std::string& part) {
    expect_error(Kind::input, part, [&] { SegmentPrompt::load(sam_, file("p.safetensors")); });
  };
  write("weights", {32});
  refuse_file("unknown tensor 'weights'");
  write("tokens", {100, 100, 10});
  refuse_file("too much");
  write("tokens", {0, 32});
  refuse_file("0 tokens");
  write("dense", {32});
  refuse_file("checksum");
}

TEST_F(LearnedPromptTest, SeparatePartsAreTheConnectedOnesLargestFirst) {
  Mask mask(40, 30);
  for (const PixelBox& box : {PixelBox{1, 1, 3, 3}, PixelBox{10, 5, 8, 6}, PixelBox{30, 20, 1, 1}})
    mask = mask | Mask::from_box(box, mask.size());
  const std::vector<Rle> parts = separate_parts(mask, 2);
  ASSERT_EQ(parts.size(), 2u);
  EXPECT_EQ(parts[0], Mask::from_box({10, 5, 8, 6}, mask.size()).rle());
  EXPECT_EQ(parts[1], Mask::from_box({1, 1, 3, 3}, mask.size()).rle());
  EXPECT_EQ(separate_parts(mask).size(), 3u);
  EXPECT_TRUE(separate_parts(Mask(5, 5)).empty());
}

TEST_F(LearnedPromptTest, LearnsTheSameOnAnyNumberOfThreads) {
  const std::string folder = data();
  learn_segment_prompt(sam_, folder, quick()).prompt.save(file("a"));
  set_threads(1);
  learn_segment_prompt(sam_, folder, quick()).prompt.save(file("b"));
  set_threads(0);
  EXPECT_EQ(bytes_of(file("a")), bytes_of(file("b")));
  LearnSegmentOptions other = quick();
  other.seed = 1;
  learn_segment_prompt(sam_, folder, other).prompt.save(file("c"));
  EXPECT_NE(bytes_of(file("a")), bytes_of(file("c")));
}

TEST_F(LearnedPromptTest, GoesOnFromItsCheckpointByteForByte) {
  const std::string folder = data();
  LearnSegmentOptions options = quick();
  options.batch = 2;
  learn_segment_prompt(sam_, folder, options).prompt.save(file("whole"));

  options.checkpoint = file("checkpoint");
  options.resume = true;
  options.progress = [&](const LearnSegmentProgress& p) {
    return p.stage != LearnSegmentProgress::Stage::learning || p.done < 7;
  };
  expect_error(Kind::interrupted, "after 7 of 12 steps",
               [&] { learn_segment_prompt(sam_, folder, options); });
  ASSERT_TRUE(fs::exists(options.checkpoint));
  int64_t steps = 0;
  options.progress = [&](const LearnSegmentProgress& p) {
    steps += p.stage == LearnSegmentProgress::Stage::learning;
    return true;
  };
  learn_segment_prompt(sam_, folder, options).prompt.save(file("parts"));
  EXPECT_LT(steps, 12);
  EXPECT_GT(steps, 0);
  EXPECT_EQ(bytes_of(file("whole")), bytes_of(file("parts")));

  options.seed = 5;
  expect_error(Kind::input, "was made with other options",
               [&] { learn_segment_prompt(sam_, folder, options); });
  options.seed = 0;
  const std::string good = bytes_of(options.checkpoint);
  put(options.checkpoint, good.substr(0, good.size() / 2));
  EXPECT_THROW(learn_segment_prompt(sam_, folder, options), Error);
  put(options.checkpoint, bytes_of(file("whole")));
  expect_error(Kind::input, "no checkpoint", [&] { learn_segment_prompt(sam_, folder, options); });
}

TEST_F(LearnedPromptTest, StopsWhenTheLossIsNoNumber) {
  LearnSegmentOptions options = quick();
  options.learning_rate = 1e37;
  options.warmup = 0;
  options.checkpoint = file("checkpoint");
  expect_error(Kind::input, "the loss is", [&] { learn_segment_prompt(sam_, data(), options); });
}

TEST_F(LearnedPromptTest, EveryPartAloneCanBeLearned) {
  const std::string folder = data(2);
  for (int part = 0; part < 3; ++part) {
    LearnSegmentOptions options = quick();
    options.steps = 2;
    options.tokens = part == 0 ? 1 : 0;
    options.dense = part == 1;
    options.prior = part == 2;
    const LearnedSegmentPrompt learned = learn_segment_prompt(sam_, folder, options);
    EXPECT_EQ(learned.prompt.parameter_count(), part == 2 ? 33 : 32);
    EXPECT_EQ(learned.training.pictures, 2);
    EXPECT_EQ(learned.validation.pictures, 0);
  }
}

TEST_F(LearnedPromptTest, SaysWhatIsWrongWithDataAndOptions) {
  const auto refuse = [&](Kind kind, const std::string& part, const std::string& folder,
                          const LearnSegmentOptions& options) {
    expect_error(kind, part, [&] { learn_segment_prompt(sam_, folder, options); });
  };
  const std::string folder = data();
  refuse(Kind::missing, "no such folder", file("nowhere"), quick());
  fs::create_directories(file("empty/images"));
  fs::create_directories(file("empty/masks"));
  refuse(Kind::input, "no picture has a mask", file("empty"), quick());
  LearnSegmentOptions options = quick();
  options.examples.label = "dragon";
  refuse(Kind::input, "no picture has an object called 'dragon'", folder, options);
  options = quick();
  options.tokens = 65;
  refuse(Kind::usage, "tokens: 65", folder, options);
  options = quick();
  options.tokens = 0;
  options.dense = options.prior = false;
  refuse(Kind::usage, "nothing to learn", folder, options);
  options = quick();
  options.resume = true;
  refuse(Kind::usage, "needs a checkpoint", folder, options);

  put(folder + "/images/1.png", "no picture");
  refuse(Kind::input, "1.png", folder, quick());
  options = quick();
  options.examples.skip_broken = true;
  options.steps = 1;
  const LearnedSegmentPrompt learned = learn_segment_prompt(sam_, folder, options);
  ASSERT_EQ(learned.failures.size(), 1u);
  EXPECT_EQ(learned.failures[0].picture, "1.png");
  EXPECT_EQ(learned.training.pictures + learned.validation.pictures, 4);

  const SegmentPromptScores scores =
      evaluate_segment_prompt(sam_, learned.prompt, folder, options.examples);
  EXPECT_EQ(scores.pictures.size(), 4u);
  EXPECT_EQ(scores.failures.size(), 1u);
  double sum = 0;
  for (const PromptPictureScore& picture : scores.pictures) sum += picture.iou;
  EXPECT_NEAR(scores.miou, sum / 4, 1e-12);
}

}  // namespace
}  // namespace beckon::test
