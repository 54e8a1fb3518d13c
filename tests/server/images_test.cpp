// Photos: of the folder, uploaded, and what must not get out.
#include <filesystem>

#include <gtest/gtest.h>

#include "beckon/image.h"
#include "picture_header.h"
#include "safe_folder.h"
#include "test_server.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

std::string text_of(const std::string& path) {
  const std::vector<uint8_t> bytes = read_bytes(path);
  return {bytes.begin(), bytes.end()};
}

Reply upload(const TestServer& server, const std::string& name, const std::string& bytes,
             const std::string& type = "image/png") {
  return ask(server.port(), "POST", "/v1/images?name=" + name, bytes, {{"Content-Type", type}});
}

std::string small_png(int shade) {
  std::vector<uint8_t> pixels(3 * 4 * 3, static_cast<uint8_t>(shade));
  const std::vector<uint8_t> bytes = Image(4, 3, 3, pixels).encode_png();
  return {bytes.begin(), bytes.end()};
}

TEST(ServerImages, ListsTheFolderInPages) {
  TestServer server;
  const Json all = server.get("/v1/images").json();
  ASSERT_EQ(all.at("images").size(), 2u);
  EXPECT_EQ(all.at("images")[0].at("name"), "a.png");
  EXPECT_EQ(all.at("images")[0].at("width"), 600);
  EXPECT_EQ(all.at("images")[0].at("height"), 400);
  EXPECT_EQ(all.at("next"), nullptr);
  const Json first = server.get("/v1/images?limit=1").json();
  EXPECT_EQ(first.at("images").size(), 1u);
  const Json second =
      server.get("/v1/images?limit=1&after=" + first.at("next").get<std::string>()).json();
  EXPECT_EQ(second.at("images")[0].at("name"), "b.jpg");
  EXPECT_EQ(second.at("next"), nullptr);
  for (const std::string query : {"limit=0", "limit=1001", "limit=x", "limit=", "limit=1e3",
                                  "limit=99999999999999999999", "after=zz", "after=.."})
    expect_problem(server.get("/v1/images?" + query), 422, "value");
}

TEST(ServerImages, GivesContentAsItIs) {
  TestServer server;
  const std::string id = server.id();
  const Reply reply = server.get("/v1/images/" + id + "/content");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, text_of(server.folder() / "a.png"));
  EXPECT_EQ(reply.header("Content-Type"), "image/png");
  EXPECT_EQ(reply.header("X-Content-Type-Options"), "nosniff");
  EXPECT_TRUE(reply.header("Content-Disposition").starts_with("attachment"));
  EXPECT_EQ(reply.header("Content-Security-Policy"), "default-src 'none'; sandbox");
  EXPECT_EQ(
      server.get("/v1/images/" + id + "/content", {{"If-None-Match", reply.header("ETag")}}).status,
      304);
}

TEST(ServerImages, MakesThumbnails) {
  TestServer server;
  const Reply reply = server.get("/v1/images/" + server.id() + "/thumbnail?size=64");
  ASSERT_EQ(reply.status, 200);
  const Image image =
      Image::decode({reinterpret_cast<const uint8_t*>(reply.body.data()), reply.body.size()});
  EXPECT_EQ(image.width(), 64);
  EXPECT_EQ(image.height(), 43);  // 400 * 64 / 600 = 42.7
  for (const std::string size : {"63", "513", "-1", "nan"})
    expect_problem(server.get("/v1/images/" + server.id() + "/thumbnail?size=" + size), 422,
                   "value");
}

TEST(ServerImages, TakesUploadsOnce) {
  TestServer server;
  const Reply first = upload(server, "cat.png", small_png(10));
  EXPECT_EQ(first.status, 201) << first.body;
  EXPECT_EQ(first.json().at("name"), "uploads/cat.png");
  EXPECT_EQ(first.header("Location"), "/v1/images/" + first.json().at("id").get<std::string>());
  EXPECT_EQ(text_of(server.folder() / "uploads/cat.png"), small_png(10));
  const Reply again = upload(server, "other.png", small_png(10));
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.json(), first.json());
  // Another photo of the same name does not take its place.
  const Reply other = upload(server, "cat.png", small_png(20));
  EXPECT_EQ(other.status, 201);
  EXPECT_NE(other.json().at("name"), first.json().at("name"));
  EXPECT_EQ(text_of(server.folder() / "uploads/cat.png"), small_png(10));
  EXPECT_EQ(server.get(first.header("Location")).json(), first.json());
}

TEST(ServerImages, NamesOfUploadsLeadNowhere) {
  TestServer server;
  int shade = 30;
  for (const std::string name :
       {"..%2F..%2Fescape.png", "%2Fetc%2Fescape.png", "..%5C..%5Cescape.png", "..", ".", "",
        ".hidden.png", "a%0Ab.png", "%FF%FE.png", "x.html", "con%3A.png"}) {
    const Reply reply = upload(server, name, small_png(shade++));
    ASSERT_EQ(reply.status, 201) << name << reply.body;
    const auto path = reply.json().at("name").get<std::string>();
    EXPECT_TRUE(path.starts_with("uploads/") && path.ends_with(".png")) << path;
    EXPECT_EQ(path.find('/', 8), std::string::npos) << path;
    EXPECT_NE(path[8], '.') << path;
    EXPECT_TRUE(fs::is_regular_file(server.folder() / path)) << path;
  }
  EXPECT_EQ(upload(server, std::string(5000, 'n'), small_png(shade)).status, 201);
  EXPECT_FALSE(fs::exists(server.folder().path().parent_path() / "escape.png"));
}

