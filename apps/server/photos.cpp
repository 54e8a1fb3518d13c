#include "photos.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/sha256.h"
#include "encoding.h"
#include "picture_header.h"
#include "problem.h"

namespace beckon::server {
namespace {

constexpr size_t kIdDigits = 32;

std::string id_of(std::span<const uint8_t> bytes) {
  return sha256_hex(std::as_bytes(bytes)).substr(0, kIdDigits);
}

bool may_be_photo(const std::string& name) {
  std::string end = name.substr(std::min(name.size(), name.rfind('.')));
  for (char& c : end) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return end == ".jpg" || end == ".jpeg" || end == ".png" || end == ".webp";
}

const char* ending_of(const std::string& type) {
  return type == "image/png" ? ".png" : type == "image/webp" ? ".webp" : ".jpg";
}

}  // namespace

std::string safe_name(const std::string& wanted, const std::string& type, const std::string& id) {
  constexpr size_t kLongest = 120;
  std::string name = wanted.substr(wanted.find_last_of("/\\") + 1);
  name = name.substr(0, name.rfind('.'));
  if (name.size() > kLongest) {
    name.resize(kLongest);
    while (!name.empty() && !is_utf8(name)) name.pop_back();
  }
  if (!is_utf8(name)) name.clear();
  for (char& c : name)
    if (static_cast<unsigned char>(c) < 32 || c == 127 || c == ':') c = '_';
  while (!name.empty() && (name.front() == '.' || name.front() == ' ')) name.erase(0, 1);
  if (name.empty()) name = "photo-" + id.substr(0, 8);
  return name + ending_of(type);
}

Photos::Photos(const std::string& folder) : folder_(folder) {}

void Photos::put(Photo photo) {
  const auto old = by_name_.find(photo.name);
  if (old != by_name_.end() && old->second.id != photo.id) name_of_.erase(old->second.id);
  name_of_.try_emplace(photo.id, photo.name);
  by_name_[photo.name] = std::move(photo);
}

void Photos::scan(const std::function<bool()>& go_on) {
  std::set<std::string> seen;
  bool whole = true;
  {
    std::lock_guard lock(mutex_);
    fresh_.clear();
  }
  folder_.walk(kDeepest, [&](const std::string& name) {
    if (!go_on()) return whole = false;
    if (!may_be_photo(name) || !is_utf8(name)) return true;
    const OpenFile file = folder_.open(name);
    if (!file) return true;
    const FileState state = file.state();
    {
      std::lock_guard lock(mutex_);
      if (seen.size() >= kMost) return false;
      seen.insert(name);
      const auto known = by_name_.find(name);
      if (known != by_name_.end() && known->second.state == state) return true;
    }
    if (state.bytes > kMostBytes) return true;
    try {
      const std::vector<uint8_t> bytes = file.read(kMostBytes);
      const auto header = picture_header(bytes);
      if (!header) return true;
      Photo photo{id_of(bytes), name, header->type, header->size, bytes.size(), state};
      std::lock_guard lock(mutex_);
      put(std::move(photo));
    } catch (const std::exception&) {  // a file that cannot be read is none of the photos
    }
    return true;
  });
  std::lock_guard lock(mutex_);
  if (!whole) return;
  std::erase_if(by_name_, [&](const auto& entry) {
    return seen.count(entry.first) == 0 && fresh_.count(entry.first) == 0;
  });
  name_of_.clear();
  for (const auto& [name, photo] : by_name_) name_of_.try_emplace(photo.id, name);
  scanned_ = true;
}

bool Photos::scanned() const {
  std::lock_guard lock(mutex_);
  return scanned_;
}

std::vector<Photo> Photos::list(const std::string& after, size_t limit, bool& more) const {
  std::lock_guard lock(mutex_);
  auto at = by_name_.begin();
  if (!after.empty()) {
    const auto name = name_of_.find(after);
    if (name == name_of_.end()) throw HttpError(422, "value", "after: there is no such photo");
    at = by_name_.upper_bound(name->second);
  }
  std::vector<Photo> photos;
  for (; at != by_name_.end() && photos.size() < limit; ++at)
    if (name_of_.at(at->second.id) == at->first) photos.push_back(at->second);  // no copies
  more = at != by_name_.end();
  return photos;
}

size_t Photos::size() const {
  std::lock_guard lock(mutex_);
  return name_of_.size();
}

int64_t Photos::count_files() const {
  int64_t files = 0;
  folder_.walk(kDeepest, [&](const std::string& name) {
    files += may_be_photo(name) && is_utf8(name);
    return true;
  });
  return files;
}

std::optional<Photo> Photos::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  const auto name = name_of_.find(id);
  if (name == name_of_.end()) return std::nullopt;
  return by_name_.at(name->second);
}

std::optional<Photo> Photos::find_name(const std::string& name) const {
  std::lock_guard lock(mutex_);
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  return found->second;
}

std::pair<Photo, bool> Photos::add(const std::string& name, std::span<const uint8_t> bytes,
                                   int64_t max_pixels) {
  const auto header = picture_header(bytes);
  if (!header)
    throw HttpError(415, "type", "the body is no JPEG, PNG or WebP picture, or a broken one");
  if (int64_t{header->size.width} * header->size.height > max_pixels)
    throw HttpError(422, "pixels",
                    fmt::format("the picture has {}x{} pixels, the limit is {}", header->size.width,
                                header->size.height, max_pixels));
  const std::string id = id_of(bytes);
  if (const auto known = find(id)) return {*known, false};
  if (size() >= kMost)
    throw HttpError(507, "full", fmt::format("there are {} photos, no more are taken", kMost));
  // Decoded once, so that nothing broken is kept.
  ReadOptions options;
  options.max_pixels = max_pixels;
  const ImageSize found = Image::decode(bytes, "body", options).size();

  const std::string base = safe_name(name, header->type, id);
  std::string path = "uploads/" + base;
  if (!folder_.create(path, bytes)) {
    const size_t dot = base.rfind('.');
    path = "uploads/" + base.substr(0, dot) + "-" + id.substr(0, 8) + base.substr(dot);
    // If that is taken too it is an upload of the same bytes by another process.
    folder_.create(path, bytes);
  }
  const OpenFile file = folder_.open(path);
  if (!file) throw HttpError(507, "output", "the photo could not be kept");
  Photo photo{id, path, header->type, found, bytes.size(), file.state()};
  std::lock_guard lock(mutex_);
  put(photo);
  fresh_.insert(path);
  return {photo, true};
}

OpenFile Photos::open(const Photo& photo) const {
  OpenFile file = folder_.open(photo.name);
  if (!file || file.state() != photo.state)
    throw HttpError(410, "gone", "the photo's file is gone or was changed since it was listed");
  return file;
}

Image Photos::read(const Photo& photo, int64_t max_pixels) const {
  const std::vector<uint8_t> bytes = open(photo).read(kMostBytes);
  ReadOptions options;
  options.max_pixels = max_pixels;
  return Image::decode(bytes, photo.name, options);
}

}  // namespace beckon::server
