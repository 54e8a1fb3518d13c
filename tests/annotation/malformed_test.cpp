// Files of annotations that somebody broke, or wrote to harm: an error of the right kind in one
// line, soon, and no large allocation.
#include <ctime>
#include <filesystem>
#include <fstream>
#include <random>

#include <gtest/gtest.h>

#include "beckon/annotation.h"
#include "beckon/error.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

Dataset small() {
  Dataset data;
  data.category("thing");
  data.category("Ding \"zwei\"");
  data.images = {{.file = "a.png", .width = 20, .height = 15},
                 {.file = "sub/b.png", .width = 8, .height = 8}};
  Mask mask = Mask::from_box({3, 3, 9, 8}, {20, 15}) - Mask::from_box({5, 5, 2, 2}, {20, 15});
  data.annotations = {{.image = 0, .category = 0, .shape = mask.rle(), .score = 0.5},
                      {.image = 0, .category = 1, .shape = BoxShape{1, 2, 3, 4}},
                      {.image = 1,
                       .category = 0,
                       .shape = Outline{polygons_of(Mask::from_box({1, 1, 4, 4}, {8, 8}))}}};
  return data;
}

std::string text_of(const std::string& path) {
  const auto bytes = read_bytes(path);
  return {bytes.begin(), bytes.end()};
}

// Whatever it is, it is read or refused in order.
void expect_in_order(const std::string& place, const std::string& format, const std::string& photos,
                     const std::string& what) {
  const std::clock_t start = std::clock();
  try {
    const Dataset data = read_annotations(place, {.format = format, .images = photos});
    for (const Annotation& one : data.annotations) {
      ASSERT_LT(one.image, data.images.size()) << what;
      ASSERT_LT(one.category, static_cast<int>(data.categories.size())) << what;
      try {
        mask_of(one, data.images[one.image].size());
      } catch (const Error& error) {
        EXPECT_TRUE(error.kind() == Kind::input || error.kind() == Kind::resource)
            << what << error.what();
      }
    }
  } catch (const Error& error) {
    EXPECT_TRUE(error.kind() == Kind::input || error.kind() == Kind::resource ||
                error.kind() == Kind::missing || error.kind() == Kind::unsupported)
        << what << ": " << error.what();
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << what;
    EXPECT_LT(std::string(error.what()).size(), 600u) << what;
  }
  EXPECT_LT((std::clock() - start) / CLOCKS_PER_SEC, 5) << what;
}

TEST(Malformed, EveryFormatStandsDamage) {
  const TempDir dir;
  const Dataset data = small();
  for (const AnnotatedImage& image : data.images) {
    fs::create_directories(fs::path(dir / ("photos/" + image.file)).parent_path());
    Mask(image.size()).write_png(dir / ("photos/" + image.file));
  }
  std::mt19937 random(7);
  for (const AnnotationFormat& format : annotation_formats()) {
    const std::string place = dir / format.name;
    write_annotations(data, place, format.name);
    std::vector<std::string> files;
    if (fs::is_directory(place)) {
      for (const auto& file : fs::recursive_directory_iterator(place))
        if (file.is_regular_file()) files.push_back(file.path().string());
    } else {
      files.push_back(place);
    }
    for (const std::string& file : files) {
      const std::string good = text_of(file);
      const auto tried = [&](const std::string& bad, const std::string& how) {
        std::ofstream(file, std::ios::binary) << bad;
        expect_in_order(place, format.name, dir / "photos",
                        std::string(format.name) + ", " + file + ": " + how);
      };
      for (size_t cut = 0; cut < good.size(); cut += 1 + good.size() / 25)
        tried(good.substr(0, cut), "cut");
      for (int i = 0; i < 60; ++i) {
        std::string bad = good;
        for (int n = 1 + static_cast<int>(random() % 3); n > 0 && !bad.empty(); --n)
          bad[random() % bad.size()] = static_cast<char>(random());
        tried(bad, "bytes");
      }
      // Numbers become large, negative, none.
      static const char* const kNumbers[] = {
          "-1", "1e308", "99999999999999999999", "4294967296", "NaN", "0", "1e-320"};
      for (int i = 0; i < 60; ++i) {
        std::string bad = good;
        const size_t from = bad.find_first_of("0123456789", random() % (bad.size() + 1));
        if (from == bad.npos) continue;
        const size_t to = bad.find_first_not_of("0123456789.", from);
        bad.replace(from, (to == bad.npos ? bad.size() : to) - from, kNumbers[random() % 7]);
        tried(bad, "numbers");
      }
      tried(std::string(100000, '['), "deep");
      tried("", "empty");
      std::ofstream(file, std::ios::binary) << good;
    }
  }
}