TEST(ServerImages, RefusesWhatIsNoPicture) {
  TestServer server;
  const std::string good = small_png(1);
  expect_problem(upload(server, "a.png", "<svg onload='alert(1)'/>"), 415, "type");
  expect_problem(upload(server, "a.png", ""), 415, "type");
  expect_problem(upload(server, "a.png", good.substr(0, 20)), 415, "type");
  EXPECT_EQ(upload(server, "a.png", good.substr(0, good.size() - 15)).status, 422);
  // A header that promises 2^31 pixels a side.
  std::string huge = good;
  huge.replace(16, 8, "\x7F\xFF\xFF\xFF\x7F\xFF\xFF\xFF", 8);
  expect_problem(upload(server, "a.png", huge), 422, "pixels");
  EXPECT_FALSE(fs::exists(server.folder() / "uploads"));
  // What the bytes are counts, not what the client says.
  EXPECT_EQ(upload(server, "a.jpg", good, "image/jpeg").json().at("type"), "image/png");
}

TEST(ServerImages, NothingOutsideTheFolderIsSeen) {
  const TempDir outside;
  const std::string secret = outside.write("secret.png", small_png(99));
  fs::create_directory(outside.path() / "more");
  outside.write("more/secret2.png", small_png(98));
  TestServer server([&](auto& options) {
    const fs::path folder = options.folder;
    fs::create_symlink(secret, folder / "link.png");
    fs::create_symlink(outside.path() / "more", folder / "linked");
    fs::create_directory(folder / ".hidden");
    fs::copy(secret, folder / ".hidden/in.png");
    fs::create_directory(folder / "below");
    fs::copy(secret, folder / "below/fine.png");
  });
  const Json list = server.get("/v1/images").json();
  ASSERT_EQ(list.at("images").size(), 3u);
  EXPECT_EQ(list.at("images")[2].at("name"), "below/fine.png");
  for (const std::string path :
       {"/../secret.png", "/%2e%2e/secret.png", "/v1/images/../../etc/passwd",
        "/v1/images/..%2F..%2Fetc%2Fpasswd/content", "/v1/images/link.png/content", "//etc/passwd",
        "/.beckon/annotations.db", "/a.png"})
    EXPECT_EQ(server.get(path).status, 404) << path;
}

TEST(ServerImages, AFileThatChangedIsGone) {
  TestServer server;
  const std::string id = server.id();
  const TempDir outside;
  const std::string secret = outside.write("secret.png", small_png(99));
  fs::remove(server.folder() / "a.png");
  EXPECT_EQ(server.get("/v1/images/" + id + "/content").status, 410);
  fs::create_symlink(secret, server.folder().path() / "a.png");
  EXPECT_EQ(server.get("/v1/images/" + id + "/content").status, 410);
  fs::remove(server.folder() / "a.png");
  fs::copy(secret, server.folder() / "a.png");
  EXPECT_EQ(server.get("/v1/images/" + id + "/content").status, 410);
  EXPECT_EQ(server.get("/v1/images/" + id + "/thumbnail").status, 410);
}

TEST(ServerImages, TenThousandUnknownIds) {
  TestServer server;
  Connection connection(server.port());
  for (int i = 0; i < 10'000; ++i) {
    connection.send(request_text("GET", "/v1/images/" + std::to_string(1'000'000'007LL * i)));
    ASSERT_EQ(connection.receive().status, 404);
  }
  EXPECT_EQ(server.get("/v1/health").status, 200);
}

TEST(SafeFolder, OpensRegularFilesOnly) {
  const TempDir dir;
  dir.write("file", "x");
  fs::create_directory(dir.path() / "sub");
  dir.write("sub/file", "y");
  fs::create_symlink("file", dir.path() / "link");
  fs::create_symlink("sub", dir.path() / "linked");
  const server::SafeFolder folder(dir.path().string());
  EXPECT_TRUE(folder.open("file"));
  EXPECT_TRUE(folder.open("sub/file"));
  for (const std::string& name : std::vector<std::string>{
           "", "/", "sub", "link", "linked/file", "../" + dir.path().filename().string() + "/file",
           "sub/../file", "./file", "sub//file", "/etc/passwd", "missing"})
    EXPECT_FALSE(folder.open(name)) << name;
}

TEST(PictureHeader, SaysWhatTheDecoderSays) {
  const fs::path corpus = fs::path(BECKON_SOURCE_DIR) / "tests/fuzz/corpus/image_decode";
  int compared = 0;
  for (const auto& entry : fs::directory_iterator(corpus)) {
    const std::vector<uint8_t> bytes = read_bytes(entry.path());
    const auto header = server::picture_header(bytes);
    Image image;
    try {
      image = Image::decode(bytes);
    } catch (const std::exception&) {
      continue;
    }
    ASSERT_TRUE(header) << entry.path();
    EXPECT_EQ(header->size, image.size()) << entry.path();
    ++compared;
    // Cut off anywhere it is an answer or none, not a crash.
    for (size_t i = 0; i < std::min<size_t>(bytes.size(), 600); ++i)
      server::picture_header(std::span(bytes).first(i));
  }
  EXPECT_GE(compared, 8);
}

}  // namespace
}  // namespace beckon::test
