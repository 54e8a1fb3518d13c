// Annotations that are not lost: every edit is on the disk before it is answered, with who made it,
// and can be undone, also tomorrow.
//
// One SQLite file, <folder>/.beckon/annotations.db: WAL, full sync. `annotations` holds the present
// state of each object, `edits` all states it ever had (append only), `steps` what undo and redo
// walk along. A change writes all three in one transaction.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "beckon/image.h"

struct sqlite3;

namespace beckon::server {

struct AnnotatedPhoto {
  std::string id, name;
  ImageSize size;
};

// `state` is a JSON object: label, color, hidden, rle, box, area, origin, prompts, model, scores,
// engine (engine_state.h).
struct StoredAnnotation {
  int64_t id = 0;
  std::string photo;
  int64_t version = 0;  // 1, 2, ...: grows with every edit
  std::string state;
  int64_t created_ms = 0, modified_ms = 0;  // since 1970
};

struct Edit {
  int64_t version = 0;
  std::string action;                // create, change, delete, reject, undo, redo
  std::optional<std::string> state;  // afterwards; nothing if it was deleted
  std::string who;
  int64_t at_ms = 0;
};

struct Steps {
  bool undo = false, redo = false;  // whether there is something to undo, to redo
};

class AnnotationStore {
 public:
  static constexpr int kSchema = 3;
  static constexpr int64_t kMostOfPhoto = 10'000;

  // Creates the file and brings an older one up to date if `write`. Error(missing) if it is not
  // there, Error(input) if it is no store of Beckon's or broken, Error(unsupported) if a newer
  // Beckon made it, Error(output) if it cannot be written.
  AnnotationStore(const std::string& path, bool write);
  ~AnnotationStore();
  AnnotationStore(const AnnotationStore&) = delete;
  AnnotationStore& operator=(const AnnotationStore&) = delete;

  // "<folder>/.beckon/annotations.db"; the folder is made if `make`.
  static std::string path_in(const std::string& folder, bool make);

  // Objects that are there, in the order they were made.
  std::vector<StoredAnnotation> list(const std::string& photo) const;
  std::vector<AnnotatedPhoto> photos() const;
  std::optional<StoredAnnotation> find(int64_t id) const;
  int64_t count(const std::string& photo) const;
  // Grows with every edit of the photo; 0 if there was none.
  int64_t revision(const std::string& photo) const;
  Steps steps(const std::string& photo) const;
  // The edits of an object after `after_version`, oldest first.
  std::vector<Edit> history(int64_t id, int64_t after_version, int64_t limit) const;

  // What the data engine makes by itself is no step of a person's, and not undone as one.
  enum class Undo : uint8_t { step, none };
  // With a key that was used before, the object of that time is given back and nothing is made:
  // whoever got no answer may ask again. Error(resource) above kMostOfPhoto.
  StoredAnnotation create(const AnnotatedPhoto& photo, const std::string& state,
                          const std::string& who, const std::string& key = "",
                          Undo undo = Undo::step);
  // Nothing if there is no such object or it has another version by now.
  std::optional<StoredAnnotation> change(int64_t id, int64_t version, const std::string& state,
                                         const std::string& who, Undo undo = Undo::step);
  // `action`: "delete", or "reject" where a review did it.
  bool remove(int64_t id, int64_t version, const std::string& who, const char* action = "delete");
  // Takes back the last edit of the photo that is not taken back, or makes it again. False if there
  // is none.
  bool undo(const std::string& photo, const std::string& who);
  bool redo(const std::string& photo, const std::string& who);

  // Several changes in one transaction: all of them or none.
  void together(const std::function<void()>& changes);

  // A whole copy while others write. The file appears whole or not at all; Error(output).
  void backup(const std::string& path) const;

  struct Report {
    int64_t photos = 0, objects = 0, edits = 0;
    std::vector<std::string> problems;
  };
  // Everything that can be held against something else.
  Report check() const;

 private:
  friend class EngineStore;  // reviews and runs, in the same file
  class Statement;
  class Transaction;
  void run(const char* sql) const;
  int64_t number(const char* sql) const;
  void open(bool write);
  void migrate();
  void know(const AnnotatedPhoto& photo);
  void put(int64_t id, int64_t version, const std::string* state, int64_t now);
  void record(const std::string& photo, int64_t id, int64_t version, const char* action,
              const std::string* state, const std::string& who, const std::string& key, bool step);
  bool step(const std::string& photo, const std::string& who, bool undo);
  std::optional<StoredAnnotation> find_locked(int64_t id) const;

  std::string path_;
  sqlite3* db_ = nullptr;
  int depth_ = 0;  // of transactions
  mutable std::recursive_mutex mutex_;
  mutable std::unordered_map<std::string, int64_t> counts_;  // asked for whole lists of photos
  mutable int64_t data_version_ = 0;                         // of which they are
};

}  // namespace beckon::server
