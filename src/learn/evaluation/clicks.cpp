// Simulated clicks, as the papers on interactive segmentation have them.
#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "beckon/evaluation.h"
#include "image/distance.h"

namespace beckon {
namespace {

void check_same_size(const Mask& truth, const Mask& other, const char* what) {
  if (truth.size() != other.size())
    fail(Kind::usage, "{}: {}x{} pixels, expected {}x{} as the true mask", what, other.width(),
         other.height(), truth.width(), truth.height());
}

}  // namespace

Click next_click(const Mask& truth, const Mask& predicted, std::span<const Click> before,
                 const Mask& ignored) {
  check_same_size(truth, predicted, "predicted mask");
  Mask missed = truth - predicted, wrong = predicted - truth;
  if (!ignored.empty()) {
    check_same_size(truth, ignored, "ignored pixels");
    missed = missed - ignored;
    wrong = wrong - ignored;
  }
  std::vector<detail::Place> taken;
  for (const Click& click : before) taken.push_back({click.x, click.y});
  const detail::Peak in_missed = detail::innermost(missed, taken);
  const detail::Peak in_wrong = detail::innermost(wrong, taken);
  const bool object = in_missed.squared > in_wrong.squared;
  const detail::Place at = object ? in_missed.at : in_wrong.at;
  return {.x = at.x,
          .y = at.y,
          .object = object,
          .missed = std::sqrt(static_cast<double>(in_missed.squared)),
          .wrong = std::sqrt(static_cast<double>(in_wrong.squared))};
}

double iou_outside(const Mask& a, const Mask& b, const Mask& ignored) {
  check_same_size(a, b, "mask");
  if (!ignored.empty()) check_same_size(a, ignored, "ignored pixels");
  const std::span<const uint8_t> left = a.values(), right = b.values(), out = ignored.values();
  int64_t both = 0, either = 0;
  for (size_t i = 0; i < left.size(); ++i) {
    const uint8_t known = out.empty() || out[i] == 0;
    both += left[i] & right[i] & known;
    either += (left[i] | right[i]) & known;
  }
  return either == 0 ? 0 : static_cast<double>(both) / static_cast<double>(either);
}

int clicks_needed(std::span<const double> ious, double target, int most) {
  const auto reached =
      std::find_if(ious.begin(), ious.end(), [&](double iou) { return iou >= target; });
  if (reached == ious.end()) return most;
  return static_cast<int>(std::min<int64_t>(reached - ious.begin() + 1, most));
}

}  // namespace beckon
