// A line on stderr that shows how far a folder is: pictures, pictures a minute, the time it still
// takes. Silent unless stderr is a terminal; wiped at the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace beckon::cli {

class PictureProgress {
 public:
  PictureProgress() = default;
  ~PictureProgress();
  PictureProgress(const PictureProgress&) = delete;
  PictureProgress& operator=(const PictureProgress&) = delete;

  // `worked`: of `done`, those that took work, which the speed is reckoned from.
  void update(int64_t done, int64_t total, int64_t worked);

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
  Clock::time_point next_draw_ = start_;
  bool drawn_ = false;
};

// "1:02:10", "2:10".
std::string clock_time(int64_t seconds);

}  // namespace beckon::cli
