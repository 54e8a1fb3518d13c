#include "generator_arguments.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace beckon::cli {

void GeneratorArguments::apply_to(MaskGeneratorOptions& o) const {
  const auto take = [](const auto& from, auto& to) {
    if (from) to = *from;
  };
  take(points_per_side, o.points_per_side);
  take(points_per_batch, o.points_per_batch);
  take(pred_iou_thresh, o.pred_iou_thresh);
  take(stability_score_thresh, o.stability_score_thresh);
  take(stability_score_offset, o.stability_score_offset);
  take(box_nms_thresh, o.box_nms_thresh);
  take(crop_n_layers, o.crop_n_layers);
  take(crop_nms_thresh, o.crop_nms_thresh);
  take(crop_overlap_ratio, o.crop_overlap_ratio);
  take(downscale_factor, o.crop_n_points_downscale_factor);
  take(min_mask_region_area, o.min_mask_region_area);
}

std::vector<CLI::Option*> add_generator_arguments(CLI::App& command, GeneratorArguments& a,
                                                  const std::string& heading,
                                                  const MaskGeneratorOptions& usual) {
  std::vector<CLI::Option*> options;
  const auto add = [&](const char* name, auto& value, const char* type, const char* summary,
                       double otherwise) {
    options.push_back(
        command.add_option(name, value, fmt::format("{}; {:.4g}", summary, otherwise))
            ->type_name(type)
            ->group(heading));
  };
  add("--points-per-side", a.points_per_side, "N", "Points along a side of the grid",
      usual.points_per_side);
  add("--points-per-batch", a.points_per_batch, "N", "Points decoded at a time",
      usual.points_per_batch);
  add("--pred-iou-thresh", a.pred_iou_thresh, "X", "Masks with a higher predicted IoU stay",
      usual.pred_iou_thresh);
  add("--stability-score-thresh", a.stability_score_thresh, "X", "Masks at least as stable stay",
      usual.stability_score_thresh);
  add("--stability-score-offset", a.stability_score_offset, "X",
      "How far the threshold moves for that, in logits", usual.stability_score_offset);
  add("--box-nms-thresh", a.box_nms_thresh, "X", "Box IoU from which two masks are one",
      usual.box_nms_thresh);
  add("--crop-n-layers", a.crop_n_layers, "N", "Layers of crops to look at as well",
      usual.crop_n_layers);
  add("--crop-nms-thresh", a.crop_nms_thresh, "X", "As --box-nms-thresh, between crops",
      usual.crop_nms_thresh);
  add("--crop-overlap-ratio", a.crop_overlap_ratio, "X",
      "Overlap of crops, a share of the short side", usual.crop_overlap_ratio);
  add("--crop-n-points-downscale-factor", a.downscale_factor, "N",
      "Each layer has so many times fewer points a side", usual.crop_n_points_downscale_factor);
  add("--min-mask-region-area", a.min_mask_region_area, "N", "Holes and islands of fewer pixels go",
      static_cast<double>(usual.min_mask_region_area));
  return options;
}

}  // namespace beckon::cli
