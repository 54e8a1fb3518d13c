// A list of pictures and their masks: lines of a table, or JSON.
#include <algorithm>
#include <filesystem>
#include <map>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "base/files.h"
#include "learn/evaluation/mask_data.h"
#include "prompt/bounded_json.h"

namespace beckon::learn {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int64_t kLongestIndex = int64_t{1} << 28;
constexpr size_t kLongestPath = 4096;

struct Entry {
  std::string picture;
  std::vector<MaskFile> masks;
};

// Columns that people call so, in small letters.
constexpr std::string_view kPictureColumns[] = {"image", "picture",   "photo",      "img",
                                                "file",  "file_name", "image_path", "filename"};
constexpr std::string_view kMaskColumns[] = {"mask",      "mask_path", "masks", "annotation",
                                             "mask_file", "label_map", "gt"};
constexpr std::string_view kLabelColumns[] = {"label", "category", "class", "name", "object"};

template <size_t count>
bool one_of(const std::string_view (&names)[count], std::string word) {
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::find(std::begin(names), std::end(names), word) != std::end(names);
}

std::string checked_path(std::string path, const std::string& place) {
  if (path.empty()) fail(Kind::input, "{}: an empty path", place);
  if (path.size() > kLongestPath || path.find('\0') != std::string::npos)
    fail(Kind::input, "{}: expected a path of at most {} bytes", place, kLongestPath);
  return path;
}

// Masks of one picture may stand on several lines; pictures keep the order of their first line.
class Entries {
 public:
  explicit Entries(std::string folder) : folder_(std::move(folder)) {}

  void add(const std::string& picture, const std::string& mask, const std::string& label,
           const std::string& place) {
    const std::string name = checked_path(picture, place);
    const auto [at, fresh] = places_.emplace(name, list_.size());
    if (fresh) list_.push_back({name, {}});
    list_[at->second].masks.push_back({full(checked_path(mask, place)), label});
  }
  std::string full(const std::string& path) const { return (fs::path(folder_) / path).string(); }
  std::vector<Entry> take() { return std::move(list_); }

 private:
  std::string folder_;
  std::vector<Entry> list_;
  std::map<std::string, size_t> places_;
};

// One line of a table. Commas and tabs part columns, and blanks in a .txt; a column may stand in
// "quotes", which double inside them.
std::vector<std::string> columns_of(std::string_view line, char separator,
                                    const std::string& place) {
  std::vector<std::string> columns(1);
  for (size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '"' && columns.back().empty()) {
      for (++i;; ++i) {
        if (i >= line.size()) fail(Kind::input, "{}: a quote that does not end", place);
        if (line[i] != '"') {
          columns.back() += line[i];
        } else if (i + 1 < line.size() && line[i + 1] == '"') {
          columns.back() += line[i++];
        } else {
          break;
        }
      }
    } else if (line[i] == separator || (separator == ' ' && line[i] == '\t')) {
      if (separator != ' ' || !columns.back().empty()) columns.emplace_back();
    } else {
      columns.back() += line[i];
    }
  }
  if (separator == ' ' && columns.size() > 1 && columns.back().empty()) columns.pop_back();
  for (std::string& column : columns) {
    const size_t first = column.find_first_not_of(" \t");
    const size_t last = column.find_last_not_of(" \t");
    column = first == std::string::npos ? "" : column.substr(first, last - first + 1);
  }
  return columns;
}

// Where the columns are.
struct Header {
  size_t picture = 0, mask = 1, label = 2;
};

void read_table(std::string_view text, char separator, const std::string& name, Entries& entries) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  Header header;
  bool first = true;
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") == std::string_view::npos || line.starts_with('#')) continue;
    const std::string place = fmt::format("{}: line {}", name, number);
    const std::vector<std::string> columns = columns_of(line, separator, place);
    if (first) {
      first = false;
      const size_t none = columns.size();
      Header found = {none, none, none};
      for (size_t i = columns.size(); i-- > 0;) {
        if (one_of(kPictureColumns, columns[i])) found.picture = i;
        if (one_of(kMaskColumns, columns[i])) found.mask = i;
        if (one_of(kLabelColumns, columns[i])) found.label = i;
      }
      if (found.picture != none && found.mask != none) {
        header = found;
        continue;
      }
    }
    if (columns.size() <= std::max(header.picture, header.mask))
      fail(Kind::input, "{}: expected a picture and its mask, found {} column{}", place,
           columns.size(), columns.size() == 1 ? "" : "s");
    entries.add(columns[header.picture], columns[header.mask],
                header.label < columns.size() ? columns[header.label] : "", place);
  }
}

