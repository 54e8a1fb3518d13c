// layer: compose
// Any bytes as a file of prompts for a folder: an error of the right kind, or pages that are found
// under their names.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "beckon/error.h"
#include "compose/annotate/prompt_book.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace beckon;
  try {
    const auto book =
        compose::PromptBook::parse({reinterpret_cast<const char*>(data), size}, "fuzz");
    const std::vector<std::string> names = book.names();
    for (const std::string& name : names) {
      const auto* objects = book.find(name);
      if (objects == nullptr || objects->empty()) std::abort();
      if (compose::recipe_of(*objects).size() != objects->size()) std::abort();
    }
    if (names.empty() && book.find("any") == nullptr) std::abort();
  } catch (const Error& error) {
    if (error.kind() != Kind::input && error.kind() != Kind::unsupported) std::abort();
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
  }
  return 0;
}
