// Files named on the command line, where "-" stands for stdin and stdout.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace beckon::cli {

// Errors as read_file.
std::vector<uint8_t> read_input(const std::string& path);
// What messages call it: the path, or "standard input".
std::string name_of_input(const std::string& path);

// Throws Error(output) if write_output(path) is sure to: better before the work than after it.
void expect_output(const std::string& path);

// Throws Error(usage) if the output is one of the files that are read: a slip that would cost a
// photo.
void expect_other_file(const std::string& output, const std::vector<std::string>& inputs);

// Writes to stdout, or replaces the file as a whole; a signal that comes meanwhile waits.
void write_output(const std::string& path, std::span<const uint8_t> bytes);

}  // namespace beckon::cli
