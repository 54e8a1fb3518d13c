// Data sets that say in a list or a table which picture is of which class.
#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "base/fail.h"
#include "base/files.h"
#include "learn/data/labelled_data.h"
#include "prompt/bounded_json.h"

namespace beckon::learn {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string text_of_list(const fs::path& file) {
  const std::vector<uint8_t> bytes = read_file(file.string(), kMostListBytes);
  return {bytes.begin(), bytes.end()};
}

json json_of_list(const fs::path& file) {
  return parse_bounded_json(text_of_list(file), file.string(), static_cast<size_t>(kMostListBytes));
}

// Where a list's pictures lie: beside it, or in one of the folders that published sets have. By
// the first picture.
fs::path root_of(const fs::path& folder, const std::string& picture,
                 std::initializer_list<const char*> below) {
  for (const char* name : below)
    if (fs::exists(folder / name / picture)) return folder / name;
  return folder;
}

std::unique_ptr<PictureFiles> files_of(const char* layout, const fs::path& source) {
  auto data = std::make_unique<PictureFiles>();
  data->layout = layout;
  data->source = source.string();
  return data;
}

// "images/0001.jpg 17": the class is what stands after the last blank.
void add_list(PictureFiles& data, const fs::path& file, Part part) {
  std::istringstream lines(text_of_list(file));
  size_t number = 0;
  fs::path root;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t'))
      line.pop_back();
    if (line.empty()) continue;
    const size_t blank = line.find_last_of(" \t");
    const size_t end = blank == line.npos ? line.npos : line.find_last_not_of(" \t", blank);
    if (blank == line.npos || end == line.npos)
      fail(Kind::input, "{}: line {}: expected a picture and its class", file.string(), number);
    const std::string picture = line.substr(0, end + 1);
    if (root.empty()) root = root_of(file.parent_path(), picture, {".", "images"});
    data.add((root / picture).string(), part, line.substr(blank + 1));
  }
}

}  // namespace

std::unique_ptr<LabelledData> list_data(const fs::path& folder) {
  // VTAB-1k learns from 800 and chooses by 200; then from all 1000.
  const std::pair<const char*, Part> kNames[] = {{"train800.txt", Part::train},
                                                 {"val200.txt", Part::validation},
                                                 {"train.txt", Part::train},
                                                 {"val.txt", Part::validation},
                                                 {"test.txt", Part::test}};
  const bool vtab = fs::exists(folder / "train800.txt");
  if (!vtab && !fs::exists(folder / "train.txt")) return nullptr;
  auto data = files_of("lists", folder);
  for (const auto& [name, part] : kNames) {
    const bool other = vtab && (std::string(name) == "train.txt" || std::string(name) == "val.txt");
    if (!other && fs::exists(folder / name)) add_list(*data, folder / name, part);
  }
  data->finish();
  return data;
}

std::unique_ptr<LabelledData> list_file(const fs::path& file) {
  auto data = files_of("lists", file);
  add_list(*data, file, Part::train);
  data->finish();
  return data;
}

// The VPT reference's: {"001.Albatross/0001.jpg": 17}. The classes are the numbers that occur.
std::unique_ptr<LabelledData> fgvc_data(const fs::path& folder) {
  if (!fs::exists(folder / "train.json") || fs::exists(folder / "annotations.json")) return nullptr;
  auto data = files_of("fgvc", folder);
  fs::path root;
  for (const auto& [name, part] : {std::pair{"train.json", Part::train},
                                   {"val.json", Part::validation},
                                   {"test.json", Part::test}}) {
    const fs::path file = folder / name;
    if (!fs::exists(file)) continue;
    const json list = json_of_list(file);
    if (!list.is_object())
      fail(Kind::input, "{}: expected an object of pictures and their classes", file.string());
    for (const auto& [picture, label] : list.items()) {
      if (!label.is_number_integer() && !label.is_string())
        fail(Kind::input, "{}: '{}' has the class {}, expected a number", file.string(), picture,
             label.dump().substr(0, 40));
      if (root.empty()) root = root_of(folder, picture, {"images", "Images", "."});
      data->add(
          (root / picture).string(), part,
          label.is_string() ? label.get<std::string>() : std::to_string(label.get<int64_t>()));
    }
  }
  data->finish();
  return data;
}

