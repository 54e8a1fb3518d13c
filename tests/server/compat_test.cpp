// As clients of rembg, Label Studio and CVAT see the server.
#include <cstring>

#include <gtest/gtest.h>

#include "annotation/label_studio.h"
#include "beckon/error.h"
#include "beckon/image.h"
#include "beckon/sam.h"
#include "encoding.h"
#include "multipart.h"
#include "problem.h"
#include "test_server.h"

namespace beckon::test {
namespace {

std::string photo_bytes(const TestServer& server) {
  const std::vector<uint8_t> bytes = read_bytes(server.folder() / "a.png");
  return {bytes.begin(), bytes.end()};
}

std::string form(const std::vector<std::pair<std::string, std::string>>& parts) {
  std::string body;
  for (const auto& [name, value] : parts)
    body += "--XyZ\r\nContent-Disposition: form-data; name=\"" + name + "\"" +
            (name == "file" ? "; filename=\"a.png\"\r\nContent-Type: image/png" : "") + "\r\n\r\n" +
            value + "\r\n";
  return body + "--XyZ--\r\n";
}

Reply remove(const TestServer& server,
             const std::vector<std::pair<std::string, std::string>>& parts,
             const std::string& query = "") {
  return ask(server.port(), "POST", "/api/remove" + query, form(parts),
             {{"Content-Type", "multipart/form-data; boundary=XyZ"}});
}

Image decoded(const Reply& reply) {
  return Image::decode({reinterpret_cast<const uint8_t*>(reply.body.data()), reply.body.size()});
}

TEST(Compat, RembgCutsOut) {
  TestServer server;
  const std::string extras = R"({"sam_prompt":[{"type":"point","data":[300,200],"label":1}]})";
  const Reply reply = remove(server, {{"file", photo_bytes(server)}, {"extras", extras}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.header("Content-Type"), "image/png");
  const Image image = decoded(reply);
  EXPECT_TRUE(image.has_alpha());
  const Embedding seen = Sam::load(small_model()).encode(Image::read(server.folder() / "a.png"));
  const Mask expected = seen.segment(Point{300, 200}).best().mask();
  for (int y = 0; y < image.height(); ++y)
    for (int x = 0; x < image.width(); ++x)
      ASSERT_EQ(image.row(y)[4 * x + 3] != 0, expected.at(x, y)) << x << " " << y;

  const Image mask =
      decoded(remove(server, {{"file", photo_bytes(server)}, {"extras", extras}, {"om", "true"}}));
  EXPECT_EQ(mask.channels(), 1);
  const Image filled = decoded(
      remove(server, {{"file", photo_bytes(server)}, {"extras", extras}, {"bgc", "1,2,3,255"}}));
  for (int y = 0; y < filled.height(); y += 7)
    for (int x = 0; x < filled.width(); x += 7) {
      if (expected.at(x, y)) continue;
      ASSERT_EQ(filled.row(y)[4 * x], 1);
      ASSERT_EQ(filled.row(y)[4 * x + 3], 255);
    }
  EXPECT_EQ(remove(server, {{"file", photo_bytes(server)}}, "?ppm=1").status, 200);
}

TEST(Compat, RembgRefusesNonsense) {
  TestServer server;
  const std::string file = photo_bytes(server);
  EXPECT_EQ(remove(server, {{"file", "no picture"}}).status, 422);
  expect_problem(remove(server, {{"other", file}}), 422, "value");
  expect_problem(remove(server, {{"file", file}, {"om", "maybe"}}), 422, "value");
  expect_problem(remove(server, {{"file", file}, {"a", "true"}}), 422, "value");
  expect_problem(remove(server, {{"file", file}, {"bgc", "1,2,3"}}), 422, "value");
  expect_problem(remove(server, {{"file", file}, {"bgc", "1,2,3,256"}}), 422, "value");
  EXPECT_EQ(remove(server, {{"file", file}, {"extras", "{"}}).status, 422);
  // Addresses are not fetched.
  EXPECT_EQ(server.get("/api/remove?url=http://127.0.0.1/").status, 405);
}

TEST(Compat, FormsAreReadWithCare) {
  using server::form_parts;
  const std::string type = "multipart/form-data; boundary=\"XyZ\"";
  const std::string body = form({{"a", "1"}, {"file", "\r\n--X\r\n"}, {"b", ""}});
  const auto parts = form_parts(type, body);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[1].name, "file");
  EXPECT_EQ(parts[1].file, "a.png");
  EXPECT_EQ(parts[1].bytes, "\r\n--X\r\n");
  EXPECT_EQ(parts[2].bytes, "");
  EXPECT_THROW(form_parts("multipart/form-data", body), server::HttpError);
  EXPECT_THROW(form_parts(type, ""), server::HttpError);
  std::string many;
  for (int i = 0; i < 65; ++i) many += "--XyZ\r\n\r\n\r\nx\r\n";
  EXPECT_THROW(form_parts(type, many + "--XyZ--"), server::HttpError);
  // Cut off anywhere it is an error, not a crash.
  for (size_t i = 0; i + 4 < body.size(); ++i)
    EXPECT_THROW(form_parts(type, std::string_view(body).substr(0, i)), server::HttpError) << i;
}

const char* const kConfig =
    "<View><Image name=\"img\" value=\"$photo\"/><BrushLabels name=\"brush\" toName=\"img\">"
    "<Label value=\"Cup\"/></BrushLabels></View>";

Json task_with(const std::string& address) {
  const Json point{{"type", "keypointlabels"},
                   {"is_positive", true},
                   {"value", {{"x", 50}, {"y", 50}, {"keypointlabels", {"Cup"}}}}};
  return {{"tasks", {{{"id", 1}, {"data", {{"photo", address}}}}}},
          {"label_config", kConfig},
          {"params", {{"context", {{"result", {point}}}}}}};
}

TEST(Compat, LabelStudioGetsBrushMasks) {
  TestServer server;
  EXPECT_EQ(server.get("/health").json().at("status"), "UP");
  const Json setup = server.post("/setup", {{"project", "1.2"}, {"schema", kConfig}}).json();
  EXPECT_TRUE(setup.at("model_version").get<std::string>().starts_with("beckon-"));
  EXPECT_EQ(server.post("/predict", {{"tasks", {{{"id", 1}}}}}).json().at("results"),
            Json::array());

  const Embedding seen = Sam::load(small_model()).encode(Image::read(server.folder() / "a.png"));
  const Mask expected = seen.segment(Point{300, 200}).best().mask();
  const std::string bytes = photo_bytes(server);
  const std::string inline_photo =
      "data:image/png;base64," +
      server::base64({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  for (const std::string& address : std::vector<std::string>{
           "a.png", "/data/local-files/?d=photos/a.png", "http://elsewhere/data/upload/1/a.png",
           "/data/upload/1/abcd1234-a.png", inline_photo}) {
    const Reply reply = server.post("/predict", task_with(address));
    ASSERT_EQ(reply.status, 200) << reply.body;
    const Json region = reply.json().at("results")[0].at("result")[0];
    EXPECT_EQ(region.at("from_name"), "brush");
    EXPECT_EQ(region.at("to_name"), "img");
    EXPECT_EQ(region.at("value").at("brushlabels"), Json({"Cup"}));
    const auto runs = region.at("value").at("rle").get<std::vector<uint8_t>>();
    EXPECT_EQ(annotation::brush_mask(runs, {600, 400}, "rle"), expected);
  }
  expect_problem(server.post("/predict", task_with("http://127.0.0.1/secret.png")), 404,
                 "no-image");
  expect_problem(server.post("/predict", task_with("/data/local-files/?d=../../etc/passwd")), 404,
                 "no-image");
}

TEST(Compat, CvatGetsTheEmbedding) {
  TestServer server;
  const std::string bytes = photo_bytes(server);
  const std::string image =
      server::base64({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  const Reply reply = server.post("/", {{"image", image}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  const auto blob = server::base64_decoded(reply.json().at("blob").get<std::string>());
  ASSERT_TRUE(blob);
  const std::vector<float> expected =
      Sam::load(small_model()).encode(Image::read(server.folder() / "a.png")).values();
  ASSERT_EQ(blob->size(), expected.size() * sizeof(float));
  EXPECT_EQ(std::memcmp(blob->data(), expected.data(), blob->size()), 0);
  expect_problem(server.post("/", Json::object()), 422, "value");
  expect_problem(server.post("/", {{"image", "!!"}}), 422, "value");
  EXPECT_EQ(server.post("/", {{"image", "AAAA"}}).status, 422);
}

TEST(Encoding, Base64GoesBothWays) {
  // RFC 4648's examples.
  const std::pair<const char*, const char*> examples[] = {{"", ""},
                                                          {"f", "Zg=="},
                                                          {"fo", "Zm8="},
                                                          {"foo", "Zm9v"},
                                                          {"foob", "Zm9vYg=="},
                                                          {"fooba", "Zm9vYmE="},
                                                          {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : examples) {
    const std::string text = plain;
    const std::span bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size());
    EXPECT_EQ(server::base64(bytes), coded);
    const auto back = server::base64_decoded(coded);
    ASSERT_TRUE(back);
    EXPECT_EQ(std::string(back->begin(), back->end()), text);
  }
  EXPECT_FALSE(
      server::base64_decoded("Zg="
                             "x"));
  EXPECT_FALSE(server::base64_decoded("Z"));
  EXPECT_FALSE(server::base64_decoded("Zm9v\n"));
}

}  // namespace
}  // namespace beckon::test
