// HTTP as a client speaks it, byte by byte where a test wants to misbehave.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace beckon::test {

using Json = nlohmann::json;
using Fields = std::vector<std::pair<std::string, std::string>>;

struct Reply {
  int status = 0;  // 0: the connection ended without one
  Fields headers;
  std::string body;
  std::string header(const std::string& name) const;
  Json json() const;  // null if the body is none
};

// A TCP connection to 127.0.0.1 that gives up after `patience`.
class Connection {
 public:
  explicit Connection(uint16_t port, std::chrono::milliseconds patience = std::chrono::seconds(30));
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // False if the other side does not take it.
  bool send(const std::string& bytes);
  Reply receive(bool head_only = false);
  // Until `end` is seen, or the connection or the patience ends.
  std::string read_until(const std::string& end);
  // Whether the other side closes within the patience.
  bool closes();

 private:
  bool fill();
  int fd_ = -1;
  std::string read_;
};

std::string request_text(const std::string& method, const std::string& path,
                         const std::string& body = "", const Fields& headers = {});

// On a connection of its own. Host is there unless given; a body is JSON unless said otherwise.
Reply ask(uint16_t port, const std::string& method, const std::string& path,
          const std::string& body = "", const Fields& headers = {});

}  // namespace beckon::test
