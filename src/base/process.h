// Runs another program, without a shell in between.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace beckon {

struct ProcessResult {
  int status = 0;  // exit code; 127 if the program was not found; 128 + signal if a signal ended it
  std::string errors;  // the end of what it wrote to stderr, at most 4 KiB
};

// Runs arguments[0], looked up in PATH, in `folder` (empty: here), with an empty stdin and stdout
// thrown away. `poll` is called about ten times a second; if it returns false or throws, the
// program is ended and Error(interrupted), or what was thrown, leaves this function.
ProcessResult run_process(const std::vector<std::string>& arguments, const std::string& folder,
                          const std::function<bool()>& poll);

}  // namespace beckon
