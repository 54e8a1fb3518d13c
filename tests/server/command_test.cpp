// beckon serve as a process.
#include <csignal>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "process.h"
#include "test_server.h"

namespace beckon::test {
namespace {

using Words = std::vector<std::string>;

Outcome serve(const TempDir& folder, Words more, RunOptions options = {}) {
  Words words = {"serve", folder.path().string(), "--model", small_model(), "--port", "0"};
  words.insert(words.end(), more.begin(), more.end());
  return run_beckon(words, std::move(options));
}

TEST(Serve, SaysWhereItIsAndEndsCleanly) {
  const TempDir folder;
  for (const int signal : {SIGINT, SIGTERM}) {
    const Outcome outcome =
        serve(folder, {"--json"}, {.signal = signal, .signal_after = std::chrono::seconds(1)});
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    EXPECT_EQ(outcome.err, "");
    const Json line = Json::parse(outcome.out);
    EXPECT_TRUE(line.at("url").get<std::string>().starts_with("http://127.0.0.1:")) << line;
  }
}

TEST(Serve, RefusesWhatCannotBe) {
  const TempDir folder;
  expect_complaint(serve(folder, {"--listen", "0.0.0.0"}), 2, "--token-file");
  expect_complaint(serve(folder, {"--listen", "nowhere"}), 2, "nowhere");
  const std::string token = folder.write("token", "0123456789abcdef\n");
  ::chmod(token.c_str(), 0644);
  expect_complaint(serve(folder, {"--token-file", token}), 65, "chmod 600");
  expect_complaint(serve(folder, {"--token-file", folder / "none"}), 66, "none");
  expect_complaint(run_beckon({"serve", folder / "none", "--model", small_model()}), 66, "none");
  expect_complaint(run_beckon({"serve", folder.path().string(), "--model", "mobile-sam"}), 69,
                   "mobile-sam");
  TestServer other;
  expect_complaint(run_beckon({"serve", folder.path().string(), "--model", small_model(), "--port",
                               std::to_string(other.port())}),
                   69, "listen");
}

TEST(Serve, ListensElsewhereWithAToken) {
  const TempDir folder;
  const std::string token = folder.write("token", "0123456789abcdef\n");
  ::chmod(token.c_str(), 0600);
  const Outcome outcome = serve(folder, {"--listen", "0.0.0.0", "--token-file", token},
                                {.signal = SIGTERM, .signal_after = std::chrono::seconds(1)});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_NE(outcome.out.find("http://0.0.0.0:"), std::string::npos);
}

}  // namespace
}  // namespace beckon::test
