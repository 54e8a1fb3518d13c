// Memory for tensors, recycled: a forward pass asks for the same sizes again and again, and fresh
// pages from the system cost more than most of what is then computed in them.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

#include <pthread.h>
#include <sys/mman.h>

#include "tensor/impl.h"

namespace beckon::detail {
namespace {

constexpr size_t kAlignment = 64;
constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kSmallest = size_t{16} << 10;   // below this malloc is as good
constexpr size_t kMostKept = size_t{128} << 20;  // bytes of free blocks held back

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kRecycle = false;  // let the sanitizer see every use after free
#else
constexpr bool kRecycle = true;
#endif

std::byte* fresh_block(size_t bytes) {
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kAlignment;
  void* block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!block) throw std::bad_alloc();
  if (alignment == kHugePage) madvise(block, bytes, MADV_HUGEPAGE);
  return static_cast<std::byte*>(block);
}

class FreeBlocks {
 public:
  // A kept block of at least `bytes` and at most a quarter more, or null; `bytes` becomes its size.
  std::byte* take(size_t& bytes) {
    std::lock_guard lock(mutex_);
    const auto found = blocks_.lower_bound(bytes);
    if (found == blocks_.end() || found->first > bytes + bytes / 4) return nullptr;
    bytes = found->first;
    return remove(found);
  }

  // Takes the block over. What has lain unused for longest goes back to the system when there is
  // too much: the sizes of an earlier model must not keep out those of the present one.
  void keep(std::byte* block, size_t bytes) {
    if (bytes > kMostKept) return std::free(block);
    std::lock_guard lock(mutex_);
    while (kept_ + bytes > kMostKept) {
      const auto oldest = std::min_element(
          blocks_.begin(), blocks_.end(),
          [](const auto& a, const auto& b) { return a.second.since < b.second.since; });
      std::free(remove(oldest));
    }
    blocks_.emplace(bytes, Block{block, ++clock_});
    kept_ += bytes;
  }

  // Around a fork, so that the child does not inherit a lock that nobody will open.
  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  struct Block {
    std::byte* memory;
    uint64_t since;
  };

  std::byte* remove(std::multimap<size_t, Block>::iterator block) {
    std::byte* memory = block->second.memory;
    kept_ -= block->first;
    blocks_.erase(block);
    return memory;
  }

  std::mutex mutex_;
  std::multimap<size_t, Block> blocks_;
  size_t kept_ = 0;
  uint64_t clock_ = 0;
};

// Never destroyed: tensors of static lifetime may be freed after it would be.
FreeBlocks& free_blocks() {
  static FreeBlocks* blocks = [] {
    auto* made = new FreeBlocks;
    pthread_atfork([] { free_blocks().lock(); }, [] { free_blocks().unlock(); },
                   [] { free_blocks().unlock(); });
    return made;
  }();
  return *blocks;
}

}  // namespace

std::shared_ptr<Storage> allocate(size_t bytes) {
  auto storage = std::make_shared<Storage>();
  size_t size = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  if (size == 0) size = kAlignment;
  std::byte* block = kRecycle && size >= kSmallest ? free_blocks().take(size) : nullptr;
  storage->data = block ? block : fresh_block(size);
  storage->bytes = size;
  storage->owned = true;
  return storage;
}

Storage::~Storage() {
  if (!owned) return;
  if (kRecycle && bytes >= kSmallest) {
    free_blocks().keep(data, bytes);
  } else {
    std::free(data);
  }
}

}  // namespace beckon::detail
