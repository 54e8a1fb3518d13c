// Annotations over HTTP: versions, history, undo that survives, exports.
#include <filesystem>

#include <gtest/gtest.h>

#include "beckon/annotation.h"
#include "beckon/mask.h"
#include "test_server.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

Json rle_of_box(int x, int y, int width, int height, ImageSize size = {600, 400}) {
  const Rle rle = Mask::from_box({x, y, width, height}, size).rle();
  return {{"size", {size.height, size.width}}, {"counts", rle.string()}};
}

Json object(const std::string& label, int x = 10) {
  return {{"label", label}, {"rle", rle_of_box(x, 20, 30, 40)}};
}

Reply write(const TestServer& server, const std::string& method, const std::string& path,
            const Json& body, const std::string& etag) {
  return ask(server.port(), method, path, method == "DELETE" ? "" : body.dump(),
             {{"If-Match", etag}});
}

std::vector<std::string> labels(const Json& list) {
  std::vector<std::string> all;
  for (const Json& one : list.at("annotations")) all.push_back(one.at("label"));
  return all;
}

TEST(ServerAnnotations, AreMadeReadChangedDeleted) {
  TestServer server;
  const std::string id = server.id(), list = "/v1/images/" + id + "/annotations";
  EXPECT_EQ(server.get(list).json().at("annotations"), Json::array());
  EXPECT_FALSE(fs::exists(server.folder() / ".beckon"));  // looking leaves no trace

  Json body = object("cup");
  body["prompts"] = {{{"points", {{{"x", 1}, {"y", 2}}}}}};
  body["scores"] = {{"score", 0.5}};
  body["model"] = "abc";
  body["origin"] = "model";
  body["color"] = "#ff0000";
  const Reply made = server.post(list, body);
  ASSERT_EQ(made.status, 201) << made.body;
  const Json one = made.json();
  const std::string path = made.header("Location");
  EXPECT_EQ(path, "/v1/annotations/" + std::to_string(one.at("id").get<int64_t>()));
  for (const char* member : {"label", "prompts", "scores", "model", "origin", "color"})
    EXPECT_EQ(one.at(member), body.at(member)) << member;
  EXPECT_EQ(one.at("box"), Json({10, 20, 30, 40}));
  EXPECT_EQ(one.at("area"), 1200);
  EXPECT_EQ(one.at("version"), 1);
  EXPECT_EQ(one.at("hidden"), false);
  EXPECT_EQ(server.get(path).json(), one);
  EXPECT_EQ(server.get(path).header("ETag"), made.header("ETag"));
  EXPECT_EQ(server.get("/v1/images/" + id).json().at("objects"), 1);

  const Reply patched = write(server, "PATCH", path, {{"hidden", true}}, made.header("ETag"));
  ASSERT_EQ(patched.status, 200) << patched.body;
  EXPECT_EQ(patched.json().at("hidden"), true);
  EXPECT_EQ(patched.json().at("label"), "cup");
  EXPECT_EQ(patched.json().at("version"), 2);
  EXPECT_NE(patched.header("ETag"), made.header("ETag"));

  const Reply put = write(server, "PUT", path, object("bowl", 50), patched.header("ETag"));
  ASSERT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.json().at("label"), "bowl");
  EXPECT_EQ(put.json().at("hidden"), false);  // PUT replaces all of it
  EXPECT_EQ(put.json().at("box"), Json({50, 20, 30, 40}));

  const Reply deleted = write(server, "DELETE", path, {}, put.header("ETag"));
  EXPECT_EQ(deleted.status, 204);
  EXPECT_EQ(server.get(path).status, 404);
  EXPECT_EQ(server.get("/v1/images/" + id).json().at("objects"), 0);

  const Json history = server.get(path + "/history").json().at("history");
  ASSERT_EQ(history.size(), 4u);
  const std::vector<std::string> actions{"create", "change", "change", "delete"};
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(history[i].at("action"), actions[i]);
  EXPECT_EQ(history[0].at("who"), "model");
  EXPECT_EQ(history[0].at("state").at("model"), "abc");
  EXPECT_EQ(history[3].at("state"), nullptr);
  EXPECT_EQ(server.get(path + "/history?after=3").json().at("history").size(), 1u);
}

