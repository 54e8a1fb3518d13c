// The store itself: hostile files, older ones, backups; and a server that is killed.
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "annotation_state.h"
#include "annotation_store.h"
#include "beckon/error.h"
#include "beckon/mask.h"
#include "process.h"
#include "server_process.h"
#include "test_server.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;
using server::AnnotationStore;

constexpr ImageSize kSize{64, 48};

std::string state_of(const std::string& label, int x = 1) {
  const Rle rle = Mask::from_box({x, 2, 3, 4}, kSize).rle();
  const Json body{{"label", label},
                  {"rle", {{"size", {kSize.height, kSize.width}}, {"counts", rle.string()}}}};
  return server::read_state(body, kSize).dump();
}

const server::AnnotatedPhoto kPhoto{"0123", "a.png", kSize};

void sql(const std::string& path, const std::string& text) {
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
  char* message = nullptr;
  EXPECT_EQ(sqlite3_exec(db, text.c_str(), nullptr, nullptr, &message), SQLITE_OK) << message;
  sqlite3_close(db);
}

Kind kind_of_opening(const std::string& path, bool write = true) {
  try {
    AnnotationStore store(path, write);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(path), std::string::npos);
    return error.kind();
  }
  ADD_FAILURE() << "it opens";
  return Kind::internal;
}

TEST(AnnotationStore, RefusesWhatIsNoStore) {
  const TempDir dir;
  EXPECT_EQ(kind_of_opening(dir / "none.db", false), Kind::missing);
  EXPECT_EQ(kind_of_opening(dir.write("text.db", std::string(5000, 'x'))), Kind::input);
  sql(dir / "other.db", "CREATE TABLE t(x)");
  EXPECT_EQ(kind_of_opening(dir / "other.db"), Kind::input);
  { AnnotationStore store(dir / "newer.db", true); }
  sql(dir / "newer.db", "PRAGMA user_version=99");
  EXPECT_EQ(kind_of_opening(dir / "newer.db"), Kind::unsupported);
  EXPECT_EQ(kind_of_opening(dir / "no/folder.db"), Kind::output);
}

TEST(AnnotationStore, BringsOlderFilesUpToDate) {
  const TempDir dir;
  const std::string path = dir / "old.db";
  {
    AnnotationStore store(path, true);
    store.create(kPhoto, state_of("a"), "human");
  }
  // As the first version had it.
  sql(path,
      "DROP INDEX edits_by_key; ALTER TABLE edits DROP COLUMN key; DROP TABLE work; DROP TABLE "
      "runs; DROP TABLE recipes; DROP INDEX annotations_in_review; DROP INDEX "
      "annotations_of_stage; ALTER TABLE annotations DROP COLUMN stage; ALTER TABLE annotations "
      "DROP COLUMN review; ALTER TABLE annotations DROP COLUMN doubt; PRAGMA user_version=1");
  AnnotationStore store(path, true);
  EXPECT_EQ(store.list(kPhoto.id).size(), 1u);
  const auto first = store.create(kPhoto, state_of("b"), "human", "key");
  EXPECT_EQ(store.create(kPhoto, state_of("b"), "human", "key").id, first.id);
  EXPECT_TRUE(store.check().problems.empty());
}

TEST(AnnotationStore, ChecksWhatItHolds) {
  const TempDir dir;
  const std::string path = dir / "a.db";
  {
    AnnotationStore store(path, true);
    const auto one = store.create(kPhoto, state_of("a"), "human");
    store.change(one.id, 1, state_of("b"), "human");
    store.create(kPhoto, state_of("c"), "human");
    const auto report = store.check();
    EXPECT_TRUE(report.problems.empty()) << report.problems[0];
    EXPECT_EQ(report.objects, 2);
    EXPECT_EQ(report.edits, 3);
  }
  const auto problems_after = [&](const std::string& damage) {
    const std::string copy = dir / "copy.db";
    fs::copy_file(path, copy, fs::copy_options::overwrite_existing);
    sql(copy, damage);
    return AnnotationStore(copy, false).check().problems.size();
  };
  EXPECT_EQ(problems_after("SELECT 1"), 0u);
  EXPECT_GE(
      problems_after("UPDATE annotations SET state=replace(state,'\"area\":12','\"area\":13') "
                     "WHERE id=2"),
      1u);
  EXPECT_GE(problems_after("DELETE FROM edits WHERE version=1 AND annotation=1"), 1u);
  EXPECT_GE(problems_after("UPDATE annotations SET version=9 WHERE id=1"), 1u);
  EXPECT_GE(problems_after("UPDATE photos SET width=65"), 1u);
  EXPECT_GE(problems_after("UPDATE annotations SET state='{' WHERE id=2"), 1u);
  EXPECT_GE(problems_after("UPDATE annotations SET review='pending' WHERE id=2"), 1u);
  // A page in the middle is overwritten.
  const std::string broken = dir / "broken.db";
  fs::copy_file(path, broken);
  {
    std::fstream file(broken, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 2);
    file << std::string(4096, '\x5A');
  }
  EXPECT_GE(AnnotationStore(broken, false).check().problems.size(), 1u);
}

