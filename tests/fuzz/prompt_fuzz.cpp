// layer: prompt
// Any bytes as JSON: an error of the right kind, or prompts that survive being written and read
// again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "beckon/error.h"
#include "beckon/prompt.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace beckon;
  std::vector<Prompt> prompts;
  try {
    prompts = parse_prompts({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const Error& error) {
    if (error.kind() != Kind::input) std::abort();
    if (std::string_view(error.what()).find('\n') != std::string_view::npos) std::abort();
    return 0;
  }
  if (parse_prompts(to_json(prompts)) != prompts) std::abort();
  try {
    size_t count = 0;
    for (const auto& object : objects(prompts)) count += object.size();
    if (count != prompts.size()) std::abort();
  } catch (const Error& error) {
    if (error.kind() != Kind::usage) std::abort();
  }
  for (const Prompt& prompt : prompts)
    if (const auto* scribble = std::get_if<Scribble>(&prompt))
      if (points_along(*scribble).size() > 4) std::abort();
  return 0;
}
