// MobileSAM's real weights on real photos, against the reference's numbers.
#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/sam.h"
#include "mobile_sam.h"
#include "models/sam/seen.h"
#include "support/golden.h"

namespace beckon::test {
namespace {

using nlohmann::json;

ObjectQuery query_of(const json& prompt) {
  ObjectQuery query;
  if (prompt.contains("points")) {
    for (size_t i = 0; i < prompt.at("points").size(); ++i) {
      const auto& at = prompt.at("points")[i];
      query.prompts.emplace_back(
          Point{at[0], at[1], prompt.at("labels")[i] == 1 ? Label::object : Label::background});
    }
  }
  if (prompt.contains("box")) {
    const auto& box = prompt.at("box");
    query.prompts.emplace_back(Box{box[0], box[1], box[2], box[3]});
  }
  return query;
}

// Every fourth row and column of [C,h,w].
std::vector<float> sampled(const std::vector<float>& values, int channels, ImageSize grid) {
  std::vector<float> result;
  const auto plane = static_cast<size_t>(grid.width) * static_cast<size_t>(grid.height);
  for (int c = 0; c < channels; ++c)
    for (int y = 0; y < grid.height; y += 4)
      for (int x = 0; x < grid.width; x += 4)
        result.push_back(values[static_cast<size_t>(c) * plane +
                                static_cast<size_t>(y) * static_cast<size_t>(grid.width) +
                                static_cast<size_t>(x)]);
  return result;
}

// The decoder's numbers, whichever form of it made `all`: four masks.
void check_numbers(const Golden& golden, const std::string& name, const Masks& all) {
  const Arrays& io = golden.tensors("io");
  const std::string case_name = name.substr(0, name.find(','));
  ASSERT_EQ(all.size(), 4u);
  std::vector<PredictedMask> masks(all.begin(), all.end());
  std::sort(masks.begin(), masks.end(),
            [](const auto& a, const auto& b) { return a.token() < b.token(); });

  const Array& logits =
      io.at("out." + case_name + ".low_res_logits");  // of all tokens, or of token 0
  std::vector<float> low_res, iou;
  for (const PredictedMask& mask : masks) {
    iou.push_back(mask.score());
    if (mask.token() < logits.shape[0])
      low_res.insert(low_res.end(), mask.logits().begin(), mask.logits().end());
  }
  const auto tolerance = [&](const char* key) {
    return golden.json().at("tolerance").at(key).get<double>();
  };
  expect_near(std::span<const float>(low_res), logits, tolerance("low_res_logits"),
              name + " low-res logits");
  expect_near(std::span<const float>(iou), io.at("out." + case_name + ".iou"), tolerance("iou"),
              name + " IoU");
}

void check_prompt(const Golden& golden, const json& prompt, const Embedding& seen,
                  ObjectQuery query) {
  const std::string name = prompt.at("name");
  const Masks all = seen.segment(query, {.multimask = Multimask::all});
  check_numbers(golden, name, all);
  const auto tolerance = [&](const char* key) {
    return golden.json().at("tolerance").at(key).get<double>();
  };
  const auto many = seen.seen().segment(std::span(&query, 1), {.multimask = Multimask::all},
                                        sam::DecoderForm::many);
  check_numbers(golden, name + ", form for many,", many[0]);

  // The mask that a caller is given: of the readings for one click, else the single one.
  const int chosen = prompt.at("selected_mask");
  const bool readings = prompt.at("multimask_output");
  const Masks answer =
      seen.segment(query, {.multimask = readings ? Multimask::readings : Multimask::single});
  EXPECT_EQ(answer.size(), readings ? 3u : 1u);
  EXPECT_EQ(answer.best().token(), chosen);
  if (query.mask_logits.empty()) {
    EXPECT_EQ(seen.segment(query).best().token(), chosen) << "by the rule of Multimask::automatic";
  }

  const json& rle = prompt.at("segmentation");
  const Mask expected = Mask::from_rle(Rle::from_string({rle.at("size")[1], rle.at("size")[0]},
                                                        rle.at("counts").get<std::string>()));
  const Mask& mask = answer.best().mask();
  EXPECT_GE(::beckon::iou(mask, expected), tolerance("mask_iou_min")) << name;

  // A pixel whose logit is within the tolerance of zero may fall on the other side.
  for (const PredictedMask& m : all) {
    const auto token = static_cast<size_t>(m.token());
    const double area = prompt.at("area_all4")[token];
    EXPECT_NEAR(static_cast<double>(m.area()), area, 2 + area * 1e-3) << name << " " << token;
    EXPECT_NEAR(m.stability(), prompt.at("stability_all4")[token].get<double>(), 2e-3)
        << name << " " << token;
  }
}

TEST(MobileSamReal, MatchesGolden) {
  const auto sam = mobile_sam();
  if (!sam) return;
  EXPECT_EQ(sam->variant(), "vit_t");
  for (const Golden& golden : goldens("mobile_sam_real")) {
    SCOPED_TRACE(golden.name);
    const Image photo =
        Image::read((golden.folder / golden.json().at("config").at("photo")).string());
    const Embedding seen = sam->encode(photo);
    const auto embedding = sampled(seen.values(), seen.channels(), seen.grid());
    expect_near(std::span<const float>(embedding), golden.tensors("io").at("mid.embedding_stride4"),
                golden.tolerance("mid.embedding_stride4"), "embedding");

    std::vector<float> refine;  // the best mask of the prompt "point"
    for (const json& prompt : golden.json().at("prompts")) {
      SCOPED_TRACE(prompt.at("name").get<std::string>());
      ObjectQuery query = query_of(prompt);
      if (prompt.contains("mask_input")) query.mask_logits = refine;
      if (prompt.at("name") == "point") {
        const auto best = seen.segment(query, {.multimask = Multimask::readings}).best();
        refine.assign(best.logits().begin(), best.logits().end());
      }
      check_prompt(golden, prompt, seen, query);
    }
  }
}

}  // namespace
}  // namespace beckon::test
