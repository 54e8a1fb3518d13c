// The program's own process, serving a folder, to be killed or looked at from outside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

namespace beckon::test {

class ServerProcess {
 public:
  // Waits until it says where it listens.
  explicit ServerProcess(const std::string& folder, const std::vector<std::string>& more = {});
  ~ServerProcess() { kill(); }
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // At once, without a chance to tidy up.
  void kill();
  uint16_t port() const { return port_; }
  // Resident memory in bytes, as the system counts it.
  int64_t memory() const;

 private:
  pid_t pid_ = 0;
  uint16_t port_ = 0;
};

}  // namespace beckon::test
