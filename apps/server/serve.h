// beckon serve: a folder of photos, a model, and the page that brings them together, over HTTP.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "http.h"
#include "router.h"

namespace beckon::server {

struct ServeOptions {
  std::string folder = ".";
  std::string model = "mobile-sam";
  std::string listen = "127.0.0.1";
  uint16_t port = 0;                 // 0: a free one
  std::string token;                 // empty: none; needed unless `listen` is this machine alone
  std::vector<std::string> hosts;    // names under which it is reached, besides localhost
  std::string page;                  // a folder with another page than the one built in
  size_t embeddings = 8;             // kept in memory
  int64_t max_pixels = 100'000'000;  // of a photo
  bool cache = true;                 // embeddings on disk
  bool metrics = false;              // GET /v1/metrics
  HttpLimits limits;
};

class Server {
 public:
  // Listens at once and loads the model meanwhile. Error(missing) for the folder, Error(usage) for
  // an address that others reach and no token, Error(unavailable) if the port is taken.
  explicit Server(ServeOptions options);
  ~Server();

  std::string url() const;
  uint16_t port() const;
  const std::vector<Route>& routes() const;

  // Serves on this thread until stop().
  void run();
  // From any thread; not from a signal handler.
  void stop();

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace beckon::server
