#include "annotation_store.h"

#include <array>
#include <chrono>
#include <filesystem>

#include <nlohmann/json.hpp>
#include <sqlite3.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/output_file.h"
#include "beckon/rle.h"

namespace beckon::server {
namespace {

constexpr int kApplication = 0x4265636B;  // "Beck": marks the file as ours
constexpr int kPatience_ms = 5000;        // for another process that writes

// From each version to the next; never changed, only added to.
constexpr std::array<const char*, AnnotationStore::kSchema> kMigrations = {
    R"sql(
CREATE TABLE photos(
  id TEXT PRIMARY KEY, name TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL);
CREATE TABLE annotations(
  id INTEGER PRIMARY KEY AUTOINCREMENT, photo TEXT NOT NULL REFERENCES photos(id),
  version INTEGER NOT NULL, state TEXT, created INTEGER NOT NULL, modified INTEGER NOT NULL);
CREATE INDEX annotations_of_photo ON annotations(photo, id);
CREATE TABLE edits(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, photo TEXT NOT NULL REFERENCES photos(id),
  annotation INTEGER NOT NULL REFERENCES annotations(id), version INTEGER NOT NULL,
  action TEXT NOT NULL, state TEXT, who TEXT NOT NULL, at INTEGER NOT NULL);
CREATE UNIQUE INDEX edits_of_annotation ON edits(annotation, version);
CREATE INDEX edits_of_photo ON edits(photo, seq);
CREATE TABLE steps(
  id INTEGER PRIMARY KEY AUTOINCREMENT, photo TEXT NOT NULL REFERENCES photos(id),
  edit INTEGER NOT NULL REFERENCES edits(seq), undone INTEGER NOT NULL DEFAULT 0);
CREATE INDEX steps_of_photo ON steps(photo, undone, id);
)sql",
    // Requests may name themselves, so that asking twice makes one object.
    R"sql(
ALTER TABLE edits ADD COLUMN key TEXT;
CREATE UNIQUE INDEX edits_by_key ON edits(key) WHERE key IS NOT NULL;
)sql"};

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

[[noreturn]] void fail_sqlite(const std::string& path, sqlite3* db) {
  const int code = db == nullptr ? SQLITE_CANTOPEN : sqlite3_errcode(db);
  const char* text = db == nullptr ? "cannot be opened" : sqlite3_errmsg(db);
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      fail(Kind::temporary, "{}: another process is at work: {}", path, text);
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      fail(Kind::input, "{}: {}", path, text);
    case SQLITE_FULL:
    case SQLITE_IOERR:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      fail(Kind::output, "{}: {}", path, text);
    case SQLITE_NOMEM:
      throw std::bad_alloc();
    default:
      fail(Kind::internal, "{}: {}", path, text);
  }
}

}  // namespace

class AnnotationStore::Statement {
 public:
  Statement(const AnnotationStore& store, const char* sql) : store_(store) {
    if (sqlite3_prepare_v2(store.db_, sql, -1, &statement_, nullptr) != SQLITE_OK)
      fail_sqlite(store.path_, store.db_);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(int64_t value) {
    sqlite3_bind_int64(statement_, ++bound_, value);
    return *this;
  }
  Statement& bind(const std::string& value) {
    sqlite3_bind_text(statement_, ++bound_, value.data(), static_cast<int>(value.size()),
                      SQLITE_TRANSIENT);
    return *this;
  }
  Statement& bind(const std::string* value) {
    if (value != nullptr) return bind(*value);
    sqlite3_bind_null(statement_, ++bound_);
    return *this;
  }
  // True while there is a row.
  bool step() {
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code != SQLITE_DONE) fail_sqlite(store_.path_, store_.db_);
    return false;
  }
  int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  bool is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
  std::string text(int column) const {
    const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
    const int length = sqlite3_column_bytes(statement_, column);
    return bytes == nullptr ? "" : std::string(bytes, static_cast<size_t>(length));
  }

 private:
  const AnnotationStore& store_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

// Begins unless one is open, and ends with commit() or takes everything back.
class AnnotationStore::Transaction {
 public:
  explicit Transaction(AnnotationStore& store) : store_(store) {
    if (store_.depth_ == 0) store_.run("BEGIN IMMEDIATE");
    ++store_.depth_;
  }
  ~Transaction() {
    if (done_) return;
    if (--store_.depth_ == 0) sqlite3_exec(store_.db_, "ROLLBACK", nullptr, nullptr, nullptr);
    store_.counts_.clear();
  }
  // Afterwards it is on the disk: synchronous=FULL.
  void commit() {
    if (store_.depth_ == 1) store_.run("COMMIT");
    --store_.depth_;
    done_ = true;
  }

