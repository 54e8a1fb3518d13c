// The law of round trips: what the table of formats says a format carries comes back from it, for
// data sets that are made up at random; what it cannot carry is said in a notice. And whatever was
// read once is written and read again without any further change.
#include <algorithm>
#include <filesystem>
#include <map>
#include <random>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "beckon/annotation.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

class Maker {
 public:
  explicit Maker(uint32_t seed) : random_(seed) {}

  int below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  bool chance(double p) { return below(1000) < p * 1000; }

  // Discs, with holes and in several parts.
  Mask blob(ImageSize size) {
    Mask mask(size);
    for (int i = 1 + below(3); i > 0; --i)
      disc(mask, true, 2 + below(1 + std::min(size.width, size.height) / 3));
    for (int i = below(3); i > 0; --i) disc(mask, false, 1 + below(3));
    mask.set(below(size.width), below(size.height), true);
    return mask;
  }

  Dataset dataset() {
    static const char* const kNames[] = {"Hund",        "猫",  "sea lion & co <b>",
                                         "größe \"5\"", "a/b", "naïve, 100%"};
    static const char* const kFiles[] = {"eins.png", "sub/zwei.png", "sub/drei 3.png", "Ümlaut.png",
                                         "空/五.png"};
    Dataset data;
    const int categories = 1 + below(5), images = 1 + below(5);
    for (int i = 0; i < categories; ++i) data.category(kNames[i]);
    for (int i = 0; i < images; ++i)
      data.images.push_back({.file = kFiles[i], .width = 9 + below(60), .height = 7 + below(50)});
    for (size_t image = 0; image < data.images.size(); ++image)
      for (int n = below(5); n > 0; --n) data.annotations.push_back(annotation(image, data));
    return data;
  }

 private:
  void disc(Mask& mask, bool value, int radius) {
    const int cx = below(mask.width()), cy = below(mask.height());
    for (int y = std::max(0, cy - radius); y < std::min(mask.height(), cy + radius); ++y)
      for (int x = std::max(0, cx - radius); x < std::min(mask.width(), cx + radius); ++x)
        if ((x - cx) * (x - cx) + (y - cy) * (y - cy) < radius * radius) mask.set(x, y, value);
  }

  Annotation annotation(size_t image, const Dataset& data) {
    const ImageSize size = data.images[image].size();
    Annotation one{.image = image, .category = below(static_cast<int>(data.categories.size()))};
    const int kind = below(4);
    if (kind == 0) {
      const int x = below(size.width - 2), y = below(size.height - 2);
      one.shape = BoxShape{static_cast<double>(x), static_cast<double>(y),
                           static_cast<double>(1 + below(size.width - x - 1)),
                           static_cast<double>(1 + below(size.height - y - 1))};
    } else if (kind == 1) {
      one.shape = Outline{polygons_of(blob(size))};
    } else {
      one.shape = blob(size).rle();
    }
    if (chance(0.5)) one.score = below(100) / 100.0;
    return one;
  }

  std::mt19937 random_;
};

class RoundTrip : public testing::TestWithParam<const AnnotationFormat*> {
 protected:
  // Photos of the right sizes, for formats that do not carry them.
  std::string photos(const Dataset& data) const {
    const std::string folder = dir / "photos";
    for (const AnnotatedImage& image : data.images) {
      const fs::path path = fs::path(folder) / image.file;
      fs::create_directories(path.parent_path());
      Mask(image.size()).write_png(path.string());
    }
    return folder;
  }

  TempDir dir;
};

// By image and then in order: formats of a file an image may list images in another order.
std::map<std::string, std::vector<const Annotation*>> by_image(const Dataset& data) {
  std::map<std::string, std::vector<const Annotation*>> result;
  for (const AnnotatedImage& image : data.images) result[fs::path(image.file).stem().string()];
  for (const Annotation& one : data.annotations)
    result[fs::path(data.images[one.image].file).stem().string()].push_back(&one);
  return result;
}

std::string label(const Dataset& data, const Annotation& one) {
  return one.category < 0 ? "" : data.categories[static_cast<size_t>(one.category)].name;
}

// Where nothing may overlap, the later annotation lies above; boxes that stay boxes cover nothing.
std::vector<Mask> apart(const std::vector<const Annotation*>& list, ImageSize size,
                        bool boxes_stay) {
  std::vector<Mask> masks;
  for (const Annotation* one : list) {
    Mask mask = Mask::from_rle(*mask_of(*one, size));
    if (!boxes_stay || !std::holds_alternative<BoxShape>(one->shape))
      for (Mask& earlier : masks) earlier = earlier - mask;
    masks.push_back(std::move(mask));
  }
  return masks;
}

