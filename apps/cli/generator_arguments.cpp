#include "generator_arguments.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace beckon::cli {
namespace {

template <typename Number>
CLI::Option* add(CLI::App& command, const char* name, Number& value, const char* shape,
                 const char* summary) {
  return command
      .add_option(name, value, fmt::format("{}; {:g} if not given", summary, double(value)))
      ->type_name(shape);
}

}  // namespace

std::vector<CLI::Option*> add_generator_arguments(CLI::App& command,
                                                  MaskGeneratorOptions& options) {
  return {add(command, "--points-per-side", options.points_per_side, "N",
              "Everything: points along a side of the grid"),
          add(command, "--points-per-batch", options.points_per_batch, "N",
              "Everything: points that are decoded at a time"),
          add(command, "--pred-iou-thresh", options.pred_iou_thresh, "X",
              "Everything: keep masks with a predicted IoU above this"),
          add(command, "--stability-score-thresh", options.stability_score_thresh, "X",
              "Everything: keep masks with at least this stability"),
          add(command, "--stability-score-offset", options.stability_score_offset, "X",
              "Everything: how far the threshold is moved to measure the stability"),
          add(command, "--box-nms-thresh", options.box_nms_thresh, "X",
              "Everything: of masks whose boxes overlap more, one is kept"),
          add(command, "--crop-n-layers", options.crop_n_layers, "N",
              "Everything: layers of crops that are looked at by themselves"),
          add(command, "--crop-nms-thresh", options.crop_nms_thresh, "X",
              "Everything: as --box-nms-thresh, between crops"),
          add(command, "--crop-overlap-ratio", options.crop_overlap_ratio, "X",
              "Everything: how far crops overlap, as a share of the short side"),
          add(command, "--crop-n-points-downscale-factor", options.crop_n_points_downscale_factor,
              "N", "Everything: by how much each layer's grid is coarser"),
          add(command, "--min-mask-region-area", options.min_mask_region_area, "N",
              "Everything: fill holes and remove islands of fewer pixels")};
}

}  // namespace beckon::cli
