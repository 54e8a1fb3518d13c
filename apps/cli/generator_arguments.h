// The parameters of everything mode, under the names of the reference's script, for every command
// that has it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "beckon/mask_generator.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace beckon::cli {

// What was given; the rest is as a recipe says, or as the reference has it.
struct GeneratorArguments {
  std::optional<int> points_per_side, points_per_batch, crop_n_layers, downscale_factor;
  std::optional<float> pred_iou_thresh, stability_score_offset, box_nms_thresh, crop_nms_thresh;
  std::optional<double> stability_score_thresh, crop_overlap_ratio;
  std::optional<int64_t> min_mask_region_area;

  void apply_to(MaskGeneratorOptions& options) const;
};

// Adds --points-per-side and so on to a command, under a heading of its help; `arguments` must live
// as long as it. `usual` is what the help says of those that are not given. Returns them.
std::vector<CLI::Option*> add_generator_arguments(CLI::App& command, GeneratorArguments& arguments,
                                                  const std::string& heading,
                                                  const MaskGeneratorOptions& usual = {});

}  // namespace beckon::cli
