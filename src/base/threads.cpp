#include "base/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>

namespace beckon {
namespace {

int available_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

int default_threads() {
  if (const char* text = std::getenv("BECKON_THREADS")) {
    const long value = std::strtol(text, nullptr, 10);
    if (value >= 1 && value <= 256) return static_cast<int>(value);
  }
  return std::min(available_cpus(), 256);
}

inline void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// One parallel_for in flight. Workers join by taking a ticket, then take ranges until none is left.
struct Job {
  detail::RangeBody body = nullptr;
  void* context = nullptr;
  int64_t count = 0;
  int64_t grain = 1;
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;

  void work() {
    for (;;) {
      const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
      if (begin >= count || failed.load(std::memory_order_relaxed)) return;
      try {
        body(context, begin, std::min(begin + grain, count));
      } catch (...) {
        std::lock_guard lock(error_mutex);
        if (!failed.exchange(true)) error = std::current_exception();
      }
    }
  }
};

thread_local bool inside_parallel_for = false;

class Pool {
 public:
  ~Pool() { resize(1); }

  // Only the thread that holds `busy_` may call these two.
  void resize(int threads) {
    if (threads == static_cast<int>(workers_.size()) + 1) return;
    stop_ = true;
    announce();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
    stop_ = false;
    const uint64_t seen = generation_.load();
    for (int i = 1; i < threads; ++i) workers_.emplace_back([this, seen] { loop(seen); });
  }

  void run(Job& job) {
    const int helpers = static_cast<int>(workers_.size());
    pending_.store(helpers, std::memory_order_relaxed);
    job_ = &job;
    announce();
    job.work();
    // A range takes micro- to milliseconds: spin shortly, then give the processor away.
    for (int spin = 0; pending_.load(std::memory_order_acquire) != 0; ++spin) {
      if (spin < 4000) {
        pause_cpu();
      } else {
        std::this_thread::yield();
      }
    }
  }

  std::mutex busy_;

 private:
  void announce() {
    {
      std::lock_guard lock(mutex_);
      generation_.fetch_add(1, std::memory_order_release);
    }
    if (sleepers_.load() > 0) wake_.notify_all();
  }

  void loop(uint64_t seen) {
    inside_parallel_for = true;
    for (;;) {
      // The next operation usually follows within microseconds: wait awake for a little before
      // sleeping.
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::microseconds(100);
      bool awake = false;
      while (!(awake = generation_.load(std::memory_order_acquire) != seen)) {
        for (int i = 0; i < 32; ++i) pause_cpu();
        if (std::chrono::steady_clock::now() > deadline) break;
      }
      if (!awake) {
        std::unique_lock lock(mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
        sleepers_.fetch_sub(1);
      }
      seen = generation_.load(std::memory_order_acquire);
      if (stop_) return;
      job_.load(std::memory_order_acquire)->work();
      pending_.fetch_sub(1, std::memory_order_release);
    }
  }

  std::vector<std::thread> workers_;
  std::atomic<Job*> job_{nullptr};
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> pending_{0};
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

// Threads do not survive fork(), so the child gets a fresh pool (the old one is left behind: its
// threads are gone).
std::atomic<Pool*> current_pool{nullptr};
std::atomic<int> wanted_threads{0};

Pool& pool() {
  Pool* found = current_pool.load(std::memory_order_acquire);
  if (found) return *found;
  auto* fresh = new Pool;
  if (current_pool.compare_exchange_strong(found, fresh)) {
    static std::once_flag registered;
    std::call_once(registered,
                   [] { pthread_atfork(nullptr, nullptr, [] { current_pool.store(nullptr); }); });
    return *fresh;
  }
  delete fresh;
  return *found;
}

}  // namespace

int threads() {
  const int wanted = wanted_threads.load(std::memory_order_relaxed);
  if (wanted > 0) return wanted;
  static const int standard = default_threads();
  return standard;
}

void set_threads(int count) { wanted_threads.store(std::clamp(count, 0, 256)); }

void detail::run_ranges(int64_t count, int64_t grain, RangeBody body, void* context) {
  if (count <= 0) return;
  grain = std::max<int64_t>(grain, 1);
  const int wanted = threads();
  if (!inside_parallel_for && wanted > 1 && count > grain) {
    Pool& shared = pool();
    std::unique_lock lock(shared.busy_, std::try_to_lock);
    if (lock) {
      shared.resize(wanted);
      Job job;
      job.body = body;
      job.context = context;
      job.count = count;
      job.grain = grain;
      inside_parallel_for = true;
      shared.run(job);
      inside_parallel_for = false;
      if (job.error) std::rethrow_exception(job.error);
      return;
    }
  }
  for (int64_t begin = 0; begin < count; begin += grain)
    body(context, begin, std::min(begin + grain, count));
}

}  // namespace beckon