void expect_same_box(const BoxShape& a, const BoxShape& b, double tolerance,
                     const std::string& what) {
  EXPECT_NEAR(a.x, b.x, tolerance) << what;
  EXPECT_NEAR(a.y, b.y, tolerance) << what;
  EXPECT_NEAR(a.width, b.width, tolerance) << what;
  EXPECT_NEAR(a.height, b.height, tolerance) << what;
}

TEST_P(RoundTrip, WhatAFormatCarriesComesBack) {
  const AnnotationFormat& format = *GetParam();
  for (uint32_t seed = 0; seed < 40; ++seed) {
    const std::string what = std::string(format.name) + ", data set " + std::to_string(seed);
    const Dataset data = Maker(seed).dataset();
    const std::string place =
        dir / (std::string(format.name) + std::to_string(seed) + (format.folder ? "" : ".file"));
    FormatNotices lost;
    write_annotations(data, place, format.name, {}, &lost);
    ReadAnnotationsOptions options{.format = format.name};
    options.images = photos(data);
    const Dataset back = read_annotations(place, options);

    const auto before = by_image(data), after = by_image(back);
    for (const auto& [name, list] : before) {
      if (list.empty() && !format.empty_images) continue;
      ASSERT_TRUE(after.count(name)) << what << ": image " << name;
      const auto& again = after.at(name);
      const ImageSize size = list.empty() ? ImageSize{} : data.images[list[0]->image].size();
      // An object that is wholly covered is not there where nothing may overlap.
      std::vector<const Annotation*> left = list;
      std::vector<Mask> seen;
      if (!format.overlap && format.masks && !list.empty()) {
        const std::vector<Mask> all = apart(list, size, format.boxes);
        left.clear();
        for (size_t i = 0; i < list.size(); ++i)
          if (all[i].area() > 0 || format.boxes) left.push_back(list[i]), seen.push_back(all[i]);
      }
      ASSERT_EQ(again.size(), left.size()) << what << ": image " << name;
      for (size_t i = 0; i < left.size(); ++i) {
        const Annotation &a = *left[i], &b = *again[i];
        const std::string where = what + ", image " + name + ", annotation " + std::to_string(i);
        EXPECT_EQ(back.images[b.image].size(), size) << where;
        if (format.labels) {
          EXPECT_EQ(label(back, b), label(data, a)) << where;
        }
        const auto* box = std::get_if<BoxShape>(&a.shape);
        if (box && format.boxes) {
          expect_same_box(*box_of(b), *box, 1e-3, where);
        } else if (format.masks) {
          const Rle expected = seen.empty() ? *mask_of(a, size) : seen[i].rle();
          if (expected.area() > 0) {
            EXPECT_EQ(mask_of(b, size)->canonical(), expected.canonical()) << where;
          }
        } else {
          expect_same_box(*box_of(b), *box_of(a), 1e-3, where);
        }
        if (format.scores && a.score) {
          // SA-1B has one number for it.
          const auto& score = b.score ? b.score : b.predicted_iou;
          ASSERT_TRUE(score) << where;
          EXPECT_NEAR(*score, *a.score, 1e-9) << where;
        }
      }
    }
    // Read once, nothing changes any more.
    const std::string second = place + "-2";
    write_annotations(back, second, format.name);
    const Dataset third = read_annotations(second, options);
    ASSERT_EQ(third.annotations.size(), back.annotations.size()) << what;
    for (size_t i = 0; i < third.annotations.size(); ++i) {
      const Annotation &a = back.annotations[i], &b = third.annotations[i];
      EXPECT_EQ(label(third, b), label(back, a)) << what;
      const ImageSize size = back.images[a.image].size();
      const auto first_mask = mask_of(a, size), second_mask = mask_of(b, size);
      ASSERT_EQ(first_mask.has_value(), second_mask.has_value()) << what;
      if (first_mask) {
        EXPECT_EQ(second_mask->canonical(), first_mask->canonical()) << what;
      }
    }
    // What is lost is said.
    const bool scores = std::any_of(data.annotations.begin(), data.annotations.end(),
                                    [](const Annotation& a) { return a.score.has_value(); });
    if (scores && !format.scores) {
      EXPECT_TRUE(std::any_of(lost.list().begin(), lost.list().end(), [](const auto& n) {
        return n.what.find("scores") != std::string::npos;
      })) << what;
    }
    EXPECT_EQ(detect_annotation_format(place).substr(0, 4), std::string(format.name).substr(0, 4))
        << what;
  }
}

std::vector<const AnnotationFormat*> all_formats() {
  std::vector<const AnnotationFormat*> list;
  for (const AnnotationFormat& format : annotation_formats()) list.push_back(&format);
  return list;
}

INSTANTIATE_TEST_SUITE_P(Formats, RoundTrip, testing::ValuesIn(all_formats()), [](const auto& one) {
  std::string name = one.param->name;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

}  // namespace
}  // namespace beckon::test