TEST(ServerAnnotations, WritesSayWhichVersionTheyMean) {
  TestServer server;
  const Reply made = server.post("/v1/images/" + server.id() + "/annotations", object("cup"));
  const std::string path = made.header("Location");
  for (const std::string method : {"PUT", "PATCH", "DELETE"})
    expect_problem(ask(server.port(), method, path, method == "DELETE" ? "" : "{}"), 428,
                   "no-if-match");
  for (const std::string& tag :
       std::vector<std::string>{"\"0.0\"", "nonsense", "W/" + made.header("ETag"), "\"\""})
    expect_problem(write(server, "PATCH", path, {{"label", "x"}}, tag), 412, "stale");
  EXPECT_EQ(write(server, "PATCH", path, {{"label", "y"}}, "\"1\", " + made.header("ETag")).status,
            200);
  expect_problem(write(server, "PATCH", path, {{"label", "z"}}, made.header("ETag")), 412, "stale");
  EXPECT_EQ(server.get(path).json().at("label"), "y");
  EXPECT_EQ(write(server, "PATCH", path, {{"label", "w"}}, "*").status, 200);
}

TEST(ServerAnnotations, ListsHaveAnETag) {
  TestServer server;
  const std::string list = "/v1/images/" + server.id() + "/annotations";
  const std::string empty = server.get(list).header("ETag");
  EXPECT_EQ(server.get(list, {{"If-None-Match", empty}}).status, 304);
  server.post(list, object("cup"));
  const Reply now = server.get(list, {{"If-None-Match", empty}});
  EXPECT_EQ(now.status, 200);
  EXPECT_EQ(server.get(list, {{"If-None-Match", now.header("ETag")}}).status, 304);
}

TEST(ServerAnnotations, UndoAndRedoWalkThroughEdits) {
  TestServer server;
  const std::string image = "/v1/images/" + server.id(), list = image + "/annotations";
  const auto undo = [&] { return server.post(image + "/undo", Json::object()); };
  const auto redo = [&] { return server.post(image + "/redo", Json::object()); };
  using Labels = std::vector<std::string>;
  expect_problem(undo(), 409, "nothing-to-undo");
  const Reply a = server.post(list, object("a"));
  const Reply b = server.post(list, object("b"));
  write(server, "PATCH", a.header("Location"), {{"label", "a2"}}, a.header("ETag"));
  write(server, "DELETE", b.header("Location"), {}, b.header("ETag"));
  const Reply present = server.get(list);
  EXPECT_EQ(labels(present.json()), Labels{"a2"});
  EXPECT_EQ(labels(undo().json()), (Labels{"a2", "b"}));
  EXPECT_EQ(labels(undo().json()), (Labels{"a", "b"}));
  EXPECT_EQ(labels(redo().json()), (Labels{"a2", "b"}));
  EXPECT_EQ(labels(undo().json()), (Labels{"a", "b"}));
  EXPECT_EQ(labels(undo().json()), Labels{"a"});
  EXPECT_EQ(labels(undo().json()), Labels{});
  expect_problem(undo(), 409, "nothing-to-undo");
  for (int i = 0; i < 4; ++i) EXPECT_EQ(redo().status, 200);
  expect_problem(redo(), 409, "nothing-to-redo");
  EXPECT_EQ(labels(server.get(list).json()), Labels{"a2"});
  // An edit after undo: what was undone cannot be made again.
  undo();
  server.post(list, object("c"));
  expect_problem(redo(), 409, "nothing-to-redo");
  EXPECT_EQ(labels(server.get(list).json()), (Labels{"a2", "b", "c"}));
  EXPECT_EQ(server.get(list).json().at("can_undo"), true);
  EXPECT_EQ(server.get(list).json().at("can_redo"), false);
  // Versions never go back: a tag from before undo is stale.
  expect_problem(write(server, "PATCH", b.header("Location"), {{"label", "x"}}, b.header("ETag")),
                 412, "stale");
}

