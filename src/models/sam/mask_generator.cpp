#include "beckon/mask_generator.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <utility>

#include "base/fail.h"
#include "base/threads.h"
#include "beckon/boxes.h"
#include "image/placed.h"
#include "models/sam/crops.h"
#include "models/sam/full_mask.h"
#include "models/sam/mask_joining.h"
#include "models/sam/seen.h"

namespace beckon {
namespace {

using sam::Crop;

// First and last pixel, as the reference's boxes; zeros for an empty mask.
Rect corners_of(const PixelBox& box) {
  if (box.width == 0) return {};
  return {static_cast<float>(box.x), static_cast<float>(box.y),
          static_cast<float>(box.x + box.width - 1), static_cast<float>(box.y + box.height - 1)};
}
Rect corners_of(const GeneratedMask& mask) {
  return {static_cast<float>(mask.bbox.x), static_cast<float>(mask.bbox.y),
          static_cast<float>(mask.bbox.x + mask.bbox.width),
          static_cast<float>(mask.bbox.y + mask.bbox.height)};
}
// From inclusive corners to the reference's x, y, width, height.
PixelBox record_box(const PixelBox& box) {
  if (box.width == 0) return {};
  return {box.x, box.y, box.width - 1, box.height - 1};
}

template <typename T>
std::vector<T> chosen(std::vector<T>& from, const std::vector<int64_t>& indices) {
  std::vector<T> result;
  result.reserve(indices.size());
  for (const int64_t i : indices) result.push_back(std::move(from[static_cast<size_t>(i)]));
  return result;
}

// Those that non-maximum suppression of their boxes leaves, by falling score.
std::vector<GeneratedMask> suppressed(std::vector<GeneratedMask> masks,
                                      const std::vector<float>& scores, float threshold) {
  std::vector<Rect> boxes;
  for (const GeneratedMask& mask : masks) boxes.push_back(corners_of(mask));
  return chosen(masks, nms(boxes, scores, threshold));
}

// Counts points and asks whether to go on.
class Meter {
 public:
  Meter(const GeneratorProgress& progress, int64_t all) : progress_(progress), all_(all) { add(0); }
  void add(int64_t points) {
    done_ += points;
    if (progress_ && !progress_(done_, all_))
      fail(Kind::interrupted, "stopped after {} of {} points", done_, all_);
  }

 private:
  const GeneratorProgress& progress_;
  int64_t done_ = 0, all_;
};

// One image (or tile of one) on its way through the generator.
class Run {
 public:
  Run(const Sam& model, const MaskGeneratorOptions& options, const Image& image, Meter& meter)
      : sam_(model), options_(options), image_(image), meter_(meter) {}

  // `whole`: the embedding of the whole image, or none.
  std::vector<GeneratedMask> masks(const Embedding* whole) {
    const std::vector<Crop> crops =
        sam::crops(image_.size(), options_.crop_n_layers, options_.crop_overlap_ratio);
    std::vector<GeneratedMask> found;
    for (const Crop& crop : crops) {
      const bool first = crop.layer == 0;
      const auto& points = grid(crop.layer);
      auto more =
          first && whole ? of_crop(*whole, crop, points)
          : first        ? of_crop(sam_.encode(image_), crop, points)
                  : of_crop(sam_.encode(image_.crop(crop.x0, crop.y0, crop.width(), crop.height())),
                            crop, points);
      std::move(more.begin(), more.end(), std::back_inserter(found));
    }
    if (crops.size() > 1) {
      // Masks of smaller crops win.
      std::vector<float> scores;
      for (const GeneratedMask& mask : found)
        scores.push_back(1.0f / (static_cast<float>(mask.crop_box.width) *
                                 static_cast<float>(mask.crop_box.height)));
      found = suppressed(std::move(found), scores, options_.crop_nms_thresh);
    }
    if (options_.min_mask_region_area > 0) found = cleaned(std::move(found));
    return found;
  }

  static std::vector<std::vector<Vertex>> grids(const MaskGeneratorOptions& options) {
    if (options.points_per_side == 0) return options.point_grids;
    return sam::point_grids(options.points_per_side, options.crop_n_layers,
                            options.crop_n_points_downscale_factor);
  }

