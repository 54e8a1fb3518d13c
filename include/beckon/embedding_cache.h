// Embeddings of images that were seen before, kept on disk and found again by content.
//
//   beckon::EmbeddingCache cache;
//   auto seen = cache.encode(sam, photo);     // a second the first time, milliseconds afterwards
//   seen.embedding.segment(beckon::Point{500, 375});
//
// An entry belongs to the pixels of an image (decoded, upright, RGB), the weights of a model and
// the version of Beckon's encoder. It is believed only if it says so itself and its SHA-256 fits;
// anything else is worked out anew and replaced. Any number of processes may share a folder: there
// are no locks, entries appear whole. A folder that is full, read-only or not to be made costs
// time, never an answer.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "beckon/dtype.h"
#include "beckon/export.h"
#include "beckon/image.h"
#include "beckon/sam.h"

namespace beckon {

// SHA-256 over size and pixels as RGB (of 1 MiB pieces, then of their hashes): the same for the
// same picture in whatever kind of file.
BECKON_API std::string pixel_hash(const Image& image);

// "2G", "500M", "64k", "1000000": bytes in powers of 1000. Error(usage) for anything else; `name`
// begins the message.
BECKON_API uint64_t parse_bytes(const std::string& text, const std::string& name);

struct EmbeddingCacheOptions {
  std::string folder;  // empty: EmbeddingCache::default_folder()
  // All entries together, in bytes. Above it those go that were not used for longest. Without a
  // value: $BECKON_CACHE_SIZE, else 2 GB.
  std::optional<uint64_t> limit;
  // f32 keeps every bit. f16 takes half the place; an embedding is then rounded before its first
  // use, so that answers do not depend on whether it was cached.
  DType dtype = DType::f32;
  // For f32: whether an entry that was kept as f16 will do, or is worked out anew.
  bool accept_f16 = true;
  // Called with what puts an entry in place: for programs that hold back signals meanwhile.
  std::function<void(const std::function<void()>& write)> around_write;
};

struct CachedEmbedding {
  Embedding embedding;
  bool cached = false;  // else computed
  DType dtype;          // what its values were kept as
  std::string warning;  // why it could not be kept, or empty
};

struct CacheEntry {
  std::string path;
  std::string model_hash;
  DType dtype = DType::f32;
  uint64_t bytes = 0;
  int64_t used = 0;     // seconds since 1970
  int64_t used_ns = 0;  // and nanoseconds
};

class BECKON_API EmbeddingCache {
 public:
  // Error(usage) for a dtype other than f32 and f16 and for a $BECKON_CACHE_SIZE that is no size.
  // Nothing is created before something is kept.
  explicit EmbeddingCache(EmbeddingCacheOptions options = {});

  // $BECKON_CACHE, else $BECKON_HOME/cache/embeddings, else $XDG_CACHE_HOME/beckon/embeddings,
  // else ~/.cache/beckon/embeddings; empty if HOME is not set either.
  static std::string default_folder();
  const std::string& folder() const noexcept { return options_.folder; }
  uint64_t limit() const noexcept { return *options_.limit; }

  // From the cache, else by sam.encode() and then kept. Throws as that does.
  CachedEmbedding encode(const Sam& sam, const Image& image) const;
  // From the cache or not at all.
  std::optional<CachedEmbedding> find(const Sam& sam, const Image& image) const;

  // Those that were not used for longest first.
  std::vector<CacheEntry> entries() const;
  // What a model was loaded from when its hash was noted here, or empty.
  std::string origin_of(const std::string& model_hash) const;
  // Removes entries; Error(output) if one cannot be. Files that are not Beckon's stay.
  // `older_than`: only those not used for so many seconds. `model_hash`: only of models whose hash
  // begins so.
  std::vector<CacheEntry> clear(double older_than = 0, const std::string& model_hash = "") const;

 private:
  struct Key;
  std::string model_hash_of(const Sam& sam) const;
  std::optional<CachedEmbedding> read(const Sam& sam, const Key& key) const;
  std::string keep(const Key& key, const Embedding& embedding) const;
  void evict(const std::string& newest) const;

  EmbeddingCacheOptions options_;
};

}  // namespace beckon