TEST(AnnotationStore, BacksUpWhileItIsUsed) {
  const TempDir dir;
  AnnotationStore store(dir / "a.db", true);
  store.create(kPhoto, state_of("a"), "human");
  store.backup(dir / "copy.db");
  store.create(kPhoto, state_of("b"), "human");
  const AnnotationStore copy(dir / "copy.db", false);
  EXPECT_EQ(copy.list(kPhoto.id).size(), 1u);
  EXPECT_TRUE(copy.check().problems.empty());
  EXPECT_THROW(store.backup(dir / "no/copy.db"), Error);
}

TEST(AnnotationStore, ChangesTogetherAreAllOrNone) {
  const TempDir dir;
  AnnotationStore store(dir / "a.db", true);
  EXPECT_THROW(store.together([&] {
    store.create(kPhoto, state_of("a"), "human");
    throw std::runtime_error("stop");
  }),
               std::runtime_error);
  EXPECT_EQ(store.list(kPhoto.id).size(), 0u);
  EXPECT_EQ(store.count(kPhoto.id), 0);
  store.together([&] { store.create(kPhoto, state_of("a"), "human"); });
  EXPECT_EQ(store.count(kPhoto.id), 1);
}

// ---- a server that is killed

std::vector<std::string> small_options() { return {"--model", small_model(), "--no-cache"}; }

// What the client of a session believes of a photo's objects: label by id. Edits that were
// acknowledged are in it; the last one, which got no answer, may have happened or not.
using Believed = std::map<int64_t, std::string>;

Believed read_back(uint16_t port, const std::string& list) {
  Believed found;
  const Json answer = ask(port, "GET", list).json();
  for (const Json& one : answer.at("annotations")) found[one.at("id")] = one.at("label");
  return found;
}

