#include "picture_progress.h"

#include <algorithm>

#include <fmt/format.h>

#include "terminal.h"

namespace beckon::cli {

PictureProgress::~PictureProgress() {
  if (drawn_) show("\r\x1b[K");
}

void PictureProgress::update(int64_t done, int64_t total, int64_t worked) {
  const Clock::time_point now = Clock::now();
  if (!stderr_is_terminal() || now < next_draw_ || total == 0) return;
  next_draw_ = now + std::chrono::milliseconds(100);
  constexpr int kWidth = 24;
  const double part = static_cast<double>(done) / static_cast<double>(total);
  const int filled = static_cast<int>(part * kWidth);
  std::string line = fmt::format("\r\x1b[K[{:=<{}}{: <{}}]  {} of {} pictures", "", filled, "",
                                 kWidth - filled, done, total);
  const double seconds = std::chrono::duration<double>(now - start_).count();
  if (worked > 0 && seconds > 0) {
    const double each = seconds / static_cast<double>(worked);
    line += fmt::format("  {:.1f} a minute  {} to go", 60 / each,
                        clock_time(static_cast<int64_t>(each * static_cast<double>(total - done))));
  }
  show(line);
  drawn_ = true;
}

std::string clock_time(int64_t seconds) {
  const int64_t hours = seconds / 3600;
  const int64_t minutes = seconds / 60 % 60;
  return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, minutes, seconds % 60)
                   : fmt::format("{}:{:02}", minutes, seconds % 60);
}

}  // namespace beckon::cli
