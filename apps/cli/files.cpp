#include "files.h"

#include <cerrno>
#include <cstring>
#include <filesystem>

#include <unistd.h>

#include "base/fail.h"
#include "base/files.h"
#include "interrupt.h"
#include "terminal.h"

namespace beckon::cli {

std::vector<uint8_t> read_input(const std::string& path) {
  return read_file(path == "-" ? "/dev/stdin" : path);
}

std::string name_of_input(const std::string& path) { return path == "-" ? "standard input" : path; }

void expect_output(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (path == "-" || path.empty()) return;
  if (fs::is_directory(path, error))
    fail(Kind::output, "{}: is a folder, expected a file name", path);
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) return;  // a pipe, a device
  fs::path folder = fs::path(path).parent_path();
  if (folder.empty()) folder = ".";
  if (access(folder.c_str(), W_OK | X_OK) != 0)
    fail(Kind::output, "{}: cannot create a file in {}: {}", path, folder.string(),
         std::strerror(errno));
}

void write_output(const std::string& path, std::span<const uint8_t> bytes) {
  if (path == "-") {
    print(bytes);
    return;
  }
  {
    const HoldInterrupts hold;
    write_file_atomic(path, bytes);
  }
  stop_if_interrupted();
}

void expect_other_file(const std::string& output, const std::vector<std::string>& inputs) {
  if (output.empty() || output == "-") return;
  for (const std::string& input : inputs) {
    std::error_code error;
    if (!input.empty() && input != "-" && std::filesystem::equivalent(input, output, error))
      fail(Kind::usage, "-o {}: is read as well and would be overwritten; name another file",
           output);
  }
}

}  // namespace beckon::cli
