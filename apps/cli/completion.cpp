// Completion scripts for three shells, written out from the manual.
#include <fmt/format.h>

#include "base/fail.h"
#include "manual.h"

namespace beckon::cli {
namespace {

// What a value can be, as the shells see it.
bool is_file(const std::string& value) {
  return value == "FILE" || value == "PHOTO" || value == "FOLDER";
}
bool is_model(const std::string& value) { return value == "MODEL"; }

constexpr const char* kModelNames = "beckon models list --names 2>/dev/null";

std::string option_words(const CommandManual& manual) {
  std::string words;
  for (const OptionManual& option : manual.options) {
    for (const std::string& name : option.names) words += (words.empty() ? "" : " ") + name;
  }
  return words;
}

std::string command_words(const CommandManual& manual) {
  std::string words;
  for (const CommandManual& command : manual.commands)
    words += (words.empty() ? "" : " ") + command.name;
  return words;
}

template <typename Visit>
void for_each_command(const CommandManual& manual, const Visit& visit) {
  visit(manual);
  for (const CommandManual& command : manual.commands) for_each_command(command, visit);
}

// The values of one option or argument as a bash command that fills COMPREPLY.
std::string bash_values(const OptionManual& option) {
  if (!option.choices.empty())
    return fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))",
                       fmt::join(option.choices, " "));
  if (is_model(option.value))
    return fmt::format("COMPREPLY=($(compgen -W \"$({})\" -- \"$cur\"))", kModelNames);
  if (is_file(option.value))
    return "compopt -o filenames 2>/dev/null || :; COMPREPLY=($(compgen -f -- \"$cur\"))";
  return "COMPREPLY=()";
}

std::string bash_script(const CommandManual& root) {
  std::string paths, values, words;
  for_each_command(root, [&](const CommandManual& manual) {
    if (&manual != &root) paths += (paths.empty() ? "" : "|") + fmt::format("'{}'", manual.path);
    std::string positional = "COMPREPLY=()";
    for (const OptionManual& option : manual.options) {
      if (option.positional()) positional = bash_values(option);
      if (option.positional() || option.value.empty()) continue;
      for (const std::string& name : option.names)
        values +=
            fmt::format("    '{} {}') {}; return ;;\n", manual.path, name, bash_values(option));
    }
    if (!manual.commands.empty())
      positional = fmt::format("COMPREPLY=($(compgen -W '{}' -- \"$cur\"))", command_words(manual));
    words += fmt::format("    '{}') options='{}'; [[ $cur == -* ]] || {{ {}; return; }} ;;\n",
                         manual.path, option_words(manual), positional);
  });
  return fmt::format(R"(# bash completion for beckon
_beckon() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} command=beckon options= i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$command ${{COMP_WORDS[i]}}" in
      {}) command+=" ${{COMP_WORDS[i]}}" ;;
    esac
  done
  case "$command $prev" in
{}  esac
  case $command in
{}  esac
  COMPREPLY=($(compgen -W "$options" -- "$cur"))
}}
complete -F _beckon beckon
)",
                     paths, values, words);
}

// Text inside single quotes, in brackets or before a colon of _arguments.
std::string zsh_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'')
      out += "'\\''";
    else if (c == '[' || c == ']' || c == ':')
      out += std::string("\\") + c;
    else
      out += c;
  }
  return out;
}

std::string zsh_values(const OptionManual& option) {
  if (!option.choices.empty()) return fmt::format("({})", fmt::join(option.choices, " "));
  if (is_model(option.value)) return fmt::format("($({}))", kModelNames);
  if (is_file(option.value)) return "_files";
  return "";
}

std::string zsh_function_name(const CommandManual& manual) {
  std::string name = "_" + manual.path;
  for (char& c : name) {
    if (c == ' ') c = '_';
  }
  return name;
}

