// A server of its own for a test: a folder with two photos, a small model of random weights.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "client.h"
#include "serve.h"
#include "support/temp_dir.h"

namespace beckon::test {

std::string small_model();

class TestServer {
 public:
  explicit TestServer(const std::function<void(server::ServeOptions&)>& change = {});
  ~TestServer();

  uint16_t port() const { return server_->port(); }
  const TempDir& folder() const { return folder_; }
  server::Server& server() { return *server_; }
  // The id of a photo: "a.png" or "b.jpg".
  std::string id(const std::string& name = "a.png");

  Reply get(const std::string& path, const Fields& headers = {}) const {
    return ask(port(), "GET", path, "", headers);
  }
  Reply post(const std::string& path, const Json& body, const Fields& headers = {}) const {
    return ask(port(), "POST", path, body.dump(), headers);
  }
  // Waits for a job and returns it.
  Json wait(const Json& job) const;
  // Has the embedding made.
  void embed(const std::string& id) const;

 private:
  TempDir folder_;
  std::unique_ptr<server::Server> server_;
  std::thread thread_;
};

// Fails the test unless it is a problem with this status and code.
void expect_problem(const Reply& reply, int status, const std::string& code);

}  // namespace beckon::test
