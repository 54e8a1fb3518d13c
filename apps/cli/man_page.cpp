#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include "beckon/version.h"
#include "manual.h"

namespace beckon::cli {
namespace {

// Text that roff prints as it stands.
std::string roff(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if ((c == '.' || c == '\'') && (out.empty() || out.back() == '\n'))
      out += std::string("\\&") + c;  // a line that begins with a dot would be a request
    else
      out += c;
  }
  return out;
}

std::string entry(const std::string& label, const std::string& text) {
  return fmt::format(".TP\n{}\n{}\n", label, roff(text));
}

std::string bold(const std::string& text) { return "\\fB" + roff(text) + "\\fR"; }
std::string italic(const std::string& text) { return "\\fI" + roff(text) + "\\fR"; }

std::string option_entry(const OptionManual& option) {
  std::string label;
  if (option.positional()) {
    label = italic(option.value);
  } else {
    for (const std::string& name : option.names) label += (label.empty() ? "" : ", ") + bold(name);
    if (!option.value.empty()) label += " " + italic(option.value);
  }
  std::string text = option.summary;
  if (!option.choices.empty()) text += fmt::format(" ({})", fmt::join(option.choices, ", "));
  if (option.repeats && !option.positional()) text += "; may be repeated";
  return entry(label, text);
}

// A section for each command, those below it after it.
std::string command_sections(const CommandManual& manual) {
  std::string out;
  for (const CommandManual& command : manual.commands) {
    out += fmt::format(".SS {}\n{}.\n", roff(synopsis(command)), roff(command.summary));
    for (const OptionManual& option : command.options) {
      if (option.positional() || option.names.back() != "--help") out += option_entry(option);
    }
    if (!command.examples.empty())
      out += fmt::format(".PP\n.nf\n.RS\n{}\n.RE\n.fi\n", roff(command.examples));
    out += command_sections(command);
  }
  return out;
}

}  // namespace

std::string man_page(const CommandManual& root) {
  std::string out = fmt::format(".TH BECKON 1 \"\" \"beckon {}\" \"User Commands\"\n", version());
  out += fmt::format(".SH NAME\nbeckon \\- {}\n", roff(root.summary));
  out += fmt::format(".SH SYNOPSIS\n.B beckon\n{}\n",
                     roff(synopsis(root).substr(root.name.size() + 1)));
  out += ".SH OPTIONS\n";
  for (const OptionManual& option : root.options) out += option_entry(option);
  out += ".SH COMMANDS\n" + command_sections(root);
  out += ".SH EXIT STATUS\n";
  for (const Entry& code : exit_codes()) out += entry(bold(code.name), code.meaning);
  out += ".SH ENVIRONMENT\n";
  for (const Entry& variable : environment_variables())
    out += entry(bold(variable.name), variable.meaning);
  if (!root.examples.empty())
    out += fmt::format(".SH EXAMPLES\n.nf\n{}\n.fi\n", roff(root.examples));
  return out;
}

}  // namespace beckon::cli
