// The command line: every command and its options.
#pragma once

#include <memory>

namespace CLI {
class App;
}

namespace beckon::cli {

// The parser, complete. Parsing runs the command that was named.
std::unique_ptr<CLI::App> make_program();

// Parses and runs. Returns the exit code where that is no error (help and version are printed);
// errors are thrown as beckon::Error, of Kind::usage with a hint for wrong arguments.
int run_program(int argc, const char* const* argv);

// One file a command: each adds itself to the program.
void add_segment(CLI::App& program);
void add_annotate(CLI::App& program);
void add_serve(CLI::App& program);
void add_annotations(CLI::App& program);
void add_engine(CLI::App& program);
void add_embed(CLI::App& program);
void add_cache(CLI::App& program);
void add_convert(CLI::App& program);
void add_boxes2masks(CLI::App& program);
void add_models(CLI::App& program);
void add_classify(CLI::App& program);
void add_detect(CLI::App& program);
void add_learn(CLI::App& program);
void add_prompt(CLI::App& program);
void add_compare(CLI::App& program);
void add_eval(CLI::App& program);
void add_bench(CLI::App& program);
void add_doctor(CLI::App& program);
void add_help(CLI::App& program);
void add_completion(CLI::App& program);
void add_man(CLI::App& program);

}  // namespace beckon::cli
