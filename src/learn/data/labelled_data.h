// Pictures with a class each, from the forms in which data sets are published.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "beckon/image.h"

namespace beckon::learn {

enum class Part : uint8_t { train, validation, test };

class LabelledData {
 public:
  struct Item {
    Part part = Part::train;
    int64_t label = 0;  // an index into labels
  };
  virtual ~LabelledData() = default;

  // What messages call picture i: its path, or a file and a number in it.
  virtual std::string path(size_t i) const = 0;
  // Throws Error for a picture that is missing or broken.
  virtual Image load(size_t i, const ReadOptions& options) const = 0;

  // The pictures of one part, in order.
  std::vector<size_t> of(Part part) const;

  std::string layout;               // "folders", "idx", "cifar", "lists", "csv", ...
  std::string name;                 // for people: the last part of the path
  std::string source;               // what was opened
  std::vector<std::string> labels;  // names of the classes
  std::vector<Item> items;
};

// `path` is a folder:
//   folders  class/picture.jpg, or train/, val/, test/ with such folders in them
//   idx      MNIST's train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-..., plain or .gz
//   cifar    data_batch_1.bin ..., or train.bin and test.bin of CIFAR-100
//   fgvc     train.json, val.json, test.json: {"picture": class}
//   lists    train800.txt, val200.txt, test.txt (or train.txt, val.txt): "picture class" a line
//   split    split_zhou_NAME.json: {"train": [[picture, number, class], ...], "val", "test"}
//   wilds    metadata.csv of Camelyon17 or iWildCam, rgb_metadata.csv of FMoW
//   clevr    scenes/CLEVR_train_scenes.json and images/: how many objects there are
//   csv      labels.csv
// a name: "fashion-mnist" (Debian's dataset-fashion-mnist), "counting-squares" or
// "counting-squares:N" (see learn/methods/counting_squares.h; N pictures to learn from, 5000 if not
// said, and a fifth as many to test);
// or a file: a table (.csv with a header of path or image, label or class, perhaps split; or two
// columns without a header), a list (.txt), a split (.json).
//
// Throws Error(missing) if it is not there; Error(input) for a class without pictures, fewer than
// two classes, and what is malformed, with the place.
std::unique_ptr<LabelledData> open_labelled_data(const std::string& path);

// Which pictures are learned from, and which decide what is kept. Of data with a validation part
// that part; else `share` of each class's training pictures (at least one if it has two, never all)
// is set aside, the same ones for the same seed. Pictures with the same content stay together.
struct LearningSplit {
  std::vector<size_t> train, validation, test;
};
LearningSplit split_for_learning(const LabelledData& data, double share, uint64_t seed);

// ---- for the readers of forms ----

// Pictures that are files.
class PictureFiles : public LabelledData {
 public:
  std::string path(size_t i) const override { return paths_[i]; }
  Image load(size_t i, const ReadOptions& options) const override;

  // A picture and its class by any name; finish() makes labels of the names, sorted as numbers if
  // all are.
  void add(std::string path, Part part, std::string label);
  void finish();

 private:
  std::vector<std::string> paths_, names_;
};

// Pictures that lie one behind the other in memory, rows of pixels or planes of colours.
class PicturesInMemory : public LabelledData {
 public:
  struct Block {
    std::string file;
    std::vector<uint8_t> bytes;
    size_t offset = 0, stride = 0;  // of the first picture, from one to the next
  };
  std::string path(size_t i) const override;
  Image load(size_t i, const ReadOptions& options) const override;

  int width = 0, height = 0, channels = 1;
  bool planes = false;
  // Pictures of a block come in order, the blocks one after the other.
  void add(Block block, Part part, std::span<const int64_t> classes);

 private:
  struct Place {
    uint32_t block;
    uint32_t index;
  };
  std::vector<Block> blocks_;
  std::vector<Place> places_;
};

// Null if the folder has another form.
std::unique_ptr<LabelledData> idx_data(const std::filesystem::path& folder);
std::unique_ptr<LabelledData> cifar_data(const std::filesystem::path& folder);
std::unique_ptr<LabelledData> fgvc_data(const std::filesystem::path& folder);
std::unique_ptr<LabelledData> list_data(const std::filesystem::path& folder);
std::unique_ptr<LabelledData> split_data(const std::filesystem::path& folder);
std::unique_ptr<LabelledData> wilds_data(const std::filesystem::path& folder);
std::unique_ptr<LabelledData> clevr_data(const std::filesystem::path& folder);
std::unique_ptr<LabelledData> class_folders(const std::filesystem::path& folder);
// By name; null for other paths.
std::unique_ptr<LabelledData> named_data(const std::string& name);
// Of single files.
std::unique_ptr<LabelledData> csv_file(const std::filesystem::path& file);
std::unique_ptr<LabelledData> list_file(const std::filesystem::path& file);
std::unique_ptr<LabelledData> split_file(const std::filesystem::path& file);

// "train", "training"; "val", "valid", "validation"; "test", "testing"; nothing for other words.
std::optional<Part> part_named(std::string word);

// What a table may hold at most.
constexpr size_t kMostPictures = 10'000'000, kMostClasses = 100'000;
constexpr int64_t kMostListBytes = int64_t{1} << 30;

// Rows of comma-separated values; a cell in quotes may hold commas, line ends and doubled quotes.
std::vector<std::vector<std::string>> csv_rows(const std::string& text, const std::string& name);

}  // namespace beckon::learn
