#include "learn/data/labelled_data.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "base/fail.h"
#include "base/files.h"
#include "base/sha256.h"
#include "base/threads.h"
#include "beckon/train.h"

namespace beckon::learn {
namespace {

namespace fs = std::filesystem;

std::optional<int64_t> whole_number(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (text.empty() || read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

// What every form must have in the end.
void check_data(const LabelledData& data) {
  if (data.items.empty()) fail(Kind::input, "{}: no pictures", data.source);
  if (data.items.size() > kMostPictures)
    fail(Kind::resource, "{}: {} pictures, at most {} are read", data.source, data.items.size(),
         kMostPictures);
  if (data.labels.size() < 2)
    fail(Kind::input, "{}: {} class{}, at least two are needed to tell them apart", data.source,
         data.labels.size(),
         data.labels.size() == 1 ? fmt::format(" ('{}')", data.labels[0]) : "es");
  if (data.labels.size() > kMostClasses)
    fail(Kind::resource, "{}: {} classes, at most {} are read", data.source, data.labels.size(),
         kMostClasses);
  std::vector<bool> learned(data.labels.size());
  for (const LabelledData::Item& item : data.items)
    if (item.part == Part::train) learned[static_cast<size_t>(item.label)] = true;
  for (size_t c = 0; c < learned.size(); ++c)
    if (!learned[c])
      fail(Kind::input, "{}: class '{}' has no pictures to learn from", data.source,
           data.labels[c]);
}

}  // namespace

std::vector<size_t> LabelledData::of(Part part) const {
  std::vector<size_t> result;
  for (size_t i = 0; i < items.size(); ++i)
    if (items[i].part == part) result.push_back(i);
  return result;
}

std::optional<Part> part_named(std::string word) {
  for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  if (word == "train" || word == "training") return Part::train;
  if (word == "val" || word == "valid" || word == "validation") return Part::validation;
  if (word == "test" || word == "testing") return Part::test;
  return std::nullopt;
}

Image PictureFiles::load(size_t i, const ReadOptions& options) const {
  return Image::read(paths_[i], options);
}

void PictureFiles::add(std::string path, Part part, std::string label) {
  if (paths_.size() >= kMostPictures)
    fail(Kind::resource, "{}: more than {} pictures", source, kMostPictures);
  paths_.push_back(std::move(path));
  names_.push_back(std::move(label));
  items.push_back({part, 0});
}

void PictureFiles::finish() {
  const std::set<std::string> names(names_.begin(), names_.end());
  labels.assign(names.begin(), names.end());
  if (std::all_of(labels.begin(), labels.end(),
                  [](const std::string& label) { return whole_number(label).has_value(); }))
    std::stable_sort(labels.begin(), labels.end(), [](const std::string& a, const std::string& b) {
      return *whole_number(a) < *whole_number(b);
    });
  std::map<std::string, int64_t> numbers;
  for (size_t c = 0; c < labels.size(); ++c) numbers[labels[c]] = static_cast<int64_t>(c);
  for (size_t i = 0; i < items.size(); ++i) items[i].label = numbers.at(names_[i]);
}

std::string PicturesInMemory::path(size_t i) const {
  return fmt::format("{}, picture {}", blocks_[places_[i].block].file, places_[i].index);
}

Image PicturesInMemory::load(size_t i, const ReadOptions&) const {
  const Block& block = blocks_[places_[i].block];
  const uint8_t* from = block.bytes.data() + block.offset + block.stride * places_[i].index;
  const auto count = static_cast<size_t>(width) * height;
  if (!planes) return Image(width, height, channels, {from, count * channels});
  std::vector<uint8_t> pixels(count * channels);
  for (size_t p = 0; p < count; ++p)
    for (size_t c = 0; c < static_cast<size_t>(channels); ++c)
      pixels[p * channels + c] = from[c * count + p];
  return Image(width, height, channels, pixels);
}

void PicturesInMemory::add(Block block, Part part, std::span<const int64_t> classes) {
  const auto number = static_cast<uint32_t>(blocks_.size());
  for (size_t i = 0; i < classes.size(); ++i) {
    places_.push_back({number, static_cast<uint32_t>(i)});
    items.push_back({part, classes[i]});
  }
  blocks_.push_back(std::move(block));
}

std::vector<std::vector<std::string>> csv_rows(const std::string& text, const std::string& name) {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::string> row;
  std::string cell;
  bool quoted = false, any = false;
  const auto end_row = [&] {
    if (!any && row.empty() && cell.empty()) return;
    row.push_back(std::move(cell));
    cell.clear();
    rows.push_back(std::move(row));
    row.clear();
    any = false;
  };
  for (size_t i = text.starts_with("\xef\xbb\xbf") ? 3 : 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c != '"')
        cell += c;
      else if (i + 1 < text.size() && text[i + 1] == '"')
        cell += text[++i];
      else
        quoted = false;
    } else if (c == '"' && cell.empty()) {
      quoted = any = true;
    } else if (c == ',') {
      row.push_back(std::move(cell));
      cell.clear();
      any = true;
    } else if (c == '\n') {
      end_row();
    } else if (c != '\r') {
      cell += c;
    }
  }
  if (quoted) fail(Kind::input, "{}: row {}: a quote is not closed", name, rows.size() + 1);
  end_row();
  return rows;
}

std::unique_ptr<LabelledData> open_labelled_data(const std::string& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    if (auto by_name = named_data(path)) {
      by_name->name = by_name->source = path;
      check_data(*by_name);
      return by_name;
    }
  }
  if (!fs::exists(status)) fail(Kind::missing, "{}: there is no such file or folder", path);
  std::unique_ptr<LabelledData> data;
  if (fs::is_directory(status)) {
    using Open = std::unique_ptr<LabelledData> (*)(const fs::path&);
    for (const Open open :
         {&idx_data, &cifar_data, &clevr_data, &fgvc_data, &list_data, &split_data, &wilds_data})
      if ((data = open(path)) != nullptr) break;
    if (!data && fs::exists(fs::path(path) / "labels.csv"))
      data = csv_file(fs::path(path) / "labels.csv");
    if (!data) data = class_folders(path);
  } else {
    const std::string end = fs::path(path).extension().string();
    if (end == ".csv")
      data = csv_file(path);
    else if (end == ".txt")
      data = list_file(path);
    else if (end == ".json")
      data = split_file(path);
    else
      fail(Kind::usage, "{}: a data set is a folder, or a file that ends in .csv, .txt or .json",
           path);
  }
  data->source = path;
  fs::path named = fs::path(path).lexically_normal();
  if (named.filename().empty()) named = named.parent_path();
  data->name = named.stem().string();
  check_data(*data);
  return data;
}

