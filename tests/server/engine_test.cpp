// The data engine over HTTP: runs, the queue, reviews with versions, seconds.
#include <gtest/gtest.h>

#include "beckon/mask.h"
#include "test_server.h"

namespace beckon::test {
namespace {

Json box_rle(int x, int y, int side) {
  const Rle rle = Mask::from_box({x, y, side, side}, {600, 400}).rle();
  return {{"size", {400, 600}}, {"counts", rle.string()}};
}

// Weights are random: every mask is taken.
Json small_run(int stage) {
  return {{"stage", stage},       {"points_per_side", 2},
          {"pred_iou_thresh", 0}, {"stability_score_thresh", 0},
          {"crop_n_layers", 0},   {"most_cover", 1}};
}

Json run(const TestServer& server, const Json& body) {
  const Reply reply = server.post("/v1/engine/runs", body);
  EXPECT_EQ(reply.status, 202) << reply.body;
  const Json job = server.wait(reply.json());
  EXPECT_EQ(job.value("state", ""), "done") << job;
  return job.at("result");
}

std::string tag_of(const Json& object) {
  return "\"" + std::to_string(object.at("id").get<int64_t>()) + "." +
         std::to_string(object.at("version").get<int64_t>()) + "\"";
}

Reply review(const TestServer& server, const Json& object, const std::string& what,
             const Json& body = Json::object()) {
  return ask(server.port(), "POST",
             "/v1/reviews/" + std::to_string(object.at("id").get<int64_t>()) + "/" + what,
             body.dump(), {{"If-Match", tag_of(object)}});
}

TEST(ServerEngine, IsEmptyAtFirst) {
  TestServer server;
  const Json status = server.get("/v1/engine").json();
  EXPECT_EQ(status.at("objects"), 0);
  EXPECT_EQ(status.at("running"), nullptr);
  for (const char* stage : {"1", "2", "3", "imported"})
    EXPECT_EQ(status.at("stages").at(stage).at("objects"), 0);
  const Json reviews = server.get("/v1/reviews").json();
  EXPECT_EQ(reviews, Json({{"pending", 0}, {"reviews", Json::array()}, {"next", nullptr}}));
}

TEST(ServerEngine, ARunFillsTheQueueOnce) {
  TestServer server;
  const Json result = run(server, small_run(2));
  EXPECT_EQ(result.at("photos"), 2);
  EXPECT_EQ(result.at("done_now"), 2);
  EXPECT_EQ(result.at("failed"), 0);
  const int64_t made = result.at("made");
  ASSERT_GE(made, 2);
  EXPECT_EQ(result.at("sent_to_review"), made);
  const Json again = run(server, small_run(2));
  EXPECT_EQ(again.at("done_before"), 2);
  EXPECT_EQ(again.at("made"), 0);

  const Json status = server.get("/v1/engine").json();
  EXPECT_EQ(status.at("pending"), made);
  EXPECT_EQ(status.at("stages").at("2").at("states"), Json({{"pending", made}}));
  EXPECT_EQ(status.at("stages").at("2").at("machine").at("photos"), 2);
  // Page by page it is the same queue.
  const Json whole = server.get("/v1/reviews").json();
  ASSERT_EQ(whole.at("reviews").size(), static_cast<size_t>(made));
  Json pages = Json::array();
  std::string after;
  for (int64_t i = 0; i <= made; ++i) {
    const Json page = server.get("/v1/reviews?limit=1" + after).json();
    for (const Json& one : page.at("reviews")) pages.push_back(one);
    if (page.at("next").is_null()) break;
    after = "&after=" + page.at("next").get<std::string>();
  }
  EXPECT_EQ(pages, whole.at("reviews"));
  double last = 2;
  for (const Json& one : pages) {
    EXPECT_LE(one.at("engine").at("doubt").get<double>(), last);
    last = one.at("engine").at("doubt");
    EXPECT_EQ(one.at("engine").at("automatic"), true);
    EXPECT_EQ(one.at("origin"), "model");
  }
}

TEST(ServerEngine, ReviewsAcceptFixAndReject) {
  TestServer server;
  Json body = small_run(2);
  body["images"] = {server.id()};
  body["duplicate_iou"] = body["box_nms_thresh"] = 1;  // however much alike they are
  run(server, body);
  Json queue = server.get("/v1/reviews").json().at("reviews");
  ASSERT_GE(queue.size(), 2u);
  const Json first = queue[0], second = queue[1];
  expect_problem(server.post("/v1/reviews/" + first.at("id").dump() + "/accept", Json::object()),
                 428, "no-if-match");

  const Reply accepted = review(server, first, "accept", {{"seconds", 1.5}, {"who", "ann"}});
  ASSERT_EQ(accepted.status, 200) << accepted.body;
  EXPECT_EQ(accepted.json().at("engine").at("review"), "accepted");
  EXPECT_EQ(accepted.header("ETag"), tag_of(accepted.json()));
  expect_problem(review(server, first, "reject"), 412, "stale");

  expect_problem(review(server, second, "fix", {{"label", "x"}}), 422, "value");
  const Reply fixed =
      review(server, second, "fix", {{"rle", box_rle(5, 6, 30)}, {"seconds", 4}, {"label", "cup"}});
  ASSERT_EQ(fixed.status, 200) << fixed.body;
  EXPECT_EQ(fixed.json().at("engine").at("review"), "fixed");
  EXPECT_EQ(fixed.json().at("area"), 900);
  EXPECT_EQ(fixed.json().at("label"), "cup");

  const Reply rejected = review(server, fixed.json(), "reject", {{"seconds", 0.5}});
  EXPECT_EQ(rejected.status, 204);
  const std::string path = "/v1/annotations/" + second.at("id").dump();
  EXPECT_EQ(server.get(path).status, 404);
  const Json history = server.get(path + "/history").json().at("history");
  EXPECT_EQ(history.back().at("action"), "reject");
  EXPECT_EQ(history[0].at("who"), "engine");

  const Json people = server.get("/v1/engine").json().at("stages").at("2").at("people");
  EXPECT_EQ(people.at("objects"), 2);
  EXPECT_EQ(people.at("seconds"), 6.0);
  EXPECT_EQ(people.at("acts").at("accept").at("acts"), 1);
  // It is a step like any other of a person.
  server.post("/v1/images/" + second.at("image").get<std::string>() + "/undo", Json::object());
  EXPECT_EQ(server.get(path).json().at("engine").at("review"), "fixed");
}

TEST(ServerEngine, WorkOfPeopleIsTimedAndStays) {
  TestServer server;
  const std::string list = "/v1/images/" + server.id() + "/annotations";
  const Json body{{"rle", box_rle(10, 10, 50)}, {"seconds", 12.5}};
  const Reply made = server.post(list, body, {{"Idempotency-Key", "k"}});
  ASSERT_EQ(made.status, 201) << made.body;
  server.post(list, body, {{"Idempotency-Key", "k"}});
  EXPECT_EQ(made.json().at("engine"), Json({{"stage", 1}}));
  run(server, small_run(2));
  EXPECT_EQ(server.get(made.header("Location")).json(), made.json());
  expect_problem(review(server, made.json(), "accept"), 409, "made-by-person");

  // What is added after a run is of stage 2, and a changed proposal is a fixed one.
  const Reply rest = server.post(list, {{"rle", box_rle(300, 200, 60)}, {"seconds", 3}});
  EXPECT_EQ(rest.json().at("engine"), Json({{"stage", 2}}));
  const Json proposal = server.get("/v1/reviews").json().at("reviews")[0];
  const std::string path = "/v1/annotations/" + proposal.at("id").dump();
  const Reply named =
      ask(server.port(), "PATCH", path, R"({"label": "x"})", {{"If-Match", tag_of(proposal)}});
  EXPECT_EQ(named.json().at("engine").at("review"), "pending");
  const Json repair{{"rle", box_rle(40, 40, 20)}, {"seconds", 2}};
  const Reply painted =
      ask(server.port(), "PATCH", path, repair.dump(), {{"If-Match", named.header("ETag")}});
  EXPECT_EQ(painted.json().at("engine").at("review"), "fixed");
  // Nobody can say otherwise.
  Json forged = painted.json();
  forged["engine"] = {{"stage", 3}, {"review", "accepted"}};
  const Reply put =
      ask(server.port(), "PUT", path, forged.dump(), {{"If-Match", painted.header("ETag")}});
  ASSERT_EQ(put.status, 200) << put.body;
  EXPECT_EQ(put.json().at("engine"), painted.json().at("engine"));

  const Json stages = server.get("/v1/engine").json().at("stages");
  EXPECT_EQ(stages.at("1").at("people").at("seconds"), 12.5);
  EXPECT_EQ(stages.at("1").at("states"), Json({{"made", 1}}));
  EXPECT_EQ(stages.at("2").at("people").at("acts").at("fix").at("seconds"), 2.0);
  EXPECT_EQ(stages.at("2").at("people").at("acts").at("create").at("seconds"), 3.0);
  EXPECT_EQ(stages.at("2").at("states").at("fixed"), 1);
}

TEST(ServerEngine, OneRunAtATimeThatCanBeEnded) {
  TestServer server;
  Json slow = small_run(3);
  slow["points_per_side"] = 64;
  const Reply first = server.post("/v1/engine/runs", slow);
  ASSERT_EQ(first.status, 202) << first.body;
  const Reply second = server.post("/v1/engine/runs", small_run(2));
  expect_problem(second, 409, "engine-running");
  EXPECT_EQ(second.header("Location"), first.header("Location"));
  EXPECT_EQ(server.get("/v1/engine").json().at("running"), first.json().at("id"));
  ask(server.port(), "DELETE", first.header("Location"));
  EXPECT_EQ(server.wait(first.json()).at("state"), "cancelled");
  EXPECT_EQ(server.get("/v1/engine").json().at("running"), nullptr);
  run(server, small_run(2));  // the worker is free again
  const Json listed = server.get("/v1/reviews").json();
  for (const Json& one : listed.at("reviews"))
    EXPECT_EQ(one.at("engine").at("stage"), 2);  // what was not finished left nothing
}

TEST(ServerEngine, SomePhotosOrASample) {
  TestServer server;
  Json body = small_run(3);
  body["images"] = {server.id()};
  body["sample"] = 0;
  const Json result = run(server, body);
  EXPECT_EQ(result.at("photos"), 1);
  EXPECT_GE(result.at("made"), 1);
  EXPECT_EQ(result.at("sent_to_review"), 0);
  EXPECT_EQ(server.get("/v1/reviews").json().at("pending"), 0);
  body["sample"] = 1;
  EXPECT_EQ(run(server, body).at("sent_to_review"), result.at("made"));
}

TEST(ServerEngine, RefusesWhatIsOutOfRange) {
  TestServer server;
  const auto with = [](const char* name, const Json& value) {
    Json body = small_run(3);
    body[name] = value;
    return body;
  };
  for (const Json& body :
       {Json::object(), with("stage", 1), with("stage", "2"), with("sample", 1.5),
        with("sample", -0.1), with("seed", -1), with("duplicate_iou", 0), with("most_cover", 2),
        with("least_area", -1), with("points_per_side", 65), with("crop_n_layers", 3),
        with("images", "x"), with("images", {1}), with("nonsense", 1)})
    expect_problem(server.post("/v1/engine/runs", body), 422, "value");
  expect_problem(server.post("/v1/engine/runs", with("images", {"none"})), 404, "no-image");
  for (const std::string after :
       {"x", "1", "1:", ":1", "nan:1", "1:2:3", "0.5:99999999999999999999"})
    expect_problem(server.get("/v1/reviews?after=" + after), 422, "value");
  for (const std::string limit : {"0", "501", "x"})
    expect_problem(server.get("/v1/reviews?limit=" + limit), 422, "value");
  for (const std::string id : {"0", "x", "99999999999999999999"})
    EXPECT_EQ(server.post("/v1/reviews/" + id + "/accept", Json::object()).status, 404) << id;
  run(server, small_run(2));
  const Json one = server.get("/v1/reviews").json().at("reviews")[0];
  for (const Json& body : {Json{{"seconds", -1}}, Json{{"seconds", 86401}}, Json{{"seconds", "1"}},
                           Json{{"who", std::string(101, 'x')}}, Json{{"engine", 1}}})
    expect_problem(review(server, one, "accept", body), 422, "value");
  expect_problem(review(server, one, "fix", {{"rle", {{"size", {1, 1}}, {"counts", "1"}}}}), 422,
                 "value");
  EXPECT_EQ(server.get("/v1/reviews").json().at("reviews")[0], one);
}

}  // namespace
}  // namespace beckon::test