TEST(AnnotationStore, NoAcknowledgedEditIsLostByAKill) {
  const char* wanted = std::getenv("BECKON_KILLS");
  const int kills = wanted == nullptr ? 12 : std::atoi(wanted);
  const TempDir folder;
  fs::copy(fs::path(BECKON_SOURCE_DIR) / "examples/photos/coffee.png", folder.path() / "a.png");
  std::mt19937 random(20231);
  Believed believed;
  int64_t edits = 0;
  std::string list;

  for (int round = 0; round < kills; ++round) {
    ServerProcess server(folder.path().string(), small_options());
    for (int i = 0; list.empty() && i < 500; ++i) {
      const Json images = ask(server.port(), "GET", "/v1/images").json();
      if (!images.at("images").empty())
        list = "/v1/images/" + images.at("images")[0].at("id").get<std::string>() + "/annotations";
      else
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    for (int i = 0; i < 500 && ask(server.port(), "GET", list).status != 200; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));

    // The killer strikes at any moment of the session.
    const auto after = std::chrono::microseconds(random() % 150'000);
    std::thread killer([&] {
      std::this_thread::sleep_for(after);
      server.kill();
    });
    std::vector<Believed> possible{believed};
    for (int n = 0;; ++n) {
      Believed next = believed;
      const std::string label = "r" + std::to_string(round) + "n" + std::to_string(n);
      Reply reply;
      const unsigned what = random() % 10;
      try {
        if (what < 5 || believed.empty()) {
          const Rle rle = Mask::from_box({n % 500, 2, 30, 40}, {600, 400}).rle();
          const Json body{{"label", label},
                          {"rle", {{"size", {400, 600}}, {"counts", rle.string()}}}};
          next[-1] = label;
          possible = {believed, next};
          reply = ask(server.port(), "POST", list, body.dump());
          next.erase(-1);
          if (reply.status == 201) next[reply.json().at("id")] = label;
        } else {
          auto chosen = believed.begin();
          std::advance(chosen, random() % believed.size());
          const std::string path = "/v1/annotations/" + std::to_string(chosen->first);
          if (what < 8)
            next[chosen->first] = label;
          else
            next.erase(chosen->first);
          possible = {believed, next};
          reply = what < 8 ? ask(server.port(), "PATCH", path, Json{{"label", label}}.dump(),
                                 {{"If-Match", "*"}})
                           : ask(server.port(), "DELETE", path, "", {{"If-Match", "*"}});
        }
      } catch (const std::runtime_error&) {  // it is gone already
        break;
      }
      if (reply.status == 0) break;
      ASSERT_TRUE(reply.status >= 200 && reply.status < 300) << reply.status << reply.body;
      believed = next;
      possible = {believed};
      ++edits;
    }
    killer.join();

    // Whole, and nothing that was acknowledged is missing.
    const AnnotationStore::Report report =
        AnnotationStore(AnnotationStore::path_in(folder.path().string(), false), true).check();
    ASSERT_TRUE(report.problems.empty()) << report.problems[0];
    const ServerProcess again(folder.path().string(), small_options());
    for (int i = 0; i < 500 && ask(again.port(), "GET", list).status != 200; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    const Believed found = read_back(again.port(), list);
    bool fits = false;
    for (Believed one : possible) {
      if (const auto unknown = one.find(-1); unknown != one.end()) {
        // It got no answer, so its id is not known: the newest one.
        if (found.empty()) continue;
        one[found.rbegin()->first] = unknown->second;
        one.erase(-1);
      }
      fits = fits || one == found;
    }
    ASSERT_TRUE(fits) << "round " << round << ": " << found.size() << " objects, expected "
                      << believed.size();
    believed = found;
  }
  EXPECT_GE(edits, kills);
  RecordProperty("edits", static_cast<int>(edits));
  std::printf("%d kills, %lld acknowledged edits\n", kills, static_cast<long long>(edits));
}

TEST(AnnotationsCommand, ChecksExportsImportsBacksUp) {
  const TempDir folder, out;
  fs::copy(fs::path(BECKON_SOURCE_DIR) / "examples/photos/coffee.png", folder.path() / "a.png");
  const std::string dir = folder.path().string();
  expect_complaint(run_beckon({"annotations", "check", dir}), 66, "no annotations");
  {
    TestServer server([&](auto& options) { options.folder = dir; });
    const Rle rle = Mask::from_box({10, 20, 30, 40}, {600, 400}).rle();
    const Json body{{"label", "cup"}, {"rle", {{"size", {400, 600}}, {"counts", rle.string()}}}};
    ASSERT_EQ(server.post("/v1/images/" + server.id() + "/annotations", body).status, 201);
    // Also while a server is at work.
    EXPECT_EQ(run_beckon({"annotations", "backup", dir, "-o", out / "copy.db"}).code, 0);
  }
  EXPECT_EQ(AnnotationStore(out / "copy.db", false).check().objects, 1);
  const Outcome checked = run_beckon({"annotations", "check", dir, "--json"});
  EXPECT_EQ(checked.code, 0) << checked.err;
  EXPECT_EQ(Json::parse(checked.out).at("objects"), 1);
  EXPECT_EQ(run_beckon({"annotations", "export", dir, "-o", out / "c.json"}).code, 0);
  EXPECT_EQ(
      run_beckon({"annotations", "export", dir, "--format", "yolo-seg", "-o", out / "y"}).code, 0);

  const TempDir other;
  fs::copy(folder.path() / "a.png", other.path() / "a.png");
  const Outcome imported =
      run_beckon({"annotations", "import", other.path().string(), out / "c.json", "--json"});
  EXPECT_EQ(imported.code, 0) << imported.err;
  EXPECT_EQ(Json::parse(imported.out).at("objects"), 1);
  const AnnotationStore store(AnnotationStore::path_in(other.path().string(), false), false);
  ASSERT_EQ(store.photos().size(), 1u);
  const Json state = Json::parse(store.list(store.photos()[0].id).at(0).state);
  EXPECT_EQ(state.at("label"), "cup");
  EXPECT_EQ(state.at("area"), 1200);
  EXPECT_EQ(state.at("origin"), "import");

  sql(AnnotationStore::path_in(dir, false), "UPDATE annotations SET version=9");
  const Outcome broken = run_beckon({"annotations", "check", dir});
  EXPECT_EQ(broken.code, 65);
  EXPECT_NE(broken.err.find("1 problem found"), std::string::npos) << broken.err;
}

}  // namespace
}  // namespace beckon::test
