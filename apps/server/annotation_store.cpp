#include "annotation_store.h"

#include <array>
#include <chrono>
#include <filesystem>

#include "base/fail.h"
#include "engine_state.h"
#include "store_sql.h"

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
)sql",
    // The data engine. stage, review and doubt repeat what the states say, for the queue; no
    // generated columns, since these would have to trust the file's schema.
    R"sql(
ALTER TABLE annotations ADD COLUMN stage INTEGER;
ALTER TABLE annotations ADD COLUMN review TEXT;
ALTER TABLE annotations ADD COLUMN doubt REAL;
CREATE INDEX annotations_in_review ON annotations(doubt DESC, id) WHERE review='pending';
CREATE INDEX annotations_of_stage ON annotations(stage, review) WHERE state IS NOT NULL;
CREATE TABLE recipes(id TEXT PRIMARY KEY, recipe TEXT NOT NULL);
CREATE TABLE runs(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, photo TEXT NOT NULL REFERENCES photos(id),
  stage INTEGER NOT NULL, recipe TEXT NOT NULL REFERENCES recipes(id),
  made INTEGER NOT NULL, left_out INTEGER NOT NULL, seconds REAL NOT NULL, at INTEGER NOT NULL);
CREATE UNIQUE INDEX runs_of_photo ON runs(photo, stage, recipe);
CREATE TABLE work(
  seq INTEGER PRIMARY KEY AUTOINCREMENT, photo TEXT NOT NULL REFERENCES photos(id),
  annotation INTEGER NOT NULL REFERENCES annotations(id), stage INTEGER NOT NULL,
  action TEXT NOT NULL, seconds REAL NOT NULL, who TEXT NOT NULL, at INTEGER NOT NULL);
CREATE INDEX work_of_stage ON work(stage, action, annotation, seconds);
CREATE INDEX work_of_annotation ON work(annotation);
)sql"};

}  // namespace

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

void fail_sqlite(const std::string& path, sqlite3* db) {
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
  // Other processes write too: `beckon engine auto`, an import.
  const int64_t data = number("PRAGMA data_version");
  if (data != data_version_) counts_.clear();
  data_version_ = data;
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

// The present state of an object that is there, and what repeats it.
void AnnotationStore::put(int64_t id, int64_t version, const std::string* state, int64_t now) {
  Statement update(*this,
                   "UPDATE annotations SET version=?, state=?, modified=?, stage=?, review=?, "
                   "doubt=? WHERE id=?");
  update.bind(version).bind(state).bind(now);
  const EngineMarks marks = state == nullptr ? EngineMarks{} : engine_marks(*state);
  if (marks.stage)
    update.bind(*marks.stage);
  else
    update.bind(nullptr);
  update.bind(marks.review.empty() ? nullptr : &marks.review);
  if (marks.doubt)
    update.bind_real(*marks.doubt);
  else
    update.bind(nullptr);
  update.bind(id).step();
}

void AnnotationStore::know(const AnnotatedPhoto& photo) {
  Statement(*this,
            "INSERT INTO photos(id, name, width, height) VALUES(?,?,?,?) "
            "ON CONFLICT(id) DO UPDATE SET name=excluded.name")
      .bind(photo.id)
      .bind(photo.name)
      .bind(photo.size.width)
      .bind(photo.size.height)
      .step();
}

StoredAnnotation AnnotationStore::create(const AnnotatedPhoto& photo, const std::string& state,
                                         const std::string& who, const std::string& key,
                                         Undo undo) {
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
  know(photo);
  const int64_t now = now_ms();
  Statement(*this, "INSERT INTO annotations(photo, version, created, modified) VALUES(?,1,?,?)")
      .bind(photo.id)
      .bind(now)
      .bind(now)
      .step();
  const int64_t id = sqlite3_last_insert_rowid(db_);
  put(id, 1, &state, now);
  record(photo.id, id, 1, "create", &state, who, key, undo == Undo::step);
  all.commit();
  return {id, photo.id, 1, state, now, now};
}

std::optional<StoredAnnotation> AnnotationStore::change(int64_t id, int64_t version,
                                                        const std::string& state,
                                                        const std::string& who, Undo undo) {
  std::lock_guard lock(mutex_);
  Transaction all(*this);
  auto found = find_locked(id);
  if (!found || found->version != version) return std::nullopt;
  found->version = version + 1;
  found->state = state;
  found->modified_ms = now_ms();
  put(id, found->version, &state, found->modified_ms);
  record(found->photo, id, found->version, "change", &state, who, "", undo == Undo::step);
  all.commit();
  return found;
}

bool AnnotationStore::remove(int64_t id, int64_t version, const std::string& who,
                             const char* action) {
  std::lock_guard lock(mutex_);
  Transaction all(*this);
  const auto found = find_locked(id);
  if (!found || found->version != version) return false;
  put(id, version + 1, nullptr, now_ms());
  record(found->photo, id, version + 1, action, nullptr, who, "", true);
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
  put(id, version, there ? &state : nullptr, now_ms());
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

}  // namespace beckon::server
