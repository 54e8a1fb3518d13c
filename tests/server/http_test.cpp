// The transport, against clients that misbehave.
#include <chrono>
#include <thread>

#include <gtest/gtest.h>

#include "test_server.h"

namespace beckon::test {
namespace {

using namespace std::chrono_literals;

TEST(Http, KeepsAConnectionForSeveralRequests) {
  TestServer server;
  Connection connection(server.port());
  for (int i = 0; i < 3; ++i) {
    connection.send(request_text("GET", "/v1/health"));
    EXPECT_EQ(connection.receive().status, 200);
  }
  // Two at once are answered one after the other.
  connection.send(request_text("GET", "/v1/health") + request_text("GET", "/v1/nothing"));
  EXPECT_EQ(connection.receive().status, 200);
  expect_problem(connection.receive(), 404, "no-route");
}

TEST(Http, AnswersHeadWithoutABody) {
  TestServer server;
  Connection connection(server.port());
  connection.send(request_text("HEAD", "/v1/images/" + server.id() + "/content"));
  const Reply reply = connection.receive(true);
  EXPECT_EQ(reply.status, 200);
  EXPECT_GT(std::stoul(reply.header("Content-Length")), 1000u);
  connection.send(request_text("GET", "/v1/health"));  // what follows is no body
  EXPECT_EQ(connection.receive().status, 200);
}

TEST(Http, RefusesWhatIsNotHttp) {
  TestServer server;
  for (const std::string nonsense :
       {"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
        "GET nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: "
        "6\r\n\r\n"}) {
    Connection connection(server.port());
    connection.send(nonsense);
    const Reply reply = connection.receive();
    EXPECT_EQ(reply.status, 400) << nonsense;
  }
  EXPECT_EQ(server.get("/v1/health").status, 200);
}

TEST(Http, RefusesLongHeaders) {
  TestServer server;
  Connection connection(server.port());
  connection.send("GET /v1/health HTTP/1.1\r\nHost: localhost\r\nX: " + std::string(20'000, 'x') +
                  "\r\n\r\n");
  expect_problem(connection.receive(), 431, "http");
}

TEST(Http, RefusesLongBodiesBeforeTheyAreSent) {
  TestServer server;
  Connection connection(server.port());
  const std::string path = "/v1/images/" + server.id() + "/segment";
  connection.send(request_text("POST", path, "", {{"Content-Length", "5000000"}}));
  expect_problem(connection.receive(), 413, "too-large");
  EXPECT_TRUE(connection.closes());
  EXPECT_EQ(ask(server.port(), "POST", "/v1/images", "",
                {{"Content-Type", "image/png"}, {"Content-Length", "99999999999"}})
                .status,
            413);
  // A body where none is read.
  EXPECT_EQ(ask(server.port(), "GET", "/v1/health", "hello").status, 413);
}

TEST(Http, AnswersAClientThatSendsAllOfALongBodyFirst) {
  TestServer server;
  Connection connection(server.port());
  connection.send(
      request_text("POST", "/v1/images/" + server.id() + "/segment", std::string(4'500'000, ' ')));
  EXPECT_EQ(connection.receive().status, 413);
}

TEST(Http, ReadsNoChunks) {
  TestServer server;
  Connection connection(server.port());
  connection.send(
      "POST /v1/images HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
      "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
  EXPECT_EQ(connection.receive().status, 411);
}

TEST(Http, LetsGoOfSlowClients) {
  TestServer server([](auto& options) {
    options.limits.header = 300ms;
    options.limits.body = 300ms;
    options.limits.slowest = 1 << 20;
  });
  const std::string id = server.id();
  Connection headers(server.port()), body(server.port()), silent(server.port());
  headers.send("GET /v1/hea");
  body.send(request_text("POST", "/v1/images/" + id + "/segment", "{", {{"Content-Length", "9"}}));
  EXPECT_TRUE(headers.closes());
  EXPECT_TRUE(body.closes());
  EXPECT_TRUE(silent.closes());
  // A letter now and then does not help.
  Connection slow(server.port());
  bool taken = true;
  for (int i = 0; i < 30 && taken; ++i) {
    taken = slow.send("G");
    std::this_thread::sleep_for(30ms);
  }
  EXPECT_TRUE(!taken || slow.closes());
  EXPECT_EQ(server.get("/v1/health").status, 200);
}

TEST(Http, RefusesTooManyConnections) {
  TestServer server([](auto& options) { options.limits.connections = 4; });
  std::vector<std::unique_ptr<Connection>> held;
  for (int i = 0; i < 4; ++i) {
    held.push_back(std::make_unique<Connection>(server.port()));
    held.back()->send(request_text("GET", "/v1/health"));
    EXPECT_EQ(held.back()->receive().status, 200);
  }
  Connection another(server.port());
  const Reply reply = another.receive();
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.header("Retry-After"), "1");
  held.clear();
  for (int i = 0; i < 100; ++i) {  // closing takes its time to be noticed
    if (server.get("/v1/health").status == 200) return;
    std::this_thread::sleep_for(10ms);
  }
  FAIL() << "connections that were closed still count";
}

TEST(Http, BoundsWhatAllBodiesTakeTogether) {
  TestServer server([](auto& options) { options.limits.bodies = 1000; });
  EXPECT_EQ(server.post("/v1/images/" + server.id() + "/embedding", std::string(2000, 'x')).status,
            503);
  EXPECT_EQ(server.post("/v1/images/" + server.id() + "/embedding", Json::object()).status, 202);
}

TEST(Http, SurvivesClientsThatGoAway) {
  TestServer server;
  const std::string id = server.id();
  server.embed(id);
  const std::string segment =
      request_text("POST", "/v1/images/" + id + "/segment",
                   R"({"prompts":[{"points":[{"x":9,"y":9}]}],"format":"png"})");
  for (int i = 0; i < 50; ++i) {
    Connection gone(server.port());
    gone.send(i % 2 == 0 ? segment : request_text("GET", "/v1/images/" + id + "/content"));
  }
  EXPECT_EQ(server.get("/v1/health").status, 200);
}

}  // namespace
}  // namespace beckon::test
