// A line of JSON for each beginning and end of work on a picture.
#pragma once

#include <string>

#include "compose/annotate/names.h"

namespace beckon::compose {

class WorkLog {
 public:
  // Nothing is logged if `path` is empty. Error(output) if it cannot be opened.
  explicit WorkLog(const std::string& path);
  ~WorkLog();
  WorkLog(const WorkLog&) = delete;
  WorkLog& operator=(const WorkLog&) = delete;

  // From any thread, and several processes on one file: a line is one write at its end.
  void add(const char* event, const std::string& picture,
           const Json& details = Json::object()) const;

 private:
  int file_ = -1;
};

}  // namespace beckon::compose