// CoOp's splits of Flowers102, Food101, EuroSAT, SUN397, UCF101, Pets, DTD, Caltech101:
// {"train": [["image_06734.jpg", 0, "pink primrose"], ...], "val": ..., "test": ...}.
std::unique_ptr<LabelledData> split_file(const fs::path& file) {
  const json lists = json_of_list(file);
  if (!lists.is_object() || !lists.contains("train"))
    fail(Kind::input, "{}: expected an object with 'train'", file.string());
  auto data = files_of("split", file);
  fs::path root;
  std::map<int64_t, std::string> names;
  for (const auto& [name, list] : lists.items()) {
    const auto part = part_named(name);
    if (!part || !list.is_array())
      fail(Kind::input, "{}: '{}': expected lists train, val and test", file.string(), name);
    size_t number = 0;
    for (const json& entry : list) {
      ++number;
      if (!entry.is_array() || entry.size() != 3 || !entry[0].is_string() ||
          !entry[1].is_number_integer() || !entry[2].is_string())
        fail(Kind::input, "{}: {} {}: expected [picture, number, class]", file.string(), name,
             number);
      const std::string picture = entry[0];
      if (root.empty())
        root = root_of(file.parent_path(), picture,
                       {".", "images", "jpg", "2750", "SUN397", "UCF-101-midframes",
                        "101_ObjectCategories", "train"});
      // Names may occur twice; numbers tell the classes apart.
      const int64_t c = entry[1];
      names[c] = entry[2].get<std::string>();
      data->add((root / picture).string(), *part, std::to_string(c));
    }
  }
  data->finish();
  for (std::string& label : data->labels) label = names.at(std::stoll(label));
  return data;
}

std::unique_ptr<LabelledData> split_data(const fs::path& folder) {
  std::vector<fs::path> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("split_") && name.ends_with(".json")) found.push_back(entry.path());
  }
  if (found.empty()) return nullptr;
  std::sort(found.begin(), found.end());
  return split_file(found.front());
}

namespace {

// The columns of a table by name.
class Columns {
 public:
  Columns(const std::vector<std::string>& header, std::string file) : file_(std::move(file)) {
    for (size_t i = 0; i < header.size(); ++i) {
      std::string name = header[i];
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      columns_.emplace(name, i);
    }
  }
  std::optional<size_t> find(std::initializer_list<const char*> names) const {
    for (const char* name : names)
      if (const auto found = columns_.find(name); found != columns_.end()) return found->second;
    return std::nullopt;
  }
  size_t at(const char* name) const {
    const auto found = find({name});
    if (!found) fail(Kind::input, "{}: there is no column '{}'", file_, name);
    return *found;
  }

 private:
  std::string file_;
  std::map<std::string, size_t> columns_;
};

std::vector<std::vector<std::string>> table_of(const fs::path& file, size_t header_columns = 0) {
  auto rows = csv_rows(text_of_list(file), file.string());
  if (rows.empty()) fail(Kind::input, "{}: it is empty", file.string());
  const size_t width = header_columns > 0 ? header_columns : rows[0].size();
  for (size_t r = 0; r < rows.size(); ++r)
    if (rows[r].size() != width)
      fail(Kind::input, "{}: row {} has {} cells, the first {}", file.string(), r + 1,
           rows[r].size(), width);
  return rows;
}

}  // namespace

std::unique_ptr<LabelledData> csv_file(const fs::path& file) {
  const auto rows = table_of(file);
  const Columns columns(rows[0], file.string());
  auto picture = columns.find({"path", "image", "picture", "file", "filename", "image_path"});
  auto label = columns.find({"label", "class", "category", "target"});
  const auto split = columns.find({"split", "part", "set"});
  const size_t first = picture && label ? 1 : 0;
  if (first == 0) {
    if (picture || label || rows[0].size() != 2)
      fail(Kind::input, "{}: expected columns 'path' and 'label', or two columns without names",
           file.string());
    picture = 0;
    label = 1;
  }
  auto data = files_of("csv", file);
  for (size_t r = first; r < rows.size(); ++r) {
    const std::string& path = rows[r][*picture];
    const std::string& name = rows[r][*label];
    if (path.empty() || name.empty())
      fail(Kind::input, "{}: row {}: an empty {}", file.string(), r + 1,
           path.empty() ? "path" : "label");
    std::optional<Part> part = Part::train;
    if (split) part = part_named(rows[r][*split]);
    if (!part)
      fail(Kind::input, "{}: row {}: split '{}', expected train, val or test", file.string(), r + 1,
           rows[r][*split]);
    data->add((file.parent_path() / path).string(), *part, name);
  }
  data->finish();
  return data;
}

