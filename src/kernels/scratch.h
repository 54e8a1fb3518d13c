// Memory for kernels: 64-byte aligned, never initialised, no sharing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace beckon::kernels {

struct FreeAligned {
  void operator()(float* memory) const { std::free(memory); }
};
using AlignedFloats = std::unique_ptr<float[], FreeAligned>;

// `count` floats at a multiple of 64 bytes. Throws std::bad_alloc.
inline AlignedFloats allocate_floats(int64_t count) {
  const size_t bytes = (static_cast<size_t>(count) * sizeof(float) + 127) & ~size_t{63};
  auto* memory = static_cast<float*>(std::aligned_alloc(64, bytes));
  if (!memory) throw std::bad_alloc();
  return AlignedFloats(memory);
}

// `count` floats, 64-byte aligned, that the calling thread gets back from an earlier lease where it
// can. Leases nest: a callback that runs while one is held gets another buffer.
class ScratchLease {
 public:
  explicit ScratchLease(int64_t count) {
    auto& idle = idle_buffers();
    if (!idle.empty()) {
      buffer_ = std::move(idle.back());
      idle.pop_back();
    }
    if (buffer_.capacity < count) {
      buffer_ = Buffer();
      buffer_ = {allocate_floats(count), count};
    }
  }
  ~ScratchLease() { idle_buffers().push_back(std::move(buffer_)); }
  ScratchLease(const ScratchLease&) = delete;
  ScratchLease& operator=(const ScratchLease&) = delete;

  float* data() const { return buffer_.memory.get(); }

 private:
  struct Buffer {
    AlignedFloats memory;
    int64_t capacity = 0;
  };
  static std::vector<Buffer>& idle_buffers() {
    thread_local std::vector<Buffer> buffers;
    return buffers;
  }

  Buffer buffer_;
};

}  // namespace beckon::kernels
