// beckon learn: what its tasks share. Each task is a file of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <fstream>
#include <memory>
#include <string>

#include "json.h"

namespace CLI {
class App;
}

namespace beckon::cli {

class TrainingArguments;

// Options that mean the same whatever is learned.
struct LearnArguments {
  std::string task = "classify";
  std::string data;
  std::string output;
  std::string log;         // empty: none
  std::string report;      // empty: none
  std::string checkpoint;  // empty: none
  bool resume = false;
  bool skip_broken = false;
  bool json = false;
  uint64_t seed = 0;
  double validation = -1;  // -1: as the task sees fit
};

// A task adds its own options, in a group of its name, and runs with both.
class LearnSegment {
 public:
  explicit LearnSegment(CLI::App& command);
  void run(const LearnArguments& arguments) const;

 private:
  struct Options;
  std::shared_ptr<Options> options_;
};

class LearnClassify {
 public:
  // Options that the command has already are taken as they are: make it after the other tasks.
  explicit LearnClassify(CLI::App& command);
  void run(const LearnArguments& arguments) const;

 private:
  struct Options;
  std::shared_ptr<Options> options_;
  std::shared_ptr<TrainingArguments> training_;
};

// One JSON object a line, written as it comes: a run can be watched, and what was said before a
// crash is there.
class LearnLog {
 public:
  // An empty path: nothing is written. `append`: what is there stays. Error(output).
  LearnLog(const std::string& path, bool append);
  void write(const Json& line);

 private:
  std::string path_;
  std::ofstream file_;
};

// A line on stderr: how far, loss, what is measured, the time it still takes. Silent unless stderr
// is a terminal; wiped at the end.
class LearnLine {
 public:
  LearnLine() = default;
  ~LearnLine();
  LearnLine(const LearnLine&) = delete;
  LearnLine& operator=(const LearnLine&) = delete;

  // `first`: steps that were done before this run began.
  void update(const std::string& unit, int64_t done, int64_t total, int64_t first,
              const std::string& numbers);

 private:
  using Clock = std::chrono::steady_clock;
  std::string unit_;
  Clock::time_point start_ = Clock::now(), next_draw_ = start_;
  bool drawn_ = false;
};

}  // namespace beckon::cli
