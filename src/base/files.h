// Whole files in and out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace beckon {

constexpr int64_t kDefaultFileLimit = int64_t{4} << 30;

// The bytes of a file (or of a pipe, until its end). Kind::missing if it is not there, is a folder
// or cannot be read; Kind::resource if it is longer than `limit` bytes, which is found out before
// anything is allocated.
std::vector<uint8_t> read_file(const std::string& path, int64_t limit = kDefaultFileLimit);

// Replaces the file as a whole or not at all: a temporary file in the same folder is written,
// synced and renamed, then the folder is synced. Keeps the permissions of a file that is replaced,
// follows symbolic links, and writes straight into what is not a regular file (/dev/stdout, a
// pipe). Kind::output with the system's reason if that fails.
void write_file_atomic(const std::string& path, std::span<const uint8_t> bytes);

// Whether what failed with this errno may work when it is tried again: the disk is full, the device
// or the network had an error, the system is out of something.
bool may_pass(int error) noexcept;

}  // namespace beckon
