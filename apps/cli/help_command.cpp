// beckon help, beckon man, beckon completion: what the program says of itself.
#include <CLI/CLI.hpp>

#include "manual.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {

void add_help(CLI::App& program) {
  CLI::App* command = program.add_subcommand("help", "Explain a command");
  command->footer("beckon help doctor");
  auto words = std::make_shared<std::vector<std::string>>();
  command->add_option("COMMAND", *words, "The command to explain; without it, all of them");
  command->callback(
      [&program, words] { print(help_text(find_manual(manual_of(program), *words))); });
}

void add_man(CLI::App& program) {
  CLI::App* command = program.add_subcommand("man", "Print the manual page");
  command->footer("beckon man | man -l -");
  command->callback([&program] { print(man_page(manual_of(program))); });
}

void add_completion(CLI::App& program) {
  CLI::App* command = program.add_subcommand("completion", "Print a completion script for a shell");
  command->footer("source <(beckon completion bash)");
  auto shell = std::make_shared<std::string>();
  command->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  command->callback([&program, shell] { print(completion_script(manual_of(program), *shell)); });
}

}  // namespace beckon::cli
