// The options of everything mode, under the names of the reference's script.
#pragma once

#include <vector>

#include "beckon/mask_generator.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace beckon::cli {

// Adds --points-per-side and so on to a command; `options` must live as long as it, and what it
// holds is the default. Returns them.
std::vector<CLI::Option*> add_generator_arguments(CLI::App& command, MaskGeneratorOptions& options);

}  // namespace beckon::cli
