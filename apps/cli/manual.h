// The command line as plain data: what help, the man page and shell completion are made from. Read
// off the parser itself, so that none of them can say what the program does not do.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace beckon::cli {

struct OptionManual {
  std::vector<std::string> names;    // "-o", "--output"; empty for a positional argument
  std::string value;                 // "FILE", "X,Y"; the name of a positional; empty for a flag
  std::vector<std::string> choices;  // the values it can take, if they are few
  std::string summary;
  std::string heading;  // of a group of options in the help; empty for the usual ones
  bool required = false;
  bool repeats = false;

  bool positional() const { return names.empty(); }
};

struct CommandManual {
  std::string path;                   // "beckon models pull"
  std::string name;                   // "pull"
  std::string summary;                // a phrase without a full stop
  std::string examples;               // lines to paste
  std::vector<OptionManual> options;  // positional ones first
  std::vector<CommandManual> commands;
};

CommandManual manual_of(const CLI::App& app);

// The manual of `words` below `root` ({"models", "pull"}). Throws Error(usage) with the nearest
// name for one that does not exist.
const CommandManual& find_manual(const CommandManual& root, const std::vector<std::string>& words);

// What `beckon help ...` prints.
std::string help_text(const CommandManual& manual);
// The page beckon(1), in the man macros of roff.
std::string man_page(const CommandManual& root);
// A completion script for "bash", "zsh" or "fish".
std::string completion_script(const CommandManual& root, const std::string& shell);

// "beckon models pull MODEL... [options]"
std::string synopsis(const CommandManual& manual);

// Named values that the help and the man page list.
struct Entry {
  const char* name;
  const char* meaning;
};
const std::vector<Entry>& exit_codes();
const std::vector<Entry>& environment_variables();

// The nearest of `names` if it is at most two typing slips away, else empty.
std::string nearest(const std::string& word, const std::vector<std::string>& names);

}  // namespace beckon::cli
