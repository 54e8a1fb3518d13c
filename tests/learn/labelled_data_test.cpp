// Data sets of pictures with classes, in every form that is read, made up in small.
#include "learn/data/labelled_data.h"

#include <filesystem>
#include <set>

#include <gtest/gtest.h>
#include <zlib.h>

#include "beckon/train.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

using namespace beckon::learn;
namespace fs = std::filesystem;

class Labelled : public ::testing::Test {
 protected:
  // A picture of one colour, so that it is known again.
  void picture(const std::string& name, int shade) const {
    const fs::path path = folder_.path() / name;
    fs::create_directories(path.parent_path());
    std::vector<uint8_t> pixels(8 * 6 * 3, static_cast<uint8_t>(shade));
    Image(8, 6, 3, pixels).write_png(path.string());
  }
  std::string file(const std::string& name, const std::string& text) const {
    fs::create_directories((folder_.path() / name).parent_path());
    return folder_.write(name, text);
  }
  std::unique_ptr<LabelledData> open(const std::string& below = "") const {
    return open_labelled_data(below.empty() ? folder_.path().string() : folder_ / below);
  }
  static std::string summary(const LabelledData& data) {
    std::string text = data.layout + ":";
    for (size_t i = 0; i < data.items.size(); ++i) {
      const char* part[] = {"train", "val", "test"};
      text += " " + std::string(part[static_cast<size_t>(data.items[i].part)]) + "/" +
              data.labels[static_cast<size_t>(data.items[i].label)] + "/" +
              std::to_string(data.load(i, {}).row(0)[0]);
    }
    return text;
  }
  TempDir folder_;
};

TEST_F(Labelled, ReadsAFolderForEachClass) {
  picture("cat/a.png", 1);
  picture("cat/more/b.png", 2);
  picture("dog/c.png", 3);
  file("dog/notes.md", "not a picture");
  file(".hidden/x.png", "");
  EXPECT_EQ(summary(*open()), "folders: train/cat/1 train/cat/2 train/dog/3");
  EXPECT_EQ(open()->name, folder_.path().filename().string());
}

TEST_F(Labelled, ReadsFoldersForParts) {
  picture("train/cat/a.png", 1);
  picture("train/dog/b.png", 2);
  picture("val/dog/c.png", 3);
  picture("test/cat/d.png", 4);
  EXPECT_EQ(summary(*open()), "folders: train/cat/1 train/dog/2 val/dog/3 test/cat/4");
}

TEST_F(Labelled, ClassesMayBeCalledLikeParts) {
  picture("test/a.png", 1);
  picture("train/a.png", 2);
  picture("boat/a.png", 3);
  EXPECT_EQ(summary(*open()), "folders: train/boat/3 train/test/1 train/train/2");
}

TEST_F(Labelled, RefusesFoldersWithoutTwoClasses) {
  picture("cat/a.png", 1);
  expect_error(Kind::input, "1 class ('cat')", [&] { open(); });
  fs::create_directories(folder_.path() / "dog");
  expect_error(Kind::input, "dog: this class has no pictures", [&] { open(); });
  expect_error(Kind::missing, "no such file", [&] { open("nowhere"); });
  fs::create_directories(folder_.path() / "empty");
  expect_error(Kind::input, "no form of a data set", [&] { open("empty"); });
}

std::string idx(int dimensions, const std::vector<uint32_t>& sizes, const std::string& values) {
  std::string text = {0, 0, 8, static_cast<char>(dimensions)};
  for (const uint32_t size : sizes)
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(size >> shift);
  return text + values;
}

