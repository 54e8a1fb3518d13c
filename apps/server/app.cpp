#include "app.h"

#include <filesystem>

#include <fmt/format.h>

#include "guard.h"
#include "models/sam/seen.h"

namespace beckon::server {
namespace {

constexpr auto kRescan = std::chrono::seconds(5);

}  // namespace

void too_many(const std::string& detail) {
  throw HttpError(429, "busy", detail, {{"Retry-After", "1"}});
}

Response accepted(const Job& job) {
  return json_response(202, job.json(), {{"Location", "/v1/jobs/" + job.id()}});
}

App::App(ServeOptions wanted)
    : options(std::move(wanted)),
      photos(options.folder),
      page(options.page),
      embeddings(std::max<size_t>(1, options.embeddings)) {
  if (options.cache) cache.emplace();
  add_page_routes(*this);
  add_info_routes(*this);
  add_image_routes(*this);
  add_segment_routes(*this);
  add_job_routes(*this);
  add_annotation_routes(*this);
  add_export_routes(*this);
  add_engine_routes(*this);
  add_review_routes(*this);
  add_compat_routes(*this);
}

App::~App() { stop(); }

void App::load(std::function<void()> failed) {
  worker.post([this, failed = std::move(failed)] {
    try {
      auto loaded = std::make_shared<const Sam>(Sam::load(options.model));
      static_cast<void>(loaded->model_hash());
      std::lock_guard lock(mutex_);
      model_ = std::move(loaded);
    } catch (...) {
      {
        std::lock_guard lock(mutex_);
        failure_ = failure_of(std::current_exception());
      }
      failed();
    }
  });
  scanner = std::thread([this] {
    while (!stopping) {
      photos.scan([this] { return !stopping; });
      const auto next = std::chrono::steady_clock::now() + kRescan;
      while (!stopping && std::chrono::steady_clock::now() < next)
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
  });
}

void App::stop() {
  stopping = true;
  jobs.cancel_all();
  worker.stop();
  files.stop();
  slow.stop();
  if (scanner.joinable()) scanner.join();
}

std::shared_ptr<const Sam> App::model() const {
  std::lock_guard lock(mutex_);
  if (failure_) throw HttpError(503, "model", failure_->detail);
  if (!model_) throw HttpError(503, "loading", "the model is being loaded", {});
  return model_;
}

std::string App::model_error() const {
  std::lock_guard lock(mutex_);
  return failure_ ? failure_->detail : "";
}

Photo App::photo(const std::string& id) const {
  auto photo = photos.find(id);
  if (!photo) throw HttpError(404, "no-image", "there is no image with this id");
  return std::move(*photo);
}

AnnotationStore* App::store(bool make) {
  std::lock_guard lock(store_mutex_);
  if (store_) return store_.get();
  const std::string path = AnnotationStore::path_in(options.folder, make);
  if (!make && !std::filesystem::exists(path)) return nullptr;
  store_ = std::make_unique<AnnotationStore>(path, true);
  return store_.get();
}

int64_t App::objects_of(const std::string& photo) {
  try {
    const AnnotationStore* found = store(false);
    return found == nullptr ? 0 : found->count(photo);
  } catch (const Error&) {
    return 0;  // whoever asks for the annotations themselves is told why
  }
}

Embedding App::embedding_of(const Photo& photo) {
  if (auto known = embeddings.find(photo.id)) return *known;
  const auto sam = model();
  const Image image = photos.read(photo, options.max_pixels);
  Embedding made = cache ? cache->encode(*sam, image).embedding : sam->encode(image);
  embeddings.put(photo.id, made);
  return made;
}

std::shared_ptr<Job> App::compute(const std::string& kind, std::function<std::string(Job&)> work) {
  auto job = jobs.create(kind);
  const bool taken = worker.post([job, work = std::move(work)] {
    if (job->cancelled()) return;
    job->progress(0, 1);
    try {
      job->finish(work(*job));
    } catch (...) {
      job->fail(failure_of(std::current_exception()));
    }
  });
  if (!taken) {
    job->cancel();
    too_many("too many tasks wait");
  }
  return job;
}

std::shared_ptr<Job> App::embed(const Photo& photo) {
  static_cast<void>(model());
  {
    std::lock_guard lock(mutex_);
    const auto found = embedding_.find(photo.id);
    if (found != embedding_.end() && !found->second->ended()) return found->second;
  }
  auto job = compute("embedding", [this, photo](Job&) {
    // The decoder keeps some of its work with the embedding: done now, the first prompt is as quick
    // as the others.
    const Embedding made = embedding_of(photo);
    const ObjectQuery first{{Point{0, 0}}, {}};
    static_cast<void>(made.seen().segment(std::span(&first, 1), {}, sam::DecoderForm::few));
    return std::string("{\"ready\":true}");
  });
  std::lock_guard lock(mutex_);
  std::erase_if(embedding_, [](const auto& entry) { return entry.second->ended(); });
  embedding_[photo.id] = job;
  return job;
}

void App::on_files(Responder responder, std::function<Response()> work) {
  const bool taken = files.post([responder, work = std::move(work)] {
    try {
      responder(work());
    } catch (...) {
      responder(problem_of(std::current_exception()));
    }
  });
  if (!taken) too_many("too many requests wait");
}

}  // namespace beckon::server
