#include "compose/annotate/names.h"

#include <set>
#include <string>

#include <gtest/gtest.h>

#include "support/check.h"

namespace beckon::test {
namespace {

using namespace compose;

TEST(ResultPath, KeepsTheFolderAndTheWholeName) {
  EXPECT_EQ(result_path("a.jpg"), "results/a.jpg.json");
  EXPECT_EQ(result_path("a.png"), "results/a.png.json");
  EXPECT_EQ(result_path("sub/b c/\xc3\xbc.webp"), "results/sub/b c/\xc3\xbc.webp.json");
}

// No result is another's, nor a folder on the way to another.
TEST(ResultPath, NoTwoMeet) {
  std::set<std::string> files, folders;
  const std::string parts[] = {"a", "a.json", "a.json~", "a.json~~", "a.json.json", "~", "a~"};
  for (const std::string& first : parts) {
    EXPECT_TRUE(files.insert(result_path(first)).second) << first;
    for (const std::string& second : parts) {
      const std::string path = result_path(first + "/" + second);
      EXPECT_TRUE(files.insert(path).second) << path;
      folders.insert(path.substr(0, path.rfind('/')));
    }
  }
  for (const std::string& folder : folders) EXPECT_EQ(files.count(folder), 0u) << folder;
  EXPECT_EQ(folders.size(), std::size(parts));
}

TEST(ResultPath, LongNamesAreShortenedAndStayDifferent) {
  std::set<std::string> paths;
  for (const char last : {'a', 'b'}) {
    const std::string path = result_path(std::string(254, 'x') + last);
    EXPECT_LE(path.size() - std::string("results/").size(), 255u);
    EXPECT_TRUE(path.ends_with(".json"));
    paths.insert(path);
  }
  EXPECT_EQ(paths.size(), 2u);
  // Characters are not cut in halves.
  std::string umlauts;
  while (umlauts.size() < 254) umlauts += "\xc3\xbc";
  EXPECT_TRUE(is_utf8(result_path(umlauts)));
  EXPECT_TRUE(is_utf8(result_path("x" + umlauts)));
}

TEST(Utf8, IsToldFromOtherBytes) {
  for (const char* text : {"", "a.jpg", "\xc3\xbc", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\x7f"})
    EXPECT_TRUE(is_utf8(text)) << text;
  for (const char* text : {"\xe9", "a\x80", "\xc3", "\xc0\xaf", "\xe0\x80\xaf", "\xed\xa0\x80",
                           "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff", "\xe2\x82"})
    EXPECT_FALSE(is_utf8(text));
}

TEST(PathJson, AnyBytesComeBack) {
  for (const std::string path :
       {"a.jpg", "sub/\xc3\xbc\n\".jpg", "caf\xe9.jpg", "100%\xff/ a%41"}) {
    Json object;
    put_path(object, path);
    const auto read = nlohmann::json::parse(object.dump());
    EXPECT_EQ(path_of(read, "file"), path);
  }
  Json plain;
  put_path(plain, "50%.jpg");
  EXPECT_EQ(plain["path"], "50%.jpg");
}

TEST(PathJson, OnlyPathsInsideAreTaken) {
  for (const char* path : {"", "/etc/passwd", "..", "a/../b", "./a", "a//b", "a/"}) {
    SCOPED_TRACE(path);
    expect_error(Kind::input, "inside the folder", [&] { path_of({{"path", path}}, "file"); });
  }
  expect_error(Kind::input, "inside", [] { path_of({{"path_percent", "a%2F..%2Fb"}}, "file"); });
  expect_error(Kind::input, "hexadecimal", [] { path_of({{"path_percent", "a%4"}}, "file"); });
  expect_error(Kind::input, "hexadecimal", [] { path_of({{"path_percent", "%+1"}}, "file"); });
  expect_error(Kind::input, "hexadecimal", [] { path_of({{"path_percent", "%"}}, "file"); });
  expect_error(Kind::input, "must be a text", [] { path_of({{"path", 1}}, "file"); });
  expect_error(Kind::input, "missing", [] { path_of(nlohmann::json::object(), "file"); });
  expect_error(Kind::input, "an object", [] { path_of(nlohmann::json::array(), "file"); });
}

}  // namespace
}  // namespace beckon::test