std::string zsh_script(const CommandManual& root) {
  std::string functions;
  for_each_command(root, [&](const CommandManual& manual) {
    std::string arguments;
    for (const OptionManual& option : manual.options) {
      if (option.positional()) {
        arguments += fmt::format(" \\\n    '{}:{}:{}'", option.repeats ? "*" : "",
                                 zsh_text(option.value), zsh_values(option));
        continue;
      }
      for (const std::string& name : option.names) {
        arguments += fmt::format(
            " \\\n    '{}{}[{}]{}'", option.repeats ? "*" : "", name, zsh_text(option.summary),
            option.value.empty()
                ? ""
                : fmt::format(":{}:{}", zsh_text(option.value), zsh_values(option)));
      }
    }
    if (manual.commands.empty()) {
      functions +=
          fmt::format("{}() {{\n  _arguments{}\n}}\n\n", zsh_function_name(manual), arguments);
      return;
    }
    std::string commands, cases;
    for (const CommandManual& command : manual.commands) {
      commands += fmt::format("    '{}:{}'\n", command.name, zsh_text(command.summary));
      cases += fmt::format("    {}) {} ;;\n", command.name, zsh_function_name(command));
    }
    functions += fmt::format(R"({}() {{
  local context state state_descr line
  typeset -A opt_args
  local -a commands=(
{}  )
  _arguments -C{} \
    '1: :->command' '*:: :->rest'
  case $state in
    command) _describe command commands ;;
    rest) case $line[1] in
{}    esac ;;
  esac
}}

)",
                             zsh_function_name(manual), commands, arguments, cases);
  });
  return "#compdef beckon\n# zsh completion for beckon\n\n" + functions +
         "if [ \"$funcstack[1]\" = _beckon ]; then _beckon \"$@\"; else compdef _beckon beckon; "
         "fi\n";
}

std::string fish_text(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string fish_values(const OptionManual& option) {
  if (!option.choices.empty()) return fmt::format(" -a '{}'", fmt::join(option.choices, " "));
  if (is_model(option.value)) return fmt::format(" -a '({})'", kModelNames);
  if (is_file(option.value)) return " -F";
  return "";
}

// When the words so far name exactly this command: all words of its path were seen, and no command
// below it.
std::string fish_condition(const CommandManual& manual) {
  std::string condition = manual.path.find(' ') == std::string::npos ? "true" : "";
  for (size_t begin = manual.path.find(' '); begin != std::string::npos;) {
    const size_t end = manual.path.find(' ', begin + 1);
    condition += fmt::format("{}__fish_seen_subcommand_from {}", condition.empty() ? "" : "; and ",
                             manual.path.substr(begin + 1, end - begin - 1));
    begin = end;
  }
  if (!manual.commands.empty())
    condition += fmt::format("; and not __fish_seen_subcommand_from {}", command_words(manual));
  return condition;
}

std::string fish_script(const CommandManual& root) {
  std::string out = "# fish completion for beckon\ncomplete -c beckon -f\n";
  for_each_command(root, [&](const CommandManual& manual) {
    const std::string begin = fmt::format("complete -c beckon -n '{}'", fish_condition(manual));
    for (const CommandManual& command : manual.commands)
      out += fmt::format("{} -a {} -d '{}'\n", begin, command.name, fish_text(command.summary));
    for (const OptionManual& option : manual.options) {
      std::string line = begin;
      for (const std::string& name : option.names)
        line += name.size() == 2 ? " -s " + name.substr(1) : " -l " + name.substr(2);
      const std::string values = fish_values(option);
      // -x: these values and no files.
      if (!option.positional() && !option.value.empty())
        line += values.starts_with(" -a") ? " -x" : " -r";
      if (option.positional() && values.empty()) continue;
      out += fmt::format("{}{} -d '{}'\n", line, values, fish_text(option.summary));
    }
  });
  return out;
}

}  // namespace

std::string completion_script(const CommandManual& root, const std::string& shell) {
  if (shell == "bash") return bash_script(root);
  if (shell == "zsh") return zsh_script(root);
  if (shell == "fish") return fish_script(root);
  fail(Kind::usage, "shell '{}': expected bash, zsh or fish", shell);
}

}  // namespace beckon::cli
