// One pool of worker threads for the whole process.
//
// parallel_for hands out index ranges; which thread runs which range is not fixed, so a body must
// write only what belongs to its range and sum nothing across ranges. Results are then the same for
// any number of threads.
#pragma once

#include <cstdint>
#include <type_traits>

namespace beckon {

// Threads used by parallel_for, the caller included. Default: BECKON_THREADS, else the CPUs this
// process may use.
int threads();
// 1 to 256; 0 restores the default. Takes effect for the next parallel_for.
void set_threads(int count);

namespace detail {
using RangeBody = void (*)(void* context, int64_t begin, int64_t end);
void run_ranges(int64_t count, int64_t grain, RangeBody body, void* context);
}  // namespace detail

// Calls body(begin, end) for disjoint ranges that cover [0, count), each of `grain` indices or the
// rest. Returns when all are done; the first exception of a body is thrown again here. Nested
// calls, and calls made while another thread uses the pool, run on the calling thread alone.
template <typename Body>
void parallel_for(int64_t count, int64_t grain, Body&& body) {
  using Plain = std::remove_reference_t<Body>;
  detail::run_ranges(
      count, grain,
      [](void* context, int64_t begin, int64_t end) {
        (*static_cast<Plain*>(context))(begin, end);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace beckon
