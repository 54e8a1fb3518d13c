// Who is answered: hosts, origins, tokens, content types.
#include "guard.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "beckon/error.h"
#include "test_server.h"

namespace beckon::test {
namespace {

TEST(ServerGuard, KnowsItsNames) {
  TestServer server([](auto& options) { options.hosts = {"Photos.lan"}; });
  const std::string port = std::to_string(server.port());
  for (const std::string host : {"localhost", "127.0.0.1", "[::1]", "photos.lan", "PHOTOS.LAN"}) {
    EXPECT_EQ(server.get("/v1/images", {{"Host", host}}).status, 200) << host;
    EXPECT_EQ(server.get("/v1/images", {{"Host", host + ":" + port}}).status, 200) << host;
  }
  for (const std::string host :
       {"evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "evil.example:80",
        "localhost:80:80", "localhost:x", "[::1", "@localhost", "localhost@evil.example"}) {
    for (const std::string path : {"/", "/v1/images", "/v1/health"})
      expect_problem(server.get(path, {{"Host", host}}), 421, "host");
  }
  Connection without(server.port());
  without.send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(without.receive().status, 421);
  Connection twice(server.port());
  twice.send("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n");
  EXPECT_NE(twice.receive().status, 200);
}

TEST(ServerGuard, AnswersNoOtherOrigin) {
  TestServer server;
  const std::string own = "localhost:" + std::to_string(server.port());
  const auto get = [&](const std::string& origin) {
    return server.get("/v1/images", {{"Host", own}, {"Origin", origin}});
  };
  EXPECT_EQ(get("http://" + own).status, 200);
  EXPECT_EQ(get("http://" + own).header("Access-Control-Allow-Origin"), "");
  for (const std::string origin :
       {"http://evil.example", "null", "http://localhost", "http://localhost:1", "file://"})
    expect_problem(get(origin), 403, "origin");
  // Without an Origin, what the browser says of where the request comes from.
  expect_problem(server.get("/v1/images", {{"Sec-Fetch-Site", "cross-site"}}), 403, "origin");
  expect_problem(server.get("/v1/images", {{"Sec-Fetch-Site", "same-site"}}), 403, "origin");
  EXPECT_EQ(server.get("/v1/images", {{"Sec-Fetch-Site", "same-origin"}}).status, 200);
  // A link on another site may lead to the page, not into the API.
  const Fields link{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Mode", "navigate"}};
  EXPECT_EQ(server.get("/", link).status, 200);
  expect_problem(server.get("/v1/images", link), 403, "origin");
  // What a page of another origin asks first.
  EXPECT_EQ(ask(server.port(), "OPTIONS", "/v1/images", "",
                {{"Origin", "http://evil.example"}, {"Access-Control-Request-Method", "POST"}})
                .status,
            403);
}

TEST(ServerGuard, WritesNeedTheirContentType) {
  TestServer server;
  const std::string segment = "/v1/images/" + server.id() + "/segment";
  for (const std::string type : {"text/plain", "application/x-www-form-urlencoded",
                                 "multipart/form-data; boundary=x", "application/jsonx"})
    expect_problem(ask(server.port(), "POST", segment, "{}", {{"Content-Type", type}}), 415,
                   "type");
  Connection none(server.port());
  none.send("POST " + segment + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(none.receive().status, 415);
  for (const std::string type : {"image/svg+xml", "text/html", "application/json", "image/gif"})
    expect_problem(ask(server.port(), "POST", "/v1/images", "<svg/>", {{"Content-Type", type}}),
                   415, "type");
  EXPECT_NE(ask(server.port(), "POST", segment, "{}",
                {{"Content-Type", "Application/JSON; charset=utf-8"}})
                .status,
            415);
}

TEST(ServerGuard, AsksForTheToken) {
  const std::string token = "0123456789abcdef-secret";
  TestServer server([&](auto& options) { options.token = token; });
  EXPECT_EQ(server.get("/").status, 200);  // the page itself holds no secret
  EXPECT_EQ(server.get("/v1/health").status, 200);
  for (const std::string wrong :
       {"", "Bearer", "Bearer ", "Bearer 0123456789abcdef-secre", "Bearer 0123456789abcdef-secretx",
        "Basic eDp5", "0123456789abcdef-secret"}) {
    const Reply reply = server.get("/v1/images", {{"Authorization", wrong}});
    expect_problem(reply, 401, "token");
    EXPECT_TRUE(reply.header("WWW-Authenticate").starts_with("Bearer"));
  }
  EXPECT_EQ(server.get("/v1/images?token=" + token).status, 401);
  EXPECT_EQ(server.get("/v1/images", {{"Authorization", "Bearer " + token}}).status, 200);
  // As the password of basic authentication: base64 of "x:0123456789abcdef-secret".
  EXPECT_EQ(
      server.get("/v1/images", {{"Authorization", "Basic eDowMTIzNDU2Nzg5YWJjZGVmLXNlY3JldA=="}})
          .status,
      200);
}

TEST(ServerGuard, OtherAddressesNeedAToken) {
  const TempDir folder;
  for (const std::string address : {"0.0.0.0", "::", "192.168.1.5"}) {
    server::ServeOptions options;
    options.folder = folder.path().string();
    options.model = small_model();
    options.listen = address;
    try {
      const server::Server server(options);
      FAIL() << address;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), Kind::usage);
    }
  }
  EXPECT_TRUE(server::is_loopback("127.0.0.1") && server::is_loopback("::1"));
}

TEST(ServerGuard, ReadsTokensOfPrivateFiles) {
  const TempDir folder;
  const auto refused = [&](const std::string& text, mode_t mode) {
    const std::string path = folder.write("token", text);
    ::chmod(path.c_str(), mode);
    try {
      server::read_token(path);
      return false;
    } catch (const Error&) {
      return true;
    }
  };
  EXPECT_FALSE(refused("0123456789abcdef\n", 0600));
  EXPECT_EQ(server::read_token(folder / "token"), "0123456789abcdef");
  EXPECT_TRUE(refused("0123456789abcdef\n", 0644));
  EXPECT_TRUE(refused("short\n", 0600));
  EXPECT_TRUE(refused("0123456789abcdef\nmore of it is here\n", 0600));
}

TEST(ServerGuard, ComparesWholeTexts) {
  EXPECT_TRUE(server::equal_in_constant_time("abc", "abc"));
  EXPECT_TRUE(server::equal_in_constant_time("", ""));
  EXPECT_FALSE(server::equal_in_constant_time("abc", "abd"));
  EXPECT_FALSE(server::equal_in_constant_time("abc", "abcd"));
  EXPECT_FALSE(server::equal_in_constant_time("abc", ""));
}

}  // namespace
}  // namespace beckon::test
