// SAM's data engine without the people: which masks a model proposes by itself, how much each is to
// be doubted, which are sampled for review, and what people would need, reckoned with a simulated
// annotator. Where states and reviews are kept is the business of programs (`beckon engine`).
//
//   auto options = beckon::stage_options(3);
//   auto masks = beckon::MaskGenerator(sam, options.generator).generate(photo);
//   auto chosen = beckon::select_proposals(std::move(masks), already_there, options);
//   for (const auto& p : chosen.kept) std::cout << p.doubt << "\n";
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "beckon/evaluation.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/mask_generator.h"
#include "beckon/rle.h"
#include "beckon/sam.h"

namespace beckon {

// How much a mask is to be doubted, 0 to 1: 1 - predicted IoU x stability x (1 - overlap), each cut
// off at 0 and 1, NaN taken as 0 (as 1 for the overlap). The first two are what the model thinks of
// the mask; the overlap is the highest IoU with another object of the photo, since near-duplicates
// are most often one thing twice. Reviews begin with the largest.
BECKON_API double doubt_of(double predicted_iou, double stability, double overlap);

struct ProposalOptions {
  MaskGeneratorOptions generator;
  // Masks with at least this IoU with an object that is there already, or with a better mask, are
  // left out. Above 0 to 1.
  double duplicate_iou = 0.7;
  // Masks that cover at least this share of the photo are left out. Above 0 to 1; 1: only those
  // that cover all of it.
  double most_cover = 0.95;
  // So are masks of fewer pixels.
  int64_t least_area = 100;
};

// What a stage begins with. 2, semi-automatic: few masks that are almost surely right (16 points a
// side, predicted IoU above 0.92, stability 0.97). 3, fully automatic: 32 points a side, and half
// as many in each of 2 x 2 crops, predicted IoU above 0.88, stability 0.95. Error(usage) for
// another number.
BECKON_API ProposalOptions stage_options(int stage);
// Throws Error(usage) that names the option and its range.
BECKON_API void check(const ProposalOptions& options);

struct Proposal {
  GeneratedMask mask;
  double overlap = 0;  // the highest IoU with an object that was there or another proposal
  double doubt = 0;
};

struct Proposals {
  std::vector<Proposal> kept;  // least doubtful first
  int64_t duplicates = 0, too_large = 0, too_small = 0;
};

// The filters of a stage, after the generator's own. `present`: objects of the photo that are
// there, of the masks' size. Error(usage) if sizes differ.
BECKON_API Proposals select_proposals(std::vector<GeneratedMask> masks,
                                      std::span<const Rle> present, const ProposalOptions& options);

// Whether a mask belongs to a random sample of this share of all masks. It depends on nothing but
// the seed, the photo's name and the mask, and a larger share contains every smaller one.
BECKON_API bool in_sample(std::string_view photo, const Rle& mask, double share, uint64_t seed);

// A photo that nobody took: shapes of known masks on a textured ground.
struct MadePicture {
  Image image;
  std::vector<Rle> objects;  // what is to be seen of each, at least 200 pixels
};
struct MadeSetOptions {
  int pictures = 6;             // 1 to 1000
  int objects = 8;              // that are placed in each, 1 to 100; hidden ones do not count
  ImageSize size = {640, 480};  // sides 64 to 4096
  uint64_t seed = 1;
};
// The same pictures for the same options. Error(usage) for options out of range.
BECKON_API std::vector<MadePicture> make_pictures(const MadeSetOptions& options = {});

// Seconds of a person's elementary acts: the keystroke-level model (Card, Moran and Newell 1980).
struct TimeModel {
  double think = 1.35;  // to find an object, to judge a mask
  double point = 1.1;   // to move the pointer to a place
  double button = 0.1;  // to press or release the mouse button
  double keystroke = 0.28;
  double click() const { return point + 2 * button; }
};

struct SimulationOptions {
  double target = 0.9;   // the IoU that is good enough, above 0 to 1; the same for all three ways
  int most_clicks = 10;  // on one object, 1 to 100; then it is outlined by hand after all
  // A proposal that overlaps an object by at least this IoU is repaired; below, it is rejected.
  double repairable = 0.5;
  TimeModel time;
  ProposalOptions proposals = stage_options(2);
  MaskKind masks = MaskKind::automatic;  // of data sets of pictures
  std::string annotations;               // the COCO file, where a folder has several
  int64_t most_pictures = 0;             // the first ones; 0: all
  int64_t max_pixels = ReadOptions{}.max_pixels;
  // Called after every picture; false stops with Error(interrupted).
  std::function<bool(int64_t done, int64_t total)> progress;
};

// What one way of annotating takes. Means are over all true objects.
struct AnnotationCost {
  int64_t clicks = 0;  // corners of outlines among them
  int64_t keystrokes = 0;
  double seconds = 0;
  double mean_iou = 0;
  int64_t by_hand = 0;  // objects outlined by hand
  // Of proposals; what was proposed for no object is rejected.
  int64_t proposed = 0, accepted = 0, fixed = 0, rejected = 0;
  double machine_seconds = 0;  // of the model, measured; nobody waits for what is made beforehand
};

struct SimulationReport {
  int64_t pictures = 0, objects = 0, left_out = 0;
  AnnotationCost polygons;        // every object outlined by hand
  AnnotationCost assisted;        // stage 1: clicks, the model answers
  AnnotationCost semi_automatic;  // stage 2: proposals are judged, the rest is clicked
  std::vector<PictureFailure> failures;
};

// Annotates pictures whose masks are known as a person would in three ways. Outlines: the fewest
// corners that reach the target. Stage 1: clicks in the middle of the largest error (next_click())
// until the target is reached. Stage 2: each object's best proposal is accepted if it reaches the
// target, repaired by clicks if it nearly does; all others are rejected, one by one, and what is
// missing then is clicked as in stage 1. Throws as check() and evaluate_segmentation() do.
BECKON_API SimulationReport simulate_annotator(const Sam& sam,
                                               std::span<const MadePicture> pictures,
                                               const SimulationOptions& options = {});
// The same on a data set as `beckon eval` reads them; pictures that cannot be read are failures.
BECKON_API SimulationReport simulate_annotator(const Sam& sam, const std::string& data,
                                               const SimulationOptions& options = {});

}  // namespace beckon
