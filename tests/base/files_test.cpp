#include "base/files.h"

#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon {
namespace {

using test::expect_error;
using test::TempDir;

std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

TEST(Files, ReadReturnsTheBytes) {
  TempDir dir;
  EXPECT_EQ(read_file(dir.write("a", std::string("hello"))), bytes_of("hello"));
  EXPECT_TRUE(read_file(dir.write("empty", std::string())).empty());
}

TEST(Files, ReadNamesWhatIsMissing) {
  TempDir dir;
  expect_error(Kind::missing, "No such file", [&] { read_file(dir / "nothing"); });
  expect_error(Kind::missing, "folder", [&] { read_file(dir.path().string()); });
}

TEST(Files, ReadStopsAtTheLimit) {
  TempDir dir;
  const std::string path = dir.write("a", std::string(100, 'x'));
  EXPECT_EQ(read_file(path, 100).size(), 100u);
  expect_error(Kind::resource, "99", [&] { read_file(path, 99); });
  // A device without an end has no size to look at first.
  expect_error(Kind::resource, "limit", [] { read_file("/dev/zero", 1 << 20); });
}

TEST(Files, WriteReplacesAndLeavesNothingBehind) {
  TempDir dir;
  const std::string path = dir.write("a", std::string("old"));
  ASSERT_EQ(::chmod(path.c_str(), 0640), 0);
  write_file_atomic(path, bytes_of("new"));
  EXPECT_EQ(test::read_bytes(path), bytes_of("new"));
  struct stat status;
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0640u);
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir.path()))
    files += entry.is_regular_file();
  EXPECT_EQ(files, 1);
}

TEST(Files, WriteFollowsSymbolicLinks) {
  TempDir dir;
  const std::string path = dir.write("real", std::string("old"));
  const std::string link = dir / "link";
  ASSERT_EQ(::symlink("real", link.c_str()), 0);
  write_file_atomic(link, bytes_of("new"));
  EXPECT_EQ(test::read_bytes(path), bytes_of("new"));
  EXPECT_TRUE(std::filesystem::is_symlink(link));
}

TEST(Files, WriteFailuresSayWhy) {
  TempDir dir;
  expect_error(Kind::output, "No such file",
               [&] { write_file_atomic(dir / "no/where", bytes_of("x")); });
  expect_error(Kind::output, "folder",
               [&] { write_file_atomic(dir.path().string(), bytes_of("x")); });
  expect_error(Kind::output, "/dev/full", [] { write_file_atomic("/dev/full", bytes_of("x")); });
}

}  // namespace
}  // namespace beckon
