// Copies of the store, and whether it is whole.
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <sqlite3.h>
#include <unistd.h>

#include "annotation_store.h"
#include "base/fail.h"
#include "base/output_file.h"
#include "beckon/rle.h"
#include "engine_state.h"
#include "store_sql.h"

namespace beckon::server {

void AnnotationStore::backup(const std::string& path) const {
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  sqlite3* copy = nullptr;
  const auto give_up = [&](const std::string& why) {
    sqlite3_close(copy);
    std::error_code ignored;
    std::filesystem::remove(temporary, ignored);
    fail(Kind::output, "{}: cannot be written: {}", path, why);
  };
  std::error_code ignored;
  std::filesystem::remove(temporary, ignored);
  if (sqlite3_open_v2(temporary.c_str(), &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE,
                      nullptr) != SQLITE_OK)
    give_up(sqlite3_errmsg(copy));
  sqlite3_backup* work = sqlite3_backup_init(copy, "main", db_, "main");
  if (work == nullptr) give_up(sqlite3_errmsg(copy));
  int code = SQLITE_OK;
  constexpr int kPages = 1024;
  do {
    code = sqlite3_backup_step(work, kPages);
    if (code == SQLITE_BUSY || code == SQLITE_LOCKED) sqlite3_sleep(20);
  } while (code == SQLITE_OK || code == SQLITE_BUSY || code == SQLITE_LOCKED);
  sqlite3_backup_finish(work);
  if (code != SQLITE_DONE) give_up(sqlite3_errmsg(copy));
  // One file, without a journal beside it.
  if (sqlite3_exec(copy, "PRAGMA journal_mode=DELETE", nullptr, nullptr, nullptr) != SQLITE_OK)
    give_up(sqlite3_errmsg(copy));
  sqlite3_close(copy);
  copy = nullptr;
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  if (error) give_up(error.message());
  const std::string folder = std::filesystem::path(path).parent_path().string();
  sync_folder(folder.empty() ? "." : folder);
}

AnnotationStore::Report AnnotationStore::check() const {
  std::lock_guard lock(mutex_);
  constexpr size_t kMostProblems = 100;
  Report report;
  const auto add = [&](const std::string& problem) {
    if (report.problems.size() < kMostProblems) report.problems.push_back(problem);
  };
  try {
    Statement integrity(*this, "PRAGMA integrity_check(20)");
    while (integrity.step())
      if (integrity.text(0) != "ok") add("database: " + integrity.text(0));
    Statement keys(*this, "PRAGMA foreign_key_check");
    while (keys.step())
      add(fmt::format("database: row {} of {} refers to nothing", keys.integer(1), keys.text(0)));
    report.photos = number("SELECT count(*) FROM photos");
    report.edits = number("SELECT count(*) FROM edits");

    // Versions are 1, 2, ... without a gap, the last one is the present state.
    Statement versions(
        *this,
        "SELECT a.id, a.version, count(e.seq), max(e.version), min(e.version), "
        "(SELECT state FROM edits l WHERE l.annotation=a.id AND l.version=a.version) IS a.state "
        "FROM annotations a LEFT JOIN edits e ON e.annotation=a.id GROUP BY a.id");
    while (versions.step()) {
      const int64_t version = versions.integer(1);
      if (versions.integer(2) != version || versions.integer(3) != version ||
          versions.integer(4) != 1)
        add(fmt::format("object {}: its history has gaps", versions.integer(0)));
      else if (versions.integer(5) != 1)
        add(fmt::format("object {}: its state is not that of its last edit", versions.integer(0)));
    }

    Statement objects(*this,
                      "SELECT a.id, a.state, p.width, p.height, a.stage, a.review, a.doubt FROM "
                      "annotations a JOIN photos p ON p.id=a.photo WHERE a.state IS NOT NULL");
    while (objects.step()) {
      ++report.objects;
      const int64_t id = objects.integer(0);
      const auto state = nlohmann::json::parse(objects.text(1), nullptr, false);
      try {
        const auto& rle = state.at("rle");
        const ImageSize size{static_cast<int>(objects.integer(2)),
                             static_cast<int>(objects.integer(3))};
        if (rle.at("size")[0] != size.height || rle.at("size")[1] != size.width)
          add(fmt::format("object {}: its mask is not of the photo's size", id));
        const Rle runs = Rle::from_string(size, rle.at("counts").get<std::string>());
        if (state.at("area") != runs.area())
          add(fmt::format("object {}: its area is not that of its mask", id));
        const EngineMarks marks = engine_marks(objects.text(1));
        if (marks.stage.value_or(0) != objects.integer(4) || marks.review != objects.text(5) ||
            marks.doubt.value_or(0) != objects.real(6))
          add(fmt::format("object {}: the queue of reviews has it otherwise than its state", id));
      } catch (const std::exception& error) {
        add(fmt::format("object {}: {}", id, error.what()));
      }
    }
  } catch (const Error& error) {
    add(error.what());
  }
  return report;
}

}  // namespace beckon::server
