// Prompts in, masks out: the numbers are those of the library.
#include <future>
#include <set>

#include <gtest/gtest.h>

#include "beckon/image.h"
#include "beckon/mask.h"
#include "beckon/polygon.h"
#include "beckon/sam.h"
#include "encoding.h"
#include "models/sam/seen.h"
#include "test_server.h"

namespace beckon::test {
namespace {

Json point(double x, double y, int label = 1) {
  return {{"points", {{{"x", x}, {"y", y}, {"label", label}}}}};
}

Mask mask_of(const Json& rle) {
  return Mask::from_rle(Rle::from_string({rle.at("size")[1], rle.at("size")[0]},
                                         rle.at("counts").get<std::string>()));
}

TEST(ServerSegment, NeedsTheEmbeddingFirst) {
  TestServer server;
  const std::string id = server.id(), path = "/v1/images/" + id;
  expect_problem(server.post(path + "/segment", {{"prompts", {point(1, 1)}}}), 409,
                 "embedding-missing");
  const Reply job = server.post(path + "/embedding", Json::object());
  ASSERT_EQ(job.status, 202);
  EXPECT_EQ(job.header("Location"), "/v1/jobs/" + job.json().at("id").get<std::string>());
  const Json ended = server.wait(job.json());
  EXPECT_EQ(ended.at("state"), "done");
  EXPECT_EQ(ended.at("result"), Json({{"ready", true}}));
  EXPECT_EQ(server.post(path + "/embedding", Json::object()).json(), Json({{"ready", true}}));
  EXPECT_EQ(server.get(path).json().at("embedded"), true);
  expect_problem(server.post("/v1/images/00/segment", {{"prompts", {point(1, 1)}}}), 404,
                 "no-image");
}

TEST(ServerSegment, GivesTheLibrarysMasks) {
  TestServer server;
  const std::string id = server.id();
  server.embed(id);
  const Sam sam = Sam::load(small_model());
  const Embedding seen = sam.encode(Image::read(server.folder() / "a.png"));
  const Masks expected = seen.segment(Point{300, 200});
  const Json masks = server
                         .post("/v1/images/" + id + "/segment",
                               {{"prompts", {point(300, 200)}}, {"multimask", true}})
                         .json()
                         .at("results")[0]
                         .at("masks");
  ASSERT_EQ(masks.size(), expected.size());
  for (size_t i = 0; i < masks.size(); ++i) {
    EXPECT_FLOAT_EQ(masks[i].at("score").get<float>(), expected[i].score());
    EXPECT_EQ(masks[i].at("rle").at("counts"), expected[i].rle().string());
    EXPECT_EQ(masks[i].at("area"), expected[i].area());
  }
}

TEST(ServerSegment, FormsShowOneMask) {
  TestServer server;
  const std::string id = server.id();
  server.embed(id);
  const auto ask_for = [&](const std::string& format) {
    const Json answer = server
                            .post("/v1/images/" + id + "/segment", {{"prompts", {point(300, 200)}},
                                                                    {"format", format},
                                                                    {"most", 1},
                                                                    {"multimask", true}})
                            .json();
    EXPECT_EQ(answer.at("results")[0].at("masks").size(), 1u);
    return answer.at("results")[0].at("masks")[0];
  };
  const Mask rle = mask_of(ask_for("rle").at("rle"));

  const auto png = server::base64_decoded(ask_for("png").at("png").get<std::string>());
  ASSERT_TRUE(png);
  EXPECT_EQ(Mask::decode(*png), rle);

  const auto ring_of = [](const Json& list) {
    Ring ring;
    for (const Json& v : list) ring.push_back({v[0], v[1]});
    return ring;
  };
  std::vector<Polygon> polygons;
  const Json outlines = ask_for("polygon");
  for (const Json& outline : outlines.at("polygons")) {
    polygons.push_back({ring_of(outline.at("outer")), {}});
    for (const Json& hole : outline.at("holes")) polygons.back().holes.push_back(ring_of(hole));
  }
  EXPECT_EQ(mask_from_polygons(polygons, rle.size()), rle);

  // The logits are the library's in steps, with their signs.
  const Embedding seen = Sam::load(small_model()).encode(Image::read(server.folder() / "a.png"));
  const Masks expected = seen.segment(Point{300, 200});
  const std::span<const float> values = expected.best().logits();
  const int stride = expected.best().logits_size().width;
  const Json logits = ask_for("logits").at("logits");
  const auto bytes = server::base64_decoded(logits.at("data").get<std::string>());
  ASSERT_TRUE(bytes);
  const int width = logits.at("width"), height = logits.at("height");
  const double scale = logits.at("scale");
  ASSERT_EQ(bytes->size(), static_cast<size_t>(width * height));
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double value = values[static_cast<size_t>(y * stride + x)];
      const auto step = static_cast<int8_t>((*bytes)[static_cast<size_t>(y * width + x)]);
      ASSERT_EQ(step > 0, value > 0) << x << " " << y;
      ASSERT_NEAR(step * scale, std::clamp(value, -127 * scale, 127 * scale), scale);
    }
  }
  // Cells cover the photo, and no more than a cell of padding.
  const double cell_x = logits.at("cell")[0], cell_y = logits.at("cell")[1];
  EXPECT_GE(width * cell_x, 600 - 1e-6);
  EXPECT_LT((width - 1) * cell_x, 600);
  EXPECT_GE(height * cell_y, 400 - 1e-6);
  EXPECT_LT((height - 1) * cell_y, 400);
}

