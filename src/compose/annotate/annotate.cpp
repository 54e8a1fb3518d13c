// A folder once, or for as long as it is watched.
#include <chrono>
#include <map>
#include <set>
#include <thread>

#include <sys/stat.h>

#include "base/fail.h"
#include "compose/annotate/run.h"

namespace beckon {
namespace {

using compose::Input;
using compose::PictureList;
using compose::Run;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr auto kLookEvery = milliseconds(500);
// A file that has not changed for so long is taken for whole.
constexpr auto kSettles = milliseconds(1500);

std::vector<Input> of_this_shard(const Run& run, const PictureList& all) {
  std::vector<Input> inputs;
  for (const Input& input : all.inputs) {
    if (run.mine(input.path)) inputs.push_back(input);
  }
  return inputs;
}

// What shows that a file changed, without reading it.
struct Look {
  int64_t size = -1, seconds = 0, nanoseconds = 0;
  uint64_t number = 0;
  friend bool operator==(const Look&, const Look&) = default;
};

Look look_at(const std::string& path) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) return {};
  return {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ino};
}

// Which pictures of a folder are new or changed, and no longer being written.
class Watcher {
 public:
  explicit Watcher(std::string folder) : folder_(std::move(folder)) {}

  std::vector<Input> ready(const std::vector<Input>& inputs) {
    const Clock::time_point now = Clock::now();
    std::vector<Input> result;
    waiting_ = false;
    for (const Input& input : inputs) {
      State& state = states_[input.path];
      const Look look = look_at(folder_ + "/" + input.path);
      if (state.seen != look) {
        // Long untouched when it is first met: whole. Clocks of file servers may differ, so that
        // anything else is watched for a while.
        const bool old = state.seen == Look() && !state.done && is_old(look);
        state = {look, old ? now - kSettles : now, false};
      }
      if (state.done) continue;
      if (now - state.since >= kSettles) {
        state.done = true;
        result.push_back(input);
      } else {
        waiting_ = true;
      }
    }
    return result;
  }
  bool waiting() const { return waiting_; }

  // Paths that were there before and are not in `inputs`.
  std::vector<std::string> gone(const std::vector<Input>& inputs) {
    std::set<std::string> there;
    for (const Input& input : inputs) there.insert(input.path);
    std::vector<std::string> result;
    std::erase_if(states_, [&](const auto& item) {
      if (there.count(item.first) != 0) return false;
      result.push_back(item.first);
      return true;
    });
    return result;
  }

 private:
  struct State {
    Look seen;
    Clock::time_point since;
    bool done = false;
  };

  static bool is_old(const Look& look) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::seconds>(now).count() - look.seconds > 10;
  }

  std::string folder_;
  std::map<std::string, State> states_;
  bool waiting_ = false;
};

void watch(Run& run, const std::string& folder, double idle_seconds) {
  Watcher watcher(folder);
  Clock::time_point last_work = Clock::now();
  bool changed = true;  // since the last manifest
  std::vector<std::string> before;
  for (;;) {
    const PictureList all = run.inputs();
    std::vector<std::string> paths;
    for (const Input& input : all.inputs) paths.push_back(input.path);
    // Also in other shards: all manifests have to be about the same folder.
    changed = changed || paths != before;
    before = std::move(paths);
    const std::vector<Input> mine = of_this_shard(run, all);
    for (const std::string& path : watcher.gone(mine)) {
      run.forget(path);
      changed = true;
    }
    const std::vector<Input> ready = watcher.ready(mine);
    if (!ready.empty()) {
      run.work_on(ready);
      changed = true;
      last_work = Clock::now();
      continue;  // more may have come meanwhile
    }
    if (watcher.waiting()) {
      last_work = Clock::now();
    } else if (changed) {
      run.write_manifests(all);
      changed = false;
    }
    const std::chrono::duration<double> idle = Clock::now() - last_work;
    if (idle_seconds >= 0 && !changed && idle.count() >= idle_seconds) return;
    for (auto slept = milliseconds(0); slept < kLookEvery; slept += milliseconds(100)) {
      run.report_progress(0);
      std::this_thread::sleep_for(milliseconds(100));
    }
  }
}

}  // namespace

AnnotateReport annotate(const std::string& folder, const std::string& out,
                        const AnnotateOptions& options) {
  Run run(folder, out, options);
  if (options.watch) {
    watch(run, folder, options.idle_seconds);
  } else {
    const PictureList all = run.inputs();
    run.write_listing(all);
    run.work_on(of_this_shard(run, all));
    run.write_manifests(all);
  }
  return run.report();
}

}  // namespace beckon