TEST(ServerAnnotations, SurviveARestartWithTheirUndo) {
  const TempDir folder;
  fs::copy(fs::path(BECKON_SOURCE_DIR) / "examples/photos/coffee.png", folder.path() / "a.png");
  const auto here = [&](auto& options) { options.folder = folder.path().string(); };
  std::string list;
  {
    TestServer server(here);
    list = "/v1/images/" + server.id() + "/annotations";
    server.post(list, object("a"));
    server.post(list, object("b"));
  }
  TestServer server(here);
  EXPECT_EQ(labels(server.get(list).json()), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(labels(server.post("/v1/images/" + server.id() + "/undo", Json::object()).json()),
            std::vector<std::string>{"a"});
}

TEST(ServerAnnotations, AskingTwiceMakesOne) {
  TestServer server;
  const std::string list = "/v1/images/" + server.id() + "/annotations";
  const Reply first = server.post(list, object("a"), {{"Idempotency-Key", "k1"}});
  const Reply again = server.post(list, object("a"), {{"Idempotency-Key", "k1"}});
  EXPECT_EQ(again.json(), first.json());
  EXPECT_EQ(server.post(list, object("a"), {{"Idempotency-Key", "k2"}}).status, 201);
  EXPECT_EQ(server.get(list).json().at("annotations").size(), 2u);
}

TEST(ServerAnnotations, MasksComeInThreeForms) {
  TestServer server;
  const Reply made = server.post("/v1/images/" + server.id() + "/annotations", object("cup"));
  const std::string path = made.header("Location") + "/mask";
  const Reply png = server.get(path + "?format=png");
  EXPECT_EQ(png.header("Content-Type"), "image/png");
  const Mask mask =
      Mask::decode({reinterpret_cast<const uint8_t*>(png.body.data()), png.body.size()});
  EXPECT_EQ(mask, Mask::from_box({10, 20, 30, 40}, {600, 400}));
  EXPECT_EQ(server.get(path + "?format=rle").json(), object("cup").at("rle"));
  EXPECT_EQ(server.get(path + "?format=polygon").json().at("polygons")[0].at("outer"),
            Json({{40, 20}, {40, 60}, {10, 60}, {10, 20}}));
  expect_problem(server.get(path + "?format=svg"), 422, "value");
}

TEST(ServerAnnotations, RefuseWhatIsOutOfRange) {
  TestServer server;
  const std::string list = "/v1/images/" + server.id() + "/annotations";
  const auto with = [](const char* member, const Json& value) {
    Json body = object("x");
    body[member] = value;
    return body;
  };
  Json many = Json::object();
  for (int i = 0; i < 17; ++i) many[std::to_string(i)] = i;
  for (const Json& body : {Json::object(),
                           Json::array(),
                           with("label", 5),
                           with("label", std::string(201, 'x')),
                           with("label", "a\nb"),
                           with("color", "red"),
                           with("color", "#12345g"),
                           with("hidden", 1),
                           with("rle", nullptr),
                           with("rle", rle_of_box(0, 0, 2, 2, {601, 400})),
                           with("rle", {{"size", {400, 600}}, {"counts", "\xC3\xA4"}}),
                           with("rle", {{"size", {400, 600}}, {"counts", {240'000}}}),
                           with("origin", "cat"),
                           with("prompts", "x"),
                           with("prompts", Json::array({std::string(70'000, 'x')})),
                           with("model", std::string(101, 'x')),
                           with("scores", {{"a", "b"}}),
                           with("scores", many),
                           with("scores", {{"a", 1e300}}),
                           with("unknown", 1),
                           with("who", std::string(101, 'x'))})
    expect_problem(server.post(list, body), 422, "value");
  EXPECT_EQ(server.get(list).json().at("annotations").size(), 0u);
  for (const std::string id : {"0", "-1", "1", "99999999999999999999", "x", "1x", "%2e"})
    EXPECT_EQ(server.get("/v1/annotations/" + id).status, 404) << id;
}

TEST(ServerAnnotations, AreExported) {
  TestServer server;
  const std::string list = "/v1/images/" + server.id() + "/annotations";
  expect_problem(server.post("/v1/exports", {{"format", "yolo"}}), 422, "value");
  EXPECT_EQ(server.wait(server.post("/v1/exports", Json::object()).json()).at("state"), "failed");
  server.post(list, object("cup"));
  const Json job = server.wait(server.post("/v1/exports", {{"format", "coco"}}).json());
  ASSERT_EQ(job.at("state"), "done") << job;
  const Reply file = server.get(job.at("result").at("url").get<std::string>());
  ASSERT_EQ(file.status, 200);
  EXPECT_TRUE(file.header("Content-Disposition").starts_with("attachment"));
  const Json coco = file.json();
  EXPECT_EQ(coco.at("images")[0].at("file_name"), "a.png");
  EXPECT_EQ(coco.at("annotations")[0].at("area"), 1200);
  EXPECT_EQ(coco.at("categories")[0].at("name"), "cup");
  for (const std::string& name :
       std::vector<std::string>{"x", "..%2Fannotations.db", std::string(32, '0') + ".coco",
                                "%2e%2e%2fannotations.db", ".."})
    EXPECT_EQ(server.get("/v1/exports/" + name).status, 404) << name;
}

}  // namespace
}  // namespace beckon::test
