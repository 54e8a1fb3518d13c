// How the store speaks to SQLite. Only its own sources include this.
#pragma once

#include <cstdint>
#include <string>

#include <sqlite3.h>

#include "annotation_store.h"

namespace beckon::server {

// The error that SQLite reported last, as one of ours.
[[noreturn]] void fail_sqlite(const std::string& path, sqlite3* db);
// Since 1970.
int64_t now_ms();

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
  Statement& bind_real(double value) {
    sqlite3_bind_double(statement_, ++bound_, value);
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
  double real(int column) const { return sqlite3_column_double(statement_, column); }
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

}  // namespace beckon::server
