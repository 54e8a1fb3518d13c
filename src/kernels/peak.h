// The speed of the machine itself, to hold the kernels against.
#pragma once

namespace beckon::kernels {

// Multiply-adds that do nothing but fill the pipes, on `threads` threads for about `seconds`; the
// best of several rounds in GFLOP/s (two operations a multiply-add), for the active instruction
// set.
double fma_peak(int threads, double seconds);

// Reads a block far larger than the caches; the best of several rounds in GB/s.
double read_bandwidth(int threads, double seconds);

}  // namespace beckon::kernels
