#include "manual.h"

#include <algorithm>
#include <numeric>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"

namespace beckon::cli {
namespace {

// CLI11 keeps the kind of a value and its choices in one text: "FILE", "TEXT:{mask,overlay}".
void read_type_name(const std::string& type, OptionManual& option) {
  const size_t open = type.find('{');
  const size_t close = type.rfind('}');
  option.value = type.substr(0, std::min(type.find(':'), open));
  if (open == std::string::npos || close == std::string::npos || close < open) return;
  for (size_t begin = open + 1; begin < close;) {
    const size_t end = std::min(type.find(',', begin), close);
    option.choices.push_back(type.substr(begin, end - begin));
    begin = end + 1;
  }
}

OptionManual option_manual(const CLI::Option& source) {
  OptionManual option;
  option.summary = source.get_description();
  if (const std::string& group = source.get_group(); group != "Options" && group != "OPTIONS")
    option.heading = group;
  option.required = source.get_required();
  option.repeats = source.get_expected_max() > 1 ||
                   source.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  if (source.get_positional()) {
    option.value = source.get_name(true);
    return option;
  }
  for (const std::string& name : source.get_snames()) option.names.push_back("-" + name);
  for (const std::string& name : source.get_lnames()) option.names.push_back("--" + name);
  if (source.get_expected_max() != 0) read_type_name(source.get_type_name(), option);
  return option;
}

CommandManual command_manual(const CLI::App& app, const std::string& above) {
  CommandManual manual;
  manual.name = app.get_name();
  manual.path = above.empty() ? manual.name : above + " " + manual.name;
  manual.summary = app.get_description();
  manual.examples = app.get_footer();
  for (const CLI::Option* option : app.get_options({}))
    manual.options.push_back(option_manual(*option));
  std::stable_partition(manual.options.begin(), manual.options.end(),
                        [](const OptionManual& option) { return option.positional(); });
  for (const CLI::App* command : app.get_subcommands({}))
    manual.commands.push_back(command_manual(*command, manual.path));
  return manual;
}

// The number of letters to add, drop or replace (Levenshtein).
size_t typing_slips(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j + 1] + 1, row[j] + 1});
    }
  }
  return row.back();
}

}  // namespace

CommandManual manual_of(const CLI::App& app) { return command_manual(app, ""); }

const CommandManual& find_manual(const CommandManual& root, const std::vector<std::string>& words) {
  const CommandManual* here = &root;
  for (const std::string& word : words) {
    std::vector<std::string> names;
    const CommandManual* next = nullptr;
    for (const CommandManual& command : here->commands) {
      names.push_back(command.name);
      if (command.name == word) next = &command;
    }
    if (next == nullptr) {
      const std::string near = nearest(word, names);
      fail(Kind::usage, "no command '{} {}'{}", here->path, word,
           near.empty() ? "" : fmt::format(", did you mean '{}'?", near));
    }
    here = next;
  }
  return *here;
}

std::string synopsis(const CommandManual& manual) {
  std::string line = manual.path;
  bool has_options = false;  // beside --help, which every command has
  for (const OptionManual& option : manual.options) {
    if (!option.positional()) {
      has_options = has_options || option.names.back() != "--help";
      continue;
    }
    const std::string value = option.value + (option.repeats ? "..." : "");
    line += option.required ? " " + value : " [" + value + "]";
  }
  if (!manual.commands.empty()) line += " COMMAND";
  if (has_options) line += " [options]";
  return line;
}

const std::vector<Entry>& exit_codes() {
  static const std::vector<Entry> codes = {
      {"0", "it worked"},
      {"2", "the arguments make no sense"},
      {"65", "the data is bad: a broken photo, prompt file or checkpoint, or a limit was reached"},
      {"66", "an input does not exist or cannot be opened"},
      {"69", "a model is not in the store, or cannot be had"},
      {"70", "a defect of Beckon, or no memory left"},
      {"73", "a result cannot be written"},
      {"75", "trying again may help: the disk is full, shards are missing or being worked on"},
      {"130", "interrupted by Ctrl-C or SIGTERM; nothing is left half written"},
  };
  return codes;
}

const std::vector<Entry>& environment_variables() {
  static const std::vector<Entry> variables = {
      {"BECKON_HOME", "the folder of models and caches, instead of the XDG folders"},
      {"BECKON_CACHE", "the folder of embeddings, instead of the one for caches"},
      {"BECKON_CACHE_SIZE", "how large it may grow: 2G if not set"},
      {"BECKON_THREADS", "how many threads compute; the default is the CPUs this process may use"},
      {"BECKON_CPU", "the best instruction set to use: base, sse4, avx2 or avx3 (AVX-512)"},
      {"BECKON_SHARDS",
       "how many shards a folder is annotated in, where the scheduler only numbers them"},
      {"NO_COLOR", "if set, messages are not coloured"},
  };
  return variables;
}

std::string nearest(const std::string& word, const std::vector<std::string>& names) {
  std::string best;
  size_t fewest = 3;
  for (const std::string& name : names) {
    const size_t slips = typing_slips(word, name);
    // Two slips turn any short name into any other: they must leave more than they change.
    if (slips < fewest && 2 * slips < name.size()) {
      fewest = slips;
      best = name;
    }
  }
  return best;
}

}  // namespace beckon::cli
