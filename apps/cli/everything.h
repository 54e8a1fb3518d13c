// beckon segment --everything: all that is to be seen in a photo, without prompts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cached_encoding.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace beckon::cli {

// The generator's parameters as given on the command line; what is not given is as a recipe says,
// or as the reference has it.
struct EverythingArguments;
// Adds --everything and its parameters to a command. The flag is returned.
CLI::Option* add_everything(CLI::App& command, std::shared_ptr<EverythingArguments>& arguments);

struct EverythingTask {
  std::string photo;   // a path, or "-"
  std::string model;   // a name or a path
  std::string sha256;  // of the model that made the recipe, or empty
  std::string recipe;  // options of a recipe as JSON, or empty
  std::string recipe_name;
  std::string output;  // a file or folder, "-" or empty
  std::string format;  // empty: by the output
  bool json = false;
  int64_t max_pixels = 0;
  CacheArguments cache;
};
void run_everything(const EverythingTask& task, const EverythingArguments& arguments);

}  // namespace beckon::cli