TEST(Malformed, SizesAreNotBelievedBlindly) {
  const TempDir dir;
  // A hundred bytes that claim a mask of a trillion pixels.
  dir.write(
      "coco.json",
      R"({"images":[{"id":1,"file_name":"a","width":1000000,"height":1000000}],"categories":[],
                "annotations":[{"id":1,"image_id":1,"iscrowd":1,"segmentation":{"size":[1000000,1000000],"counts":"0"}}]})");
  expect_in_order(dir / "coco.json", "", "", "a trillion pixels");
  dir.write("bomb.xml",
            "<?xml version=\"1.0\"?><!DOCTYPE lolz [<!ENTITY lol \"lol\"><!ENTITY lol2 "
            "\"&lol;&lol;&lol;&lol;\">"
            "<!ENTITY lol3 \"&lol2;&lol2;&lol2;&lol2;\">]><annotations><image id=\"0\" "
            "name=\"&lol3;\" width=\"9\" "
            "height=\"9\"/></annotations>");
  expect_in_order(dir / "bomb.xml", "cvat", "", "entities");
  dir.write("outside.xml",
            "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><annotations><image id=\"0\" "
            "name=\"&x;\" "
            "width=\"9\" height=\"9\"/></annotations>");
  expect_error(Kind::input, "entities",
               [&] { read_annotations(dir / "outside.xml", {.format = "cvat"}); });
  std::string deep;
  for (int i = 0; i < 200000; ++i) deep += "<g>";
  dir.write("deep.svg", "<svg width=\"9\" height=\"9\">" + deep);
  expect_in_order(dir / "deep.svg", "svg", "", "deep XML");
}

// Names in a file never lead out of the folder that is written.
TEST(Malformed, NamesDoNotLeadOutside) {
  for (const AnnotationFormat& format : annotation_formats()) {
    if (!format.folder) continue;
    const TempDir dir;
    Dataset data = small();
    data.images[0].file = "../../escaped.png";
    data.images[1].file = "/tmp/beckon-escaped.png";
    fs::create_directories(dir / "a/b");
    write_annotations(data, dir / "a/b/out", format.name);
    for (const auto& file : fs::recursive_directory_iterator(dir.path()))
      EXPECT_EQ(file.path().lexically_relative(dir / "a/b/out").string().find(".."),
                file.path().string().starts_with(dir / "a/b/out") ? std::string::npos : 0)
          << format.name << ": " << file.path();
    EXPECT_FALSE(fs::exists("/tmp/beckon-escaped.png"));
    EXPECT_FALSE(fs::exists(dir / "escaped.png"));
    EXPECT_FALSE(fs::exists(dir / "a/escaped.png"));
  }
}

TEST(Writing, ReplacesOrLeavesWhatIsThere) {
  const TempDir dir;
  const Dataset data = small();
  fs::create_directory(dir / "full");
  std::ofstream(dir / "full/keep.txt") << "mine";
  expect_error(Kind::output, "full", [&] { write_annotations(data, dir / "full", "labelme"); });
  EXPECT_EQ(text_of(dir / "full/keep.txt"), "mine");
  expect_error(Kind::output, "full", [&] { write_annotations(data, dir / "full", "coco"); });
  expect_error(Kind::usage, "unknown format 'tiff'",
               [&] { write_annotations(data, dir / "x", "tiff"); });
  write_annotations(data, dir / "no", "voc", {.accept = [](int64_t, int64_t) { return false; }});
  EXPECT_FALSE(fs::exists(dir / "no"));
  expect_error(Kind::missing, "nothing", [&] { read_annotations(dir / "nothing"); });
  dir.write("what.json", "{\"hello\": 1}");
  expect_error(Kind::input, "--from", [&] { read_annotations(dir / "what.json"); });
}

}  // namespace
}  // namespace beckon::test
