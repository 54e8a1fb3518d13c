// What the routes share.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "annotation_store.h"
#include "beckon/embedding_cache.h"
#include "beckon/sam.h"
#include "embeddings.h"
#include "jobs.h"
#include "page.h"
#include "photos.h"
#include "router.h"
#include "serve.h"
#include "tasks.h"
#include "worker.h"

namespace beckon::server {

struct App {
  explicit App(ServeOptions wanted);
  ~App();

  ServeOptions options;
  Photos photos;
  Page page;
  Jobs jobs;
  Embeddings embeddings;
  std::optional<EmbeddingCache> cache;
  Router router;

  // nullptr while it is being loaded. HttpError 503 from model() then, or with what went wrong.
  std::shared_ptr<const Sam> model() const;
  std::string model_error() const;
  // The photo, or HttpError 404.
  Photo photo(const std::string& id) const;

  // The folder's annotations. Without `make`, nullptr as long as there are none; with it they are
  // begun. Throws as AnnotationStore does.
  AnnotationStore* store(bool make);
  // Objects of a photo, for lists: 0 if the store cannot be read.
  int64_t objects_of(const std::string& photo);

  // On the worker's thread: from memory, the cache or the model.
  Embedding embedding_of(const Photo& photo);

  // A job that makes the embedding of a photo, the same one for all who ask meanwhile. HttpError
  // 429 if too much waits.
  std::shared_ptr<Job> embed(const Photo& photo);

  // Runs `work` on the thread that reads and writes files and answers with what it returns or
  // throws. HttpError 429 if too much waits.
  void on_files(Responder responder, std::function<Response()> work);
  // A job on the worker; `work` returns the result as JSON.
  std::shared_ptr<Job> compute(const std::string& kind, std::function<std::string(Job&)> work);

  // The run of the data engine that is under way; there is one at a time.
  std::mutex engine_mutex;
  std::shared_ptr<Job> engine_job;

  // Loads the model on the worker's thread, which calls `failed` if that cannot be, and looks
  // through the folder on another.
  void load(std::function<void()> failed);
  void stop();

  std::atomic<bool> stopping{false};
  std::atomic<uint64_t> requests{0}, errors{0};
  const std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();

 private:
  mutable std::mutex mutex_;
  std::shared_ptr<const Sam> model_;
  std::optional<Failure> failure_;
  std::mutex store_mutex_;
  std::unique_ptr<AnnotationStore> store_;
  std::unordered_map<std::string, std::shared_ptr<Job>> embedding_;  // by photo, that are not ended

 public:
  // Threads last: they use what stands above.
  Worker worker;
  Tasks files{512};
  Tasks slow{16};  // exports
  std::thread scanner;
};

[[noreturn]] void too_many(const std::string& detail);  // HttpError 429 with Retry-After

// One file of routes a subject: each adds its own.
void add_page_routes(App& app);
void add_image_routes(App& app);
void add_segment_routes(App& app);
void add_job_routes(App& app);
void add_annotation_routes(App& app);
void add_export_routes(App& app);
void add_engine_routes(App& app);
void add_review_routes(App& app);
void add_compat_routes(App& app);
void add_info_routes(App& app);

// 202 with the job and where to find it.
Response accepted(const Job& job);

}  // namespace beckon::server
