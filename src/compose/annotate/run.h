// One process at work on one shard.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "beckon/annotate.h"
#include "compose/annotate/annotator.h"
#include "compose/annotate/manifest.h"
#include "compose/annotate/out_folder.h"
#include "compose/annotate/picture_list.h"
#include "compose/annotate/work_log.h"

namespace beckon::compose {

class Run {
 public:
  // Checks the arguments, settles the recipe and takes the shard.
  Run(const std::string& folder, const std::string& out, const AnnotateOptions& options);

  // What there is to be annotated in the whole folder, for all shards.
  PictureList inputs();
  bool mine(const std::string& path) const;

  // Does these pictures, in flight as many as there are jobs. An exception ends it after those in
  // flight; what is finished stays.
  void work_on(const std::vector<Input>& inputs);
  // A picture that is not there any more.
  void forget(const std::string& path) { entries_.erase(path); }

  // Writes down what the folder holds, unless it is written already; its hash.
  std::string write_listing(const PictureList& all) const;
  // The manifest of the shard as it stands, and of the whole if the shard is all of it.
  void write_manifests(const PictureList& all);

  // Throws Error(interrupted) if the caller wants to stop.
  void report_progress(int64_t total) const;
  AnnotateReport report() const;

 private:
  struct Done {
    Entry entry;
    bool kept = false, remade = false;
  };
  void settle_recipe() const;
  Done do_one(const Input& input);
  Done make(const Input& input, const std::string& bytes, const Proof& proof);
  Done failed(const std::string& path, const std::string& input_sha256, const Error& error);
  void unsettle();

  std::string folder_;
  AnnotateOptions options_;
  // Before the folder of results: what is wrong with the arguments leaves no folder behind.
  std::unique_ptr<Annotator> annotator_;
  OutFolder out_;
  Recipe recipe_;
  WorkLog log_;
  std::optional<OutFolder::Lock> lock_;

  std::map<std::string, Entry> entries_;  // of this shard, by path
  AnnotateReport report_;
  std::mutex mutex_;  // guards the two above while workers run
  std::mutex settled_mutex_;
  bool settled_ = true;  // there may be a manifest of the whole
  std::atomic<int64_t> finished_{0};
};

// Makes the whole from the shards, see merge_annotations().
AnnotateReport merge(const OutFolder& out, const AnnotateOptions& options);

}  // namespace beckon::compose
