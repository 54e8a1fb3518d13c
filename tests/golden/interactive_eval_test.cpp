// Simulated clicks, IoU and number of clicks against the reference.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/evaluation.h"
#include "support/golden.h"

namespace beckon::test {
namespace {

// Every mask of [H,W] or [K,H,W].
std::vector<Mask> masks_of(const Array& array) {
  const auto values = array.as_ints();
  const std::vector<uint8_t> bytes(values.begin(), values.end());
  const auto height = static_cast<int>(array.shape.at(array.shape.size() - 2));
  const auto width = static_cast<int>(array.shape.back());
  const size_t count = static_cast<size_t>(height) * static_cast<size_t>(width);
  std::vector<Mask> masks;
  for (size_t i = 0; i < bytes.size(); i += count)
    masks.emplace_back(width, height, std::span(bytes).subspan(i, count));
  return masks;
}

TEST(InteractiveEval, ClicksAndIouMatchGolden) {
  for (const Golden& golden : goldens("interactive_eval")) {
    const auto& sequences = golden.json().at("sequences");
    std::map<std::string, double> noc_sums;
    std::vector<double> iou_sums;
    for (size_t s = 0; s < sequences.size(); ++s) {
      SCOPED_TRACE(golden.name + " sequence " + std::to_string(s));
      const std::string prefix = "in." + std::to_string(s);
      const Mask truth = masks_of(golden.tensors("io").at(prefix + ".gt")).at(0);
      const auto predictions = masks_of(golden.tensors("io").at(prefix + ".pred"));
      const auto& expected = sequences[s].at("clicks");
      ASSERT_EQ(predictions.size(), expected.size());
      Mask seen(truth.size());
      std::vector<Click> clicks;
      std::vector<double> ious;
      for (size_t k = 0; k < predictions.size(); ++k) {
        const Click click = next_click(truth, seen, clicks);
        EXPECT_EQ(click.x, expected[k].at("x").get<int>()) << "click " << k;
        EXPECT_EQ(click.y, expected[k].at("y").get<int>()) << "click " << k;
        EXPECT_EQ(click.object, expected[k].at("positive").get<bool>()) << "click " << k;
        const double tolerance = golden.tolerance("clicks");
        EXPECT_NEAR(click.missed, expected[k].at("fn_max").get<double>(), tolerance);
        EXPECT_NEAR(click.wrong, expected[k].at("fp_max").get<double>(), tolerance);
        clicks.push_back(click);
        seen = predictions[k];
        ious.push_back(iou_outside(truth, seen, {}));
        EXPECT_NEAR(ious.back(), sequences[s].at("iou")[k].get<double>(), golden.tolerance("iou"));
      }
      const int most = golden.json().at("config").at("max_clicks");
      for (const auto& [target, counts] : golden.json().at("noc").items()) {
        const int needed = clicks_needed(ious, std::stod(target), most);
        EXPECT_EQ(needed, counts[s].get<int>()) << target;
        noc_sums[target] += needed;
      }
      iou_sums.resize(std::max(iou_sums.size(), ious.size()));
      for (size_t k = 0; k < ious.size(); ++k) iou_sums[k] += ious[k];
    }
    const auto count = static_cast<double>(sequences.size());
    for (const auto& [target, mean] : golden.json().at("mean_noc").items())
      EXPECT_NEAR(noc_sums.at(target) / count, mean.get<double>(), 1e-12) << target;
    const auto& mean_iou = golden.json().at("mean_iou_at_k");
    ASSERT_EQ(iou_sums.size(), mean_iou.size());
    for (size_t k = 0; k < iou_sums.size(); ++k)
      EXPECT_NEAR(iou_sums[k] / count, mean_iou[k].get<double>(), golden.tolerance("iou"));
  }
}

}  // namespace
}  // namespace beckon::test
