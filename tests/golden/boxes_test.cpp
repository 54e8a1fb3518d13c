#include "beckon/boxes.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/mask.h"
#include "support/golden.h"

namespace beckon {
namespace {

using test::Array;
using test::Golden;
using test::goldens;

std::vector<Rect> rects_of(const Array& array) {
  const auto values = array.as_floats();
  std::vector<Rect> rects;
  for (size_t i = 0; i < values.size(); i += 4)
    rects.push_back({values[i], values[i + 1], values[i + 2], values[i + 3]});
  return rects;
}

std::vector<CenterBox> center_boxes_of(const Array& array) {
  std::vector<CenterBox> boxes;
  for (const Rect& r : rects_of(array)) boxes.push_back({r.x0, r.y0, r.x1, r.y1});
  return boxes;
}

std::vector<float> flat(const std::vector<Rect>& rects) {
  std::vector<float> values;
  for (const Rect& r : rects) values.insert(values.end(), {r.x0, r.y0, r.x1, r.y1});
  return values;
}

// Kept boxes with their scores: boxes of equal score may come in either order.
std::vector<std::pair<float, int64_t>> with_scores(std::vector<int64_t> kept,
                                                   const std::vector<float>& scores) {
  std::vector<std::pair<float, int64_t>> pairs;
  for (const int64_t i : kept) pairs.emplace_back(-scores.at(i), i);
  std::sort(pairs.begin(), pairs.end());
  return pairs;
}

TEST(Boxes, ConversionsMatchGolden) {
  for (const Golden& golden : goldens("boxes")) {
    SCOPED_TRACE(golden.name);
    const auto& io = golden.tensors("io");
    const auto rects = rects_of(io.at("in.boxes_xyxy"));
    std::vector<float> centers, corner_and_size;
    std::vector<Rect> back;
    for (const Rect& r : rects) {
      const CenterBox c = center_box_from(r);
      centers.insert(centers.end(), {c.cx, c.cy, c.width, c.height});
      corner_and_size.insert(corner_and_size.end(), {r.x0, r.y0, c.width, c.height});
      back.push_back(rect_from(c));
    }
    const double tolerance = golden.tolerance("out");
    expect_near(centers, io.at("out.cxcywh"), tolerance, "cxcywh");
    expect_near(corner_and_size, io.at("out.xywh"), tolerance, "xywh");
    expect_near(flat(back), io.at("out.xyxy_from_cxcywh"), tolerance, "xyxy_from_cxcywh");

    const auto hw = io.at("in.image_size_hw").as_floats();
    std::vector<Rect> pixels;
    for (const CenterBox& c : center_boxes_of(io.at("in.normalised_cxcywh")))
      pixels.push_back(scaled(rect_from(c), hw[1], hw[0]));
    expect_near(flat(pixels), io.at("out.pixel_xyxy"), tolerance, "pixel_xyxy");

    std::vector<int64_t> whole;
    for (const Rect& r : rects_of(io.at("out.pixel_xyxy"))) {
      const PixelBox box = pixel_box_from(r);
      whole.insert(whole.end(), {box.x, box.y, box.x + box.width, box.y + box.height});
    }
    EXPECT_EQ(whole, io.at("out.pixel_xyxy_int_truncated").as_ints());
  }
}

TEST(Boxes, OverlapMatchesGolden) {
  for (const Golden& golden : goldens("boxes")) {
    SCOPED_TRACE(golden.name);
    const auto& io = golden.tensors("io");
    const auto rects = rects_of(io.at("in.boxes_xyxy"));
    const auto& shape = io.at("out.giou").shape;
    std::vector<float> plain, with_epsilon, generalized, generalized_with_epsilon;
    for (int64_t i = 0; i < shape[0]; ++i) {
      for (int64_t j = 0; j < shape[1]; ++j) {
        const Rect& a = rects[static_cast<size_t>(i)];
        const Rect& b = rects[rects.size() - static_cast<size_t>(shape[1] - j)];
        plain.push_back(iou(a, b));
        with_epsilon.push_back(iou(a, b, 1e-6f));
        generalized.push_back(generalized_iou(a, b));
        generalized_with_epsilon.push_back(generalized_iou(a, b, 1e-6f));
      }
    }
    const double tolerance = golden.tolerance("out");
    expect_near(plain, io.at("out.iou_first10_vs_last10"), tolerance, "iou");
    expect_near(with_epsilon, io.at("out.iou_eps_variant"), tolerance, "iou with epsilon");
    expect_near(generalized, io.at("out.giou"), tolerance, "giou");
    expect_near(generalized_with_epsilon, io.at("out.giou_eps_variant"), tolerance,
                "giou with epsilon");
  }
}

TEST(Boxes, SuppressionMatchesGolden) {
  for (const Golden& golden : goldens("boxes")) {
    const auto& io = golden.tensors("io");
    const auto rects = rects_of(io.at("in.boxes_xyxy"));
    const auto scores = io.at("in.scores").as_floats();
    const auto classes = io.at("in.class_ids").as_ints();
    int compared = 0;
    for (const auto& [name, array] : io) {
      SCOPED_TRACE(golden.name + " " + name);
      const std::string plain = "out.nms_", batched = "out.batched_nms_";
      std::vector<int64_t> kept;
      if (name.starts_with(plain)) {
        kept = nms(rects, scores, std::stof(name.substr(plain.size())));
      } else if (name.starts_with(batched)) {
        kept = class_wise_nms(rects, scores, classes, std::stof(name.substr(batched.size())));
      } else {
        continue;
      }
      ++compared;
      const auto expected = array.as_ints();
      ASSERT_EQ(kept.size(), expected.size());
      for (size_t i = 0; i < kept.size(); ++i)
        EXPECT_EQ(scores[kept[i]], scores[expected[i]]) << "place " << i;
      EXPECT_EQ(with_scores(kept, scores), with_scores(expected, scores));
    }
    EXPECT_GT(compared, 0);
  }
}

// The boxes of a stack of masks with the first and the last pixel as their corners; `empty` for
// masks without pixels.
std::vector<float> inclusive_boxes(const Array& masks, const Rect& empty) {
  const auto values = masks.as_ints();
  const std::vector<uint8_t> bytes(values.begin(), values.end());
  const auto height = static_cast<int>(masks.shape[1]), width = static_cast<int>(masks.shape[2]);
  const size_t count = static_cast<size_t>(width) * height;
  std::vector<Rect> rects;
  for (size_t i = 0; i < static_cast<size_t>(masks.shape[0]); ++i) {
    const PixelBox box =
        Mask(width, height, std::span(bytes).subspan(i * count, count)).bounding_box();
    const Rect rect = rect_from(box);
    rects.push_back(box == PixelBox{} ? empty : Rect{rect.x0, rect.y0, rect.x1 - 1, rect.y1 - 1});
  }
  return flat(rects);
}

TEST(Boxes, MaskBoxesMatchGolden) {
  for (const Golden& golden : goldens("boxes")) {
    SCOPED_TRACE(golden.name);
    const auto& io = golden.tensors("io");
    const double tolerance = golden.tolerance("out");
    expect_near(inclusive_boxes(io.at("in.masks"), {}), io.at("out.masks_to_boxes_inclusive_xyxy"),
                tolerance, "masks_to_boxes");
    // DETR's helper has a mark of its own for a mask without pixels; ours is a box of no size.
    expect_near(inclusive_boxes(io.at("in.masks_with_empty"), {1e8f, 1e8f, 0, 0}),
                io.at("out.detr_style_masks_to_boxes"), tolerance, "detr_style_masks_to_boxes");
  }
}

}  // namespace
}  // namespace beckon
