// Which masks of everything mode become objects by themselves, and how much they are doubted.
#include <algorithm>
#include <cmath>

#include "base/fail.h"
#include "base/sha256.h"
#include "beckon/engine.h"

namespace beckon {
namespace {

double share_or(double value, double otherwise) {
  return std::isnan(value) ? otherwise : std::clamp(value, 0.0, 1.0);
}

bool boxes_touch(const PixelBox& a, const PixelBox& b) {
  return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;
}

// A mask with what tells quickly that it overlaps nothing.
struct Placed {
  const Rle* mask;
  PixelBox box;
  int64_t area;
};

Placed placed(const Rle& mask) { return {&mask, mask.bounding_box(), mask.area()}; }

double overlap_of(const Placed& a, const Placed& b) {
  if (a.area == 0 || b.area == 0 || !boxes_touch(a.box, b.box)) return 0;
  return iou(*a.mask, *b.mask);
}

}  // namespace

double doubt_of(double predicted_iou, double stability, double overlap) {
  return 1 - share_or(predicted_iou, 0) * share_or(stability, 0) * (1 - share_or(overlap, 1));
}

ProposalOptions stage_options(int stage) {
  ProposalOptions options;
  MaskGeneratorOptions& g = options.generator;
  g.min_mask_region_area = 100;
  if (stage == 2) {
    g.points_per_side = 16;
    g.pred_iou_thresh = 0.92f;
    g.stability_score_thresh = 0.97;
  } else if (stage == 3) {
    g.crop_n_layers = 1;
    g.crop_n_points_downscale_factor = 2;
  } else {
    fail(Kind::usage, "stage {}: masks are proposed in stage 2 (semi-automatic) and 3 (automatic)",
         stage);
  }
  return options;
}

void check(const ProposalOptions& options) {
  check(options.generator);
  if (!(options.duplicate_iou > 0 && options.duplicate_iou <= 1))
    fail(Kind::usage, "duplicate IoU {}, expected above 0 to 1", options.duplicate_iou);
  if (!(options.most_cover > 0 && options.most_cover <= 1))
    fail(Kind::usage, "most cover {}, expected above 0 to 1", options.most_cover);
  if (options.least_area < 0)
    fail(Kind::usage, "least area {}, expected 0 or more", options.least_area);
}

Proposals select_proposals(std::vector<GeneratedMask> masks, std::span<const Rle> present,
                           const ProposalOptions& options) {
  check(options);
  const auto trust = [](const GeneratedMask& m) {
    return 1 - doubt_of(m.predicted_iou, m.stability_score, 0);
  };
  // Of two that are one thing the better one stays, wherever the generator found it.
  std::stable_sort(masks.begin(), masks.end(), [&](const GeneratedMask& a, const GeneratedMask& b) {
    return trust(a) > trust(b);
  });
  std::vector<Placed> there;
  for (const Rle& mask : present) {
    if (!masks.empty() && mask.size() != masks.front().segmentation.size())
      fail(Kind::usage, "an object of {}x{} pixels, the masks have {}x{}", mask.width(),
           mask.height(), masks.front().segmentation.width(), masks.front().segmentation.height());
    there.push_back(placed(mask));
  }

  Proposals result;
  // Masks stay where they are from here on: `taken` points to them.
  std::vector<const GeneratedMask*> chosen;
  std::vector<Placed> taken;
  for (const GeneratedMask& mask : masks) {
    const Placed here = placed(mask.segmentation);
    const double pixels =
        static_cast<double>(mask.segmentation.width()) * mask.segmentation.height();
    if (here.area == 0 || here.area < options.least_area) {
      ++result.too_small;
      continue;
    }
    if (static_cast<double>(here.area) >= options.most_cover * pixels) {
      ++result.too_large;
      continue;
    }
    const auto is_same = [&](const Placed& other) {
      return overlap_of(here, other) >= options.duplicate_iou;
    };
    if (std::any_of(there.begin(), there.end(), is_same) ||
        std::any_of(taken.begin(), taken.end(), is_same)) {
      ++result.duplicates;
      continue;
    }
    chosen.push_back(&mask);
    taken.push_back(here);
  }
  for (size_t i = 0; i < chosen.size(); ++i) {
    double overlap = 0;
    for (const Placed& other : there) overlap = std::max(overlap, overlap_of(taken[i], other));
    for (size_t j = 0; j < taken.size(); ++j)
      if (j != i) overlap = std::max(overlap, overlap_of(taken[i], taken[j]));
    result.kept.push_back(
        {*chosen[i], overlap,
         doubt_of(chosen[i]->predicted_iou, chosen[i]->stability_score, overlap)});
  }
  std::stable_sort(result.kept.begin(), result.kept.end(),
                   [](const Proposal& a, const Proposal& b) { return a.doubt < b.doubt; });
  return result;
}

bool in_sample(std::string_view photo, const Rle& mask, double share, uint64_t seed) {
  const std::string text = fmt::format("{}\n{}\n{}", seed, photo, mask.canonical().string());
  const std::string digits = sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
  // 52 bits are a double without rounding.
  const double place =
      static_cast<double>(std::stoull(digits.substr(0, 13), nullptr, 16)) / 4503599627370496.0;
  return place < share;
}

}  // namespace beckon
