// Memory for tensors, recycled: a forward pass asks for the same sizes again and again, and fresh
// pages from the system cost more than most of what is then computed in them.
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>

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
    std::byte* block = found->second;
    bytes = found->first;
    kept_ -= bytes;
    blocks_.erase(found);
    return block;
  }

  // False if the store is full; the caller then frees the block.
  bool keep(std::byte* block, size_t bytes) {
    std::lock_guard lock(mutex_);
    if (kept_ + bytes > kMostKept) return false;
    blocks_.emplace(bytes, block);
    kept_ += bytes;
    return true;
  }

 private:
  std::mutex mutex_;
  std::multimap<size_t, std::byte*> blocks_;
  size_t kept_ = 0;
};

// Never destroyed: tensors of static lifetime may be freed after it would be.
FreeBlocks& free_blocks() {
  static FreeBlocks* blocks = new FreeBlocks;
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
  if (kRecycle && bytes >= kSmallest && free_blocks().keep(data, bytes)) return;
  std::free(data);
}

}  // namespace beckon::detail