 private:
  const std::vector<Vertex>& grid(int layer) {
    if (grids_.empty()) grids_ = grids(options_);
    return grids_[static_cast<size_t>(layer)];
  }

  std::vector<GeneratedMask> of_crop(const Embedding& embedding, const Crop& crop,
                                     const std::vector<Vertex>& points) {
    std::vector<GeneratedMask> found;
    const auto batch = static_cast<size_t>(options_.points_per_batch);
    for (size_t begin = 0; begin < points.size(); begin += batch) {
      const size_t end = std::min(begin + batch, points.size());
      add_batch(embedding, crop, std::span(points).subspan(begin, end - begin), found);
      meter_.add(static_cast<int64_t>(end - begin));
    }
    std::vector<float> scores;
    for (const GeneratedMask& mask : found) scores.push_back(mask.predicted_iou);
    return suppressed(std::move(found), scores, options_.box_nms_thresh);
  }

  // What is good of the masks of a few points.
  void add_batch(const Embedding& embedding, const Crop& crop, std::span<const Vertex> points,
                 std::vector<GeneratedMask>& found) const {
    std::vector<ObjectQuery> queries;
    for (const Vertex& p : points)
      queries.push_back({{Point{p.x * crop.width(), p.y * crop.height()}}, {}});
    SegmentOptions wanted{.multimask = Multimask::readings};
    if (options_.pred_iou_thresh > 0) wanted.score_above = options_.pred_iou_thresh;
    // One form of the decoder for every batch, so that a last small one is like the others.
    const std::vector<Masks> answers =
        embedding.seen().segment(queries, wanted, sam::DecoderForm::many);

    struct Candidate {
      const PredictedMask* mask;
      size_t point;
    };
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < answers.size(); ++i) {
      const size_t from = candidates.size();
      for (const PredictedMask& mask : answers[i]) candidates.push_back({&mask, i});
      // In the model's order: among equal scores the first is kept.
      std::sort(candidates.begin() + static_cast<ptrdiff_t>(from), candidates.end(),
                [](const auto& a, const auto& b) { return a.mask->token() < b.mask->token(); });
    }
    if (candidates.empty()) return;

    const sam::FullAxes axes(embedding.seen().frame, candidates[0].mask->logits_size());
    std::vector<std::optional<GeneratedMask>> good(candidates.size());
    parallel_for(static_cast<int64_t>(candidates.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto at = static_cast<size_t>(i);
        const Vertex& p = points[candidates[at].point];
        good[at] = completed(*candidates[at].mask, axes, crop,
                             {p.x * crop.width() + crop.x0, p.y * crop.height() + crop.y0});
      }
    });
    for (auto& mask : good)
      if (mask) found.push_back(std::move(*mask));
  }

  // The mask at the image's size, unless something speaks against it.
  std::optional<GeneratedMask> completed(const PredictedMask& mask, const sam::FullAxes& axes,
                                         const Crop& crop, const Vertex& point) const {
    const sam::FullMask full = sam::full_mask(mask.logits(), axes, options_.stability_score_offset);
    // NaN, of a mask with nothing in it, is not enough either.
    if (options_.stability_score_thresh > 0 && !(full.stability >= options_.stability_score_thresh))
      return std::nullopt;
    if (sam::near_crop_edge(corners_of(full.box), crop, image_.size())) return std::nullopt;
    Rle rle = full.part.empty() ? Rle(image_.size())
                                : runs::placed(full.part.rle(), crop.x0 + full.x, crop.y0 + full.y,
                                               image_.size());
    GeneratedMask result{.segmentation = std::move(rle)};
    result.area = result.segmentation.area();
    result.bbox = record_box(full.box);
    if (full.box.width > 0 || full.box.height > 0 || crop.layer > 0) {
      // Also the zeros of an empty mask move with their crop, as in the reference.
      result.bbox.x += crop.x0;
      result.bbox.y += crop.y0;
    }
    result.predicted_iou = mask.score();
    result.point = point;
    result.stability_score = full.stability;
    result.crop_box = {crop.x0, crop.y0, crop.width(), crop.height()};
    return result;
  }