std::string gzipped(const std::string& text) {
  z_stream stream = {};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(text.size() + 200, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

TEST_F(Labelled, ReadsMnistsIdxPlainAndZipped) {
  const std::string images = idx(3, {3, 2, 2}, std::string("\1\1\1\1\2\2\2\2\3\3\3\3"));
  const std::string labels = idx(1, {3}, std::string("\1\0\1", 3));
  file("train-images-idx3-ubyte", images);
  file("train-labels-idx1-ubyte.gz", gzipped(labels));
  file("t10k-images.idx3-ubyte.gz", gzipped(idx(3, {1, 2, 2}, "\7\7\7\7")));
  file("t10k-labels.idx1-ubyte", idx(1, {1}, std::string("\0", 1)));
  EXPECT_EQ(summary(*open()), "idx: train/1/1 train/0/2 train/1/3 test/0/7");
  file("labels.txt", "shirt\nshoe\n");
  EXPECT_EQ(open()->labels, (std::vector<std::string>{"shirt", "shoe"}));
  EXPECT_NE(open()->path(1).find("train-images-idx3-ubyte, picture 1"), std::string::npos);
  file("labels.txt", "shirt\n");
  expect_error(Kind::input, "1 names for 2 classes", [&] { open(); });
}

TEST_F(Labelled, RefusesBrokenIdx) {
  const std::string images = idx(3, {3, 2, 2}, std::string("\1\1\1\1\2\2\2\2\3\3\3\3"));
  const std::string labels = idx(1, {3}, std::string("\1\0\1", 3));
  const auto with = [&](const std::string& i, const std::string& l, const std::string& message) {
    file("train-images-idx3-ubyte", i);
    file("train-labels-idx1-ubyte", l);
    expect_error(Kind::input, message, [&] { open(); });
  };
  for (size_t cut = 0; cut < images.size(); ++cut) with(images.substr(0, cut), labels, "");
  with(images + "x", labels, "1 bytes too many");
  with(images, idx(1, {2}, std::string("\1\0", 2)), "2 labels for 3 pictures");
  with("\x89PNG____________", labels, "expected 00 00 08 03");
  with(idx(3, {0xffffffffu, 0xffffffffu, 0xffffffffu}, ""), labels, "size");
  with(idx(3, {0, 2, 2}, ""), labels, "a size of 0");
  // Promises much, holds little.
  with(gzipped(idx(3, {60000, 28, 28}, "")), labels, "cut off");
  const std::string zipped = gzipped(images);
  for (size_t cut = 2; cut + 9 < zipped.size(); ++cut) with(zipped.substr(0, cut), labels, "");
  std::string broken = zipped;
  broken[broken.size() - 6] ^= 0x55;  // the check sum
  with(broken, labels, "broken");
  fs::remove(folder_.path() / "train-labels-idx1-ubyte");
  expect_error(Kind::input, "labels-idx1-ubyte is missing", [&] { open(); });
}

TEST_F(Labelled, ReadsCifar) {
  const auto record = [](int before, char label, char red, char green) {
    std::string text(static_cast<size_t>(before), '\5');
    text += label;
    return text + std::string(1024, red) + std::string(1024, green) + std::string(1024, '\0');
  };
  std::string all;
  for (char c = 0; c < 10; ++c) all += record(0, c, static_cast<char>(c + 1), 9);
  file("cifar-10-batches-bin/data_batch_1.bin", all);
  file("cifar-10-batches-bin/test_batch.bin", record(0, 3, 50, 60));
  const auto data = open();
  ASSERT_EQ(data->items.size(), 11u);
  EXPECT_EQ(data->layout, "cifar");
  const Image last = data->load(10, {});
  EXPECT_EQ(last.size(), (ImageSize{32, 32}));
  EXPECT_EQ(std::vector<uint8_t>(last.row(7), last.row(7) + 4),
            (std::vector<uint8_t>{50, 60, 0, 50}));
  EXPECT_EQ(data->items[10].part, Part::test);
  file("cifar-10-batches-bin/data_batch_1.bin", all + "x");
  expect_error(Kind::input, "expected a multiple of 3073", [&] { open(); });
  file("cifar-10-batches-bin/data_batch_1.bin", record(0, 10, 1, 1));
  expect_error(Kind::input, "is of class 10", [&] { open(); });

  fs::remove_all(folder_.path() / "cifar-10-batches-bin");
  all.clear();
  for (int c = 0; c < 100; ++c) all += record(1, static_cast<char>(c), 1, 2);
  file("cifar-100-binary/train.bin", all);
  EXPECT_EQ(open()->items.size(), 100u);
  EXPECT_EQ(open()->items[99].label, 99);
}

TEST_F(Labelled, ReadsFgvcLists) {
  picture("images/x/a.png", 1);
  picture("images/x/b.png", 2);
  picture("images/y/c.png", 3);
  file("train.json", R"({"x/a.png": 12, "y/c.png": 3})");
  file("val.json", R"({"x/b.png": 12})");
  EXPECT_EQ(summary(*open()), "fgvc: train/12/1 train/3/3 val/12/2");
  EXPECT_EQ(open()->labels, (std::vector<std::string>{"3", "12"}));  // as numbers
  file("train.json", R"({"x/a.png": [1]})");
  expect_error(Kind::input, "expected a number", [&] { open(); });
  file("train.json", R"(["x/a.png"])");
  expect_error(Kind::input, "expected an object", [&] { open(); });
}

TEST_F(Labelled, ReadsVtabLists) {
  picture("images/a b.png", 1);
  picture("images/c.png", 2);
  file("train800.txt", "images/a b.png 0\r\n\nimages/c.png 10\n");
  file("val200.txt", "images/c.png 10\n");
  file("train800val200.txt", "not read");
  file("test.txt", "images/a b.png\t0\n");
  EXPECT_EQ(summary(*open()), "lists: train/0/1 train/10/2 val/10/2 test/0/1");
  file("val200.txt", "images/c.png\n");
  expect_error(Kind::input, "line 1: expected a picture and its class", [&] { open(); });
}

TEST_F(Labelled, ReadsCoOpsSplits) {
  picture("jpg/a.png", 1);
  picture("jpg/b.png", 2);
  file("split_zhou_OxfordFlowers.json",
       R"({"train": [["a.png", 0, "pink primrose"], ["b.png", 1, "globe thistle"]],
           "val": [], "test": [["a.png", 0, "pink primrose"]]})");
  EXPECT_EQ(summary(*open()),
            "split: test/pink primrose/1 train/pink primrose/1 train/globe thistle/2");
  file("split_zhou_OxfordFlowers.json", R"({"train": [["a.png", "0", "x"]]})");
  expect_error(Kind::input, "train 1: expected [picture, number, class]", [&] { open(); });
}

TEST_F(Labelled, ReadsTables) {
  picture("a.png", 1);
  picture("b,c.png", 2);
  const std::string table =
      file("t.csv",
           "label,path,split\r\ncat,a.png,train\r\n\"do\"\"g\",\"b,c.png\",train\ncat,a.png,val\n");
  EXPECT_EQ(summary(*open_labelled_data(table)), "csv: train/cat/1 train/do\"g/2 val/cat/1");
  EXPECT_EQ(summary(*open_labelled_data(file("u.csv", "a.png,2\n\"b,c.png\",10\n"))),
            "csv: train/2/1 train/10/2");
  const auto refused = [&](const std::string& text, const std::string& message) {
    expect_error(Kind::input, message, [&] { open_labelled_data(file("v.csv", text)); });
  };
  refused("", "it is empty");
  refused("a.png,1\nb.png\n", "row 2 has 1 cells, the first 2");
  refused("path,label,split\na.png,cat,holdout\n", "row 2: split 'holdout'");
  refused("path,kind\na.png,cat\n", "expected columns 'path' and 'label'");
  refused("path,label\na.png,\n", "an empty label");
  refused("path,label\n\"a.png,cat\n", "a quote is not closed");
}

TEST_F(Labelled, ReadsWilds) {
  const std::string at = "patches/patient_004_node_4/patch_patient_004_node_4_x_";
  picture(at + "1_y_2.png", 1);
  picture(at + "3_y_4.png", 2);
  picture(at + "5_y_6.png", 3);
  picture(at + "7_y_8.png", 4);
  file("metadata.csv",
       ",patient,node,x_coord,y_coord,tumor,slide,center,split\n"
       "0,004,4,1,2,1,0,0,0\n1,004,4,3,4,0,0,3,0\n2,004,4,5,6,1,0,1,0\n3,004,4,7,8,0,0,2,1\n"
       "4,004,4,9,9,0,0,0,1\n");
  EXPECT_EQ(summary(*open()), "wilds: train/tumor/1 train/normal/2 val/tumor/3 test/normal/4");

  picture("train/f.png", 5);
  picture("train/g.png", 6);
  file("metadata.csv",
       "split,filename,y\ntrain,f.png,0\ntrain,g.png,7\nid_val,f.png,0\ntest,g.png,7\n");
  EXPECT_EQ(summary(*open()), "wilds: train/0/5 train/7/6 test/7/6");

  picture("images/rgb_img_0.png", 7);
  picture("images/rgb_img_2.png", 8);
  file("rgb_metadata.csv",
       "split,img_filename,category\ntrain,x,airport\nseq,y,zoo\ntrain,z,zoo\n");
  EXPECT_EQ(summary(*open()), "wilds: train/airport/7 train/zoo/8");
  file("rgb_metadata.csv", "split,img_filename\ntrain,x\n");
  expect_error(Kind::input, "no column 'category'", [&] { open(); });
}

TEST_F(Labelled, ReadsClevr) {
  picture("images/train/a.png", 1);
  picture("images/train/b.png", 2);
  picture("images/val/c.png", 3);
  file("scenes/CLEVR_train_scenes.json",
       R"({"scenes": [{"image_filename": "a.png", "objects": [{}, {}, {}]},
                      {"image_filename": "b.png", "objects": [{},{},{},{},{},{},{},{},{},{}]}]})");
  file("scenes/CLEVR_val_scenes.json",
       R"({"scenes": [{"image_filename": "c.png", "objects": [{}, {}, {}]}]})");
  EXPECT_EQ(summary(*open()), "clevr: train/3/1 train/10/2 test/3/3");
  file("scenes/CLEVR_val_scenes.json", R"({"scenes": [{}]})");
  expect_error(Kind::input, "scene 1: expected 'image_filename'", [&] { open(); });
}

