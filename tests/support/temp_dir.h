// A folder of its own for a test, removed at the end.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace beckon::test {

class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  // Writes a file into the folder and returns its path.
  std::string write(const std::string& name, std::span<const uint8_t> bytes) const;
  std::string write(const std::string& name, const std::string& text) const;

 private:
  std::filesystem::path path_;
};

// The whole file; throws std::runtime_error if it cannot be read.
std::vector<uint8_t> read_bytes(const std::filesystem::path& path);

}  // namespace beckon::test
