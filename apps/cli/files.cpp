#include "files.h"

#include "base/files.h"
#include "interrupt.h"
#include "terminal.h"

namespace beckon::cli {

std::vector<uint8_t> read_input(const std::string& path) {
  return read_file(path == "-" ? "/dev/stdin" : path);
}

std::string name_of_input(const std::string& path) { return path == "-" ? "standard input" : path; }

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

}  // namespace beckon::cli
