// The photos of the served folder, known by the hash of their bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "beckon/image.h"
#include "safe_folder.h"

namespace beckon::server {

struct Photo {
  std::string id;    // the first 32 digits of the SHA-256 of the file
  std::string name;  // its path below the folder
  std::string type;  // "image/jpeg"
  ImageSize size;    // upright
  uint64_t bytes = 0;
  FileState state;
};

class Photos {
 public:
  static constexpr size_t kMost = 100'000;
  static constexpr uint64_t kMostBytes = uint64_t{1} << 30;  // of one file
  static constexpr int kDeepest = 16;

  // Error(missing) if there is no such folder.
  explicit Photos(const std::string& folder);

  // Looks through the folder; takes as long as reading it once. What was known and has not changed
  // is not read again. Stops when `go_on` returns false.
  void scan(const std::function<bool()>& go_on);
  bool scanned() const;

  // In the order of names, those after the one with id `after` (empty: from the beginning).
  // HttpError 422 for an unknown `after`.
  std::vector<Photo> list(const std::string& after, size_t limit, bool& more) const;
  size_t size() const;
  // Files that are photos by their names, without reading any: quick, also where scan() is not.
  int64_t count_files() const;
  std::optional<Photo> find(const std::string& id) const;
  std::optional<Photo> find_name(const std::string& name) const;

  // Keeps an upload as "uploads/<name>" unless its bytes are known already; the flag says whether
  // it is new. HttpError 415 if it is no picture, 422 if its size is above `max_pixels`.
  std::pair<Photo, bool> add(const std::string& name, std::span<const uint8_t> bytes,
                             int64_t max_pixels);

  // HttpError 410 if the file is gone or another one now.
  OpenFile open(const Photo& photo) const;
  Image read(const Photo& photo, int64_t max_pixels) const;

  const SafeFolder& folder() const { return folder_; }

 private:
  void put(Photo photo);
  SafeFolder folder_;
  mutable std::mutex mutex_;
  std::map<std::string, Photo> by_name_;
  std::map<std::string, std::string> name_of_;  // id to the first name
  std::set<std::string> fresh_;                 // uploads since the present scan began
  bool scanned_ = false;
};

// What an upload may be called: no path, no control characters, not hidden, at most 120 bytes,
// with the ending that its type has.
std::string safe_name(const std::string& wanted, const std::string& type, const std::string& id);

}  // namespace beckon::server
