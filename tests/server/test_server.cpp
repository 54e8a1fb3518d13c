#include "test_server.h"

#include <chrono>
#include <filesystem>

#include <gtest/gtest.h>

#include "beckon/image.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

fs::path project_file(const std::string& path) { return fs::path(BECKON_SOURCE_DIR) / path; }

}  // namespace

std::string small_model() {
  return project_file("tests/goldens/sam/odd_75x113/weights.safetensors").string();
}

TestServer::TestServer(const std::function<void(server::ServeOptions&)>& change) {
  fs::copy(project_file("examples/photos/coffee.png"), folder_ / "a.png");
  Image::read(project_file("examples/photos/chelsea.png").string()).write(folder_ / "b.jpg");
  server::ServeOptions options;
  options.folder = folder_.path().string();
  options.model = small_model();
  options.cache = false;
  if (change) change(options);
  server_ = std::make_unique<server::Server>(options);
  thread_ = std::thread([this] { server_->run(); });
  const std::string host = "localhost";
  for (int i = 0; i < 600; ++i) {
    const Fields token{{"Authorization", "Bearer " + options.token}};
    const bool ready = get("/v1/health").status == 200 &&
                       get("/v1/images", token).json().value("scanning", true) == false;
    if (ready) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ADD_FAILURE() << "the server is not ready after 6 seconds";
}

TestServer::~TestServer() {
  server_->stop();
  thread_.join();
}

std::string TestServer::id(const std::string& name) {
  const Json list = get("/v1/images").json();
  for (const Json& image : list.at("images"))
    if (image.at("name") == name) return image.at("id");
  ADD_FAILURE() << "no photo " << name;
  return "";
}

Json TestServer::wait(const Json& job) const {
  const std::string path = "/v1/jobs/" + job.at("id").get<std::string>();
  for (int i = 0; i < 6000; ++i) {
    Json now = get(path).json();
    const std::string state = now.value("state", "");
    if (state != "queued" && state != "running") return now;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ADD_FAILURE() << "the job does not end";
  return {};
}

void TestServer::embed(const std::string& id) const {
  const Reply reply = post("/v1/images/" + id + "/embedding", Json::object());
  if (reply.status == 200) return;
  ASSERT_EQ(reply.status, 202) << reply.body;
  EXPECT_EQ(wait(reply.json()).value("state", ""), "done");
}

void expect_problem(const Reply& reply, int status, const std::string& code) {
  EXPECT_EQ(reply.status, status) << reply.body;
  EXPECT_EQ(reply.header("Content-Type"), "application/problem+json");
  const Json body = reply.json();
  ASSERT_TRUE(body.is_object()) << reply.body;
  EXPECT_EQ(body.value("status", 0), status);
  EXPECT_EQ(body.value("code", ""), code) << reply.body;
  EXPECT_FALSE(body.value("detail", "").empty());
  EXPECT_FALSE(body.value("title", "").empty());
}

}  // namespace beckon::test