TEST_F(Labelled, SetsAPartAsideThatNothingLearnsFrom) {
  for (int i = 0; i < 20; ++i) {
    picture("cat/" + std::to_string(i) + ".png", i);
    picture("dog/" + std::to_string(i) + ".png", 100 + i / 4);  // five contents, four times each
  }
  picture("eel/only.png", 200);
  const auto data = open();
  const LearningSplit split = split_for_learning(*data, 0.25, 1);
  std::set<size_t> both(split.train.begin(), split.train.end());
  both.insert(split.validation.begin(), split.validation.end());
  EXPECT_EQ(both.size(), 41u);
  EXPECT_EQ(split.train.size() + split.validation.size(), 41u);
  std::vector<int> aside(3);
  std::set<int> learned, held;
  for (const size_t i : split.validation) {
    ++aside[static_cast<size_t>(data->items[i].label)];
    held.insert(data->load(i, {}).row(0)[0]);
  }
  for (const size_t i : split.train) learned.insert(data->load(i, {}).row(0)[0]);
  EXPECT_EQ(aside[0], 5);
  EXPECT_EQ(aside[1], 8) << "whole groups of the same picture";
  EXPECT_EQ(aside[2], 0) << "the only one of its class";
  for (const int shade : held) EXPECT_FALSE(learned.contains(shade)) << shade;

  EXPECT_EQ(split_for_learning(*data, 0.25, 1).validation, split.validation);
  EXPECT_NE(split_for_learning(*data, 0.25, 2).validation, split.validation);
  EXPECT_TRUE(split_for_learning(*data, 0, 1).validation.empty());
}

