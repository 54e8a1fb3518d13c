#include "base/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

size_t files_in(const TempDir& folder) {
  size_t count = 0;
  for ([[maybe_unused]] const auto& item : std::filesystem::directory_iterator(folder.path()))
    ++count;
  return count;
}

TEST(OutputFile, AppearsWholeWithCommit) {
  TempDir folder;
  folder.write("x", "before");
  const std::string text = "after";
  {
    OutputFile file(folder / "x");
    file.write(std::as_bytes(std::span(text)));
    file.write({});
    EXPECT_EQ(file.written(), 5u);
    EXPECT_EQ(read_bytes(folder / "x").size(), 6u);  // not yet
    file.commit();
  }
  EXPECT_EQ(read_bytes(folder / "x").size(), 5u);
  EXPECT_EQ(files_in(folder), 1u);
}

TEST(OutputFile, LeavesNothingWithoutCommit) {
  TempDir folder;
  { OutputFile file(folder / "x"); }
  EXPECT_EQ(files_in(folder), 0u);
  expect_error(Kind::output, "cannot write", [&] { OutputFile file(folder / "no/x"); });
}

TEST(OutputFile, WritesIntoWhatIsNoRegularFile) {
  TempDir folder;
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  const int reader = open(pipe.c_str(), O_RDONLY | O_NONBLOCK);  // so that the writer need not wait
  ASSERT_GE(reader, 0);
  const std::string text = "text";
  {
    OutputFile file(pipe);
    file.write(std::as_bytes(std::span(text)));
    file.commit();
  }
  char got[8];
  EXPECT_EQ(read(reader, got, sizeof got), 4);
  close(reader);
  struct stat status;
  ASSERT_EQ(stat(pipe.c_str(), &status), 0);
  EXPECT_TRUE(S_ISFIFO(status.st_mode));  // no file took its place
  { OutputFile file("/dev/null"); }       // nor is it removed
  ASSERT_EQ(stat("/dev/null", &status), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
}

TEST(OutputFile, FollowsLinksAndRefusesFolders) {
  TempDir folder;
  folder.write("x", "before");
  std::filesystem::create_symlink("x", folder / "link");
  {
    OutputFile file(folder / "link");
    file.commit();
  }
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(read_bytes(folder / "x").size(), 0u);
  expect_error(Kind::output, "is a folder", [&] { OutputFile file(folder.path().string()); });
}

}  // namespace
}  // namespace beckon::test