std::string text_of(const json& value, const std::string& place) {
  if (!value.is_string())
    fail(Kind::input, "{}: expected a path, found {}", place, value.type_name());
  return value.get<std::string>();
}

// A path, {"mask": path, "label": text}, or a list of them.
void add_masks(const std::string& picture, const json& masks, const std::string& label,
               const std::string& place, Entries& entries) {
  if (masks.is_array()) {
    for (const json& mask : masks) {
      if (mask.is_array()) fail(Kind::input, "{}: a list in a list of masks", place);
      add_masks(picture, mask, label, place, entries);
    }
  } else if (masks.is_object()) {
    std::string path, own = label;
    for (const auto& [key, value] : masks.items()) {
      if (one_of(kMaskColumns, key) || key == "path" || key == "file") path = text_of(value, place);
      if (one_of(kLabelColumns, key) && value.is_string()) own = value.get<std::string>();
    }
    entries.add(picture, path, own, place);
  } else {
    entries.add(picture, text_of(masks, place), label, place);
  }
}

// {"image": path, "mask": ... or "masks": ..., "label": text}
void add_item(const json& item, const std::string& place, Entries& entries) {
  if (!item.is_object())
    fail(Kind::input, "{}: expected {{\"image\": ..., \"mask\": ...}}, found {}", place,
         item.type_name());
  const json *picture = nullptr, *masks = nullptr;
  std::string label;
  for (const auto& [key, value] : item.items()) {
    if (one_of(kPictureColumns, key)) picture = &value;
    if (one_of(kMaskColumns, key)) masks = &value;
    if (one_of(kLabelColumns, key) && value.is_string()) label = value.get<std::string>();
  }
  if (!picture) fail(Kind::input, "{}: 'image' is missing", place);
  if (!masks) fail(Kind::input, "{}: 'mask' is missing", place);
  add_masks(text_of(*picture, place), *masks, label, place, entries);
}

// A list of items, such a list in "items", "data" or "images", or {picture: masks}.
void read_json(const json& document, const std::string& name, Entries& entries) {
  const json* list = &document;
  if (document.is_object()) {
    for (const char* key : {"items", "data", "images", "samples"})
      if (const auto found = document.find(key); found != document.end() && found->is_array())
        list = &*found;
  }
  if (list->is_array()) {
    for (size_t i = 0; i < list->size(); ++i)
      add_item((*list)[i], fmt::format("{}: item {}", name, i + 1), entries);
  } else if (list->is_object()) {
    for (const auto& [picture, masks] : list->items())
      add_masks(picture, masks, "", fmt::format("{}: '{}'", name, picture.substr(0, 60)), entries);
  } else {
    fail(Kind::input, "{}: expected a list of {{\"image\": ..., \"mask\": ...}}", name);
  }
}

void read_lines(std::string_view text, const std::string& name, Entries& entries) {
  for (int64_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string place = fmt::format("{}: line {}", name, number);
    add_item(parse_bounded_json(line, place, kLongestIndex), place, entries);
  }
}

class IndexData : public MaskData {
 public:
  IndexData(const std::string& file, MaskKind kind)
      : folder_(fs::path(file).parent_path().string()), kind_(kind) {
    expect_file(file);
    const std::vector<uint8_t> bytes = read_file(file, kLongestIndex);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    Entries entries(folder_);
    const std::string end = fs::path(file).extension().string();
    if (end == ".json")
      read_json(parse_bounded_json(text, file, kLongestIndex), file, entries);
    else if (end == ".jsonl")
      read_lines(text, file, entries);
    else
      read_table(text, separator_of(end, text), file, entries);
    entries_ = entries.take();
    if (entries_.empty()) fail(Kind::input, "{}: no pictures", file);
  }

  const char* layout() const override { return "index"; }
  size_t size() const override { return entries_.size(); }
  std::string path(size_t i) const override { return entries_[i].picture; }
  Example load(size_t i, const ReadOptions& options) const override {
    const Entry& entry = entries_[i];
    return load_with_mask_files((fs::path(folder_) / entry.picture).string(), entry.masks, kind_,
                                options);
  }

 private:
  static char separator_of(const std::string& end, std::string_view text) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (end == ".tsv" || line.find('\t') != std::string_view::npos) return '\t';
    if (line.find(',') != std::string_view::npos) return ',';
    if (line.find(';') != std::string_view::npos) return ';';
    return end == ".txt" ? ' ' : ',';
  }

  std::string folder_;
  MaskKind kind_;
  std::vector<Entry> entries_;
};

}  // namespace

std::unique_ptr<MaskData> index_data(const std::string& file, MaskKind kind) {
  return std::make_unique<IndexData>(file, kind);
}

}  // namespace beckon::learn
