#include "base/output_file.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace beckon::test