TEST_F(Labelled, TellsWhichPictureIsBroken) {
  picture("cat/a.png", 1);
  file("dog/b.png", "no picture");
  const auto data = open();
  expect_error(Kind::input, "dog/b.png", [&] { data->load(1, {}); });
}

TEST(NamedData, SquaresAreMadeUpTheSameEachTime) {
  const auto data = open_labelled_data("counting-squares:200"),
             again = open_labelled_data("counting-squares:200");
  EXPECT_EQ(data->of(Part::train).size(), 200u);
  EXPECT_EQ(data->of(Part::test).size(), 40u);
  EXPECT_EQ(data->labels.size(), 10u);
  for (size_t i = 0; i < data->items.size(); i += 17) {
    EXPECT_EQ(data->load(i, {}), again->load(i, {}));
    EXPECT_EQ(data->items[i].label, again->items[i].label);
  }
  for (const char* name : {"counting-squares:", "counting-squares:9", "counting-squares:1e9"})
    expect_error(Kind::usage, "expected a number of 100", [&] { open_labelled_data(name); });
}

TEST(FashionMnist, IsReadWhereDebianPutsIt) {
  const std::string folder = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(folder)) GTEST_SKIP() << "dataset-fashion-mnist is not installed";
  const auto data = open_labelled_data(folder);
  EXPECT_EQ(data->of(Part::train).size(), 60000u);
  EXPECT_EQ(data->of(Part::test).size(), 10000u);
  EXPECT_EQ(data->labels.size(), 10u);
}

}  // namespace
}  // namespace beckon::test
