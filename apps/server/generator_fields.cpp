#include "generator_fields.h"

namespace beckon::server {

void read_generator(const Fields& fields, MaskGeneratorOptions& o) {
  constexpr int64_t kMostSide = 64, kMostLayers = 2, kMostFactor = 8, kMostArea = 1'000'000;
  constexpr double kMostOffset = 20;
  if (const auto v = fields.integer("points_per_side", 1, kMostSide))
    o.points_per_side = static_cast<int>(*v);
  if (const auto v = fields.number("pred_iou_thresh", 0, 1))
    o.pred_iou_thresh = static_cast<float>(*v);
  if (const auto v = fields.number("stability_score_thresh", 0, 1)) o.stability_score_thresh = *v;
  if (const auto v = fields.number("stability_score_offset", 0, kMostOffset))
    o.stability_score_offset = static_cast<float>(*v);
  if (const auto v = fields.number("box_nms_thresh", 0, 1))
    o.box_nms_thresh = static_cast<float>(*v);
  if (const auto v = fields.integer("crop_n_layers", 0, kMostLayers))
    o.crop_n_layers = static_cast<int>(*v);
  if (const auto v = fields.number("crop_nms_thresh", 0, 1))
    o.crop_nms_thresh = static_cast<float>(*v);
  if (const auto v = fields.integer("crop_n_points_downscale_factor", 1, kMostFactor))
    o.crop_n_points_downscale_factor = static_cast<int>(*v);
  if (const auto v = fields.integer("min_mask_region_area", 0, kMostArea))
    o.min_mask_region_area = *v;
}

}  // namespace beckon::server