  // Small holes filled and small islands removed; of masks that are alike then, those that were not
  // changed win.
  std::vector<GeneratedMask> cleaned(std::vector<GeneratedMask> masks) const {
    const int64_t min_area = options_.min_mask_region_area;
    std::vector<float> scores(masks.size());
    parallel_for(static_cast<int64_t>(masks.size()), 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        GeneratedMask& mask = masks[static_cast<size_t>(i)];
        const bool changed = clean(mask, min_area);
        scores[static_cast<size_t>(i)] = changed ? 0.0f : 1.0f;
      }
    });
    return suppressed(std::move(masks), scores,
                      std::max(options_.box_nms_thresh, options_.crop_nms_thresh));
  }

  static bool clean(GeneratedMask& mask, int64_t min_area) {
    const PixelBox box = mask.segmentation.bounding_box();
    // A region of the background that reaches beyond this part of the image has min_area pixels
    // within it: as many rows or columns outside of the object's box are all background.
    const ImageSize size = mask.segmentation.size();
    const int64_t margin = min_area;
    const auto x0 = static_cast<int>(std::max<int64_t>(box.x - margin, 0));
    const auto y0 = static_cast<int>(std::max<int64_t>(box.y - margin, 0));
    const auto x1 = static_cast<int>(std::min<int64_t>(box.x + box.width + margin, size.width));
    const auto y1 = static_cast<int>(std::min<int64_t>(box.y + box.height + margin, size.height));
    const PixelBox part = {x0, y0, std::max(x1 - x0, 1), std::max(y1 - y0, 1)};
    const Mask before =
        Mask::from_rle(runs::cut_out(mask.segmentation, part), int64_t{part.width} * part.height);
    const auto [filled, holes] = fill_small_holes(before, min_area);
    const auto [kept, islands] = remove_small_islands(filled, min_area);
    if (!holes && !islands) return false;
    mask.segmentation = runs::placed(kept.rle(), part.x, part.y, size);
    mask.area = mask.segmentation.area();
    mask.bbox = record_box(mask.segmentation.bounding_box());
    return true;
  }

  const Sam& sam_;
  const MaskGeneratorOptions& options_;
  const Image& image_;
  Meter& meter_;
  std::vector<std::vector<Vertex>> grids_;
};

int64_t all_points(const MaskGeneratorOptions& options, ImageSize image) {
  const auto grids = Run::grids(options);
  int64_t sum = 0;
  for (const Crop& crop : sam::crops(image, options.crop_n_layers, options.crop_overlap_ratio))
    sum += static_cast<int64_t>(grids[static_cast<size_t>(crop.layer)].size());
  return sum;
}

void check_image(const Image& image) {
  if (image.empty()) fail(Kind::usage, "an image without pixels has no masks");
}

}  // namespace

