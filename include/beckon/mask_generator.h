// Everything mode: masks of all that is to be seen in an image, without a prompt from anyone. SAM's
// automatic mask generator: a grid of points, three masks for each, and what is good of them.
//
//   auto sam = beckon::Sam::load("mobile-sam");
//   for (const auto& mask : beckon::MaskGenerator(sam).generate(beckon::Image::read("truck.jpg")))
//     std::cout << mask.area << " pixels, predicted IoU " << mask.predicted_iou << "\n";
//
// Parameters, their defaults and the order of results are those of the reference's
// SamAutomaticMaskGenerator. Results do not depend on points_per_batch nor on the number of
// threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "beckon/boxes.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/polygon.h"
#include "beckon/rle.h"
#include "beckon/sam.h"

namespace beckon {

struct MaskGeneratorOptions {
  // Points along a side of the grid over the whole image; 0: point_grids says where they are.
  // At most 1024.
  int points_per_side = 32;
  // How many points go to the decoder at a time. More take more memory: some 0.8 MB each.
  int points_per_batch = 64;
  // Masks are kept whose predicted IoU is above this; 0 or less: all.
  float pred_iou_thresh = 0.88f;
  // Masks are kept whose stability score is at least this; 0 or less: all.
  double stability_score_thresh = 0.95;
  // How far the threshold is moved either way for the stability score, in logits.
  float stability_score_offset = 1.0f;
  // Of two masks of an image (or crop) whose boxes overlap with a higher IoU, one is kept.
  float box_nms_thresh = 0.7f;
  // Layers of crops that are looked at as images of their own: layer i has 2^i x 2^i. At most 6.
  int crop_n_layers = 0;
  // The same as box_nms_thresh, between masks of different crops: those of smaller crops are kept.
  float crop_nms_thresh = 0.7f;
  // How far crops of the first layer overlap, as a share of the image's short side; later layers
  // half as far each. 0 to below 1.
  double crop_overlap_ratio = 512.0 / 1500.0;
  // Layer i has points_per_side / factor^i points along a side. At least 1.
  int crop_n_points_downscale_factor = 1;
  // With points_per_side 0: points for each layer (crop_n_layers + 1 of them), in fractions 0 to 1
  // of the crop.
  std::vector<std::vector<Vertex>> point_grids;
  // Holes and islands of fewer pixels are filled and removed; 0: none are.
  int64_t min_mask_region_area = 0;
};

// Throws Error(usage) that names the option and its range.
BECKON_API void check(const MaskGeneratorOptions& options);

// A record of the reference's generator.
struct GeneratedMask {
  Rle segmentation;
  int64_t area = 0;
  // x, y, width, height as the reference counts: from the first to the last pixel, so that the
  // sides are one less than the number of pixels.
  PixelBox bbox;
  float predicted_iou = 0;
  Vertex point;  // the point of the grid that it is the answer to, in pixels of the image
  double stability_score = 0;
  PixelBox crop_box;  // where it was found: of the whole image, or of a crop
};

// Is told how far the work is, as points done of all points; false ends it with Error(interrupted).
using GeneratorProgress = std::function<bool(int64_t done, int64_t all)>;

class BECKON_API MaskGenerator {
 public:
  // Error(usage) as check().
  explicit MaskGenerator(Sam sam, const MaskGeneratorOptions& options = {});

  // Best first, within an image without crops by falling predicted IoU. An empty list if nothing is
  // good enough. Error(usage) for an empty image.
  std::vector<GeneratedMask> generate(const Image& image,
                                      const GeneratorProgress& progress = {}) const;
  // The same with an embedding of the whole image that is there already; `image` is needed for
  // crops. Error(usage) if it is of an image of another size.
  std::vector<GeneratedMask> generate(const Embedding& embedding, const Image& image,
                                      const GeneratorProgress& progress = {}) const;

  // For very large images: looks at tiles of `tile` pixels a side that overlap by `overlap`, each
  // as generate() would, and joins what neighbours see of one thing: masks that agree where tiles
  // overlap become one. Memory is that of a tile, but for the image itself and the run lengths of
  // results. crop_box is the tile (of the largest part). Error(usage) unless 64 <= tile and 0 <=
  // overlap <= tile / 2.
  std::vector<GeneratedMask> generate_tiled(const Image& image, int tile, int overlap,
                                            const GeneratorProgress& progress = {}) const;

  const MaskGeneratorOptions& options() const noexcept { return options_; }

 private:
  Sam sam_;
  MaskGeneratorOptions options_;
};

}  // namespace beckon
