#include "compose/annotate/work_log.h"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include "base/fail.h"

namespace beckon::compose {

WorkLog::WorkLog(const std::string& path) {
  if (path.empty()) return;
  file_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (file_ < 0) fail(Kind::output, "{}: cannot write: {}", path, std::strerror(errno));
}

WorkLog::~WorkLog() {
  if (file_ >= 0) ::close(file_);
}

void WorkLog::add(const char* event, const std::string& picture, const Json& details) const {
  if (file_ < 0) return;
  Json line = {{"event", event}};
  put_path(line, picture);
  line.update(details);
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  // A log that cannot be written is no reason to stop the work.
  [[maybe_unused]] const ssize_t ignored = ::write(file_, text.data(), text.size());
}

}  // namespace beckon::compose
