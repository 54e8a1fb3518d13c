#include "salient.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/sam/seen.h"
#include "models/sam/selection.h"

namespace beckon::server {
namespace {

constexpr int kSide = 5;                                 // points along a side
constexpr double kFrom = 0.2, kTo = 0.8;                 // of the photo
constexpr double kLeastShare = 0.01, kMostShare = 0.92;  // of the photo that an object takes

}  // namespace

std::optional<PredictedMask> salient_mask(const Embedding& seen) {
  const sam::Frame& frame = seen.seen().frame;
  std::vector<ObjectQuery> queries;
  for (int i = 0; i < kSide * kSide; ++i) {
    const double x = kFrom + (kTo - kFrom) * (i % kSide) / (kSide - 1);
    const double y = kFrom + (kTo - kFrom) * (i / kSide) / (kSide - 1);
    queries.push_back({{Point{x * frame.image.width, y * frame.image.height}}, {}});
  }
  const std::vector<Masks> answers =
      seen.seen().segment(queries, {.multimask = Multimask::readings}, sam::DecoderForm::few);

  std::optional<PredictedMask> best;
  double best_worth = 0;
  for (const Masks& masks : answers) {
    for (const PredictedMask& mask : masks) {
      const ImageSize size = mask.logits_size();
      const double cells = static_cast<double>(frame.side) / size.width;
      const int width = std::clamp(static_cast<int>(frame.resized.width / cells), 1, size.width);
      const int height = std::clamp(static_cast<int>(frame.resized.height / cells), 1, size.height);
      const std::span<const float> logits = mask.logits();
      const auto at = [&](int x, int y) {
        return logits[static_cast<size_t>(y) * static_cast<size_t>(size.width) +
                      static_cast<size_t>(x)] > 0;
      };
      int64_t area = 0, border = 0;
      for (int y = 0; y < height; ++y)
        for (int x = 0; x < width; ++x) {
          if (!at(x, y)) continue;
          ++area;
          border += x == 0 || y == 0 || x == width - 1 || y == height - 1;
        }
      const double share = static_cast<double>(area) / (static_cast<double>(width) * height);
      if (share < kLeastShare || share > kMostShare) continue;
      int inside = 0;
      for (int i = 0; i < kSide * kSide; ++i) {
        const double x = kFrom + (kTo - kFrom) * (i % kSide) / (kSide - 1);
        const double y = kFrom + (kTo - kFrom) * (i / kSide) / (kSide - 1);
        inside += at(static_cast<int>(x * (width - 1)), static_cast<int>(y * (height - 1)));
      }
      const double covered = static_cast<double>(inside) / (kSide * kSide);
      const double cut = static_cast<double>(border) / (2.0 * (width + height));
      const double stable = sam::stability_score(logits);
      const double worth = mask.score() * (std::isfinite(stable) ? stable : 0) *
                           std::sqrt(covered) * (1 - cut) * (1 - cut);
      if (!best || worth > best_worth) best = mask, best_worth = worth;
    }
  }
  return best;
}

}  // namespace beckon::server
