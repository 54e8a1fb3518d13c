// Everything mode on a small model: what the goldens do not say.
#include "beckon/mask_generator.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "base/threads.h"
#include "beckon/error.h"
#include "models/sam/crops.h"
#include "models/sam/full_mask.h"
#include "models/sam/mask_joining.h"
#include "models/sam/seen.h"
#include "models/small_sam.h"

namespace beckon::test {
namespace {

MaskGeneratorOptions generous(int side = 4) {
  MaskGeneratorOptions o;
  o.points_per_side = side;
  o.pred_iou_thresh = -1;
  o.stability_score_thresh = 0.1;
  o.box_nms_thresh = 1;
  return o;
}

void expect_equal(const std::vector<GeneratedMask>& a, const std::vector<GeneratedMask>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].segmentation, b[i].segmentation);
    EXPECT_EQ(a[i].predicted_iou, b[i].predicted_iou);
    EXPECT_EQ(a[i].stability_score, b[i].stability_score);
    EXPECT_EQ(a[i].bbox, b[i].bbox);
    EXPECT_EQ(a[i].point, b[i].point);
  }
}

TEST(MaskGenerator, ResultsDoNotDependOnBatchesOrThreads) {
  const Sam sam(small_model(true, 128));
  const Image image = small_picture();
  MaskGeneratorOptions o = generous();
  const auto reference = MaskGenerator(sam, o).generate(image);
  EXPECT_GT(reference.size(), 3u);
  for (const int batch : {1, 5, 16}) {
    o.points_per_batch = batch;
    for (const int count : {1, 2, 4}) {
      set_threads(count);
      expect_equal(MaskGenerator(sam, o).generate(image), reference);
    }
  }
  set_threads(0);
  expect_equal(MaskGenerator(sam, o).generate(sam.encode(image), image), reference);
}

TEST(MaskGenerator, RecordsAgreeWithTheirMasks) {
  const Sam sam(small_model());
  MaskGeneratorOptions o = generous(3);
  o.crop_n_layers = 1;
  o.min_mask_region_area = 10;
  for (const GeneratedMask& mask : MaskGenerator(sam, o).generate(small_picture())) {
    EXPECT_EQ(mask.segmentation.size(), (ImageSize{90, 60}));
    EXPECT_EQ(mask.area, mask.segmentation.area());
    const PixelBox box = mask.segmentation.bounding_box();
    EXPECT_EQ(mask.bbox, (PixelBox{box.x, box.y, box.width - 1, box.height - 1}));
    EXPECT_GE(mask.stability_score, 0.1);
  }
}

TEST(MaskGenerator, NothingGoodEnoughIsAnEmptyList) {
  MaskGeneratorOptions o = generous(2);
  o.pred_iou_thresh = 1e6f;
  o.crop_n_layers = 1;
  EXPECT_TRUE(MaskGenerator(Sam(small_model()), o).generate(small_picture()).empty());
}

TEST(MaskGenerator, ProgressCountsPointsAndStops) {
  const Sam sam(small_model());
  MaskGeneratorOptions o = generous(4);
  o.points_per_batch = 3;
  o.crop_n_layers = 1;
  o.crop_n_points_downscale_factor = 2;
  int64_t last = -1, total = 0;
  const MaskGenerator generator(sam, o);
  generator.generate(small_picture(), [&](int64_t done, int64_t all) {
    EXPECT_GT(done, last);
    last = done;
    total = all;
    return true;
  });
  EXPECT_EQ(total, 16 + 4 * 4);
  EXPECT_EQ(last, total);
  try {
    generator.generate(small_picture(), [](int64_t done, int64_t) { return done < 5; });
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), Kind::interrupted);
  }
}

TEST(MaskGenerator, OptionsOutOfRangeAreNamed) {
  const auto refused = [](auto&& change, const std::string& name) {
    MaskGeneratorOptions o;
    change(o);
    try {
      check(o);
      ADD_FAILURE() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Kind::usage);
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    }
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refused([](auto& o) { o.points_per_side = 0; }, "points_per_side");
  refused([](auto& o) { o.points_per_side = 2000; }, "points_per_side");
  refused([](auto& o) { o.point_grids = {{{0.5, 0.5}}}; }, "exactly one");
  refused([](auto& o) { o.points_per_batch = 0; }, "points_per_batch");
  refused([&](auto& o) { o.pred_iou_thresh = nan; }, "pred_iou_thresh");
  refused([&](auto& o) { o.stability_score_thresh = nan; }, "stability_score_thresh");
  refused([&](auto& o) { o.stability_score_offset = nan; }, "stability_score_offset");
  refused([](auto& o) { o.box_nms_thresh = 1.5f; }, "box_nms_thresh");
  refused([&](auto& o) { o.crop_nms_thresh = nan; }, "crop_nms_thresh");
  refused([](auto& o) { o.crop_n_layers = -1; }, "crop_n_layers");
  refused([](auto& o) { o.crop_overlap_ratio = 1; }, "crop_overlap_ratio");
  refused([](auto& o) { o.crop_n_points_downscale_factor = 0; }, "downscale_factor");
  refused([](auto& o) { o.min_mask_region_area = -1; }, "min_mask_region_area");
  refused(
      [](auto& o) {
        o.points_per_side = 2;
        o.crop_n_layers = 2;
        o.crop_n_points_downscale_factor = 2;
      },
      "points_per_side");
  refused(
      [](auto& o) {
        o.points_per_side = 0;
        o.point_grids = {{{0.5, 1.5}}};
      },
      "layer 0");
  refused(
      [](auto& o) {
        o.points_per_side = 0;
        o.crop_n_layers = 1;
        o.point_grids = {{{0.5, 0.5}}};
      },
      "layers");
}

