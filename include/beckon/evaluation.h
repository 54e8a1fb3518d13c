// How well a model segments, measured on pictures whose masks are known: clicks and boxes are
// simulated as a person would give them.
//
//   auto sam = beckon::Sam::load("mobile-sam");
//   auto report = beckon::evaluate_segmentation(sam, {"berkeley", "grabcut"});
//   report.mean.click_miou[0];   // one click
//   report.sets[1].noc[1].mean;  // clicks until IoU 0.90, on grabcut
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "beckon/error.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/mask.h"
#include "beckon/sam.h"

namespace beckon {

// A simulated click: in the middle of the largest error.
struct Click {
  int x = 0, y = 0;
  bool object = true;  // false: on what is not of the object
  // How far the innermost missed pixel, and the innermost pixel that is wrongly in the mask, are
  // from what is right, in pixels. Both are 0 if there is no place for a click; it is then at (0,
  // 0).
  double missed = 0, wrong = 0;
};

// The next click on an object, given the mask that the clicks before led to (all background before
// the first). It goes to the pixel of the missed region, or of the wrong one, that is farthest from
// its border (Euclidean, exactly; the border of the picture counts). It says "object" if the missed
// region is strictly deeper. Of equal pixels the first is taken, row by row; pixels that were
// clicked are not clicked again. `ignored`: pixels that belong to neither region, or empty.
// Error(usage) if sizes differ.
BECKON_API Click next_click(const Mask& truth, const Mask& predicted,
                            std::span<const Click> before = {}, const Mask& ignored = {});

// Intersection over union outside of `ignored`; 0 if both are empty. Error(usage) if sizes differ.
BECKON_API double iou_outside(const Mask& a, const Mask& b, const Mask& ignored);

// The number of the first click (from 1) whose IoU reaches the target, else `most`: NoC.
BECKON_API int clicks_needed(std::span<const double> ious, double target, int most);

// How a picture stands for masks.
enum class MaskKind : uint8_t {
  // `binary` for pictures with an alpha channel, of a lossy format, or of at most one value besides
  // 0; also for grey ones with 255 and more than 32 values, which are blurred edges. Else
  // `objects`.
  automatic,
  binary,   // one object: what is not black; brighter than 127 in lossy or blurred pictures
  objects,  // an object for each value but 0; 255 (in palettes and 8-bit grey) is not known
};

struct EvaluationOptions {
  // mIoU is reported after 1 to `clicks` clicks, at most `max_clicks`.
  int clicks = 5;
  // Clicks given to an object until all targets are reached; what NoC counts if one never is.
  int max_clicks = 20;
  std::vector<double> targets = {0.85, 0.90, 0.95};  // IoU, above 0 to 1
  bool boxes = true;                                 // measure boxes too
  MaskKind masks = MaskKind::automatic;
  std::string annotations;    // the COCO file, where a folder has several
  int64_t most_pictures = 0;  // of each data set, the first ones; 0: all
  int64_t max_pixels = ReadOptions{}.max_pixels;
  // Called after every picture; false stops with Error(interrupted).
  std::function<bool(int64_t done, int64_t total)> progress;
};

struct ObjectScores {
  std::string picture;
  std::string object;  // label, category or number; may be empty
  int64_t area = 0;    // of the true mask
  PixelBox box;        // around it
  // IoU after each click that was given: until every target is reached, or no place is left.
  std::vector<double> click_iou;
  std::vector<Click> clicks;
  double oracle_iou = 0;  // best of the readings of the first click
  double box_iou = 0;     // if boxes are measured
};

struct NocScore {
  double target = 0;
  double mean = 0;      // clicks
  int64_t reached = 0;  // objects; the rest counts as max_clicks
};

struct SegmentationScores {
  std::vector<double> click_miou;  // after 1, 2, ... clicks
  double oracle_miou = 0;          // after one click, if the best reading were known
  double box_miou = 0;
  std::vector<NocScore> noc;  // as the targets
};

struct PictureFailure {
  std::string picture;
  Kind kind = Kind::input;
  std::string message;
};

struct DataSetScores : SegmentationScores {
  std::string name, path;
  std::string layout;         // "coco", "index", "folders"
  int64_t pictures = 0;       // that were measured
  int64_t left_out = 0;       // objects without a pixel, crowds, boxes without a mask
  int64_t without_masks = 0;  // pictures
  std::vector<ObjectScores> objects;
  std::vector<PictureFailure> failures;
};

struct SegmentationReport {
  std::vector<DataSetScores> sets;
  // Over the data sets that have objects, each with the same weight.
  SegmentationScores mean;
};

// Measures each data set (see docs/evaluation.md for their layouts). The first click is answered
// with three readings, of which the one with the highest predicted IoU counts; every further one
// with one mask, and the logits of the answer before are given back to the model. Boxes are those
// around the true masks, and answered with one mask. Pictures that cannot be read are failures, and
// the rest goes on.
//
// Throws Error(usage) for options out of range, Error(missing) and Error(input) for data that is
// not there or of no known layout.
BECKON_API SegmentationReport evaluate_segmentation(const Sam& sam,
                                                    std::span<const std::string> data,
                                                    const EvaluationOptions& options = {});

}  // namespace beckon
