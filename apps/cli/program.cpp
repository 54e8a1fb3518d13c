#include "program.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/version.h"
#include "manual.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

// The innermost command that the arguments name.
const CLI::App& named_command(const CLI::App& program) {
  const CLI::App* command = &program;
  for (auto below = command->get_subcommands(); !below.empty(); below = command->get_subcommands())
    command = below.front();
  return *command;
}

// "beckon", "models", "pull" joined.
std::string path_of(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  return parent == nullptr ? command.get_name() : path_of(*parent) + " " + command.get_name();
}

std::string see_help(const CLI::App& command) {
  if (command.get_name() == "help") return "(see: beckon help)";
  const std::string path = path_of(command);
  const size_t space = path.find(' ');
  return fmt::format("(see: beckon help{})", space == std::string::npos ? "" : path.substr(space));
}

std::string suggestion(const std::string& word, const std::vector<std::string>& names) {
  const std::string near = nearest(word, names);
  return near.empty() ? "" : fmt::format(", did you mean '{}'?", near);
}

std::string help_for(const CLI::App& program) {
  std::vector<std::string> words;
  for (const CLI::App* command = &named_command(program); command->get_parent() != nullptr;
       command = command->get_parent())
    words.insert(words.begin(), command->get_name());
  return help_text(find_manual(manual_of(program), words));
}

// What the parser could not place.
std::string unexpected(const CLI::App& command, const std::string& word) {
  std::vector<std::string> names;
  if (word.starts_with("-")) {
    const std::string name = word.substr(0, word.find('='));
    for (const CLI::Option* option : command.get_options({})) {
      for (const std::string& known : option->get_lnames()) names.push_back("--" + known);
    }
    return fmt::format("unknown option '{}'{}", name, suggestion(name, names));
  }
  for (const CLI::App* below : command.get_subcommands({})) names.push_back(below->get_name());
  if (names.empty()) return fmt::format("unexpected argument '{}'", word);
  return fmt::format("unknown command '{}'{}", word, suggestion(word, names));
}

// Variables that would be passed over if they made no sense.
void check_environment() {
  if (const char* threads = std::getenv("BECKON_THREADS")) {
    char* end = nullptr;
    const long value = std::strtol(threads, &end, 10);
    if (end == threads || *end != 0 || value < 1 || value > 256)
      fail(Kind::usage, "BECKON_THREADS is '{}', expected 1 to 256", threads);
  }
  if (const char* cpu = std::getenv("BECKON_CPU")) {
    const std::string_view name = cpu;
    if (name != "avx3" && name != "avx2" && name != "sse4" && name != "base")
      fail(Kind::usage, "BECKON_CPU is '{}', expected avx3, avx2, sse4 or base", name);
  }
}

// CLI11's errors in the words of ours.
std::string explain(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& command = named_command(program);
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> words = program.remaining(true);
    if (!words.empty()) return unexpected(command, words.front());
  }
  std::string text = error.what();
  // "Could not convert: --next = x". Options that are converted are numbers, here.
  constexpr std::string_view kUnread = "Could not convert: ";
  if (const size_t is = text.find(" = "); text.rfind(kUnread, 0) == 0 && is != text.npos)
    return fmt::format("{} '{}': expected a number",
                       text.substr(kUnread.size(), is - kUnread.size()), text.substr(is + 3));
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

}  // namespace

std::unique_ptr<CLI::App> make_program() {
  auto program = std::make_unique<CLI::App>(
      "Visual prompting in plain C++: point, box or scribble on a photo and get masks", "beckon");
  program->set_help_flag("-h,--help", "Show this help");
  program->set_version_flag("--version", std::string("beckon ") + version(),
                            "Show the version and leave");
  program->footer(
      "beckon models pull mobile-sam\n"
      "beckon segment photo.jpg --point 500,375 -o mask.png\n"
      "beckon help segment");
  // One command at a time: a second command's name is then an argument, as in `beckon help doctor`.
  program->require_subcommand(0, 1);
  add_segment(*program);
  add_annotate(*program);
  add_serve(*program);
  add_annotations(*program);
  add_engine(*program);
  add_embed(*program);
  add_cache(*program);
  add_models(*program);
  add_convert(*program);
  add_boxes2masks(*program);
  add_classify(*program);
  add_detect(*program);
  add_learn(*program);
  add_prompt(*program);
  add_compare(*program);
  add_eval(*program);
  add_bench(*program);
  add_doctor(*program);
  add_help(*program);
  add_completion(*program);
  add_man(*program);
  return program;
}

int run_program(int argc, const char* const* argv) {
  check_environment();
  const auto program = make_program();
  try {
    program->parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    print(help_for(*program));
    return 0;
  } catch (const CLI::CallForVersion&) {
    print(fmt::format("beckon {}\n", version()));
    return 0;
  } catch (const CLI::ParseError& error) {
    fail(Kind::usage, "{} {}", explain(*program, error), see_help(named_command(*program)));
  } catch (const Error& error) {
    if (error.kind() != Kind::usage) throw;
    fail(Kind::usage, "{} {}", error.what(), see_help(named_command(*program)));
  }
  const CLI::App& command = named_command(*program);
  if (!command.get_subcommands({}).empty()) {
    // Nothing to do was named: what there is, on stderr, since it was not asked for.
    show(help_for(*program));
    return exit_code(Kind::usage);
  }
  return 0;
}

}  // namespace beckon::cli
