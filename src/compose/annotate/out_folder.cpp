#include "compose/annotate/out_folder.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "base/output_file.h"
#include "base/sha256.h"

namespace beckon::compose {
namespace {

constexpr std::string_view kSealBegin = ",\n\"seal\":\"";
constexpr std::string_view kSealEnd = "\"}\n";
constexpr size_t kDigits = 64;
constexpr auto kPatience = std::chrono::seconds(5);

std::string hash(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

[[noreturn]] void fail_writing(const std::string& path, int error) {
  fail(may_pass(error) ? Kind::temporary : Kind::output, "{}: cannot write: {}", path,
       std::strerror(error));
}

// Removes the file unless it was moved to its place.
struct Unfinished {
  std::string path;
  int file = -1;
  ~Unfinished() {
    if (file >= 0) ::close(file);
    if (!path.empty()) ::unlink(path.c_str());
  }
};

void write_all(int file, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_writing(path, errno);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
}

std::string parent(const std::string& path) {
  return path.substr(0, std::max<size_t>(1, path.rfind('/')));
}

void make_folders(const std::string& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail_writing(folder, error.value());
}

}  // namespace

std::string sealed(std::string body) {
  body += kSealBegin;
  const std::string digits = hash(body);
  body += digits;
  body += kSealEnd;
  return body;
}

bool is_sealed(std::string_view text) {
  constexpr size_t kTail = kSealBegin.size() + kDigits + kSealEnd.size();
  if (text.size() < kTail || !text.ends_with(kSealEnd)) return false;
  const std::string_view digits = text.substr(text.size() - kSealEnd.size() - kDigits, kDigits);
  const std::string_view body = text.substr(0, text.size() - kSealEnd.size() - kDigits);
  return body.ends_with(kSealBegin) && hash(body) == digits;
}

OutFolder::OutFolder(std::string root, AroundWrite around_write)
    : root_(std::move(root)), around_write_(std::move(around_write)) {
  if (!around_write_) around_write_ = [](const std::function<void()>& write) { write(); };
  struct stat status = {};
  if (::stat(root_.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
    fail(Kind::output, "{}: is a file, expected a folder for the results", root_);
  make_folders(root_);
}

OutFolder OutFolder::existing(std::string root, AroundWrite around_write) {
  struct stat status = {};
  if (::stat(root.c_str(), &status) != 0)
    fail(Kind::missing, "{}: cannot open: {}", root, std::strerror(errno));
  if (!S_ISDIR(status.st_mode)) fail(Kind::missing, "{}: is a file, expected a folder", root);
  return OutFolder(std::move(root), std::move(around_write));
}

std::optional<std::string> OutFolder::read(const std::string& name) const {
  const std::string path = full(name);
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
    fail(may_pass(errno) ? Kind::temporary : Kind::missing, "{}: cannot read: {}", path,
         std::strerror(errno));
  }
  if (!S_ISREG(status.st_mode)) return std::nullopt;
  const std::vector<uint8_t> bytes = read_file(path);
  return std::string(bytes.begin(), bytes.end());
}

bool OutFolder::put(const std::string& name, const std::function<void(const Sink&)>& produce,
                    bool replace) const {
  // Written among the working files and moved: what a kill leaves behind is swept away with them.
  // The names of several machines may meet in one folder, so a taken one is passed over.
  static std::atomic<unsigned> count{0};
  const std::string path = full(name);
  make_folders(parent(path));
  Unfinished unfinished;
  for (int attempt = 0; unfinished.file < 0; ++attempt) {
    const std::string temporary =
        full(fmt::format("{}/unfinished-{}-{}", kShardsFolder, ::getpid(), count++));
    unfinished.file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (unfinished.file >= 0)
      unfinished.path = temporary;
    else if (errno == ENOENT && attempt < 100)
      make_folders(full(kShardsFolder));
    else if (errno != EEXIST || attempt >= 100'000)
      fail_writing(path, errno);
  }
  produce([&](std::string_view bytes) { write_all(unfinished.file, bytes, path); });
  if (::fsync(unfinished.file) != 0) fail_writing(path, errno);
  if (::close(std::exchange(unfinished.file, -1)) != 0) fail_writing(path, errno);
  if (replace) {
    if (::rename(unfinished.path.c_str(), path.c_str()) != 0) fail_writing(path, errno);
    unfinished.path.clear();
  } else if (::link(unfinished.path.c_str(), path.c_str()) != 0) {
    if (errno == EEXIST) return false;
    // A file system without hard links: two that do this at once write the same in all cases but
    // one, and the caller looks again.
    if (::access(path.c_str(), F_OK) == 0) return false;
    if (::rename(unfinished.path.c_str(), path.c_str()) != 0) fail_writing(path, errno);
    unfinished.path.clear();
  }
  sync_folder(parent(path));
  return true;
}

void OutFolder::write(const std::string& name, std::string_view bytes) const {
  around_write_([&] {
    put(
        name, [&](const Sink& sink) { sink(bytes); }, true);
  });
}

void OutFolder::write_in_pieces(const std::string& name,
                                const std::function<void(const Sink&)>& produce) const {
  // Not held up by a caller that wants to stop: this can take minutes, and what is left behind is
  // swept away with the working files.
  put(name, produce, true);
}

bool OutFolder::has(const std::string& name) const {
  struct stat status = {};
  return ::stat(full(name).c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

bool OutFolder::write_new(const std::string& name, std::string_view bytes) const {
  bool written = false;
  around_write_([&] {
    written = put(
        name, [&](const Sink& sink) { sink(bytes); }, false);
  });
  return written;
}

bool OutFolder::remove(const std::string& name) const {
  if (::unlink(full(name).c_str()) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  fail_writing(full(name), errno);
}

void OutFolder::remove_working_files() const {
  // Nothing depends on it: what cannot be removed stays.
  std::error_code ignored;
  std::filesystem::remove_all(full(kShardsFolder), ignored);
}

OutFolder::Lock::~Lock() {
  if (file_ >= 0) ::close(file_);
}

OutFolder::Lock OutFolder::lock(const std::string& name) const {
  const std::string path = full(fmt::format("{}/{}.lock", kShardsFolder, name));
  make_folders(parent(path));
  const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file < 0) fail_writing(path, errno);
  Lock lock(file);
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (::flock(file, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    // Without locks two processes do the same work twice, and write the same.
    if (errno != EWOULDBLOCK) break;
    if (std::chrono::steady_clock::now() >= end)
      fail(Kind::temporary, "{}: another process works on {}", root_, name);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return lock;
}

}  // namespace beckon::compose
