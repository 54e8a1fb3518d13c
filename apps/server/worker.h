// The one thread that computes. Prompts come before long tasks; those that wait for one image are
// answered by one call of the decoder.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "beckon/sam.h"

namespace beckon::server {

// One request's prompts about one image.
struct SegmentTask {
  std::string image;
  Embedding embedding;
  std::vector<ObjectQuery> queries;
  Multimask multimask = Multimask::automatic;
  std::string view;      // of two of one view the newer one counts; empty: all count
  int64_t sequence = 0;  // larger is newer
  std::function<void(std::vector<Masks>)> answer;         // on the worker's thread
  std::function<void(const std::exception_ptr&)> failed;  // the same
  std::function<void()> replaced;                         // on the thread that posts
};

class Worker {
 public:
  static constexpr size_t kMostPrompts = 256;  // tasks that wait
  static constexpr size_t kMostTasks = 64;
  static constexpr size_t kMostQueries =
      64;  // of one call of the decoder, unless one task has more

  Worker();
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // False if too many wait. A task of the same view that waits is replaced, or replaces this one if
  // it is the newer one.
  bool post(SegmentTask task);
  // False if too many wait. A task must not throw; a long one calls interlude() now and then.
  bool post(std::function<void()> task);
  // On the worker's thread, within a task: answers the prompts that wait.
  void interlude();
  // What waits is dropped, what runs is waited for.
  void stop();

  struct Counts {
    uint64_t prompts = 0, calls = 0, replaced = 0;
    size_t waiting = 0;
  };
  Counts counts() const;

 private:
  void run();
  bool answer_some();

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<SegmentTask> prompts_;
  struct Task {
    std::function<void()> run;
    std::chrono::steady_clock::time_point since;
  };
  std::deque<Task> tasks_;
  Counts counts_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace beckon::server
