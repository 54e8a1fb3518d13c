// A folder of pictures beside one of masks, matched by name.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>
#include <tuple>

#include "base/fail.h"
#include "learn/evaluation/mask_data.h"

namespace beckon::learn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostFiles = 10'000'000;

// Only what could be a picture: folders also hold notes and thumbnails' data bases.
bool is_picture_name(const fs::path& path) {
  std::string end = path.extension().string();
  std::transform(end.begin(), end.end(), end.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  static const std::set<std::string> kEndings = {".png",  ".jpg", ".jpeg", ".jpe", ".webp",
                                                 ".jfif", ".bmp", ".gif",  ".tif", ".tiff"};
  return kEndings.contains(end);
}

struct NamedFile {
  std::string key;   // the path below the folder without its ending
  std::string path;  // below the folder
};

// Sorted by key. Links to folders are not followed.
std::vector<NamedFile> pictures_below(const std::string& folder) {
  std::vector<NamedFile> result;
  std::error_code error;
  for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const fs::path& path = entry->path();
    if (path.filename().string().starts_with(".")) {
      if (entry->is_directory()) entry.disable_recursion_pending();
      continue;
    }
    if (!is_picture_name(path) || !entry->is_regular_file()) continue;
    fs::path below = path.lexically_relative(folder);
    NamedFile file = {"", below.generic_string()};
    file.key = below.replace_extension().generic_string();
    result.push_back(std::move(file));
    if (result.size() > kMostFiles)
      fail(Kind::resource, "{}: more than {} pictures", folder, kMostFiles);
  }
  if (error) fail(Kind::missing, "{}: cannot list: {}", folder, error.message());
  std::sort(result.begin(), result.end(), [](const NamedFile& a, const NamedFile& b) {
    return std::tie(a.key, a.path) < std::tie(b.key, b.path);
  });
  return result;
}

class FolderData : public MaskData {
 public:
  FolderData(std::string images, std::string masks, MaskKind kind)
      : images_(std::move(images)), masks_(std::move(masks)), kind_(kind) {
    const std::vector<NamedFile> masks_found = pictures_below(masks_);
    for (NamedFile& picture : pictures_below(images_)) {
      Pair pair{std::move(picture.path), {}};
      // a.png, a_mask.png, a#1.png as a data set of clicks has it, a/1.png
      const auto add = [&](const std::string& beginning, bool whole) {
        auto at = std::lower_bound(
            masks_found.begin(), masks_found.end(), beginning,
            [](const NamedFile& file, const std::string& key) { return file.key < key; });
        for (; at != masks_found.end() && at->key.starts_with(beginning); ++at) {
          if (whole && at->key != beginning) break;
          pair.masks.push_back(
              {masks_ + "/" + at->path, whole ? "" : at->key.substr(beginning.size())});
        }
      };
      add(picture.key, true);
      add(picture.key + "_mask", true);
      add(picture.key + "#", false);
      add(picture.key + "/", false);
      if (pair.masks.empty())
        ++pictures_without_masks;
      else
        pairs_.push_back(std::move(pair));
    }
    if (pairs_.empty())
      fail(Kind::input, "{}: no picture has a mask of its name in {}", images_, masks_);
  }

  const char* layout() const override { return "folders"; }
  size_t size() const override { return pairs_.size(); }
  std::string path(size_t i) const override { return pairs_[i].picture; }
  Example load(size_t i, const ReadOptions& options) const override {
    return load_with_mask_files(images_ + "/" + pairs_[i].picture, pairs_[i].masks, kind_, options);
  }

 private:
  struct Pair {
    std::string picture;
    std::vector<MaskFile> masks;
  };
  std::string images_, masks_;
  MaskKind kind_;
  std::vector<Pair> pairs_;
};

}  // namespace

std::unique_ptr<MaskData> folder_data(const std::string& images, const std::string& masks,
                                      MaskKind kind) {
  return std::make_unique<FolderData>(images, masks, kind);
}

}  // namespace beckon::learn
