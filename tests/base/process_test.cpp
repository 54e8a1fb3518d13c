#include "base/process.h"

#include <chrono>

#include <gtest/gtest.h>

#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

ProcessResult shell(const std::string& script, const std::string& folder = "") {
  return run_process({"sh", "-c", script}, folder, [] { return true; });
}

TEST(Process, TellsStatusAndErrors) {
  const ProcessResult result = shell("echo out; echo wrong >&2; exit 3");
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.errors, "wrong\n");
  EXPECT_EQ(shell("kill -9 $$").status, 128 + 9);
  EXPECT_EQ(run_process({"no-such-program-anywhere"}, "", [] { return true; }).status, 127);
}

TEST(Process, ArgumentsAreNotWordsOfAShell) {
  EXPECT_EQ(run_process({"test", "a b;$(x)", "=", "a b;$(x)"}, "", [] { return true; }).status, 0);
}

TEST(Process, RunsInAFolderWithAnEmptyInput) {
  TempDir folder;
  EXPECT_EQ(shell("read x && exit 1; echo done > here", folder.path().string()).status, 0);
  EXPECT_EQ(read_bytes(folder / "here").size(), 5u);
}

TEST(Process, KeepsTheEndOfALongComplaint) {
  const ProcessResult result =
      shell("i=0; while [ $i -lt 5000 ]; do echo line $i >&2; i=$((i+1)); done");
  EXPECT_LE(result.errors.size(), 4096u);
  EXPECT_TRUE(result.errors.ends_with("line 4999\n"));
}

TEST(Process, IsEndedWhenTheCallerHasEnough) {
  const auto begin = std::chrono::steady_clock::now();
  int polls = 0;
  expect_error(Kind::interrupted, "sh: stopped", [&] {
    run_process({"sh", "-c", "exec sleep 60"}, "", [&] { return ++polls < 3; });
  });
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
}

}  // namespace
}  // namespace beckon::test
