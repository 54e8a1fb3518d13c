// A thread that works through a bounded queue.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace beckon::server {

class Tasks {
 public:
  explicit Tasks(size_t most) : most_(most), thread_([this] { run(); }) {}
  ~Tasks() { stop(); }
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;

  // False if too many wait already. A task must not throw.
  bool post(std::function<void()> task);
  // What waits is dropped, what runs is waited for.
  void stop();

 private:
  void run();
  size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace beckon::server