void check(const MaskGeneratorOptions& o) {
  const auto expect = [](bool good, const char* name, auto value, const char* range) {
    if (!good) fail(Kind::usage, "mask generator: {} is {}, expected {}", name, value, range);
  };
  if ((o.points_per_side != 0) == !o.point_grids.empty())
    fail(Kind::usage,
         "mask generator: exactly one of points_per_side and point_grids is to be given");
  expect(o.points_per_side >= 0 && o.points_per_side <= 1024, "points_per_side", o.points_per_side,
         "0 to 1024");
  expect(o.points_per_batch >= 1 && o.points_per_batch <= 4096, "points_per_batch",
         o.points_per_batch, "1 to 4096");
  expect(std::isfinite(o.pred_iou_thresh), "pred_iou_thresh", o.pred_iou_thresh, "a number");
  expect(std::isfinite(o.stability_score_thresh), "stability_score_thresh",
         o.stability_score_thresh, "a number");
  expect(std::isfinite(o.stability_score_offset), "stability_score_offset",
         o.stability_score_offset, "a number");
  expect(o.box_nms_thresh >= 0 && o.box_nms_thresh <= 1, "box_nms_thresh", o.box_nms_thresh,
         "0 to 1");
  expect(o.crop_nms_thresh >= 0 && o.crop_nms_thresh <= 1, "crop_nms_thresh", o.crop_nms_thresh,
         "0 to 1");
  expect(o.crop_n_layers >= 0 && o.crop_n_layers <= 6, "crop_n_layers", o.crop_n_layers, "0 to 6");
  expect(o.crop_overlap_ratio >= 0 && o.crop_overlap_ratio < 1, "crop_overlap_ratio",
         o.crop_overlap_ratio, "0 to below 1");
  expect(o.crop_n_points_downscale_factor >= 1, "crop_n_points_downscale_factor",
         o.crop_n_points_downscale_factor, "at least 1");
  expect(o.min_mask_region_area >= 0, "min_mask_region_area", o.min_mask_region_area, "at least 0");
  if (o.points_per_side > 0) {
    expect(o.points_per_side >= std::pow(o.crop_n_points_downscale_factor, o.crop_n_layers),
           "points_per_side", o.points_per_side,
           "at least one point a side in the last layer of crops");
    return;
  }
  if (o.point_grids.size() != static_cast<size_t>(o.crop_n_layers) + 1)
    fail(Kind::usage, "mask generator: point_grids has {} layers, expected {} (crop_n_layers + 1)",
         o.point_grids.size(), o.crop_n_layers + 1);
  for (size_t layer = 0; layer < o.point_grids.size(); ++layer) {
    expect(o.point_grids[layer].size() <= 1024 * 1024, "the number of points of a grid",
           o.point_grids[layer].size(), "at most 1048576");
    for (const Vertex& p : o.point_grids[layer])
      if (!(p.x >= 0 && p.x <= 1 && p.y >= 0 && p.y <= 1))
        fail(Kind::usage, "mask generator: point_grids: layer {}: ({}, {}) is not within 0 to 1",
             layer, p.x, p.y);
  }
}

MaskGenerator::MaskGenerator(Sam sam, const MaskGeneratorOptions& options)
    : sam_(std::move(sam)), options_(options) {
  check(options_);
}

std::vector<GeneratedMask> MaskGenerator::generate(const Image& image,
                                                   const GeneratorProgress& progress) const {
  check_image(image);
  Meter meter(progress, all_points(options_, image.size()));
  return Run(sam_, options_, image, meter).masks(nullptr);
}

std::vector<GeneratedMask> MaskGenerator::generate(const Embedding& embedding, const Image& image,
                                                   const GeneratorProgress& progress) const {
  check_image(image);
  if (embedding.image_size() != image.size())
    fail(Kind::usage, "mask generator: the embedding is of an image of {}x{}, this one has {}x{}",
         embedding.image_size().width, embedding.image_size().height, image.width(),
         image.height());
  Meter meter(progress, all_points(options_, image.size()));
  return Run(sam_, options_, image, meter).masks(&embedding);
}

std::vector<GeneratedMask> MaskGenerator::generate_tiled(const Image& image, int tile, int overlap,
                                                         const GeneratorProgress& progress) const {
  check_image(image);
  if (tile < 64) fail(Kind::usage, "mask generator: tile is {}, expected at least 64", tile);
  if (overlap < 0 || overlap > tile / 2)
    fail(Kind::usage, "mask generator: overlap is {}, expected 0 to {} (half of the tile)", overlap,
         tile / 2);
  Rle{image.size()};  // checks that run lengths can hold the image
  std::vector<sam::Tile> tiles;
  int64_t all = 0;
  for (const int y : sam::tile_starts(image.height(), tile, overlap))
    for (const int x : sam::tile_starts(image.width(), tile, overlap)) {
      sam::Tile t{
          .box = {x, y, std::min(tile, image.width() - x), std::min(tile, image.height() - y)}};
      all += all_points(options_, {t.box.width, t.box.height});
      tiles.push_back(std::move(t));
    }
  Meter meter(progress, all);
  for (sam::Tile& t : tiles) {
    const Image part = image.crop(t.box.x, t.box.y, t.box.width, t.box.height);
    t.masks = Run(sam_, options_, part, meter).masks(nullptr);
  }
  std::vector<GeneratedMask> joined = sam::joined(std::move(tiles), image.size());
  std::vector<float> scores;
  for (const GeneratedMask& mask : joined) scores.push_back(mask.predicted_iou);
  return suppressed(std::move(joined), scores, options_.crop_nms_thresh);
}

}  // namespace beckon