// Koh et al., "WILDS": the splits by hospital, by year and region, by place of the camera.
std::unique_ptr<LabelledData> wilds_data(const fs::path& folder) {
  const bool fmow = fs::exists(folder / "rgb_metadata.csv");
  const fs::path file = folder / (fmow ? "rgb_metadata.csv" : "metadata.csv");
  if (!fs::exists(file)) return nullptr;
  const auto rows = table_of(file);
  const Columns columns(rows[0], file.string());
  auto data = files_of("wilds", folder);
  const auto each = [&](auto&& add) {
    for (size_t r = 1; r < rows.size(); ++r) add(rows[r], r);
  };
  if (fmow) {
    const size_t split = columns.at("split"), category = columns.at("category");
    each([&](const auto& row, size_t r) {
      // The pictures are numbered like the rows; "seq" is for learning without labels.
      const auto part = part_named(row[split]);
      if (part)
        data->add((folder / "images" / fmt::format("rgb_img_{}.png", r - 1)).string(), *part,
                  row[category]);
    });
  } else if (columns.find({"tumor"})) {
    const size_t patient = columns.at("patient"), node = columns.at("node"),
                 x = columns.at("x_coord"), y = columns.at("y_coord"), tumor = columns.at("tumor"),
                 center = columns.at("center"), split = columns.at("split");
    each([&](const auto& row, size_t) {
      // Hospital 1 chooses, hospital 2 tests; what is held out of the others is not used.
      const bool other = row[center] == "1" || row[center] == "2";
      if (!other && row[split] != "0") return;
      const Part part = row[center] == "1"   ? Part::validation
                        : row[center] == "2" ? Part::test
                                             : Part::train;
      const std::string at = fmt::format("patient_{}_node_{}", row[patient], row[node]);
      const std::string picture = fmt::format("patch_{}_x_{}_y_{}.png", at, row[x], row[y]);
      data->add((folder / "patches" / at / picture).string(), part,
                row[tumor] == "1" ? "tumor" : "normal");
    });
  } else {
    const size_t split = columns.at("split"), label = columns.at("y"),
                 name = columns.at("filename");
    each([&](const auto& row, size_t) {
      // "id_val" and "id_test" are of places that were learned from: they are not used.
      if (const auto part = part_named(row[split]))
        data->add((folder / "train" / row[name]).string(), *part, row[label]);
    });
  }
  data->finish();
  return data;
}

// Johnson et al., "CLEVR": the task is the number of objects. There are no labels for its test
// part: the published validation part tests.
std::unique_ptr<LabelledData> clevr_data(const fs::path& folder) {
  if (!fs::exists(folder / "scenes" / "CLEVR_train_scenes.json")) return nullptr;
  auto data = files_of("clevr", folder);
  for (const auto& [name, part] : {std::pair{"train", Part::train}, {"val", Part::test}}) {
    const fs::path file = folder / "scenes" / fmt::format("CLEVR_{}_scenes.json", name);
    if (!fs::exists(file)) continue;
    const json document = json_of_list(file);
    if (!document.is_object() || !document.contains("scenes") || !document["scenes"].is_array())
      fail(Kind::input, "{}: there is no list 'scenes'", file.string());
    size_t number = 0;
    for (const json& scene : document["scenes"]) {
      ++number;
      if (!scene.is_object() || !scene.contains("image_filename") ||
          !scene["image_filename"].is_string() || !scene.contains("objects") ||
          !scene["objects"].is_array())
        fail(Kind::input, "{}: scene {}: expected 'image_filename' and 'objects'", file.string(),
             number);
      data->add((folder / "images" / name / scene["image_filename"].get<std::string>()).string(),
                part, std::to_string(scene["objects"].size()));
    }
  }
  data->finish();
  return data;
}

namespace {

bool looks_like_a_picture(const fs::path& file) {
  std::string end = file.extension().string();
  for (char& c : end) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return end == ".jpg" || end == ".jpeg" || end == ".png" || end == ".webp";
}

std::vector<fs::path> sorted_entries(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
    if (!it->path().filename().string().starts_with(".")) entries.push_back(it->path());
  if (error) fail(Kind::missing, "{}: {}", folder.string(), error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

// The pictures of a class may lie in folders of their own. Links to folders are not followed.
void add_folder(PictureFiles& data, const fs::path& folder, Part part, const std::string& label,
                int depth) {
  for (const fs::path& entry : sorted_entries(folder)) {
    if (fs::is_directory(entry) && !fs::is_symlink(entry)) {
      if (depth >= 16) fail(Kind::input, "{}: folders in folders, too deep", entry.string());
      add_folder(data, entry, part, label, depth + 1);
    } else if (looks_like_a_picture(entry)) {
      data.add(entry.string(), part, label);
    }
  }
}

void add_classes(PictureFiles& data, const fs::path& folder, Part part) {
  for (const fs::path& entry : sorted_entries(folder)) {
    if (!fs::is_directory(entry)) continue;
    const size_t before = data.items.size();
    add_folder(data, entry, part, entry.filename().string(), 0);
    if (data.items.size() == before)
      fail(Kind::input, "{}: this class has no pictures (.jpg, .png, .webp)", entry.string());
  }
}

}  // namespace

std::unique_ptr<LabelledData> class_folders(const fs::path& folder) {
  auto data = files_of("folders", folder);
  std::map<Part, fs::path> parts;
  bool others = false;
  for (const fs::path& entry : sorted_entries(folder)) {
    if (!fs::is_directory(entry)) continue;
    if (const auto part = part_named(entry.filename().string()))
      parts[*part] = entry;
    else
      others = true;
  }
  // A class may be called "test"; then it has brothers that are no parts.
  if (parts.contains(Part::train) && !others) {
    for (const auto& [part, path] : parts) add_classes(*data, path, part);
  } else {
    add_classes(*data, folder, Part::train);
  }
  if (data->items.empty())
    fail(Kind::input,
         "{}: no form of a data set that is known; expected a folder of pictures for each class",
         folder.string());
  data->finish();
  return data;
}

}  // namespace beckon::learn
