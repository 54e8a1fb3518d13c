// Runs the program as a user's shell would, and keeps what it said.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace beckon::test {

struct Outcome {
  int code = -1;    // exit code; 128 + the number of the signal that ended it
  std::string out;  // stdout
  std::string err;  // stderr
};

struct RunOptions {
  std::string input;                       // given on stdin
  std::map<std::string, std::string> set;  // environment variables, over the present ones
  std::string folder;                      // working folder; empty: the present one
  std::string stdout_path;                 // a file for stdout instead of Outcome::out
  bool close_stdout_early = false;         // the reader goes away before anything is written
  int signal = 0;                          // sent after `signal_after`
  std::chrono::milliseconds signal_after{300};
  std::function<bool()> signal_when;  // and not before this is true: machines differ in speed
  std::chrono::seconds timeout{120};  // then it is killed and the test fails
};

// Any program; arguments[0] is looked up in PATH.
Outcome run_program(const std::vector<std::string>& arguments, const RunOptions& options = {});

// The beckon program of this build. Unless set, BECKON_HOME is an empty folder of its own, so that
// a test sees no models of this machine.
Outcome run_beckon(std::vector<std::string> arguments, RunOptions options = {});

// Fails the test unless the program ended with `code`, said nothing on stdout and one line "beckon:
// ..." on stderr that contains `part`.
void expect_complaint(const Outcome& outcome, int code, const std::string& part);

}  // namespace beckon::test
