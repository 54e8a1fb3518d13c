// Which instruction set the kernels run on.
//
// Every kernel is compiled for several sets and the best one the processor has is taken at the
// first call. The environment variable BECKON_CPU = base | sse4 | avx2 | avx3 sets an upper bound
// (for tests and bug reports; other values are ignored). Each .cpp file with kernels includes this
// header, so that the bound holds before the first call.
#pragma once

#include <cstdint>
#include <string>

namespace beckon::kernels {

// The active set: "AVX3" (AVX-512), "AVX2", "SSE4", "SCALAR" (portable C++), or the name of another
// architecture's.
std::string target_name();

// Bytes of level-2 cache of one core; 512 KiB when the system does not say.
int64_t l2_bytes();

namespace detail {
bool apply_target_bound();
inline const bool target_bound_applied = apply_target_bound();
}  // namespace detail

}  // namespace beckon::kernels
