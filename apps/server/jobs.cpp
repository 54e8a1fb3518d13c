#include "jobs.h"

#include <array>

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <openssl/rand.h>

#include "base/fail.h"

namespace beckon::server {
namespace {

const char* name_of(Job::State state) {
  switch (state) {
    case Job::State::queued:
      return "queued";
    case Job::State::running:
      return "running";
    case Job::State::done:
      return "done";
    case Job::State::failed:
      return "failed";
    case Job::State::cancelled:
      return "cancelled";
  }
  return "";
}

bool is_end(Job::State state) { return state > Job::State::running; }

}  // namespace

std::string random_id() {
  std::array<unsigned char, 16> bytes{};
  if (RAND_bytes(bytes.data(), static_cast<int>(bytes.size())) != 1)
    fail(Kind::temporary, "the system has no random numbers");
  std::string id;
  for (const unsigned char byte : bytes) id += fmt::format("{:02x}", byte);
  return id;
}

Job::State Job::state() const {
  std::lock_guard lock(mutex_);
  return state_;
}

bool Job::ended() const { return is_end(state()); }

std::string Job::json(bool with_result) const {
  std::lock_guard lock(mutex_);
  return json_locked(with_result);
}

std::string Job::json_locked(bool with_result) const {
  std::string text = fmt::format(R"({{"id":"{}","kind":"{}","state":"{}","done":{},"total":{})",
                                 id_, kind_, name_of(state_), done_, total_);
  if (state_ == State::failed) text += ",\"error\":" + result_;
  if (state_ == State::done && with_result) text += ",\"result\":" + result_;
  return text + "}";
}

size_t Job::result_bytes() const {
  std::lock_guard lock(mutex_);
  return result_.size();
}

void Job::progress(int64_t done, int64_t total) {
  std::lock_guard lock(mutex_);
  if (is_end(state_)) return;
  state_ = State::running;
  done_ = done;
  total_ = total;
  std::erase_if(listeners_, [](const auto& s) { return s->closed(); });
  const std::string event = "event: job\ndata: " + json_locked(false) + "\n\n";
  for (const auto& stream : listeners_) stream->send(event);
}

void Job::end(State state, std::string result) {
  std::vector<std::function<void()>> ends;
  {
    std::lock_guard lock(mutex_);
    if (is_end(state_)) return;
    state_ = state;
    result_ = std::move(result);
    if (state == State::done) done_ = total_ = std::max<int64_t>(total_, 1);
    const std::string event = "event: job\ndata: " + json_locked(false) + "\n\n";
    for (const auto& stream : listeners_) {
      stream->send(event);
      stream->close();
    }
    listeners_.clear();
    ends.swap(ends_);
  }
  for (const auto& then : ends) then();
}

void Job::finish(std::string result) { end(State::done, std::move(result)); }

void Job::fail(const Failure& failure) {
  const nlohmann::ordered_json error{
      {"status", failure.status}, {"code", failure.code}, {"detail", failure.detail}};
  end(State::failed, error.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
}

void Job::cancel() {
  cancelled_ = true;
  end(State::cancelled, "");
}

void Job::listen(std::shared_ptr<EventStream> stream) {
  std::lock_guard lock(mutex_);
  stream->send("event: job\ndata: " + json_locked(false) + "\n\n");
  std::erase_if(listeners_, [](const auto& s) { return s->closed(); });
  if (is_end(state_) || listeners_.size() >= Jobs::kMostListeners)
    stream->close();
  else
    listeners_.push_back(std::move(stream));
}

void Job::when_ended(std::function<void()> then) {
  {
    std::lock_guard lock(mutex_);
    if (!is_end(state_)) {
      ends_.push_back(std::move(then));
      return;
    }
  }
  then();
}

std::shared_ptr<Job> Jobs::create(const std::string& kind) {
  auto job = std::make_shared<Job>(random_id(), kind);
  std::lock_guard lock(mutex_);
  jobs_.emplace(job->id(), job);
  order_.push_back(job->id());
  // The oldest that ended make room.
  size_t bytes = 0;
  for (const auto& [id, other] : jobs_) bytes += other->result_bytes();
  for (auto at = order_.begin();
       at != order_.end() && (order_.size() > kMost || bytes > kMostResultBytes);) {
    const auto found = jobs_.find(*at);
    if (!found->second->ended()) {
      ++at;
      continue;
    }
    bytes -= found->second->result_bytes();
    jobs_.erase(found);
    at = order_.erase(at);
  }
  return job;
}

std::shared_ptr<Job> Jobs::find(const std::string& id) const {
  std::lock_guard lock(mutex_);
  const auto found = jobs_.find(id);
  return found == jobs_.end() ? nullptr : found->second;
}

void Jobs::cancel_all() {
  std::vector<std::shared_ptr<Job>> all;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, job] : jobs_) all.push_back(job);
  }
  for (const auto& job : all) job->cancel();
}

}  // namespace beckon::server
