// The pool of threads that every kernel uses.
#include "base/threads.h"

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "beckon/ops.h"

namespace beckon::test {
namespace {

class Threads : public ::testing::Test {
 protected:
  void SetUp() override { set_threads(4); }
  void TearDown() override { set_threads(0); }
};

// How often each index was visited.
std::vector<int> visits(int64_t count, int64_t grain) {
  std::vector<std::atomic<int>> seen(static_cast<size_t>(count));
  parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    EXPECT_LT(begin, end);
    EXPECT_EQ(begin % grain, 0);
    EXPECT_LE(end - begin, grain);
    for (int64_t i = begin; i < end; ++i) ++seen[static_cast<size_t>(i)];
  });
  return {seen.begin(), seen.end()};
}

TEST_F(Threads, VisitEveryIndexOnce) {
  for (int64_t count : {1, 2, 7, 100, 10'000})
    for (int64_t grain : {1, 3, 64, 100'000})
      EXPECT_EQ(visits(count, grain), std::vector<int>(static_cast<size_t>(count), 1));
}

TEST_F(Threads, DoNothingForNothing) {
  bool called = false;
  parallel_for(0, 1, [&](int64_t, int64_t) { called = true; });
  parallel_for(-5, 1, [&](int64_t, int64_t) { called = true; });
  EXPECT_FALSE(called);
}

TEST_F(Threads, TakeAGrainBelowOneAsOne) {
  int ranges = 0;
  set_threads(1);
  parallel_for(3, 0, [&](int64_t begin, int64_t end) {
    ++ranges;
    EXPECT_EQ(end, begin + 1);
  });
  EXPECT_EQ(ranges, 3);
}

TEST_F(Threads, AreSeveral) {
  // Each range waits for another to have begun: with one thread this would never end.
  std::atomic<int> begun{0};
  parallel_for(2, 1, [&](int64_t, int64_t) {
    ++begun;
    while (begun < 2) std::this_thread::yield();
  });
  EXPECT_EQ(begun, 2);
}

TEST_F(Threads, AreAsManyAsAskedForAtMost) {
  for (int count : {1, 2, 3}) {
    set_threads(count);
    EXPECT_EQ(threads(), count);
    std::mutex mutex;
    std::set<std::thread::id> seen;
    parallel_for(200, 1, [&](int64_t, int64_t) {
      std::lock_guard lock(mutex);
      seen.insert(std::this_thread::get_id());
    });
    EXPECT_LE(seen.size(), static_cast<size_t>(count));
  }
  set_threads(1000);
  EXPECT_EQ(threads(), 256);
  set_threads(-3);
  EXPECT_GE(threads(), 1);
}

TEST_F(Threads, FirstExceptionComesBackAndThePoolLivesOn) {
  for (int round = 0; round < 50; ++round) {
    try {
      parallel_for(100, 1, [&](int64_t begin, int64_t) {
        if (begin == 37) throw std::runtime_error("range 37");
      });
      FAIL() << "no exception";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "range 37");
    }
    EXPECT_EQ(visits(100, 1), std::vector<int>(100, 1));
  }
  set_threads(1);
  EXPECT_THROW(parallel_for(10, 1, [](int64_t, int64_t) { throw std::runtime_error("one"); }),
               std::runtime_error);
}

TEST_F(Threads, EveryRangeThrowing) {
  EXPECT_THROW(parallel_for(1000, 1, [](int64_t, int64_t) { throw std::runtime_error("all"); }),
               std::runtime_error);
  EXPECT_EQ(visits(100, 1), std::vector<int>(100, 1));
}

TEST_F(Threads, NestedCallsStayOnTheirThread) {
  std::atomic<int> total{0}, strayed{0};
  parallel_for(16, 1, [&](int64_t, int64_t) {
    const auto self = std::this_thread::get_id();
    parallel_for(16, 1, [&](int64_t, int64_t) {
      if (std::this_thread::get_id() != self) ++strayed;
      ++total;
    });
  });
  EXPECT_EQ(total, 256);
  EXPECT_EQ(strayed, 0);
}

TEST_F(Threads, ExceptionsPassThroughNestedCalls) {
  EXPECT_THROW(parallel_for(8, 1,
                            [](int64_t, int64_t) {
                              parallel_for(8, 1, [](int64_t begin, int64_t) {
                                if (begin == 5) throw std::runtime_error("inner");
                              });
                            }),
               std::runtime_error);
  EXPECT_EQ(visits(100, 1), std::vector<int>(100, 1));
}

TEST_F(Threads, ManyCallersAtOnceAllGetTheirWorkDone) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 6; ++c)
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round)
        if (visits(64, 3) != std::vector<int>(64, 1)) ++wrong;
    });
  for (auto& caller : callers) caller.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(Threads, NumberMayChangeWhileOthersWork) {
  std::atomic<bool> stop{false};
  std::thread changer([&] {
    for (int i = 0; !stop; ++i) {
      set_threads(1 + i % 5);
      std::this_thread::yield();
    }
  });
  for (int round = 0; round < 300; ++round) EXPECT_EQ(visits(50, 1), std::vector<int>(50, 1));
  stop = true;
  changer.join();
}

TEST_F(Threads, SleepersWakeUp) {
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // longer than they stay awake
    EXPECT_EQ(visits(100, 1), std::vector<int>(100, 1));
  }
}

// A child has none of its parent's threads; work there must neither hang nor be lost.
TEST_F(Threads, WorkInAForkedChild) {
  EXPECT_EQ(visits(100, 1), std::vector<int>(100, 1));  // the pool exists before the fork
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // a hang ends as a signal
    const bool all = visits(1000, 1) == std::vector<int>(1000, 1);
    const Tensor x = Tensor::full({300'000}, 2.0f);
    const bool right = sum(x * x).item() == 1'200'000.0f;
    _exit(all && right ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(visits(100, 1), std::vector<int>(100, 1));  // the parent goes on as before
}

// Other threads may hold the pool and the memory's lock at the moment of the fork.
TEST_F(Threads, ForkInTheMiddleOfOthersWork) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> busy;
  for (int t = 0; t < 2; ++t)
    busy.emplace_back([&] {
      while (!stop) {
        const Tensor x = Tensor::full({100'000}, 1.0f);
        const Tensor y = x * x;
      }
    });
  for (int round = 0; round < 20; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      alarm(20);
      const Tensor x = Tensor::full({100'000}, 2.0f);
      _exit(sum(x * x).item() == 400'000.0f ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "round " << round;
  }
  stop = true;
  for (auto& thread : busy) thread.join();
}

}  // namespace
}  // namespace beckon::test