namespace {

// The same for pictures with the same pixels, whatever file they are in. A picture that cannot be
// read is by itself: whoever loads it says so.
std::string content_of(const LabelledData& data, size_t i) {
  try {
    const Image image = data.load(i, {});
    Sha256 hash;
    const std::string size =
        fmt::format("{}x{}x{}", image.width(), image.height(), image.channels());
    hash.update(std::as_bytes(std::span(size)));
    hash.update(std::as_bytes(image.pixels()));
    return hash.hex();
  } catch (const Error&) {
    return fmt::format("picture {}", i);
  }
}

}  // namespace

LearningSplit split_for_learning(const LabelledData& data, double share, uint64_t seed) {
  LearningSplit split{data.of(Part::train), data.of(Part::validation), data.of(Part::test)};
  if (!split.validation.empty() || share <= 0) return split;
  std::vector<std::vector<size_t>> classes(data.labels.size());
  for (const size_t i : split.train) classes[static_cast<size_t>(data.items[i].label)].push_back(i);
  std::vector<std::string> contents(data.items.size());
  parallel_for(static_cast<int64_t>(split.train.size()), 16, [&](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const size_t i = split.train[static_cast<size_t>(k)];
      contents[i] = content_of(data, i);
    }
  });
  std::set<size_t> aside;
  for (size_t c = 0; c < classes.size(); ++c) {
    // Groups of the same content, in the order of their first.
    std::vector<std::vector<size_t>> groups;
    std::map<std::string, size_t> known;
    for (const size_t i : classes[c]) {
      const auto [found, fresh] = known.try_emplace(contents[i], groups.size());
      if (fresh) groups.emplace_back();
      groups[found->second].push_back(i);
    }
    if (groups.size() < 2) continue;
    Random random(seed * 0x9e3779b97f4a7c15u + c);
    const auto total = static_cast<double>(classes[c].size());
    const auto wanted = static_cast<size_t>(std::max(1.0, share * total + 0.5));
    size_t taken = 0, left = groups.size();
    for (const int64_t g : random.permutation(static_cast<int64_t>(groups.size()))) {
      if (taken >= wanted || left == 1) break;
      for (const size_t i : groups[static_cast<size_t>(g)]) aside.insert(i), ++taken;
      --left;
    }
  }
  split.train.clear();
  for (const size_t i : data.of(Part::train))
    (aside.contains(i) ? split.validation : split.train).push_back(i);
  return split;
}

}  // namespace beckon::learn
