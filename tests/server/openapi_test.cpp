// The description of the API against the API: every route is in it, nothing else is, and answers
// are as it says.
#include <set>

#include <gtest/gtest.h>

#include "beckon/mask.h"
#include "test_server.h"

namespace beckon::test {
namespace {

const Json& resolved(const Json& document, const Json& node) {
  const auto found = node.find("$ref");
  if (found == node.end()) return node;
  return document.at(Json::json_pointer(found->get<std::string>().substr(1)));
}

bool is_type(const Json& value, const std::string& type) {
  if (type == "object") return value.is_object();
  if (type == "array") return value.is_array();
  if (type == "string") return value.is_string();
  if (type == "boolean") return value.is_boolean();
  if (type == "null") return value.is_null();
  if (type == "integer") return value.is_number_integer();
  return value.is_number();
}

// What of JSON Schema the document uses. Returns the first thing that is wrong, or nothing. Members
// that the schema does not name are wrong too: then the document lags behind.
std::string unlike(const Json& document, const Json& node, const Json& value,
                   const std::string& place) {
  const Json& schema = resolved(document, node);
  if (schema.contains("type")) {
    const Json& type = schema.at("type");
    bool fits = type.is_string() && is_type(value, type);
    if (type.is_array())
      for (const Json& one : type) fits = fits || is_type(value, one);
    if (!fits) return place + " is no " + type.dump();
  }
  if (schema.contains("enum")) {
    const Json& words = schema.at("enum");
    if (std::find(words.begin(), words.end(), value) == words.end())
      return place + " is " + value.dump();
  }
  if (schema.contains("minimum") && value < schema.at("minimum")) return place + " is too small";
  if (schema.contains("maximum") && value > schema.at("maximum")) return place + " is too large";
  if (value.is_object() && schema.contains("properties")) {
    const Json& properties = schema.at("properties");
    if (schema.contains("required"))
      for (const Json& name : schema.at("required"))
        if (!value.contains(name.get<std::string>())) return place + " lacks " + name.dump();
    for (auto it = value.begin(); it != value.end(); ++it) {
      if (!properties.contains(it.key())) return place + " has '" + it.key() + "'";
      std::string wrong =
          unlike(document, properties.at(it.key()), it.value(), place + "." + it.key());
      if (!wrong.empty()) return wrong;
    }
  }
  if (value.is_array() && schema.contains("items"))
    for (const Json& item : value) {
      std::string wrong = unlike(document, schema.at("items"), item, place + "[]");
      if (!wrong.empty()) return wrong;
    }
  return "";
}

void check_references(const Json& document, const Json& node) {
  if (node.is_object() && node.contains("$ref")) {
    EXPECT_TRUE(document.contains(Json::json_pointer(node.at("$ref").get<std::string>().substr(1))))
        << node;
  }
  if (node.is_structured())
    for (const Json& below : node) check_references(document, below);
}

std::string lowered(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

TEST(OpenApi, NamesEveryRouteAndNothingElse) {
  TestServer server([](auto& options) { options.metrics = true; });
  const Json document = server.get("/v1/openapi.json").json();
  ASSERT_EQ(document.at("openapi"), "3.1.0");
  check_references(document, document);
  std::set<std::string> described, ids;
  for (const auto& [path, operations] : document.at("paths").items()) {
    std::set<std::string> braces;
    for (size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1))
      braces.insert(path.substr(at + 1, path.find('}', at) - at - 1));
    for (const auto& [method, operation] : operations.items()) {
      described.insert(method + " " + path);
      EXPECT_TRUE(ids.insert(operation.at("operationId")).second) << path;
      EXPECT_FALSE(operation.at("summary").get<std::string>().empty());
      EXPECT_TRUE(operation.at("responses").contains("default")) << path;
      std::set<std::string> given;
      if (operation.contains("parameters"))
        for (const Json& parameter : operation.at("parameters")) {
          const Json& one = resolved(document, parameter);
          if (one.at("in") == "path") given.insert(one.at("name"));
        }
      EXPECT_EQ(given, braces) << method << path;
    }
  }
  std::set<std::string> routes;
  for (const server::Route& route : server.server().routes()) {
    const std::string name = lowered(route.method) + " " + route.pattern;
    routes.insert(name);
    if (described.count(name) == 0) continue;
    const Json& operation = document.at("paths").at(route.pattern).at(lowered(route.method));
    std::set<std::string> types;
    if (operation.contains("requestBody"))
      for (const auto& [type, content] : operation.at("requestBody").at("content").items())
        types.insert(type);
    std::set<std::string> expected;
    switch (route.body) {
      case server::BodyKind::none:
        break;
      case server::BodyKind::json:
        expected = {"application/json"};
        break;
      case server::BodyKind::json_patch:
        expected = {"application/json", "application/merge-patch+json"};
        break;
      case server::BodyKind::picture:
        expected = {"image/jpeg", "image/png", "image/webp"};
        break;
      case server::BodyKind::form:
        expected = {"multipart/form-data"};
        break;
    }
    EXPECT_EQ(types, expected) << name;
  }
  EXPECT_EQ(described, routes);
}

TEST(OpenApi, AnswersAreAsItSays) {
  TestServer server;
  const Json document = server.get("/v1/openapi.json").json();
  const auto expect_answer = [&](const Reply& reply, int status, const std::string& method,
                                 const std::string& pattern) {
    ASSERT_EQ(reply.status, status) << reply.body;
    const Json& responses = document.at("paths").at(pattern).at(method).at("responses");
    const std::string key = std::to_string(status);
    ASSERT_TRUE(responses.contains(key)) << method << pattern << key;
    const Json& schema = responses.at(key).at("content").at("application/json").at("schema");
    EXPECT_EQ(unlike(document, schema, reply.json(), pattern), "") << reply.body;
  };
  const std::string id = server.id(), image = "/v1/images/" + id;
  expect_answer(server.get("/v1/health"), 200, "get", "/v1/health");
  expect_answer(server.get("/v1/models"), 200, "get", "/v1/models");
  expect_answer(server.get("/v1/images"), 200, "get", "/v1/images");
  expect_answer(server.get(image), 200, "get", "/v1/images/{image}");
  const Reply job = server.post(image + "/embedding", Json::object());
  expect_answer(job, 202, "post", "/v1/images/{image}/embedding");
  server.wait(job.json());
  expect_answer(server.get(job.header("Location")), 200, "get", "/v1/jobs/{job}");
  expect_answer(server.post(image + "/embedding", Json::object()), 200, "post",
                "/v1/images/{image}/embedding");
  for (const std::string format : {"rle", "logits", "polygon", "png"})
    expect_answer(
        server.post(image + "/segment",
                    {{"prompts", {{{"points", {{{"x", 9}, {"y", 9}}}}}}}, {"format", format}}),
        200, "post", "/v1/images/{image}/segment");
  const Rle rle = Mask::from_box({10, 20, 30, 40}, {600, 400}).rle();
  const Reply made = server.post(image + "/annotations",
                                 {{"rle", {{"size", {400, 600}}, {"counts", rle.string()}}}});
  expect_answer(made, 201, "post", "/v1/images/{image}/annotations");
  expect_answer(server.get(image + "/annotations"), 200, "get", "/v1/images/{image}/annotations");
  const std::string path = made.header("Location");
  expect_answer(server.get(path), 200, "get", "/v1/annotations/{annotation}");
  expect_answer(server.get(path + "/history"), 200, "get", "/v1/annotations/{annotation}/history");
  expect_answer(server.get(path + "/mask?format=polygon"), 200, "get",
                "/v1/annotations/{annotation}/mask");
  expect_answer(server.post(image + "/undo", Json::object()), 200, "post",
                "/v1/images/{image}/undo");
  expect_answer(server.post(image + "/redo", Json::object()), 200, "post",
                "/v1/images/{image}/redo");
  expect_answer(server.get("/v1/engine"), 200, "get", "/v1/engine");
  const Reply run = server.post("/v1/engine/runs", {{"stage", 2},
                                                    {"images", {id}},
                                                    {"duplicate_iou", 1},
                                                    {"box_nms_thresh", 1},
                                                    {"points_per_side", 2},
                                                    {"pred_iou_thresh", 0},
                                                    {"stability_score_thresh", 0}});
  expect_answer(run, 202, "post", "/v1/engine/runs");
  server.wait(run.json());
  const Reply reviews = server.get("/v1/reviews");
  expect_answer(reviews, 200, "get", "/v1/reviews");
  ASSERT_GE(reviews.json().at("reviews").size(), 2u);
  expect_answer(server.get("/v1/engine"), 200, "get", "/v1/engine");
  for (const size_t i : {0, 1}) {
    const std::string object = reviews.json().at("reviews")[i].at("id").dump();
    const std::string what = i == 0 ? "accept" : "fix";
    const Json body = i == 0 ? Json{{"seconds", 1}} : Json{{"rle", made.json().at("rle")}};
    expect_answer(ask(server.port(), "POST", "/v1/reviews/" + object + "/" + what, body.dump(),
                      {{"If-Match", "*"}}),
                  200, "post", "/v1/reviews/{annotation}/" + what);
  }
  expect_answer(server.get("/v1/engine"), 200, "get", "/v1/engine");
  expect_answer(server.get("/health"), 200, "get", "/health");
  const Reply problem = server.get("/v1/images/none");
  EXPECT_EQ(unlike(document, document.at("components").at("schemas").at("Problem"), problem.json(),
                   "problem"),
            "");
}

}  // namespace
}  // namespace beckon::test
