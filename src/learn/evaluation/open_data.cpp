// Tells the layouts of data sets apart.
#include <algorithm>
#include <filesystem>

#include "base/fail.h"
#include "learn/evaluation/mask_data.h"

namespace beckon::learn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIndexNames[] = {"index.json", "index.jsonl", "index.csv", "index.tsv",
                                       "index.txt"};
// Folders of pictures and of masks, as data sets call them.
constexpr const char* kPictureFolders[] = {"images", "imgs",       "img",    "image",
                                           "photos", "JPEGImages", "data_GT"};
constexpr const char* kMaskFolders[] = {"masks",       "mask",        "SegmentationObject",
                                        "Annotations", "annotations", "SegmentationClass",
                                        "labels",      "gt",          "boundary_GT"};

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}
bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

// What is in a folder, sorted; nothing of what begins with a dot.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> result;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->path().filename().string().starts_with(".")) result.push_back(entry->path());
  }
  if (error) fail(Kind::missing, "{}: cannot list: {}", folder.string(), error.message());
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<fs::path> coco_files(const fs::path& folder) {
  std::vector<fs::path> result;
  for (const fs::path& place : {folder, folder / "annotations"}) {
    if (!is_folder(place)) continue;
    for (const fs::path& file : entries_of(place)) {
      if (file.extension() == ".json" && is_file(file) && looks_like_coco(file.string()))
        result.push_back(file);
    }
  }
  return result;
}

// The data set that this folder itself is, or nothing.
std::unique_ptr<MaskData> folder_as_data(const fs::path& folder, const std::string& annotations,
                                         MaskKind kind) {
  if (annotations.empty()) {
    for (const char* name : kIndexNames) {
      const std::string file = (folder / name).string();
      if (is_file(file) && !(file.ends_with(".json") && looks_like_coco(file)))
        return index_data(file, kind);
    }
    const std::vector<fs::path> files = coco_files(folder);
    if (files.size() > 1) {
      fail(Kind::usage, "{}: {} files of COCO annotations; say which one with --annotations {}",
           folder.string(), files.size(), files.front().string());
    }
    if (files.size() == 1) return coco_data(files.front().string(), folder.string());
  }
  for (const char* pictures : kPictureFolders)
    for (const char* masks : kMaskFolders)
      if (is_folder(folder / pictures) && is_folder(folder / masks))
        return folder_data((folder / pictures).string(), (folder / masks).string(), kind);
  return nullptr;
}

std::string last_part(const std::string& path) {
  std::error_code error;
  fs::path whole = fs::absolute(path, error).lexically_normal();
  if (whole.filename().empty()) whole = whole.parent_path();
  return whole.filename().empty() ? path : whole.filename().string();
}

std::unique_ptr<MaskData> named(std::unique_ptr<MaskData> data, const std::string& path) {
  data->name = last_part(path);
  data->source = path;
  return data;
}

std::unique_ptr<MaskData> file_as_data(const std::string& path, MaskKind kind) {
  const std::string end = fs::path(path).extension().string();
  if (end == ".json" && looks_like_coco(path)) {
    std::string root = fs::path(path).parent_path().string();
    if (root.empty()) root = ".";
    if (last_part(root) == "annotations") root = (fs::path(root) / "..").string();
    return coco_data(path, root);
  }
  if (end == ".json" || end == ".jsonl" || end == ".csv" || end == ".tsv" || end == ".txt")
    return index_data(path, kind);
  fail(Kind::input,
       "{}: expected a folder, COCO's .json, or an index: .json, .jsonl, .csv, .tsv or "
       ".txt",
       path);
}

}  // namespace

std::vector<std::unique_ptr<MaskData>> open_mask_data(const std::string& path,
                                                      const std::string& annotations,
                                                      MaskKind kind) {
  std::vector<std::unique_ptr<MaskData>> result;
  if (!fs::exists(path)) fail(Kind::missing, "{}: no such folder or file", path);
  if (!annotations.empty()) {
    if (!is_folder(path)) fail(Kind::usage, "--annotations goes with a folder, {} is none", path);
    expect_file(annotations);
    if (!looks_like_coco(annotations))
      fail(Kind::input, "{}: expected COCO annotations, an object with 'images' and 'annotations'",
           annotations);
    result.push_back(named(coco_data(annotations, path), path));
    return result;
  }
  if (is_file(path)) {
    result.push_back(named(file_as_data(path, kind), path));
    return result;
  }
  if (!is_folder(path)) fail(Kind::missing, "{}: not a folder", path);
  if (auto data = folder_as_data(path, annotations, kind)) {
    result.push_back(named(std::move(data), path));
    return result;
  }
  for (const fs::path& below : entries_of(path)) {
    if (!is_folder(below) || fs::is_symlink(below)) continue;
    if (auto data = folder_as_data(below, annotations, kind))
      result.push_back(named(std::move(data), below.string()));
  }
  if (result.empty()) {
    fail(Kind::input,
         "{}: no data set found; expected an index (index.csv, index.json), COCO annotations "
         "(.json), or the folders images and masks",
         path);
  }
  return result;
}

}  // namespace beckon::learn
