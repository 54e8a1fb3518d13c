#include "base/output_file.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

namespace beckon {
namespace {

std::string parent_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

// Distinct among the threads of this process and among processes.
std::string temporary_name(const std::string& path) {
  static std::atomic<unsigned> count{0};
  return fmt::format("{}.{}-{}.tmp", path, getpid(), count++);
}

}  // namespace

OutputFile::OutputFile(std::string path) : path_(std::move(path)), target_(path_) {
  struct stat status;
  if (stat(path_.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) fail(Kind::output, "{}: is a folder, expected a file name", path_);
    if (!S_ISREG(status.st_mode)) {
      // Moving a file here would take the place of a device.
      fd_ = open(path_.c_str(), O_WRONLY | O_CLOEXEC);
      if (fd_ < 0) fail(Kind::output, "{}: cannot write: {}", path_, std::strerror(errno));
      return;
    }
    const std::unique_ptr<char, decltype(&std::free)> real(realpath(path_.c_str(), nullptr),
                                                           &std::free);
    if (real) target_ = real.get();
  }
  temporary_ = temporary_name(target_);
  // O_EXCL: never through a link that somebody else put there. 0666 leaves the rights to the umask.
  fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd_ < 0) fail(Kind::output, "{}: cannot write: {}", path_, std::strerror(errno));
}

OutputFile::~OutputFile() {
  if (fd_ < 0) return;
  close(fd_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

void OutputFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      fail(Kind::output, "{}: cannot write after {} bytes: {}", path_, written_,
           std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(count));
    written_ += static_cast<uint64_t>(count);
  }
}

void OutputFile::commit() {
  if (temporary_.empty()) {
    const int closed = close(fd_);
    fd_ = -1;
    if (closed != 0) fail(Kind::output, "{}: cannot write: {}", path_, std::strerror(errno));
    return;
  }
  if (fsync(fd_) != 0) fail(Kind::output, "{}: cannot flush: {}", path_, std::strerror(errno));
  if (std::rename(temporary_.c_str(), target_.c_str()) != 0)
    fail(Kind::output, "{}: cannot move the finished file here: {}", path_, std::strerror(errno));
  close(fd_);
  fd_ = -1;
  sync_folder(parent_of(target_));
}

void sync_folder(const std::string& folder) noexcept {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

}  // namespace beckon
