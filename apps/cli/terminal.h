// The program's three streams: results to stdout, talk to stderr.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace beckon::cli {

// Thrown by print when the reader of our output went away (`beckon ... | head -1`): the program
// ends without a word.
struct ReaderGone {};

// Writes all of it to stdout, past any buffer. Throws Error(output) with the system's reason, or
// ReaderGone.
void print(std::string_view text);
void print(std::span<const uint8_t> bytes);

// One line on stderr: "beckon: <message>". Control characters, which a file name may contain, are
// written as \x1b, so that it stays one line and cannot steer the terminal.
void complain(std::string_view message);
// One line on stderr without the name.
void say(std::string_view message);
// Several lines on stderr, as they are.
void show(std::string_view text);

// Text that a file may have chosen, for a table: control characters become "?".
std::string on_one_line(std::string text);

// Whether stderr is a terminal that understands control sequences.
bool stderr_is_terminal();
// The same, and NO_COLOR is not set.
bool stderr_has_colour();

// Opens /dev/null for a standard stream that the caller closed, so that no file of ours takes its
// number.
void open_closed_streams();

// A line on stderr that shows how far a long task is; silent unless stderr is a terminal. The line
// is wiped at the end.
//
//   Progress progress("downloading mobile-sam");
//   progress.update(done, total);  // bytes
class Progress {
 public:
  explicit Progress(std::string label);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `total` 0 means that it is not known. Cheap: draws ten times a second at most.
  void update(uint64_t done, uint64_t total);

 private:
  std::string label_;
  std::chrono::steady_clock::time_point next_draw_;
  bool visible_;
  bool drawn_ = false;
};

// "27.5 MB": decimal, as disks and networks count.
std::string human_bytes(uint64_t bytes);

}  // namespace beckon::cli
