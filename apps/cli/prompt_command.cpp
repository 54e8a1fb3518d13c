// beckon prompt: looking into a learned prompt.
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/checkpoint.h"
#include "beckon/classifier_prompt.h"
#include "files.h"
#include "json.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

struct PromptCommandArguments {
  std::string prompt, backbone, output;
  bool json = false;
};

// Entries that are JSON in the file are JSON here.
Json parsed(const std::string& value) {
  if (value.empty() || (value[0] != '{' && value[0] != '[')) return value;
  Json json = Json::parse(value, nullptr, false);
  return json.is_discarded() ? Json(value) : json;
}

void run_show(const PromptCommandArguments& a) {
  const auto about = ClassifierPrompt::describe(a.prompt);
  const Checkpoint file = Checkpoint::open(a.prompt);
  Json tensors = Json::array();
  int64_t numbers = 0;
  for (const std::string& name : file.names()) {
    const Shape& shape = file.info(name).shape;
    Json sizes = Json::array();
    for (const int64_t size : shape) sizes.push_back(size);
    tensors.push_back({{"name", name}, {"shape", sizes}});
    numbers += shape.elements();
  }
  if (a.json) {
    Json json = Json::object();
    for (const auto& [key, value] : about) json[key] = parsed(value);
    json["tensors"] = tensors;
    json["numbers"] = numbers;
    json["bytes"] = std::filesystem::file_size(a.prompt);
    print(text_of(json));
    return;
  }
  const auto of = [&](const char* key) {
    const auto found = about.find(key);
    return found == about.end() ? std::string("?") : on_one_line(found->second);
  };
  std::string text =
      fmt::format("method    {}\nbackbone  {} (sha256 {})\ndata      {}, {}\n", of("method"),
                  of("backbone"), of("backbone_sha256").substr(0, 16), of("data"), of("pictures"));
  text += fmt::format("metrics   {}\noptions   {}\ntraining  {}\n", of("metrics"),
                      of("method_options").substr(0, 400), of("training"));
  const Json labels = parsed(about.contains("labels") ? about.at("labels") : "[]");
  text += fmt::format("labels    {}:", labels.size());
  for (size_t i = 0; i < labels.size() && i < 20; ++i)
    text += " " + on_one_line(labels[i].is_string() ? labels[i].get<std::string>() : "?") +
            (i + 1 < labels.size() ? "," : "");
  text += labels.size() > 20 ? " ...\n" : "\n";
  text += fmt::format("tensors   {} with {} numbers, {}\n", file.names().size(), numbers,
                      human_bytes(std::filesystem::file_size(a.prompt)));
  for (const std::string& name : file.names())
    text += fmt::format("  {} {}\n", on_one_line(name), file.info(name).shape.str());
  print(text);
}

void run_export_png(const PromptCommandArguments& a) {
  expect_output(a.output);
  const auto prompt = ClassifierPrompt::load(a.prompt, a.backbone);
  const auto picture = prompt.picture();
  if (!picture)
    fail(Kind::usage, "{}: '{}' is no prompt of pixels; there is no picture of it", a.prompt,
         prompt.about().at("method"));
  write_output(a.output, picture->encode_png());
}

}  // namespace

void add_prompt(CLI::App& program) {
  CLI::App* command = program.add_subcommand("prompt", "Look into a learned prompt");
  command->footer(
      "beckon prompt show flowers.safetensors\n"
      "beckon prompt export-png program.safetensors -o program.png");
  command->require_subcommand(0, 1);
  auto a = std::make_shared<PromptCommandArguments>();
  CLI::App* shown =
      command->add_subcommand("show", "How it was made, how well it does, what is in it");
  shown->footer("beckon prompt show flowers.safetensors --json");
  shown->add_option("prompt", a->prompt, "A file that beckon learn wrote")
      ->type_name("FILE")
      ->required();
  shown->add_flag("--json", a->json, "Print one JSON object");
  shown->callback([a] { run_show(*a); });

  CLI::App* png = command->add_subcommand(
      "export-png",
      "Write a prompt of pixels as a picture; what is added to a picture is around grey");
  png->footer("beckon prompt export-png frame.safetensors -o frame.png");
  png->add_option("prompt", a->prompt, "A file that beckon learn wrote")
      ->type_name("FILE")
      ->required();
  png->add_option("-o,--output", a->output, "Write the picture here; - is standard output")
      ->type_name("FILE")
      ->required();
  png->add_option("--backbone", a->backbone, "Its network, if it is not where it was")
      ->type_name("MODEL");
  png->callback([a] { run_export_png(*a); });
}

}  // namespace beckon::cli
