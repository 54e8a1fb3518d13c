#include "safe_folder.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

namespace beckon::server {
namespace {

constexpr int kFolder = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;

struct Listing {
  std::vector<std::string> files, folders;
};

Listing list(int folder) {
  Listing listing;
  const int copy = ::openat(folder, ".", kFolder);
  if (copy < 0) return listing;
  DIR* dir = ::fdopendir(copy);
  if (dir == nullptr) {
    ::close(copy);
    return listing;
  }
  while (const dirent* entry = ::readdir(dir)) {
    const std::string name = entry->d_name;
    if (name.front() == '.') continue;
    struct stat info {};
    if (::fstatat(folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (S_ISREG(info.st_mode)) listing.files.push_back(name);
    if (S_ISDIR(info.st_mode)) listing.folders.push_back(name);
  }
  ::closedir(dir);
  std::sort(listing.files.begin(), listing.files.end());
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

bool walk_folder(int folder, const std::string& prefix, int deepest,
                 const std::function<bool(const std::string&)>& visit) {
  const Listing listing = list(folder);
  for (const std::string& name : listing.files)
    if (!visit(prefix + name)) return false;
  if (deepest == 0) return true;
  for (const std::string& name : listing.folders) {
    const OpenFile below(::openat(folder, name.c_str(), kFolder));
    if (below && !walk_folder(below.fd(), prefix + name + "/", deepest - 1, visit)) return false;
  }
  return true;
}

}  // namespace

OpenFile& OpenFile::operator=(OpenFile&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) ::close(fd_);
  fd_ = other.release();
  return *this;
}

OpenFile::~OpenFile() {
  if (fd_ >= 0) ::close(fd_);
}

FileState OpenFile::state() const {
  struct stat info {};
  if (fd_ < 0 || ::fstat(fd_, &info) != 0) return {};
  return {info.st_dev, info.st_ino, static_cast<uint64_t>(info.st_size),
          int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec};
}

std::vector<uint8_t> OpenFile::read(uint64_t limit) const {
  const uint64_t size = state().bytes;
  if (size > limit) fail(Kind::resource, "the file has {} bytes, the limit is {}", size, limit);
  std::vector<uint8_t> bytes(size);
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t count =
        ::pread(fd_, bytes.data() + at, bytes.size() - at, static_cast<off_t>(at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) fail(Kind::input, "the file cannot be read to its end");
    at += static_cast<size_t>(count);
  }
  return bytes;
}

SafeFolder::SafeFolder(const std::string& path)
    : path_(path), root_(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!root_) fail(Kind::missing, "{}: {}", path, std::strerror(errno));
}

OpenFile SafeFolder::parent(const std::string& name, std::string& last, bool make) const {
  OpenFile folder(::openat(root_.fd(), ".", kFolder));
  size_t at = 0;
  for (;;) {
    const size_t slash = name.find('/', at);
    const std::string part = name.substr(at, slash == std::string::npos ? slash : slash - at);
    if (!folder || part.empty() || part == "." || part == ".." ||
        part.find('\0') != std::string::npos)
      return OpenFile();
    if (slash == std::string::npos) {
      last = part;
      return folder;
    }
    if (make) ::mkdirat(folder.fd(), part.c_str(), 0777);
    folder = OpenFile(::openat(folder.fd(), part.c_str(), kFolder));
    at = slash + 1;
  }
}

OpenFile SafeFolder::open(const std::string& name) const {
  std::string last;
  const OpenFile folder = parent(name, last, false);
  if (!folder) return OpenFile();
  // O_NONBLOCK: opening a pipe would wait for a writer.
  OpenFile file(
      ::openat(folder.fd(), last.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  struct stat info {};
  if (!file || ::fstat(file.fd(), &info) != 0 || !S_ISREG(info.st_mode)) return OpenFile();
  return file;
}

void SafeFolder::walk(int deepest, const std::function<bool(const std::string&)>& visit) const {
  walk_folder(root_.fd(), "", deepest, visit);
}

bool SafeFolder::create(const std::string& name, std::span<const uint8_t> bytes) const {
  static std::atomic<unsigned> count{0};
  std::string last;
  const OpenFile folder = parent(name, last, true);
  if (!folder) fail(Kind::output, "{}/{}: its folder cannot be made", path_, name);
  const std::string temporary = fmt::format(".{}-{}.tmp", ::getpid(), count++);
  OpenFile file(::openat(folder.fd(), temporary.c_str(),
                         O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666));
  if (!file) fail(Kind::output, "{}/{}: cannot write: {}", path_, name, std::strerror(errno));
  bool fine = true;
  for (size_t at = 0; fine && at < bytes.size();) {
    const ssize_t written = ::write(file.fd(), bytes.data() + at, bytes.size() - at);
    if (written < 0 && errno == EINTR) continue;
    fine = written > 0;
    if (fine) at += static_cast<size_t>(written);
  }
  fine = fine && ::fsync(file.fd()) == 0;
  // A link, unlike a rename, never takes the place of a file.
  const bool placed =
      fine && ::linkat(folder.fd(), temporary.c_str(), folder.fd(), last.c_str(), 0) == 0;
  const int error = errno;
  ::unlinkat(folder.fd(), temporary.c_str(), 0);
  if (placed) {
    ::fsync(folder.fd());
    return true;
  }
  if (fine && error == EEXIST) return false;
  fail(Kind::output, "{}/{}: cannot write: {}", path_, name, std::strerror(error));
}

}  // namespace beckon::server
