// layer: models
// Entries of the embedding cache and embeddings as files, from somebody who may write any bytes in
// their place.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "beckon/embedding_cache.h"
#include "beckon/error.h"
#include "models/small_sam.h"

namespace {

using namespace beckon;
namespace fs = std::filesystem;

struct Place {
  std::string folder =
      (fs::temp_directory_path() / ("beckon-fuzz-" + std::to_string(::getpid()))).string();
  Sam sam{test::small_model()};
  Image photo{40, 30, 3};
  EmbeddingCache cache{{.folder = folder}};
  std::string entry;
  std::string good;

  Place() {
    cache.encode(sam, photo);
    entry = cache.entries().at(0).path;
    std::ifstream file(entry, std::ios::binary);
    good.assign(std::istreambuf_iterator<char>(file), {});
  }
  ~Place() { fs::remove_all(folder); }
};

void write(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Place place;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  // As they are, and over the beginning of a good entry.
  std::string patched = place.good;
  patched.replace(0, std::min(size, patched.size()), bytes.substr(0, patched.size()));
  for (const std::string& text : {bytes, patched}) {
    write(place.entry, text);
    if (place.cache.find(place.sam, place.photo).has_value() != (text == place.good)) std::abort();
  }
  const std::string file = place.folder + "/embedding.safetensors";
  write(file, bytes);
  try {
    place.sam.load_embedding(file);
  } catch (const Error& error) {
    if (error.kind() == Kind::internal) std::abort();
  }
  return 0;
}
