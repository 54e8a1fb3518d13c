// Files below one folder, whatever names and links there are: nothing outside is opened.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace beckon::server {

// What tells whether a file is still the one that was looked at.
struct FileState {
  uint64_t device = 0, inode = 0, bytes = 0;
  int64_t modified_ns = 0;
  friend bool operator==(const FileState&, const FileState&) = default;
};

// An open descriptor, closed at the end.
class OpenFile {
 public:
  explicit OpenFile(int fd = -1) : fd_(fd) {}
  OpenFile(OpenFile&& other) noexcept : fd_(other.release()) {}
  OpenFile& operator=(OpenFile&& other) noexcept;
  ~OpenFile();
  explicit operator bool() const { return fd_ >= 0; }
  int fd() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  FileState state() const;
  // All of it; Error(input) if it shrinks meanwhile, Error(resource) above the limit.
  std::vector<uint8_t> read(uint64_t limit) const;

 private:
  int fd_;
};

class SafeFolder {
 public:
  // Error(missing) if it is no folder that can be opened.
  explicit SafeFolder(const std::string& path);

  const std::string& path() const { return path_; }

  // A regular file by its path below the folder ("a/b.jpg"); closed if there is none, if a part of
  // the path is "..", empty or a symbolic link, or if it is anything but a regular file.
  OpenFile open(const std::string& name) const;

  // Every regular file, in the order of names, folders that begin with a dot left out, no link
  // followed, at most `deepest` folders down. Stops when `visit` returns false.
  void walk(int deepest, const std::function<bool(const std::string& name)>& visit) const;

  // Writes a new file, whole or not at all; false if the name is taken. Folders on the way are
  // made. Error(output).
  bool create(const std::string& name, std::span<const uint8_t> bytes) const;

 private:
  // The folder that holds `name`, and its last part; closed as open() says.
  OpenFile parent(const std::string& name, std::string& last, bool make) const;
  std::string path_;
  OpenFile root_;
};

}  // namespace beckon::server
