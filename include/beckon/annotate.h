// Whole folders of pictures to masks: restartable, on one machine or many, the same bytes either
// way.
//
//   beckon::AnnotateReport report =
//       beckon::annotate("photos", "masks", {.model = "mobile-sam"});  // everything in each
//   for (const auto& failure : report.failures) std::cerr << failure.message << "\n";
//
// One result file a picture, in SA-1B's form, in OUT/results. A result proves itself: it names the
// SHA-256 of the picture's file and of the recipe it was made with, and ends with a hash of its own
// bytes. So a run that was killed goes on where it stopped, by whatever process, and never takes a
// result of other weights, other options or another picture for its own.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "beckon/error.h"
#include "beckon/export.h"
#include "beckon/mask_generator.h"
#include "beckon/sam.h"

namespace beckon {

// One part of a folder: the pictures whose path hashes to `index`, so that a picture stays in its
// shard whatever else comes or goes.
struct Shard {
  int index = 0;  // 0 to count - 1
  int count = 1;
  friend bool operator==(const Shard&, const Shard&) = default;
};

// "3/16". Error(usage) unless 0 <= index < count <= 1,000,000.
BECKON_API Shard parse_shard(const std::string& text);
// The shard that holds a picture, by its path relative to the folder.
BECKON_API int shard_of(const std::string& path, int count);

// What a scheduler says in its environment variables.
struct ScheduledShard {
  Shard shard;
  std::string source;  // the variables it was read from; empty: none is set
};
// Looks for Slurm arrays (SLURM_ARRAY_TASK_ID, _MIN, _MAX, _COUNT, _STEP), Kubernetes indexed jobs
// (JOB_COMPLETION_INDEX with JOB_COMPLETIONS, which the manifest has to set) and MPI
// (OMPI_COMM_WORLD_RANK and _SIZE, PMI_RANK and _SIZE, MV2_COMM_WORLD_RANK and _SIZE).
// BECKON_SHARDS gives the count to indices that come without one, or from an array with holes. MPI
// ranks inside an array or a job divide its shards further. Error(usage) for values that make no
// sense.
BECKON_API ScheduledShard
scheduled_shard(const std::function<const char*(const char* name)>& variable);

struct AnnotateProgress {
  int64_t done = 0;    // pictures of this shard that are finished, failed ones included
  int64_t total = 0;   // of this shard
  int64_t worked = 0;  // of `done`, those that took work now
};

struct AnnotateOptions {
  std::string model = "mobile-sam";  // as Sam::load
  // Prompts by picture, or for all of them; see docs/annotate.md. Empty: everything in each
  // picture.
  std::string prompts_file;
  MaskGeneratorOptions everything;
  // What the whole is written as too, when it is complete, by the names of annotation.h: "coco"
  // makes OUT/coco.json, "labelme" a folder OUT/labelme. "sa1b" are the results themselves.
  std::vector<std::string> formats;
  Shard shard;
  // Pictures in flight, 1 to 256. One is computed on all processors.
  int jobs = 1;
  // Results of another recipe are made anew instead of refused.
  bool replace = false;
  int64_t max_pixels = ReadOptions{}.max_pixels;
  // A line of JSON is added to this file when work on a picture begins and when it ends.
  std::string log_file;

  // Goes on looking for new and changed pictures.
  bool watch = false;
  // Ends a watch after so long without work; negative: never.
  double idle_seconds = -1;

  // Called from the calling thread a few times a second; false stops early, with
  // Error(interrupted), once the pictures in flight are done.
  std::function<bool(const AnnotateProgress&)> progress;
  // Runs each write of a file, for callers that must not be stopped inside one. From any thread.
  std::function<void(const std::function<void()>& write)> around_write;
};

struct AnnotateFailure {
  std::string path;  // relative to the folder
  Kind kind = Kind::input;
  std::string message;
};

struct AnnotateReport {
  std::vector<std::string> notes;  // what a format that was asked for cannot carry
  int64_t pictures = 0;            // of this shard, or of all after a merge
  int64_t made = 0;                // results made now
  int64_t kept = 0;                // results that were there
  int64_t remade = 0;  // of `made`, those whose picture or prompts changed, or that were damaged
  int64_t without_prompts = 0;  // left out: the prompts file has none for them
  int64_t links_outside = 0;    // left out: links that lead out of the folder
  int64_t orphans = 0;          // results whose picture is gone; kept, but in no manifest
  std::vector<AnnotateFailure> failures;
  std::string manifest;  // the path of the manifest that was written; empty if none was
};

// Annotates the pictures of `folder` and its sub-folders that belong to the shard. Files count as
// pictures by their ending or their content; hidden ones are passed over; links are followed to
// files inside the folder only. A picture that cannot be read is a failure of its own and the rest
// goes on. At the end the shard's manifest is written, and of a single shard (count 1) the whole.
//
// Throws Error(missing) if the folder is not there; Error(usage) if `out` is the folder itself, or
// holds results of another recipe and `replace` is not set; Error(temporary) if trying again may
// help: the disk is full, another process holds the shard; Error(output) if `out` cannot be
// written; what Sam::load and the prompts file throw.
BECKON_API AnnotateReport annotate(const std::string& folder, const std::string& out,
                                   const AnnotateOptions& options = {});

// Makes the manifest of the whole from those of the shards: the same bytes however many there were.
// Every result is read and checked. Throws Error(temporary) that says which shards or pictures are
// missing; Error(missing) if `out` is not a folder of annotate().
BECKON_API AnnotateReport merge_annotations(const std::string& out,
                                            const AnnotateOptions& options = {});

}  // namespace beckon
