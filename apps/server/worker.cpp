#include "worker.h"

#include <exception>
#include <utility>

#include "models/sam/seen.h"

namespace beckon::server {
namespace {

using Clock = std::chrono::steady_clock;

// Prompts come first, but a mouse that never rests must not keep a photo from being opened.
constexpr auto kPatience = std::chrono::milliseconds(150);

}  // namespace

Worker::Worker() : thread_([this] { run(); }) {}

Worker::~Worker() { stop(); }

bool Worker::post(SegmentTask task) {
  std::function<void()> replaced;
  bool taken = true;
  {
    std::lock_guard lock(mutex_);
    bool done = false;
    if (!task.view.empty()) {
      for (SegmentTask& other : prompts_) {
        if (other.view != task.view) continue;
        done = true;
        ++counts_.replaced;
        if (other.sequence > task.sequence) {
          replaced = std::move(task.replaced);
        } else {
          replaced = std::move(other.replaced);
          other = std::move(task);  // in its place: nobody waits longer than before
        }
        break;
      }
    }
    if (!done) {
      taken = !stopping_ && prompts_.size() < kMostPrompts;
      if (taken) prompts_.push_back(std::move(task));
    }
  }
  if (replaced) replaced();
  changed_.notify_one();
  return taken;
}

bool Worker::post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_ || tasks_.size() >= kMostTasks) return false;
    tasks_.push_back({std::move(task), Clock::now()});
  }
  changed_.notify_one();
  return true;
}

// The oldest prompt that waits, with all others that fit into the same call.
bool Worker::answer_some() {
  std::vector<SegmentTask> batch;
  {
    std::lock_guard lock(mutex_);
    size_t queries = 0;
    for (auto at = prompts_.begin(); at != prompts_.end();) {
      const bool fits =
          batch.empty() || (at->image == batch[0].image && at->multimask == batch[0].multimask &&
                            queries + at->queries.size() <= kMostQueries);
      if (!fits) {
        ++at;
        continue;
      }
      queries += at->queries.size();
      batch.push_back(std::move(*at));
      at = prompts_.erase(at);
    }
    counts_.prompts += queries;
    counts_.calls += !batch.empty();
  }
  if (batch.empty()) return false;

  // The form of the decoder is fixed: by the number of prompts it would change, and with it the
  // last bits of an answer, by who else happens to ask.
  const auto decode = [](const SegmentTask& task, std::span<const ObjectQuery> queries) {
    return task.embedding.seen().segment(queries, {.multimask = task.multimask},
                                         sam::DecoderForm::few);
  };
  std::vector<ObjectQuery> queries;
  for (const SegmentTask& task : batch)
    queries.insert(queries.end(), task.queries.begin(), task.queries.end());
  std::vector<Masks> answers;
  bool together = true;
  if (batch.size() > 1) {
    try {
      answers = decode(batch[0], queries);
    } catch (const std::exception&) {
      together = false;  // one of them is at fault: each by itself
    }
  } else {
    together = false;
  }
  size_t at = 0;
  for (SegmentTask& task : batch) {
    try {
      if (together) {
        const auto from = answers.begin() + static_cast<std::ptrdiff_t>(at);
        task.answer({from, from + static_cast<std::ptrdiff_t>(task.queries.size())});
      } else {
        task.answer(decode(task, task.queries));
      }
    } catch (...) {
      task.failed(std::current_exception());
    }
    at += task.queries.size();
  }
  return true;
}

void Worker::interlude() {
  // A few at most: the long task shall get on.
  for (int i = 0; i < 4 && answer_some(); ++i) {
  }
}

void Worker::run() {
  for (;;) {
    std::function<void()> task;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !prompts_.empty() || !tasks_.empty(); });
      if (stopping_) return;
      if (!tasks_.empty() &&
          (prompts_.empty() || Clock::now() - tasks_.front().since > kPatience)) {
        task = std::move(tasks_.front().run);
        tasks_.pop_front();
      }
    }
    if (task) task();
    answer_some();
  }
}

void Worker::stop() {
  std::deque<SegmentTask> prompts;
  std::deque<Task> tasks;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    prompts.swap(prompts_);
    tasks.swap(tasks_);
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Worker::Counts Worker::counts() const {
  std::lock_guard lock(mutex_);
  Counts counts = counts_;
  counts.waiting = prompts_.size() + tasks_.size();
  return counts;
}

}  // namespace beckon::server
