// Downloads by the real curl from a real server, over HTTPS as for the official files.
#include "weights/fetch.h"

#include <filesystem>
#include <random>

#include <gtest/gtest.h>

#include "base/process.h"
#include "base/sha256.h"
#include "beckon/store.h"
#include "support/check.h"
#include "support/environment.h"
#include "support/temp_dir.h"
#include "weights/https_server.h"
#include "weights/registry.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using weights::ModelSpec;
using weights::SourceSpec;

std::string noise(size_t bytes) {
  std::mt19937 random(7);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::string range_of(const std::string& request) {
  const size_t at = request.find("Range: ");
  return at == std::string::npos ? "" : request.substr(at, request.find('\r', at) - at);
}

class FetchTest : public testing::Test {
 protected:
  void SetUp() override {
    if (run_process({"curl", "--version"}, "", [] { return true; }).status != 0)
      GTEST_SKIP() << "curl is not installed";
  }

  Store store(size_t bytes, const std::string& content, const std::string& address) const {
    ModelSpec spec;
    spec.name = "noise";
    spec.sources = {{SourceSpec::Kind::https,
                     address,
                     {{"noise.pth", "", bytes, sha256_hex(std::as_bytes(std::span(content)))}}}};
    return Store(folder_ / "models", {spec});
  }
  Store store() const { return store(content_.size(), content_, server_.address("noise.pth")); }

  bool here() const { return fs::exists(folder_ / "models/noise/noise.pth"); }
  std::string partial() const { return folder_ / "models/noise/noise.pth.partial"; }
  void leave_partial(const std::string& bytes) const {
    fs::create_directories(folder_ / "models/noise");
    folder_.write("models/noise/noise.pth.partial", bytes);
  }
  void expect_whole() const {
    ASSERT_TRUE(here());
    const auto bytes = read_bytes(folder_ / "models/noise/noise.pth");
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), content_);
    EXPECT_FALSE(fs::exists(partial()));
  }

  TempDir folder_;
  const std::string content_ = noise(300'000);
  HttpsServer server_{content_, folder_ / "certificate.pem"};
  const Environment trusted_{"CURL_CA_BUNDLE", folder_ / "certificate.pem"};
  const Environment direct_{"no_proxy", "127.0.0.1"};
};

TEST_F(FetchTest, TheWholeFile) {
  store().pull("noise");
  expect_whole();
  ASSERT_EQ(server_.requests().size(), 1u);
  EXPECT_TRUE(server_.requests()[0].starts_with("GET /noise.pth HTTP/1.1"))
      << server_.requests()[0];
  EXPECT_EQ(range_of(server_.requests()[0]), "");
  store().pull("noise");  // here already
  EXPECT_EQ(server_.requests().size(), 1u);
}

TEST_F(FetchTest, AConnectionThatIsCutIsContinuedTheNextTime) {
  server_.behave({.cut_after = 100'000});
  expect_error(Kind::unavailable, server_.address("noise.pth") + ": curl: (",
               [&] { store().pull("noise"); });
  EXPECT_FALSE(here());
  ASSERT_TRUE(fs::exists(partial()));
  EXPECT_EQ(fs::file_size(partial()), 100'000u);
  EXPECT_EQ(store().list()[0].state, ModelState::partial);

  server_.behave({});
  store().pull("noise");
  expect_whole();
  EXPECT_EQ(range_of(server_.requests().back()), "Range: bytes=100000-");
}

TEST_F(FetchTest, AServerThatKnowsNoRangesSendsAllOfItAgain) {
  leave_partial(content_.substr(0, 1000));
  server_.behave({.ranges = false});
  store().pull("noise");
  expect_whole();
}

TEST_F(FetchTest, AFileThatIsNotThereLeavesNothing) {
  for (const int status : {404, 403}) {
    server_.behave({.status = status});
    expect_error(Kind::unavailable, "returned error: " + std::to_string(status),
                 [&] { store().pull("noise"); });
    EXPECT_FALSE(here());
    EXPECT_FALSE(fs::exists(partial()));
  }
}

TEST_F(FetchTest, AServerThatIsBusyIsAskedAgain) {
  server_.behave({.status = 503, .failures = 1});
  store().pull("noise");
  expect_whole();
  EXPECT_EQ(server_.requests().size(), 2u);
}

TEST_F(FetchTest, AnotherFileUnderTheNameIsNotAccepted) {
  const std::string other = noise(300'000).replace(5, 1, "?");
  expect_error(Kind::unavailable,
               "expected 300000 bytes and " + sha256_hex(std::as_bytes(std::span(other))),
               [&] { store(other.size(), other, server_.address("noise.pth")).pull("noise"); });
  EXPECT_FALSE(here());
  EXPECT_FALSE(fs::exists(partial()));
}

TEST_F(FetchTest, AWrongBeginningIsFoundAtTheEndAndFetchedAgain) {
  leave_partial(std::string(1000, 'x'));
  store().pull("noise");
  expect_whole();
  EXPECT_EQ(server_.requests().size(), 2u);
}

TEST_F(FetchTest, AWholeFileOfUnknownSizeIsNotFetchedAgain) {
  leave_partial(content_);
  store(0, content_, server_.address("noise.pth")).pull("noise");
  expect_whole();
  ASSERT_EQ(server_.requests().size(), 1u);  // answered with 416: nothing is left to send
  EXPECT_EQ(range_of(server_.requests()[0]), "Range: bytes=300000-");
}

TEST_F(FetchTest, ARedirectionIsFollowedButNotOutOfHttps) {
  server_.behave({.status = 302, .failures = 1, .location = server_.address("elsewhere.pth")});
  store().pull("noise");
  expect_whole();
  EXPECT_TRUE(server_.requests().back().starts_with("GET /elsewhere.pth "));

  fs::remove_all(folder_ / "models");
  server_.behave({.status = 302,
                  .location = "http://127.0.0.1:" + std::to_string(server_.port()) + "/noise.pth"});
  expect_error(Kind::unavailable, "Protocol \"http\" not supported or disabled",
               [&] { store().pull("noise"); });
  EXPECT_FALSE(here());
}

TEST_F(FetchTest, AServerThatNobodyVouchesForIsNotAsked) {
  TempDir other;
  const HttpsServer stranger(content_, other / "certificate.pem");
  expect_error(Kind::unavailable, "certificate", [&] {
    store(content_.size(), content_, stranger.address("noise.pth")).pull("noise");
  });
  EXPECT_FALSE(here());
  EXPECT_TRUE(stranger.requests().empty());
}

TEST_F(FetchTest, NobodyThere) {
  int port = 0;
  {
    TempDir other;
    port = HttpsServer(content_, other / "certificate.pem").port();
  }
  const std::string address = "https://127.0.0.1:" + std::to_string(port) + "/noise.pth";
  expect_error(Kind::unavailable, "could not be fetched: " + address + ": curl: (7)",
               [&] { store(content_.size(), content_, address).pull("noise"); });
  EXPECT_FALSE(fs::exists(partial()));
}

}  // namespace
}  // namespace beckon::test
