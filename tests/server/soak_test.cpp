// Memory over many requests: it must not grow. A short run by default; the long one is
// BECKON_SOAK=100000 BECKON_SOAK_PHOTOS=200 BECKON_SOAK_MODEL=mobile-sam and this one test.
#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

#include "beckon/image.h"
#include "server_process.h"
#include "test_server.h"

namespace beckon::test {
namespace {

int setting(const char* name, int otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

TEST(Soak, MemoryStaysAsItIsAfterWarmingUp) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "sanitizers keep memory back on purpose";
#endif
  const int calls = setting("BECKON_SOAK", 3000), photos = setting("BECKON_SOAK_PHOTOS", 20);
  const char* model = std::getenv("BECKON_SOAK_MODEL");
  const TempDir folder;
  std::mt19937 random(7);
  for (int i = 0; i < photos; ++i) {
    Image image(320, 240, 3);
    for (int y = 0; y < image.height(); ++y)
      for (int x = 0; x < 3 * image.width(); ++x)
        image.mutable_row(y)[x] = static_cast<uint8_t>((x * (i + 1) + y * (i % 7)) & 255);
    image.write(folder / ("photo" + std::to_string(i) + ".jpg"));
  }
  // Fewer embeddings in memory than photos: they come and go.
  std::vector<std::string> options{"--embeddings", "8", "--model",
                                   model == nullptr ? small_model() : model};
  if (model == nullptr) options.push_back("--no-cache");
  const ServerProcess server(folder.path().string(), options);
  std::vector<std::string> ids;
  for (int i = 0; i < 3000 && ids.size() < static_cast<size_t>(photos); ++i) {
    ids.clear();
    const Json list = ask(server.port(), "GET", "/v1/images?limit=1000").json();
    for (const Json& image : list.at("images")) ids.push_back(image.at("id"));
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_EQ(ids.size(), static_cast<size_t>(photos));

  const char* const formats[] = {"logits", "rle", "polygon", "png"};
  auto connection = std::make_unique<Connection>(server.port());
  const auto post = [&](const std::string& path, const Json& body) {
    connection->send(request_text("POST", path, body.dump()));
    Reply reply = connection->receive();
    if (reply.status == 0) connection = std::make_unique<Connection>(server.port());
    return reply;
  };
  const auto run = [&](int count) {
    for (int i = 0; i < count; ++i) {
      const std::string image = "/v1/images/" + ids[random() % ids.size()];
      Json prompts = Json::array();
      for (unsigned k = 0; k <= random() % 3; ++k)
        prompts.push_back({{"points", {{{"x", random() % 320}, {"y", random() % 240}}}}});
      const Json body{{"prompts", prompts},
                      {"format", formats[random() % 4]},
                      {"view", "soak"},
                      {"sequence", i}};
      for (int tries = 0;; ++tries) {
        const Reply reply = post(image + "/segment", body);
        if (reply.status == 200) break;
        ASSERT_TRUE(reply.status == 409 || reply.status == 503 || reply.status == 0)
            << reply.status << reply.body;
        ASSERT_LT(tries, 1000);
        if (reply.status != 409) continue;
        const Reply job = post(image + "/embedding", Json::object());
        if (job.status != 202) continue;
        for (;;) {
          const Reply now = ask(server.port(), "GET", job.header("Location"));
          if (now.json().value("state", "") == "done") break;
          ASSERT_NE(now.json().value("state", ""), "failed") << now.body;
          std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
      }
    }
  };
  run(std::max(calls / 5, photos * 3));
  const int64_t before = server.memory();
  run(calls);
  const int64_t after = server.memory();
  std::printf("%d calls over %d photos: %.1f MB after warming up, %.1f MB at the end (%+.1f %%)\n",
              calls, photos, static_cast<double>(before) / 1e6, static_cast<double>(after) / 1e6,
              100.0 * static_cast<double>(after - before) / static_cast<double>(before));
  EXPECT_LE(static_cast<double>(after), 1.05 * static_cast<double>(before));
}

}  // namespace
}  // namespace beckon::test