TEST(ServerSegment, TakesEveryKindOfPrompt) {
  TestServer server;
  const std::string id = server.id(), path = "/v1/images/" + id + "/segment";
  server.embed(id);
  const Json first = server.post(path, {{"prompts", {point(300, 200)}}}).json();
  const Json mask = first.at("results")[0].at("masks")[0].at("rle");
  const Json prompts = {
      {{"points", {{{"x", 10}, {"y", 20}}, {{"x", 30.5}, {"y", 40}, {"label", 0}}}}},
      {{"box", {10, 20, 300, 200}}},
      {{"scribbles", {{{"points", {{1, 2}, {100, 90}}}, {"label", 1}}}}},
      {{"mask", mask}},
      {{"box", {10, 20, 300, 200}}, {"points", {{{"x", 50}, {"y", 60}}}}, {"mask", mask}}};
  const Reply reply = server.post(path, {{"prompts", prompts}, {"multimask", false}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  ASSERT_EQ(reply.json().at("results").size(), prompts.size());
  const Json results = reply.json().at("results");
  for (const Json& result : results) EXPECT_EQ(result.at("masks").size(), 1u);
}

TEST(ServerSegment, AnswersDoNotDependOnCompany) {
  TestServer server;
  const std::string id = server.id(), path = "/v1/images/" + id + "/segment";
  server.embed(id);
  const Json alone =
      server.post(path, {{"prompts", {point(300, 200)}}, {"format", "logits"}}).json();
  Json many = Json::array();
  for (int i = 0; i < 32; ++i) many.push_back(i == 17 ? point(300, 200) : point(10 * i, 5 * i));
  const Json together = server.post(path, {{"prompts", many}, {"format", "logits"}}).json();
  EXPECT_EQ(together.at("results")[17], alone.at("results")[0]);

  std::vector<std::future<Json>> others;
  for (int i = 0; i < 24; ++i)
    others.push_back(std::async(std::launch::async, [&, i] {
      const Json prompt = i % 2 == 0 ? point(300, 200) : point(7 * i, 9 * i);
      return server.post(path, {{"prompts", {prompt}}, {"format", "logits"}}).json();
    }));
  for (size_t i = 0; i < others.size(); ++i) {
    const Json answer = others[i].get();
    if (i % 2 == 0) {
      EXPECT_EQ(answer, alone);
    }
  }
}

TEST(ServerSegment, RefusesNumbersOutOfRange) {
  TestServer server;
  const std::string id = server.id(), path = "/v1/images/" + id + "/segment";
  server.embed(id);
  const std::string huge(80'000, '7');
  for (const std::string body :
       {R"({})",
        R"({"prompts":[]})",
        R"({"prompts":{}})",
        R"({"prompts":[{}]})",
        R"({"prompts":[5]})",
        R"({"prompts":[{"points":[]}]})",
        R"({"prompts":[{"points":[{"x":1}]}]})",
        R"({"prompts":[{"points":[{"x":1,"y":"2"}]}]})",
        R"({"prompts":[{"points":[{"x":1e9,"y":2}]}]})",
        R"({"prompts":[{"points":[{"x":1,"y":2,"label":2}]}]})",
        R"({"prompts":[{"points":[{"x":1,"y":2,"label":0.5}]}]})",
        R"({"prompts":[{"points":[{"x":1,"y":2,"z":3}]}]})",
        R"({"prompts":[{"box":[1,2,3]}]})",
        R"({"prompts":[{"box":[3,2,1,4]}]})",
        R"({"prompts":[{"scribbles":[{"points":[]}]}]})",
        R"({"prompts":[{"mask":{"size":[1,1],"counts":"0"}}]})",
        R"({"prompts":[{"mask":{"size":[400,600],"counts":"zzz"}}]})",
        R"({"prompts":[{"mask":{"size":[400,600],"counts":[-1]}}]})",
        R"({"prompts":[{"mask":{"size":[400,600],"counts":[18446744073709551615]}}]})",
        R"({"prompts":[{"points":[{"x":1,"y":2}]}],"most":0})",
        R"({"prompts":[{"points":[{"x":1,"y":2}]}],"format":"tiff"})",
        R"({"prompts":[{"points":[{"x":1,"y":2}]}],"sequence":-1})",
        R"({"prompts":[{"points":[{"x":1,"y":2}]}],"multimask":1})",
        R"({"prompts":[{"points":[{"x":1,"y":2}]}],"unknown":1})"}) {
    const Reply reply = ask(server.port(), "POST", path, body);
    EXPECT_EQ(reply.status, 422) << body << reply.body;
  }
  Json crowd = Json::array();
  for (int i = 0; i < 65; ++i) crowd.push_back(point(1, 1));
  expect_problem(server.post(path, {{"prompts", crowd}}), 422, "value");
  Json points = Json::array();
  for (int i = 0; i < 10'000; ++i) points.push_back({{"x", 1}, {"y", 1}});
  expect_problem(server.post(path, {{"prompts", {{{"points", points}}}}}), 422, "value");
  for (const std::string body : {"{", "nonsense", "[1,", "{\"prompts\":NaN}",
                                 R"({"prompts":[{"points":[{"x":1e999,"y":2}]}]})"})
    expect_problem(ask(server.port(), "POST", path, body), 400, "json");
  expect_problem(ask(server.port(), "POST", path, std::string(100'000, '[')), 400, "json");
}

TEST(ServerSegment, ANewerRequestOfAViewReplacesAnOlderOne) {
  TestServer server;
  const std::string id = server.id(), path = "/v1/images/" + id + "/segment";
  server.embed(id);
  // Something long keeps the worker busy while the others wait.
  Json many = Json::array();
  for (int i = 0; i < 64; ++i) many.push_back(point(10 * i, 5 * i));
  auto busy = std::async(std::launch::async, [&] {
    for (int i = 0; i < 3; ++i) server.post(path, {{"prompts", many}, {"format", "png"}});
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::vector<std::unique_ptr<Connection>> hovers;
  for (int i = 0; i < 8; ++i) {
    hovers.push_back(std::make_unique<Connection>(server.port()));
    const Json body = {{"prompts", {point(10 * i, 10)}}, {"view", "v"}, {"sequence", i}};
    hovers.back()->send(request_text("POST", path, body.dump()));
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
  }
  std::vector<int> statuses;
  for (const auto& hover : hovers) {
    const Reply reply = hover->receive();
    statuses.push_back(reply.status);
    if (reply.status == 409) expect_problem(reply, 409, "replaced");
  }
  busy.get();
  EXPECT_EQ(statuses.back(), 200);  // the newest is always answered
  EXPECT_GE(std::count(statuses.begin(), statuses.end(), 409), 1);
}

TEST(ServerJobs, EverythingReportsProgressAndMasks) {
  TestServer server;
  const std::string id = server.id(), path = "/v1/images/" + id + "/everything";
  const Json options = {{"points_per_side", 4},
                        {"pred_iou_thresh", 0},
                        {"stability_score_thresh", 0},
                        {"box_nms_thresh", 1}};
  const Reply reply = server.post(path, options);
  ASSERT_EQ(reply.status, 202) << reply.body;
  Connection events(server.port());
  events.send(request_text("GET", reply.header("Location") + "/events"));
  const std::string head = events.read_until("\r\n\r\n");
  EXPECT_NE(head.find("text/event-stream"), std::string::npos);
  std::string last;
  for (;;) {
    const std::string event = events.read_until("\n\n");
    if (event.empty()) break;
    EXPECT_TRUE(event.starts_with("event: job\ndata: {")) << event;
    last = event;
  }
  EXPECT_NE(last.find("\"state\":\"done\""), std::string::npos) << last;
  const Json job = server.wait(reply.json());
  ASSERT_EQ(job.at("state"), "done");
  ASSERT_GE(job.at("result").at("masks").size(), 1u);
  for (const Json& mask : job.at("result").at("masks"))
    EXPECT_EQ(mask_of(mask.at("rle")).area(), mask.at("area").get<int64_t>());
  for (const Json& wrong :
       std::vector<Json>{Json{{"points_per_side", 65}}, Json{{"points_per_side", 0}},
                         Json{{"pred_iou_thresh", 2}}, Json{{"crop_n_layers", 3}},
                         Json{{"box_nms_thresh", "x"}}, Json{{"points_per_batch", 4}}})
    expect_problem(server.post(path, wrong), 422, "value");
}

TEST(ServerJobs, AreCancelled) {
  TestServer server;
  const std::string id = server.id();
  const Reply reply = server.post("/v1/images/" + id + "/everything", {{"points_per_side", 64}});
  const std::string job = reply.header("Location");
  const Reply cancelled = ask(server.port(), "DELETE", job);
  EXPECT_EQ(cancelled.status, 200);
  EXPECT_EQ(cancelled.json().at("state"), "cancelled");
  EXPECT_EQ(server.get(job).json().at("state"), "cancelled");
  // The worker is free again soon.
  server.embed(server.id("b.jpg"));
  expect_problem(server.get("/v1/jobs/0123"), 404, "no-job");
  expect_problem(server.get("/v1/jobs/0123/events"), 404, "no-job");
}

TEST(ServerJobs, QueuesAreBounded) {
  TestServer server;
  const std::string path = "/v1/images/" + server.id() + "/everything";
  std::vector<std::string> jobs;
  int refused = 0;
  for (int i = 0; i < 80; ++i) {
    const Reply reply = server.post(path, {{"points_per_side", 64}});
    if (reply.status == 429) {
      ++refused;
      EXPECT_EQ(reply.header("Retry-After"), "1");
      expect_problem(reply, 429, "busy");
    } else {
      jobs.push_back(reply.header("Location"));
    }
  }
  EXPECT_GE(refused, 10);
  for (const std::string& job : jobs) ask(server.port(), "DELETE", job);
  // What was cancelled leaves the queue when its turn comes.
  const std::string embedding = "/v1/images/" + server.id() + "/embedding";
  for (int i = 0; i < 500 && server.post(embedding, Json::object()).status == 429; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  server.embed(server.id());
}

}  // namespace
}  // namespace beckon::test