 private:
  AnnotationStore& store_;
  bool done_ = false;
};

std::string AnnotationStore::path_in(const std::string& folder, bool make) {
  const std::filesystem::path below = std::filesystem::path(folder) / ".beckon";
  std::error_code error;
  if (make) std::filesystem::create_directory(below, error);
  if (error) fail(Kind::output, "{}: cannot be made: {}", below.string(), error.message());
  return (below / "annotations.db").string();
}

AnnotationStore::AnnotationStore(const std::string& path, bool write) : path_(path) {
  if (!write && !std::filesystem::exists(path))
    fail(Kind::missing, "{}: there are no annotations here", path);
  try {
    open(write);
  } catch (...) {
    sqlite3_close(db_);
    throw;
  }
}

AnnotationStore::~AnnotationStore() { sqlite3_close(db_); }

void AnnotationStore::open(bool write) {
  // Also readers open for writing: a WAL that a killed process left is taken in by whoever comes
  // next.
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | (write ? SQLITE_OPEN_CREATE : 0);
  if (sqlite3_open_v2(path_.c_str(), &db_, flags, nullptr) != SQLITE_OK) fail_sqlite(path_, db_);
  sqlite3_extended_result_codes(db_, 0);
  sqlite3_busy_timeout(db_, kPatience_ms);
  // The file may come from anywhere: nothing in its schema is run.
  sqlite3_db_config(db_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  run("PRAGMA trusted_schema=OFF");
  const int64_t version = number("PRAGMA user_version");
  const int64_t application = number("PRAGMA application_id");
  const bool empty = number("SELECT count(*) FROM sqlite_master") == 0;
  if (!empty && application != kApplication)
    fail(Kind::input, "{}: this is no store of annotations", path_);
  if (version > kSchema)
    fail(Kind::unsupported, "{}: made by a newer Beckon (schema {}, this one knows {})", path_,
         version, kSchema);
  if (write || version < kSchema) {
    run("PRAGMA journal_mode=WAL");
    run("PRAGMA synchronous=FULL");
  }
  run("PRAGMA foreign_keys=ON");
  if (version < kSchema) migrate();
}

void AnnotationStore::migrate() {
  Transaction all(*this);
  // Another process may have been faster.
  for (int64_t at = number("PRAGMA user_version"); at < kSchema; ++at)
    run(kMigrations[static_cast<size_t>(at)]);
  run(fmt::format("PRAGMA application_id={}", kApplication).c_str());
  run(fmt::format("PRAGMA user_version={}", kSchema).c_str());
  all.commit();
}

void AnnotationStore::run(const char* sql) const {
  if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) fail_sqlite(path_, db_);
}

int64_t AnnotationStore::number(const char* sql) const {
  Statement query(*this, sql);
  return query.step() ? query.integer(0) : 0;
}

namespace {

constexpr const char* kColumns =
    "SELECT id, photo, version, state, created, modified FROM annotations ";

}  // namespace

std::optional<StoredAnnotation> AnnotationStore::find_locked(int64_t id) const {
  Statement query(*this, (std::string(kColumns) + "WHERE id=?").c_str());
  if (!query.bind(id).step() || query.is_null(3)) return std::nullopt;
  return StoredAnnotation{query.integer(0), query.text(1),    query.integer(2),
                          query.text(3),    query.integer(4), query.integer(5)};
}

std::optional<StoredAnnotation> AnnotationStore::find(int64_t id) const {
  std::lock_guard lock(mutex_);
  return find_locked(id);
}

std::vector<StoredAnnotation> AnnotationStore::list(const std::string& photo) const {
  std::lock_guard lock(mutex_);
  Statement query(
      *this, (std::string(kColumns) + "WHERE photo=? AND state IS NOT NULL ORDER BY id").c_str());
  query.bind(photo);
  std::vector<StoredAnnotation> all;
  while (query.step())
    all.push_back({query.integer(0), query.text(1), query.integer(2), query.text(3),
                   query.integer(4), query.integer(5)});
  return all;
}

std::vector<AnnotatedPhoto> AnnotationStore::photos() const {
  std::lock_guard lock(mutex_);
  Statement query(*this, "SELECT id, name, width, height FROM photos ORDER BY name, id");
  std::vector<AnnotatedPhoto> all;
  while (query.step())
    all.push_back({query.text(0),
                   query.text(1),
                   {static_cast<int>(query.integer(2)), static_cast<int>(query.integer(3))}});
  return all;
}

int64_t AnnotationStore::count(const std::string& photo) const {
  std::lock_guard lock(mutex_);
  const auto known = counts_.find(photo);
  if (known != counts_.end()) return known->second;
  Statement query(*this, "SELECT count(*) FROM annotations WHERE photo=? AND state IS NOT NULL");
  const int64_t count = query.bind(photo).step() ? query.integer(0) : 0;
  if (counts_.size() > 200'000) counts_.clear();
  counts_[photo] = count;
  return count;
}

int64_t AnnotationStore::revision(const std::string& photo) const {
  std::lock_guard lock(mutex_);
  Statement query(*this, "SELECT coalesce(max(seq), 0) FROM edits WHERE photo=?");
  return query.bind(photo).step() ? query.integer(0) : 0;
}

Steps AnnotationStore::steps(const std::string& photo) const {
  std::lock_guard lock(mutex_);
  Statement query(*this,
                  "SELECT EXISTS(SELECT 1 FROM steps WHERE photo=?1 AND undone=0), "
                  "EXISTS(SELECT 1 FROM steps WHERE photo=?1 AND undone=1)");
  query.bind(photo).step();
  return {query.integer(0) != 0, query.integer(1) != 0};
}

std::vector<Edit> AnnotationStore::history(int64_t id, int64_t after_version, int64_t limit) const {
  std::lock_guard lock(mutex_);
  Statement query(*this,
                  "SELECT version, action, state, who, at FROM edits WHERE annotation=? AND "
                  "version>? ORDER BY version LIMIT ?");
  query.bind(id).bind(after_version).bind(limit);
  std::vector<Edit> edits;
  while (query.step()) {
    Edit edit{query.integer(0), query.text(1), std::nullopt, query.text(3), query.integer(4)};
    if (!query.is_null(2)) edit.state = query.text(2);
    edits.push_back(std::move(edit));
  }
  return edits;
}

// The edit itself and, unless undo or redo made it, a step that can be undone; what was undone
// before cannot be made again then.
void AnnotationStore::record(const std::string& photo, int64_t id, int64_t version,
                             const char* action, const std::string* state, const std::string& who,
                             const std::string& key, bool step) {
  Statement edit(*this,
                 "INSERT INTO edits(photo, annotation, version, action, state, who, at, key) "
                 "VALUES(?,?,?,?,?,?,?,?)");
  edit.bind(photo).bind(id).bind(version).bind(std::string(action)).bind(state).bind(who);
  edit.bind(now_ms()).bind(key.empty() ? nullptr : &key).step();
  counts_.erase(photo);
  if (!step) return;
  const int64_t seq = sqlite3_last_insert_rowid(db_);
  Statement(*this, "DELETE FROM steps WHERE photo=? AND undone=1").bind(photo).step();
  Statement(*this, "INSERT INTO steps(photo, edit) VALUES(?,?)").bind(photo).bind(seq).step();
}

StoredAnnotation AnnotationStore::create(const AnnotatedPhoto& photo, const std::string& state,
                                         const std::string& who, const std::string& key) {
  std::lock_guard lock(mutex_);
  Transaction all(*this);
  if (!key.empty()) {
    Statement known(*this, "SELECT annotation FROM edits WHERE key=?");
    if (known.bind(key).step()) {
      const int64_t id = known.integer(0);
      if (auto found = find_locked(id)) return *found;
      fail(Kind::usage, "an object was made with this key and is deleted");
    }
  }
  if (count(photo.id) >= kMostOfPhoto)
    fail(Kind::resource, "the photo has {} objects, no more are kept", kMostOfPhoto);
  Statement(*this,
            "INSERT INTO photos(id, name, width, height) VALUES(?,?,?,?) "
            "ON CONFLICT(id) DO UPDATE SET name=excluded.name")
      .bind(photo.id)
      .bind(photo.name)
      .bind(photo.size.width)
      .bind(photo.size.height)
      .step();
  const int64_t now = now_ms();
  Statement(*this,
            "INSERT INTO annotations(photo, version, state, created, modified) VALUES(?,1,?,?,?)")
      .bind(photo.id)
      .bind(state)
      .bind(now)
      .bind(now)
      .step();
  const int64_t id = sqlite3_last_insert_rowid(db_);
  record(photo.id, id, 1, "create", &state, who, key, true);
  all.commit();
  return {id, photo.id, 1, state, now, now};
}

std::optional<StoredAnnotation> AnnotationStore::change(int64_t id, int64_t version,
                                                        const std::string& state,
                                                        const std::string& who) {
  std::lock_guard lock(mutex_);
  Transaction all(*this);
  auto found = find_locked(id);
  if (!found || found->version != version) return std::nullopt;
  found->version = version + 1;
  found->state = state;
  found->modified_ms = now_ms();
  Statement(*this, "UPDATE annotations SET version=?, state=?, modified=? WHERE id=?")
      .bind(found->version)
      .bind(state)
      .bind(found->modified_ms)
      .bind(id)
      .step();
  record(found->photo, id, found->version, "change", &state, who, "", true);
  all.commit();
  return found;
}

bool AnnotationStore::remove(int64_t id, int64_t version, const std::string& who) {
  std::lock_guard lock(mutex_);
  Transaction all(*this);
  const auto found = find_locked(id);
  if (!found || found->version != version) return false;
  Statement(*this, "UPDATE annotations SET version=?, state=NULL, modified=? WHERE id=?")
      .bind(version + 1)
      .bind(now_ms())
      .bind(id)
      .step();
  record(found->photo, id, version + 1, "delete", nullptr, who, "", true);
  all.commit();
  return true;
}

bool AnnotationStore::undo(const std::string& photo, const std::string& who) {
  return step(photo, who, true);
}

bool AnnotationStore::redo(const std::string& photo, const std::string& who) {
  return step(photo, who, false);
}

// An edit's state before it is that of the edit one version earlier: steps are taken back in the
// reverse order of their making, so that nothing came in between but other undone steps.
bool AnnotationStore::step(const std::string& photo, const std::string& who, bool undo) {
  std::lock_guard lock(mutex_);
  Transaction all(*this);
  int64_t step = 0, id = 0, made = 0;
  {
    Statement query(*this,
                    undo ? "SELECT s.id, e.annotation, e.version FROM steps s JOIN edits e ON "
                           "e.seq=s.edit WHERE s.photo=? AND s.undone=0 ORDER BY s.id DESC LIMIT 1"
                         : "SELECT s.id, e.annotation, e.version FROM steps s JOIN edits e ON "
                           "e.seq=s.edit WHERE s.photo=? AND s.undone=1 ORDER BY s.id LIMIT 1");
    if (!query.bind(photo).step()) return false;
    step = query.integer(0), id = query.integer(1), made = query.integer(2);
  }
  std::string state;
  bool there = false;
  {
    Statement query(*this, "SELECT state FROM edits WHERE annotation=? AND version=?");
    if (query.bind(id).bind(undo ? made - 1 : made).step() && !query.is_null(0)) {
      there = true;
      state = query.text(0);
    }
  }
  int64_t version = 0;
  {
    Statement query(*this, "SELECT version FROM annotations WHERE id=?");
    if (query.bind(id).step()) version = query.integer(0) + 1;
  }
  Statement(*this, "UPDATE annotations SET version=?, state=?, modified=? WHERE id=?")
      .bind(version)
      .bind(there ? &state : nullptr)
      .bind(now_ms())
      .bind(id)
      .step();
  Statement(*this, "UPDATE steps SET undone=? WHERE id=?").bind(undo ? 1 : 0).bind(step).step();
  record(photo, id, version, undo ? "undo" : "redo", there ? &state : nullptr, who, "", false);
  all.commit();
  return true;
}

void AnnotationStore::together(const std::function<void()>& changes) {
  std::lock_guard lock(mutex_);
  Transaction all(*this);
  changes();
  all.commit();
}

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
                      "SELECT a.id, a.state, p.width, p.height FROM annotations a JOIN photos p ON "
                      "p.id=a.photo WHERE a.state IS NOT NULL");
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
