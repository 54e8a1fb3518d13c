// Memory for many blocks that live as long as each other, such as a model's weights: carved from a
// few huge pages. A fresh page of 4 kB costs more than copying 4 kB into it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

namespace beckon {

class Slabs {
 public:
  struct Block {
    std::shared_ptr<void> owner;  // of the slab, which goes with its last block
    void* memory = nullptr;       // at a multiple of 64 bytes
  };
  // From any thread. Throws std::bad_alloc.
  Block take(size_t bytes);

 private:
  std::mutex mutex_;
  std::shared_ptr<void> slab_;
  size_t used_ = 0;
};

}  // namespace beckon
