// What other tools write, and what a form cannot carry: read as they mean it, and said.
#include <algorithm>
#include <filesystem>

#include <gtest/gtest.h>

#include "beckon/annotation.h"
#include "beckon/error.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

class OtherTools : public testing::Test {
 protected:
  Dataset read(const std::string& name, const std::string& photos = {}) {
    notices = {};
    return read_annotations(dir / name, {.images = photos}, &notices);
  }
  void write(const Dataset& data, const std::string& name, const std::string& format) {
    notices = {};
    write_annotations(data, dir / name, format, {}, &notices);
  }
  bool noticed(const std::string& what) const {
    return std::any_of(notices.list().begin(), notices.list().end(), [&](const auto& notice) {
      return notice.text().find(what) != std::string::npos;
    });
  }
  static int64_t area(const Dataset& data, size_t number) {
    const Annotation& one = data.annotations.at(number);
    return mask_of(one, data.images.at(one.image).size())->area();
  }

  TempDir dir;
  FormatNotices notices;
};

TEST_F(OtherTools, CocoKeepsItsOwnAreasAndDeepKeys) {
  dir.write("a.json", R"({"images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 50}],
    "categories": [{"id": 4, "name": "t"}],
    "annotations": [{"id": 9, "image_id": 1, "category_id": 4, "iscrowd": 0, "bbox": [1, 1, 20, 10],
      "area": 187.25, "segmentation": [[1, 1, 21, 1, 21, 11, 1, 11]],
      "deep": [[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]}]})");
  write(read("a.json"), "b.json", "coco");
  EXPECT_TRUE(notices.empty());
  const Dataset back = read("b.json");
  EXPECT_EQ(back.annotations.at(0).area, 187.25);
  EXPECT_NE(back.annotations[0].extra.find("[[[[[[[[[[[[[[[[[[[[1]"), std::string::npos);
  Dataset simple = back;
  simplify(simple, 3);
  EXPECT_FALSE(simple.annotations[0].area) << "of another shape";
}

TEST_F(OtherTools, WhatIsLostOnTheWayIsSaid) {
  Dataset data;
  data.category("used");
  data.category("unused");
  data.images = {{.file = "a.png", .width = 20, .height = 15, .id = 70}};
  data.annotations = {{.image = 0, .category = 0, .shape = BoxShape{1, 1, 5, 5}, .id = 12}};
  fs::create_directory(dir / "photos");
  Mask(20, 15).write_png(dir / "photos/a.png");
  for (const AnnotationFormat& format : annotation_formats()) {
    write(data, std::string("out-") + format.name, format.name);
    EXPECT_EQ(noticed("the ids of images"), !format.ids) << format.name;
    EXPECT_EQ(noticed("the ids of annotations"), !format.ids) << format.name;
    EXPECT_EQ(noticed("categories that no annotation has"), !format.unused_categories)
        << format.name;
    const Dataset back = read_annotations(dir / (std::string("out-") + format.name),
                                          {.format = format.name, .images = dir / "photos"});
    const bool there = std::any_of(back.categories.begin(), back.categories.end(),
                                   [](const Category& c) { return c.name == "unused"; });
    EXPECT_EQ(there, format.unused_categories) << format.name;
    EXPECT_EQ(back.annotations.at(0).id == 12, format.ids) << format.name;
  }
}

TEST_F(OtherTools, CurvesOfSvg) {
  dir.write("a.svg", R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">
    <path d="M 50 100 a 50 50 0 1 0 100 0 a 50 50 0 1 0 -100 0 Z"/>
    <path d="M50 100A50,50 0 10150 100 50,50 0 1050 100"/>
    <circle cx="100" cy="100" r="50"/>
    <ellipse cx="100" cy="100" rx="80" ry="20"/>
    <path d="M 0 50 Q 25 0 50 50 T 100 50 Z"/>
    <path d="M 10 10 A 0 5 0 0 0 30 10 L 30 30 Z"/></svg>)");
  const Dataset data = read("a.svg");
  ASSERT_EQ(data.annotations.size(), 6u);
  for (const size_t disc : {0, 1, 2})
    EXPECT_NEAR(static_cast<double>(area(data, disc)), 7854, 40) << disc;
  EXPECT_NEAR(static_cast<double>(area(data, 3)), 5027, 60);
  EXPECT_NEAR(static_cast<double>(area(data, 4)), 2 * 833, 40);  // two lobes of 2/3 x 50 x 25
  EXPECT_NEAR(static_cast<double>(area(data, 5)), 200, 25);      // a radius of 0 is a line
}

