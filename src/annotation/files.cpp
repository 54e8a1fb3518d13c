// Where annotations are read from and written to.
#include "base/files.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "annotation/format.h"
#include "annotation/write_output.h"
#include "base/fail.h"
#include "base/output_file.h"

namespace beckon::annotation {
namespace fs = std::filesystem;

namespace {

constexpr size_t kMostFiles = 2'000'000;
constexpr size_t kLongestName = 200;  // bytes; file systems take 255

bool ends_with(const std::string& text, std::string_view ending) {
  if (text.size() < ending.size()) return false;
  return std::equal(
      ending.begin(), ending.end(), text.end() - static_cast<std::ptrdiff_t>(ending.size()),
      [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

}  // namespace

std::string read_text(const std::string& path, int64_t most) {
  const std::vector<uint8_t> bytes = read_file(path, most);
  return {bytes.begin(), bytes.end()};
}

bool is_folder(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

bool is_file(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error) && !fs::is_directory(path, error);
}

std::vector<std::string> files_in(const std::string& path, std::string_view ending) {
  if (!is_folder(path)) {
    if (!is_file(path)) fail(Kind::missing, "{}: there is no such file or folder", path);
    return {path};
  }
  std::vector<std::string> files;
  std::error_code error;
  fs::recursive_directory_iterator walk(path, error), end;
  if (error) fail(Kind::missing, "{}: cannot be listed: {}", path, error.message());
  for (; walk != end; walk.increment(error)) {
    if (error) fail(Kind::missing, "{}: cannot be listed: {}", path, error.message());
    const std::string name = walk->path().filename().string();
    if (name.starts_with(".")) {
      if (walk->is_directory(error)) walk.disable_recursion_pending();
      continue;
    }
    if (!ends_with(name, ending) || walk->is_directory(error)) continue;
    files.push_back(walk->path().string());
    if (files.size() > kMostFiles) fail(Kind::resource, "{}: more than {} files", path, kMostFiles);
  }
  std::sort(files.begin(), files.end());
  return files;
}

std::string base_name(const std::string& path) {
  const size_t slash = path.find_last_of("/\\");
  return slash == path.npos ? path : path.substr(slash + 1);
}

std::string without_ending(const std::string& path) {
  const size_t dot = path.rfind('.');
  const size_t slash = path.find_last_of("/\\");
  const size_t begin = slash == path.npos ? 0 : slash + 1;
  return dot == path.npos || dot <= begin ? path : path.substr(0, dot);
}

void Output::add(const std::string& path, std::string bytes) { files_[path] = std::move(bytes); }

std::string Output::place(const std::string& folder, const std::string& name,
                          const std::string& ending) {
  std::string safe;
  std::string part;
  const auto take = [&] {
    if (part.size() > kLongestName) {
      part.resize(kLongestName);
      while (!part.empty() && (part.back() & 0xc0) == 0x80) part.pop_back();
      if (!part.empty() && (part.back() & 0x80)) part.pop_back();
    }
    if (part.empty() || part == "." || part == "..") return;
    if (part[0] == '.') part[0] = '_';  // hidden files are passed over when they are read
    safe += (safe.empty() ? "" : "/") + part;
  };
  for (char c : without_ending(name)) {
    if (c == '/' || c == '\\') {
      take();
      part.clear();
    } else {
      part += static_cast<unsigned char>(c) < 32 || c == 127 || c == ':' ? '_' : c;
    }
  }
  take();
  if (safe.empty()) safe = "image";
  const std::string stem = folder.empty() ? safe : folder + "/" + safe;
  std::string path = stem;
  for (int i = 2; taken_.count(path + ending) != 0; ++i) path = fmt::format("{}-{}", stem, i);
  taken_[path + ending] = 1;
  return path + ending;
}

namespace {

// A folder that is removed unless it got its place.
class TemporaryFolder {
 public:
  explicit TemporaryFolder(const fs::path& target) {
    static std::atomic<int> number{0};
    path_ = target.parent_path() /
            fmt::format(".{}.{}.{}.partial", target.filename().string(), ::getpid(), number++);
    std::error_code error;
    if (!target.parent_path().empty()) fs::create_directories(target.parent_path(), error);
    if (!fs::create_directory(path_, error))
      fail(Kind::output, "{}: cannot make a folder: {}", path_.string(), error.message());
  }
  ~TemporaryFolder() {
    std::error_code error;
    if (!path_.empty()) fs::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const fs::path& path() const { return path_; }
  void become(const fs::path& target) {
    if (std::rename(path_.c_str(), target.c_str()) != 0)
      fail(Kind::output, "{}: cannot be put in its place: {}", target.string(),
           std::strerror(errno));
    path_.clear();
  }

 private:
  fs::path path_;
};

void write_whole(const std::string& path, const std::string& bytes) {
  const auto failed = [&] {
    fail(Kind::output, "{}: cannot write: {}", path, std::strerror(errno));
  };
  const std::unique_ptr<std::FILE, decltype(&std::fclose)> file(std::fopen(path.c_str(), "wxe"),
                                                                &std::fclose);
  if (!file) failed();
  if (std::fwrite(bytes.data(), 1, bytes.size(), file.get()) != bytes.size()) failed();
  if (std::fflush(file.get()) != 0) failed();
}

// The whole file system's: thousands of files, each flushed by itself, take minutes.
void sync_files(const std::string& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 || ::syncfs(fd) != 0) {
    const int reason = errno;
    if (fd >= 0) ::close(fd);
    fail(Kind::output, "{}: cannot flush: {}", folder, std::strerror(reason));
  }
  ::close(fd);
}

}  // namespace

bool write_output(const Output& output, const std::string& path,
                  const std::function<bool(int64_t, int64_t)>& go_on) {
  const auto& files = output.files();
  const auto bytes_of = [](const std::string& text) {
    return std::span(reinterpret_cast<const uint8_t*>(text.data()), text.size());
  };
  const auto all = static_cast<int64_t>(files.size());
  int64_t done = 0;
  if (files.size() == 1 && files.begin()->first.empty()) {
    if (go_on && !go_on(done, all)) return false;
    write_file_atomic(path, bytes_of(files.begin()->second));
    return true;
  }
  fs::path target(path);
  if (!target.has_filename()) target = target.parent_path();
  TemporaryFolder temporary(target);
  for (const auto& [name, bytes] : files) {
    if (go_on && !go_on(done++, all)) return false;
    const fs::path place = temporary.path() / name;
    std::error_code error;
    fs::create_directories(place.parent_path(), error);
    if (error) fail(Kind::output, "{}: cannot make a folder: {}", place.string(), error.message());
    write_whole(place.string(), bytes);
  }
  // One flush for all of them, before they get their place.
  sync_files(temporary.path().string());
  temporary.become(target);
  sync_folder(target.parent_path().empty() ? "." : target.parent_path().string());
  return true;
}

}  // namespace beckon::annotation
