#include <map>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/mask.h"
#include "beckon/polygon.h"
#include "beckon/rle.h"
#include "support/golden.h"

namespace beckon {
namespace {

using nlohmann::json;
using test::Golden;
using test::goldens;

ImageSize size_of(const json& entry) {
  return {entry.at("w").get<int>(), entry.at("h").get<int>()};
}

Rle rle_of(const json& entry, ImageSize size) {
  return Rle::from_counts(size, entry.at("counts").get<std::vector<int64_t>>());
}

PixelBox box_of(const json& xywh) {
  const auto v = xywh.get<std::vector<double>>();
  return {static_cast<int>(v.at(0)), static_cast<int>(v.at(1)), static_cast<int>(v.at(2)),
          static_cast<int>(v.at(3))};
}

std::map<std::string, Rle> named_masks(const Golden& golden) {
  std::map<std::string, Rle> masks;
  for (const auto& item : golden.json().at("items"))
    masks.emplace(item.at("name").get<std::string>(), rle_of(item, size_of(item)));
  return masks;
}

TEST(CocoRle, CountsStringsAreasAndBoxesMatchGolden) {
  for (const Golden& golden : goldens("coco_rle")) {
    const auto& io = golden.tensors("io");
    for (const auto& item : golden.json().at("items")) {
      const std::string name = item.at("name");
      SCOPED_TRACE(golden.name + "/" + name);
      const ImageSize size = size_of(item);
      const Rle expected = rle_of(item, size);
      EXPECT_EQ(expected.string(), item.at("string").get<std::string>());
      EXPECT_EQ(Rle::from_string(size, item.at("string").get<std::string>()), expected);
      EXPECT_EQ(expected.area(), item.at("area").get<int64_t>());
      EXPECT_EQ(expected.bounding_box(), box_of(item.at("bbox_xywh")));

      // The largest takes a minute under sanitizers, and has no code of its own.
      if (test::is_quick() && expected.width() * int64_t{expected.height()} > 10'000'000) continue;
      const Mask unpacked = Mask::from_rle(expected);
      EXPECT_EQ(unpacked.rle(), expected);
      EXPECT_EQ(unpacked.area(), expected.area());
      EXPECT_EQ(unpacked.bounding_box(), expected.bounding_box());
      if (!io.has("in.mask." + name)) continue;  // the large one is not stored
      const auto values = io.at("in.mask." + name).as_ints();
      const std::vector<uint8_t> bytes(values.begin(), values.end());
      EXPECT_EQ(unpacked, Mask(size.width, size.height, bytes));
    }
  }
}

TEST(CocoRle, OverlapsMatchGolden) {
  for (const Golden& golden : goldens("coco_rle")) {
    SCOPED_TRACE(golden.name);
    const auto masks = named_masks(golden);
    const auto names = golden.json().at("iou_names").get<std::vector<std::string>>();
    const auto crowd = golden.json().at("iou_crowd").get<std::vector<int>>();
    std::vector<float> with_crowd, without;
    for (const auto& detection : names) {
      for (size_t j = 0; j < names.size(); ++j) {
        const Rle& truth = masks.at(names[j]);
        with_crowd.push_back(static_cast<float>(iou(masks.at(detection), truth, crowd[j] != 0)));
        without.push_back(static_cast<float>(iou(masks.at(detection), truth)));
        EXPECT_DOUBLE_EQ(iou(masks.at(detection), truth),
                         iou(Mask::from_rle(masks.at(detection)), Mask::from_rle(truth)));
      }
    }
    const auto& io = golden.tensors("io");
    expect_near(with_crowd, io.at("out.iou_dt_by_gt"), golden.tolerance("out"), "iou with crowds");
    expect_near(without, io.at("out.iou_no_crowd"), golden.tolerance("out"), "iou");
  }
}

TEST(CocoRle, MergesMatchGolden) {
  for (const Golden& golden : goldens("coco_rle")) {
    const auto masks = named_masks(golden);
    for (const auto& entry : golden.json().at("merges")) {
      SCOPED_TRACE(golden.name + " " + entry.at("a").dump());
      std::vector<Rle> parts;
      for (const auto& name : entry.at("a")) parts.push_back(masks.at(name));
      const Rle merged = merge(parts, entry.at("intersect").get<int>() != 0);
      EXPECT_EQ(merged, rle_of(entry, merged.size()));
      EXPECT_EQ(merged.string(), entry.at("string").get<std::string>());
    }
  }
}

TEST(CocoRle, PolygonsMatchGolden) {
  for (const Golden& golden : goldens("coco_rle")) {
    for (const auto& entry : golden.json().at("polygons")) {
      const auto xy = entry.at("polygon_xy").get<std::vector<double>>();
      SCOPED_TRACE(golden.name + " " + entry.at("polygon_xy").dump());
      Ring ring;
      for (size_t i = 0; i + 1 < xy.size(); i += 2) ring.push_back({xy[i], xy[i + 1]});
      const Rle filled = coco_rle_from_ring(ring, size_of(entry));
      EXPECT_EQ(filled, rle_of(entry, size_of(entry)));
      EXPECT_EQ(filled.area(), entry.at("area").get<int64_t>());
    }
  }
}

TEST(CocoRle, BoxesMatchGolden) {
  for (const Golden& golden : goldens("coco_rle")) {
    const ImageSize size = size_of(golden.json().at("items").at(0));
    for (const auto& entry : golden.json().at("boxes")) {
      const auto box = entry.at("bbox_xywh").get<std::vector<double>>();
      SCOPED_TRACE(golden.name + " " + entry.at("bbox_xywh").dump());
      const Rle filled = coco_rle_from_box(box[0], box[1], box[2], box[3], size);
      EXPECT_EQ(filled, rle_of(entry, size));
      EXPECT_EQ(filled.area(), entry.at("area").get<int64_t>());
    }
  }
}

}  // namespace
}  // namespace beckon
