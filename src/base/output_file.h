// A file that appears whole or not at all: written under another name beside its place, moved there
// by commit().
//
// For files too large to hold in memory; the temporary file is removed if commit() is never
// reached. A symbolic link is followed. What is there and no regular file (a pipe, a device) is
// written into as it is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace beckon {

class OutputFile {
 public:
  // Throws Error(output) if `path` is a folder, or nothing can be written in its folder.
  explicit OutputFile(std::string path);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  // Throws Error(output), for example when the disk is full.
  void write(std::span<const std::byte> bytes);
  uint64_t written() const noexcept { return written_; }

  // Flushes to the disk, moves the file to its place and flushes the folder. Throws Error(output).
  void commit();

 private:
  std::string path_;
  std::string target_;     // path_ with its links followed
  std::string temporary_;  // empty: there is none, target_ itself is open
  int fd_ = -1;
  uint64_t written_ = 0;
};

// Flushes the folder itself, so that a rename inside it survives a power cut. Best effort.
void sync_folder(const std::string& folder) noexcept;

}  // namespace beckon
