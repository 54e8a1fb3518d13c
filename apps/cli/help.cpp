#include <algorithm>

#include <fmt/format.h>

#include "manual.h"

namespace beckon::cli {
namespace {

constexpr size_t kLineWidth = 100;
constexpr size_t kWidestLabel = 30;

// Breaks `text` between words; lines after the first begin with `indent` spaces.
std::string wrapped(const std::string& text, size_t indent) {
  std::string out;
  size_t column = indent;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const size_t length = end - begin;
    if (!out.empty()) {
      if (column + 1 + length > kLineWidth) {
        out += '\n' + std::string(indent, ' ');
        column = indent;
      } else {
        out += ' ';
        ++column;
      }
    }
    out.append(text, begin, length);
    column += length;
    begin = end + 1;
  }
  return out;
}

struct Row {
  std::string label, text;
};

// A heading and two columns; nothing for no rows.
std::string table(const std::string& heading, const std::vector<Row>& rows) {
  if (rows.empty()) return "";
  size_t width = 0;
  for (const Row& row : rows) {
    if (row.label.size() <= kWidestLabel) width = std::max(width, row.label.size());
  }
  const size_t indent = 2 + width + 2;
  std::string out = "\n" + heading + ":\n";
  for (const Row& row : rows) {
    out += "  " + row.label;
    if (row.label.size() > width)
      out += "\n" + std::string(indent, ' ');
    else
      out += std::string(width - row.label.size() + 2, ' ');
    out += wrapped(row.text, indent) + "\n";
  }
  return out;
}

std::string label(const OptionManual& option) {
  if (option.positional()) return option.value + (option.repeats ? "..." : "");
  // Long names stand in one column whether there is a short one or not.
  std::string text = option.names[0].size() > 2 ? "    " : "";
  text += fmt::format("{}", fmt::join(option.names, ", "));
  if (!option.value.empty()) text += " " + option.value;
  return text;
}

std::string explanation(const OptionManual& option) {
  std::string text = option.summary;
  if (!option.choices.empty()) text += fmt::format(" ({})", fmt::join(option.choices, ", "));
  if (option.repeats && !option.positional()) text += "; may be repeated";
  return text;
}

std::vector<Row> rows_of(const std::vector<Entry>& entries) {
  std::vector<Row> rows;
  rows.reserve(entries.size());
  for (const Entry& entry : entries) rows.push_back({entry.name, entry.meaning});
  return rows;
}

}  // namespace

std::string help_text(const CommandManual& manual) {
  std::string out = wrapped(manual.summary, 0) + "\n\nUsage: " + synopsis(manual) + "\n";
  std::vector<Row> commands, arguments, options;
  for (const CommandManual& command : manual.commands)
    commands.push_back({command.name, command.summary});
  std::vector<std::pair<std::string, std::vector<Row>>> groups;
  for (const OptionManual& option : manual.options) {
    std::vector<Row>* rows = option.positional() ? &arguments : &options;
    if (!option.heading.empty()) {
      if (groups.empty() || groups.back().first != option.heading)
        groups.push_back({option.heading, {}});
      rows = &groups.back().second;
    }
    rows->push_back({label(option), explanation(option)});
  }
  out += table("Commands", commands) + table("Arguments", arguments) + table("Options", options);
  for (const auto& [heading, rows] : groups) out += table(heading, rows);
  const bool whole_program = manual.path == manual.name;
  if (whole_program) {
    out += table("Exit codes", rows_of(exit_codes()));
    out += table("Environment", rows_of(environment_variables()));
  }
  if (!manual.examples.empty()) {
    out += "\nExamples:\n";
    for (size_t begin = 0; begin < manual.examples.size();) {
      const size_t end = std::min(manual.examples.find('\n', begin), manual.examples.size());
      out += "  " + manual.examples.substr(begin, end - begin) + "\n";
      begin = end + 1;
    }
  }
  if (!manual.commands.empty())
    out += fmt::format("\nMore: beckon help {}COMMAND\n",
                       whole_program ? "" : manual.path.substr(manual.path.find(' ') + 1) + " ");
  return out;
}

}  // namespace beckon::cli
