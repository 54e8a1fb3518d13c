// The whole of SAM on a small random model: image in, masks at the image's size out.
#include "beckon/sam.h"

#include <cmath>

#include <gtest/gtest.h>

#include "models/sam/model.h"
#include "models/sam/selection.h"
#include "sam_config.h"
#include "support/golden_tensors.h"

namespace beckon::test {
namespace {

Image image_of(const Array& array) {
  std::vector<uint8_t> bytes;
  for (const float v : array.as_floats()) bytes.push_back(static_cast<uint8_t>(std::lround(v)));
  return {static_cast<int>(array.shape[1]), static_cast<int>(array.shape[0]), 3, bytes};
}

std::shared_ptr<const sam::SamModel> model_of(const Golden& golden) {
  return std::make_shared<const sam::SamModel>(params(golden),
                                               sam_config(golden.json().at("config")));
}

// "box_points" -> the prompts that are given.
ObjectQuery query_of(const Arrays& io, const std::string& run) {
  ObjectQuery query;
  const auto points = io.at("in.point_coords").as_floats();
  const auto labels = io.at("in.point_labels").as_ints();
  const bool all = run.find("points") != std::string::npos;
  const size_t count = all ? labels.size() : run.starts_with("point") ? 1 : 0;
  for (size_t i = 0; i < count; ++i)
    query.prompts.push_back(
        Point{points[2 * i], points[2 * i + 1], labels[i] ? Label::object : Label::background});
  if (run.find("box") != std::string::npos) {
    const auto box = io.at("in.box").as_floats();
    query.prompts.emplace_back(Box{box[0], box[1], box[2], box[3]});
  }
  if (run.find("mask") != std::string::npos) query.mask_logits = io.at("in.mask_input").as_floats();
  return query;
}

// The masks of an answer that was asked for all, in the order of their tokens.
std::vector<PredictedMask> by_token(const Masks& masks) {
  std::vector<PredictedMask> sorted(masks.begin(), masks.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.token() < b.token(); });
  return sorted;
}

void compare(const Golden& golden, const std::string& name, std::span<const PredictedMask> masks) {
  std::vector<float> iou, low_res, logits;
  for (const PredictedMask& mask : masks) {
    iou.push_back(mask.score());
    low_res.insert(low_res.end(), mask.logits().begin(), mask.logits().end());
    const auto full = mask.full_logits();
    logits.insert(logits.end(), full.begin(), full.end());
  }
  const auto compare_to = [&](const std::string& key, const std::vector<float>& values) {
    if (golden.tensors("io").has(name + key))
      expect_near(std::span<const float>(values), golden.tensors("io").at(name + key),
                  golden.tolerance(name + key), golden.name + " " + name + key);
  };
  compare_to(".iou", iou);
  compare_to(".low_res", low_res);
  compare_to(".logits", logits);
}

void compare_exported(const Golden& golden, const sam::SamModel& model, const Tensor& embedding) {
  const Arrays& io = golden.tensors("io");
  for (const auto& [name, array] : io) {
    if (!name.starts_with("in.export.") || !name.ends_with(".coords")) continue;
    const std::string run = name.substr(3, name.size() - 3 - 7);  // "export.box"
    const Tensor labels = tensor(io.at("in." + run + ".labels"));
    const auto output = model.mask_decoder.forward(
        embedding, model.prompt_encoder.grid_code(),
        model.prompt_encoder.tokens(tensor(array), labels), model.prompt_encoder.no_mask());
    const Tensor iou = output.iou.contiguous();
    std::vector<float> stability;
    for (int64_t i = 0; i < iou.size(); ++i) {
      const Tensor mask = output.masks.select(1, i).contiguous();
      stability.push_back(static_cast<float>(sam::stability_score(std::as_const(mask).values())));
    }
    const auto check = [&](const std::string& kind, std::span<const float> scores) {
      const int64_t chosen = sam::exported_choice(scores, labels.dim(1));
      const std::string out = "out." + run + "." + kind;
      expect_near(scores.subspan(static_cast<size_t>(chosen), 1), io.at(out + ".score"),
                  golden.tolerance(out + ".score"), out + ".score");
      expect_golden(golden, out + ".low_res", output.masks.select(1, chosen));
    };
    check("iou", std::as_const(iou).values());
    check("stability", stability);
  }
}

TEST(SamModel, MatchesGolden) {
  for (const Golden& golden : goldens("sam")) {
    SCOPED_TRACE(golden.name);
    const Arrays& io = golden.tensors("io");
    const auto model = model_of(golden);
    const Sam sam(model);
    const Image image = image_of(io.at("in.image"));

    const sam::Frame frame = model->frame({image.width(), image.height()});
    const Image resized = resize(image, frame.resized.width, frame.resized.height);
    const std::vector<float> bytes(resized.pixels().begin(), resized.pixels().end());
    const Embedding seen = sam.encode(image);
    const auto compare_stage = [&](const std::string& name, const std::vector<float>& values) {
      if (io.has(name))
        expect_near(std::span<const float>(values), io.at(name), golden.tolerance(name), name);
    };
    const Tensor input = channels_first(model->input(image));
    compare_stage("mid.resized", bytes);
    compare_stage("mid.input", {input.values().begin(), input.values().end()});
    compare_stage("mid.embedding", seen.values());

    int runs = 0;
    for (const auto& [name, array] : io) {
      if (!name.starts_with("out.") || !name.ends_with(".single.low_res")) continue;
      const std::string run = name.substr(4, name.size() - 4 - 15);
      SCOPED_TRACE(run);
      ++runs;
      const auto masks = by_token(seen.segment(query_of(io, run), {.multimask = Multimask::all}));
      ASSERT_EQ(masks.size(), static_cast<size_t>(model->config.decoder.masks()));
      compare(golden, "out." + run + ".single", std::span(masks).first(1));
      compare(golden, "out." + run + ".multi", std::span(masks).subspan(1));
    }
    EXPECT_GE(runs, 1);
    compare_exported(golden, *model, model->image_encoder().forward(model->input(image)));
  }
}

}  // namespace
}  // namespace beckon::test
