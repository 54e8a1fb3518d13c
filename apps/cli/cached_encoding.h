// Photos through the embedding cache, for every command that encodes one.
#pragma once

#include <string>

#include "beckon/embedding_cache.h"
#include "beckon/sam.h"

namespace CLI {
class App;
}

namespace beckon::cli {

struct CacheArguments {
  bool off = false;       // --no-cache
  std::string embedding;  // --embedding FILE: instead of looking at the photo
};
void add_cache_arguments(CLI::App& command, CacheArguments& arguments);

// The cache of this user; a signal that comes while an entry is put in place waits.
EmbeddingCache open_cache(DType dtype = DType::f32, bool accept_f16 = true);

struct Encoded {
  Embedding embedding;
  bool cached = false;
};
// From --embedding, the cache, or the model. Error(input) if the embedding that was given is of
// another photo. What could not be kept is told on stderr.
Encoded encode(const Sam& sam, const Image& photo, const CacheArguments& arguments);

}  // namespace beckon::cli