TEST(MaskGenerator, PointGridsTakeThePlaceOfTheGrid) {
  const Sam sam(small_model());
  MaskGeneratorOptions grid = generous(2), points = generous(0);
  points.point_grids = {sam::point_grid(2)};
  expect_equal(MaskGenerator(sam, points).generate(small_picture()),
               MaskGenerator(sam, grid).generate(small_picture()));
}

// The quick way to the image's size against the plain one.
TEST(FullMask, EqualsPredictedMask) {
  for (const auto& [width, height] : {std::pair{90, 60}, {400, 300}, {33, 200}, {96, 96}}) {
    const Embedding seen = Sam(small_model()).encode(small_picture(width, height));
    for (const Prompt& prompt : {Prompt(Point{20, 30}), Prompt(Box{2, 3, 25, 50})})
      for (const PredictedMask& mask : seen.segment(prompt, {.multimask = Multimask::all})) {
        const sam::FullAxes axes(seen.seen().frame, mask.logits_size());
        for (const float offset : {1.0f, 0.05f, -0.1f}) {
          const sam::FullMask full = sam::full_mask(mask.logits(), axes, offset);
          const double expected = mask.stability(offset);
          if (std::isnan(expected))
            EXPECT_TRUE(std::isnan(full.stability));
          else
            EXPECT_EQ(full.stability, expected);
          EXPECT_EQ(full.box, mask.bounding_box());
          Mask whole(width, height);
          for (int y = 0; y < full.part.height(); ++y)
            for (int x = 0; x < full.part.width(); ++x)
              whole.set(full.x + x, full.y + y, full.part.at(x, y));
          EXPECT_EQ(whole, mask.mask());
        }
      }
  }
}

TEST(TileStarts, CoverAndOverlap) {
  for (const int length : {100, 200, 201, 1000, 997})
    for (const int overlap : {0, 30, 100}) {
      const auto starts = sam::tile_starts(length, 200, overlap);
      EXPECT_EQ(starts.front(), 0);
      EXPECT_EQ(starts.back() + 200 >= length, true);
      for (size_t i = 1; i < starts.size(); ++i) {
        EXPECT_LE(starts[i] - starts[i - 1], 200 - overlap);
        EXPECT_LE(starts[i] + 200, length);
      }
    }
}

GeneratedMask box_mask(ImageSize size, const PixelBox& box, float score) {
  GeneratedMask mask{.segmentation = Mask::from_box(box, size).rle()};
  mask.area = mask.segmentation.area();
  mask.bbox = {box.x, box.y, box.width - 1, box.height - 1};
  mask.predicted_iou = score;
  return mask;
}

// A bar across the border of two tiles, a thing in the overlap that both see, and one of each.
TEST(JoinedTiles, OneThingSeenByTwoTilesIsOneMask) {
  const ImageSize tile = {100, 80};
  std::vector<sam::Tile> tiles(2);
  tiles[0].box = {0, 0, 100, 80};
  tiles[1].box = {60, 0, 100, 80};
  tiles[0].masks = {box_mask(tile, {30, 10, 70, 10}, 0.9f), box_mask(tile, {70, 40, 10, 10}, 0.8f),
                    box_mask(tile, {5, 60, 10, 10}, 0.7f)};
  tiles[1].masks = {box_mask(tile, {0, 10, 80, 10}, 0.8f), box_mask(tile, {10, 40, 10, 10}, 0.6f),
                    box_mask(tile, {80, 60, 10, 10}, 0.5f)};
  const auto masks = sam::joined(tiles, {160, 80});
  ASSERT_EQ(masks.size(), 4u);
  const auto expect_box = [&](size_t i, const PixelBox& box) {
    EXPECT_EQ(masks[i].segmentation, Mask::from_box(box, {160, 80}).rle()) << i;
    EXPECT_EQ(masks[i].bbox, (PixelBox{box.x, box.y, box.width - 1, box.height - 1}));
  };
  expect_box(0, {30, 10, 110, 10});
  EXPECT_NEAR(masks[0].predicted_iou, (0.9 * 700 + 0.8 * 800) / 1500, 1e-6);
  EXPECT_EQ(masks[0].crop_box, tiles[1].box);
  expect_box(1, {70, 40, 10, 10});
  EXPECT_NEAR(masks[1].predicted_iou, 0.7, 1e-6);
  expect_box(2, {5, 60, 10, 10});
  expect_box(3, {140, 60, 10, 10});
}

TEST(JoinedTiles, AnImageOfOneTileIsLikeTheWhole) {
  const Sam sam(small_model());
  const MaskGenerator generator(sam, generous(3));
  const auto whole = generator.generate(small_picture());
  const auto tiled = generator.generate_tiled(small_picture(), 128, 32);
  EXPECT_GT(tiled.size(), 0u);
  EXPECT_LE(tiled.size(), whole.size());  // suppressed once more
  EXPECT_FALSE(generator.generate_tiled(small_picture(300, 200), 128, 32).empty());
  EXPECT_THROW(generator.generate_tiled(small_picture(), 32, 0), Error);
  EXPECT_THROW(generator.generate_tiled(small_picture(), 128, 65), Error);
}

}  // namespace
}  // namespace beckon::test
