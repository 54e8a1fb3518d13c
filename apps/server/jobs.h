// What takes longer than an answer may: its state, its events, its result.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "http.h"
#include "problem.h"

namespace beckon::server {

class Job {
 public:
  enum class State : uint8_t { queued, running, done, failed, cancelled };

  Job(std::string id, std::string kind) : id_(std::move(id)), kind_(std::move(kind)) {}
  const std::string& id() const { return id_; }
  const std::string& kind() const { return kind_; }
  State state() const;
  bool ended() const;

  // From whoever works on it. After an end nothing changes any more.
  void progress(int64_t done, int64_t total);
  void finish(std::string result);  // JSON
  void fail(const Failure& failure);
  // From whoever lost interest: the work sees it in cancelled() and stops.
  void cancel();
  bool cancelled() const { return cancelled_; }

  // {"id","kind","state","done","total","result"|"error"}
  std::string json(bool with_result = true) const;
  size_t result_bytes() const;

  // The present state at once, then every change; closed with the end.
  void listen(std::shared_ptr<EventStream> stream);

  // Called once with the end, or at once if it has ended.
  void when_ended(std::function<void()> then);

 private:
  void end(State state, std::string result);
  std::string json_locked(bool with_result) const;

  const std::string id_, kind_;
  mutable std::mutex mutex_;
  State state_ = State::queued;
  int64_t done_ = 0, total_ = 0;
  std::string result_;  // or the error, JSON
  std::atomic<bool> cancelled_{false};
  std::vector<std::shared_ptr<EventStream>> listeners_;
  std::vector<std::function<void()>> ends_;
};

class Jobs {
 public:
  static constexpr size_t kMost = 256;
  static constexpr size_t kMostListeners = 16;  // of a job
  static constexpr size_t kMostResultBytes = size_t{64} << 20;

  std::shared_ptr<Job> create(const std::string& kind);
  // nullptr if there is none: never was, or ended long ago.
  std::shared_ptr<Job> find(const std::string& id) const;
  void cancel_all();

 private:
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;
  std::deque<std::string> order_;
};

// 32 hexadecimal digits that nobody can guess.
std::string random_id();

}  // namespace beckon::server
