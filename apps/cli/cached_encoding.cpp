#include "cached_encoding.h"

#include <CLI/CLI.hpp>

#include "base/fail.h"
#include "interrupt.h"
#include "terminal.h"

namespace beckon::cli {

void add_cache_arguments(CLI::App& command, CacheArguments& arguments) {
  CLI::Option* off = command.add_flag("--no-cache", arguments.off,
                                      "Neither look into the embedding cache nor keep anything");
  command
      .add_option("--embedding", arguments.embedding,
                  "The photo's embedding as `beckon embed -o` wrote it, instead of encoding again")
      ->type_name("FILE")
      ->excludes(off);
}

EmbeddingCache open_cache(DType dtype, bool accept_f16) {
  return EmbeddingCache({.dtype = dtype,
                         .accept_f16 = accept_f16,
                         .around_write = [](const std::function<void()>& write) {
                           const HoldInterrupts hold;
                           write();
                         }});
}

Encoded encode(const Sam& sam, const Image& photo, const CacheArguments& arguments) {
  if (!arguments.embedding.empty()) {
    const Embedding saved = sam.load_embedding(arguments.embedding);
    // Files of other makers may not say whose pixels they are of.
    const bool other = saved.pixels().empty() ? !(saved.image_size() == photo.size())
                                              : saved.pixels() != pixel_hash(photo);
    if (other)
      fail(Kind::input, "{}: the embedding is of another photo, of {}x{} pixels",
           arguments.embedding, saved.image_size().width, saved.image_size().height);
    return {saved, true};
  }
  if (arguments.off) return {sam.encode(photo), false};
  const CachedEmbedding found = open_cache().encode(sam, photo);
  if (!found.warning.empty()) say("note: " + found.warning);
  return {found.embedding, found.cached};
}

}  // namespace beckon::cli
