// What the data engine keeps beside the objects, in the same file: which photo was run with which
// recipe, the queue of reviews, and how long people took.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "annotation_store.h"
#include "beckon/engine.h"
#include "engine_state.h"

namespace beckon::server {

// How a stage is run. The recipe is what decides the masks; the sample is drawn from them
// afterwards, so that it can be made larger later.
struct EngineRun {
  int stage = 3;
  ProposalOptions proposals;
  std::string model;  // its hash
  double share = 0;   // of the masks that are sent to review
  uint64_t seed = 1;

  Json recipe() const;
  std::string recipe_id() const;  // 16 hexadecimal digits
};

// The share of its masks that a stage sends to review unless told otherwise: all that stage 2 fills
// in, since a person looks at the photo anyway; one in twenty of stage 3.
double share_of_stage(int stage);

// A place in the queue: largest doubt first, then the oldest.
struct QueuePlace {
  double doubt = 0;
  int64_t id = 0;
};

class EngineStore {
 public:
  explicit EngineStore(AnnotationStore& store) : store_(store) {}

  // Whether a run with this recipe has been over the photo.
  bool done(const std::string& photo, const EngineRun& run) const;

  struct Added {
    int64_t made = 0, in_review = 0;
    int64_t duplicates = 0, too_large = 0, too_small = 0;
  };
  // Keeps the masks that are new, all of them or none, and notes that the photo is done. What is
  // there stays as it is: masks that repeat it are left out, and so are those that repeat what was
  // rejected or deleted.
  Added add(const AnnotatedPhoto& photo, const EngineRun& run, std::vector<GeneratedMask> masks,
            double seconds);
  // Sends the masks of this stage that are in the sample, and that nobody looked at, to review.
  // Returns how many.
  int64_t draw_sample(const std::string& photo, const EngineRun& run);

  int64_t pending() const;
  // Of objects that wait for review, those after a place.
  std::vector<StoredAnnotation> queue(const std::optional<QueuePlace>& after, int64_t limit) const;

  // Automatic objects of a photo that were rejected or deleted, in their last states.
  std::vector<StoredAnnotation> rejected(const std::string& photo) const;

  // Reviews of an automatic object in the state that `now` has; nothing (or false) if it has
  // another version by now. `seconds`: how long it took, where that is known.
  std::optional<StoredAnnotation> accept(const StoredAnnotation& now, const std::string& who,
                                         std::optional<double> seconds);
  bool reject(const StoredAnnotation& now, const std::string& who, std::optional<double> seconds);
  // `state` is the new one; it is marked as fixed.
  std::optional<StoredAnnotation> fix(const StoredAnnotation& now, Json state,
                                      const std::string& who, std::optional<double> seconds);

  // 2 where a run has been over the photo, so that a person adds what is missing; else 1.
  int stage_of_person(const std::string& photo) const;
  void log(const StoredAnnotation& object, int stage, const std::string& action, double seconds,
           const std::string& who);

  struct Work {
    int64_t acts = 0;
    double seconds = 0;
  };
  struct Stage {
    std::map<std::string, int64_t> states;  // by word_of_state(), and "rejected"
    std::map<std::string, Work> work;       // of people, by action: create, accept, fix, ...
    int64_t timed = 0;                      // objects that people's seconds are known of
    double seconds = 0;                     // of people
    int64_t photos = 0;                     // that were run
    int64_t proposed = 0;                   // masks that runs have added
    double machine_seconds = 0;
  };
  struct Status {
    int64_t photos = 0, objects = 0, pending = 0;
    std::map<int, Stage> stages;  // 0 to 3; 0: brought in from elsewhere
  };
  Status status() const;

  std::map<std::string, std::string> recipes() const;  // by their ids

 private:
  std::vector<Rle> present(const AnnotatedPhoto& photo) const;
  AnnotationStore& store_;
};

// The status and a run's outcome as JSON, the same on the command line and over HTTP.
Json status_json(const EngineStore::Status& status);

}  // namespace beckon::server