TEST_F(OtherTools, TransformsOfSvg) {
  dir.write("a.svg", R"x(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 200">
    <g transform="translate(10,20) scale(2)"><rect x="5" y="5" width="10" height="20"/>
      <g transform="rotate(90 10 10)"><path d="M 10 10 L 20 10 L 20 14 L 10 14 Z"/></g></g>
    <rect x="10" y="0" width="10" height="10" transform="matrix(0 1-1 0 100 50)"/>
    <polygon points="0,0 10,0 10,10 0,10" transform="skewX(45)"/></svg>)x");
  const Dataset data = read("a.svg");
  EXPECT_TRUE(notices.empty());
  ASSERT_EQ(data.annotations.size(), 4u);
  EXPECT_EQ(std::get<BoxShape>(data.annotations[0].shape), (BoxShape{20, 30, 20, 40}));
  const auto expect_box = [&](size_t number, const BoxShape& box) {
    const BoxShape found = *box_of(data.annotations[number]);
    EXPECT_NEAR(found.x, box.x, 1e-9) << number;
    EXPECT_NEAR(found.y, box.y, 1e-9) << number;
    EXPECT_NEAR(found.width, box.width, 1e-9) << number;
    EXPECT_NEAR(found.height, box.height, 1e-9) << number;
  };
  expect_box(1, {22, 40, 8, 20});
  expect_box(2, {90, 60, 10, 10});
  expect_box(3, {0, 0, 20, 10});
  dir.write("b.svg",
            R"x(<svg viewBox="0 0 9 9"><g transform="whirl(3)"><path d="M0 0"/></g></svg>)x");
  EXPECT_THROW(read("b.svg"), Error);
}

TEST_F(OtherTools, GeoJsonWithoutSizesAndLabelsBecomesCocoThatReadersTake) {
  dir.write("a.geojson", R"({"type": "FeatureCollection", "features": [{"type": "Feature",
    "properties": {}, "geometry": {"type": "Polygon",
    "coordinates": [[[1, 1], [9, 1], [9, 9], [1, 9], [1, 1]]]}}]})");
  write(read("a.geojson"), "b.json", "coco");
  EXPECT_TRUE(noticed("--photos"));
  EXPECT_TRUE(noticed("'object'"));
  const Dataset back = read("b.json");
  EXPECT_EQ(back.categories.at(0).name, "object");
  EXPECT_EQ(back.annotations.at(0).category, 0);
}

TEST_F(OtherTools, LabelStudiosAddressesStandForFiles) {
  const auto task = [](const std::string& image) {
    return R"({"data": {"image": ")" + image +
           R"("}, "annotations": [{"result": [{"type": "polygonlabels",
      "original_width": 40, "original_height": 20,
      "value": {"points": [[10, 10], [50, 10], [50, 50]], "polygonlabels": ["cat"]}}]}]})";
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"/data/upload/1/ab12-photo.jpg", "ab12-photo.jpg"},
      {"/data/local-files/?d=folder/photo%201.jpg", "folder/photo 1.jpg"},
      {"s3://bucket/dir/photo.jpg", "dir/photo.jpg"},
      {"http://host:8080/data/upload/7/a.png?token=1", "a.png"},
      {"https://host/dir/a.png?width=3#x", "dir/a.png"},
      {"/home/me/a.png", "/home/me/a.png"},
      {"dir/100%.png", "dir/100%.png"},
      {"http://host", "http://host"}};
  std::string tasks;
  for (const auto& [address, file] : cases) tasks += (tasks.empty() ? "[" : ",") + task(address);
  dir.write("tasks.json", tasks + "]");
  const Dataset data = read("tasks.json");
  ASSERT_EQ(data.images.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) EXPECT_EQ(data.images[i].file, cases[i].second);
  // Label Studio gets its own addresses back.
  write(data, "again.json", "label-studio");
  const std::vector<uint8_t> bytes = read_bytes(dir / "again.json");
  const std::string again(bytes.begin(), bytes.end());
  for (const auto& [address, file] : cases)
    EXPECT_NE(again.find('"' + address + '"'), std::string::npos) << address;
}

TEST_F(OtherTools, AFolderOfPhotosIsNoDataSet) {
  for (const char* name : {"coffee.png", "chelsea.png"})
    fs::copy_file(fs::path(BECKON_SOURCE_DIR) / "examples/photos" / name, dir / name);
  EXPECT_THROW(read("."), Error);
  EXPECT_THROW(read("coffee.png"), Error);
}

TEST_F(OtherTools, BrokenPhotosAreNoticedAndTheRestIsRead) {
  for (const char* folder : {"photos", "yolo/labels"}) fs::create_directories(dir / folder);
  dir.write("photos/a.png", "no picture");
  Mask(20, 15).write_png(dir / "photos/b.png");
  dir.write("a.json", R"({"images": [{"id": 1, "file_name": "a.png", "width": 20, "height": 15},
      {"id": 2, "file_name": "b.png"}], "annotations": []})");
  const Dataset data = read("a.json", dir / "photos");
  EXPECT_TRUE(noticed("the photo cannot be read"));
  EXPECT_EQ(data.images.at(1).width, 20);

  dir.write("yolo/classes.txt", "thing\n");
  dir.write("yolo/labels/a.txt", "0 0.5 0.5 0.2 0.2\n");
  dir.write("yolo/labels/b.txt", "0 0.5 0.5 0.2 0.2\n");
  EXPECT_EQ(read("yolo", dir / "photos").annotations.size(), 1u);
  EXPECT_TRUE(noticed(kLabelsLeftOut));
}

TEST_F(OtherTools, NothingFoundIsSaid) {
  fs::create_directory(dir / "empty");
  FormatNotices heard;
  read_annotations(dir / "empty", {.format = "labelme"}, &heard);
  ASSERT_EQ(heard.list().size(), 1u);
  EXPECT_NE(heard.list()[0].text().find("nothing of labelme"), std::string::npos);
}

}  // namespace
}  // namespace beckon::test
