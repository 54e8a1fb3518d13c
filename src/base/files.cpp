#include "base/files.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"

namespace beckon {
namespace {

// One read or write call handles at most this much, which every system accepts.
constexpr size_t kChunk = size_t{1} << 30;

std::string reason(int error) { return std::strerror(error); }

class FileHandle {
 public:
  explicit FileHandle(int descriptor) : descriptor_(descriptor) {}
  ~FileHandle() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FileHandle(const FileHandle&) = delete;
  FileHandle& operator=(const FileHandle&) = delete;

  int get() const { return descriptor_; }
  bool close() { return ::close(std::exchange(descriptor_, -1)) == 0; }

 private:
  int descriptor_;
};

void write_all(int descriptor, std::span<const uint8_t> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), std::min(bytes.size(), kChunk));
    if (written < 0) {
      if (errno == EINTR) continue;
      fail(Kind::output, "{}: cannot write: {}", path, reason(errno));
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

// Removes the temporary file unless it became the real one.
struct Unlinker {
  std::string path;
  ~Unlinker() {
    if (!path.empty()) ::unlink(path.c_str());
  }
};

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

std::vector<uint8_t> read_file(const std::string& path, int64_t limit) {
  FileHandle file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const auto fail_reading = [&](const char* what) {
    fail(may_pass(errno) ? Kind::temporary : Kind::missing, "{}: cannot {}: {}", path, what,
         reason(errno));
  };
  if (file.get() < 0) fail_reading("open");
  struct stat status;
  if (::fstat(file.get(), &status) != 0) fail_reading("read");
  if (S_ISDIR(status.st_mode)) fail(Kind::missing, "{}: is a folder, expected a file", path);

  const auto too_long = [&] {
    fail(Kind::resource, "{}: longer than the limit of {} bytes", path, limit);
  };
  const bool regular = S_ISREG(status.st_mode);
  if (regular && status.st_size > limit) too_long();

  // A regular file tells its size, though it may still grow or shrink; a pipe does not.
  std::vector<uint8_t> bytes;
  size_t filled = 0;
  try {
    bytes.resize(regular && status.st_size > 0 ? static_cast<size_t>(status.st_size) : 65536);
    for (;;) {
      if (filled == bytes.size()) {
        uint8_t next;
        const ssize_t got = ::read(file.get(), &next, 1);
        if (got == 0) break;
        if (got < 0) {
          if (errno == EINTR) continue;
          fail_reading("read");
        }
        if (static_cast<int64_t>(filled) >= limit) too_long();
        bytes.resize(std::min<size_t>(filled * 2 + 65536, static_cast<size_t>(limit)));
        bytes[filled++] = next;
        continue;
      }
      const ssize_t got =
          ::read(file.get(), bytes.data() + filled, std::min(bytes.size() - filled, kChunk));
      if (got == 0) break;
      if (got < 0) {
        if (errno == EINTR) continue;
        fail_reading("read");
      }
      filled += static_cast<size_t>(got);
    }
  } catch (const std::bad_alloc&) {
    fail(Kind::resource, "{}: not enough memory to read it", path);
  }
  if (static_cast<int64_t>(filled) > limit) too_long();
  bytes.resize(filled);
  return bytes;
}

bool may_pass(int error) noexcept {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
    case EIO:
    case ESTALE:
    case EAGAIN:
    case EBUSY:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOLCK:
    case ETIMEDOUT:
      return true;
    default:
      return false;
  }
}

void write_file_atomic(const std::string& path, std::span<const uint8_t> bytes) {
  std::string target = path;
  struct stat status;
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists) {
    if (S_ISDIR(status.st_mode)) fail(Kind::output, "{}: is a folder, expected a file name", path);
    if (!S_ISREG(status.st_mode)) {
      FileHandle device(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
      if (device.get() < 0) fail(Kind::output, "{}: cannot open: {}", path, reason(errno));
      write_all(device.get(), bytes, path);
      if (!device.close()) fail(Kind::output, "{}: cannot write: {}", path, reason(errno));
      return;
    }
    const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                           &std::free);
    if (real) target = real.get();
  }

  // Opened with mode 0666, not by mkstemp (0600), so that the user's umask decides as for any other
  // file.
  static std::atomic<unsigned> counter{0};
  const std::string folder = folder_of(target);
  Unlinker temporary;
  int descriptor = -1;
  for (int attempt = 0; attempt < 100 && descriptor < 0; ++attempt) {
    const std::string name = fmt::format("{}/.beckon-{}-{}.tmp", folder, ::getpid(), counter++);
    descriptor = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) {
      temporary.path = name;
    } else if (errno != EEXIST) {
      break;
    }
  }
  if (descriptor < 0)
    fail(Kind::output, "{}: cannot create a file in {}: {}", path, folder, reason(errno));

  FileHandle file(descriptor);
  if (exists)
    ::fchmod(descriptor, status.st_mode & 07777);  // the content counts; a refusal is no failure
  write_all(descriptor, bytes, path);
  if (::fsync(descriptor) != 0 || !file.close())
    fail(Kind::output, "{}: cannot write: {}", path, reason(errno));
  if (::rename(temporary.path.c_str(), target.c_str()) != 0)
    fail(Kind::output, "{}: cannot put the new file in place: {}", path, reason(errno));
  temporary.path.clear();

  FileHandle folder_handle(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder_handle.get() >= 0)
    ::fsync(folder_handle.get());  // not every file system can; the data itself is synced
}

}  // namespace beckon
