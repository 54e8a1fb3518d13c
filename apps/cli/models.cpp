// beckon models: what is in the store, and how it gets there.
#include <algorithm>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/store.h"
#include "interrupt.h"
#include "json.h"
#include "program.h"
#include "store_progress.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

Json json_of(const ModelFile& file) {
  return {{"path", file.path},
          {"bytes", file.bytes},
          {"sha256", file.sha256},
          {"pinned", file.pinned},
          {"ok", file.ok}};
}

Json json_of(const std::vector<ModelFile>& files) {
  Json list = Json::array();
  for (const ModelFile& file : files) list.push_back(json_of(file));
  return list;
}

void list(bool json, bool names) {
  const std::vector<ModelSummary> models = Store().list();
  if (json) {
    Json report = Json::array();
    for (const ModelSummary& model : models) {
      report.push_back({{"name", model.name},
                        {"state", name_of(model.state)},
                        {"bytes", model.bytes},
                        {"about", model.about},
                        {"licence", model.licence},
                        {"path", model.path},
                        {"origin", model.origin}});
    }
    print(text_of(report));
    return;
  }
  size_t width = 0;
  for (const ModelSummary& model : models) width = std::max(width, model.name.size());
  std::string out;
  for (const ModelSummary& model : models) {
    out += names ? model.name + "\n"
                 : fmt::format("{:<{}} {:<8} {:>9}  {}\n", model.name, width, name_of(model.state),
                               human_bytes(model.bytes), model.about);
  }
  print(out);
}

void pull(const std::vector<std::string>& names) {
  const Store store;
  for (const std::string& name : names) {
    {
      const HoldInterrupts hold;
      store.pull(name, talk_about(name));
    }
    stop_if_interrupted();
    say(fmt::format("{}: here, in {}", name, store.find(name)));
  }
}

void show(const std::string& model, bool json) {
  const ModelDetails details = Store().show(model);
  if (json) {
    print(text_of({{"name", details.name},
                   {"path", details.path},
                   {"format", details.format},
                   {"source", details.source},
                   {"licence", details.licence},
                   {"sha256", details.sha256},
                   {"tensors", details.tensors},
                   {"parameters", details.parameters},
                   {"files", json_of(details.files)}}));
    return;
  }
  std::string out;
  const auto line = [&out](const char* label, const std::string& text) {
    if (!text.empty()) out += fmt::format("{:<11} {}\n", label, text);
  };
  line("name", details.name);
  line("path", details.path);
  line("format", details.format);
  line("source", details.source);
  line("licence", details.licence);
  line("sha256", details.sha256);
  line("tensors", fmt::format("{}", details.tensors));
  line("parameters", fmt::format("{}", details.parameters));
  for (const ModelFile& file : details.files)
    line(file.ok ? "file" : "DAMAGED",
         fmt::format("{}  {}  {}", file.sha256, human_bytes(file.bytes), file.path));
  print(out);
}

void verify(std::vector<std::string> models, bool json) {
  const Store store;
  if (models.empty()) {
    for (const ModelSummary& model : store.list()) {
      if (model.state == ModelState::present || model.state == ModelState::damaged)
        models.push_back(model.name);
    }
  }
  Json report = Json::array();
  std::string out, broken, broken_model;
  for (const std::string& model : models) {
    const std::vector<ModelFile> files = store.verify(model, talk_about(model));
    report.push_back({{"model", model}, {"files", json_of(files)}});
    for (const ModelFile& file : files) {
      // Without a published hash there is nothing to be ok against.
      const char* state = !file.ok ? "broken" : file.pinned.empty() ? "hashed" : "ok";
      out += fmt::format("{:<7} {}  {}\n", state, file.sha256, file.path);
      if (!file.ok && broken.empty()) {
        broken = file.path;
        broken_model = model;
      }
    }
  }
  print(json ? text_of(report) : out);
  if (!broken.empty())
    fail(Kind::model,
         "{}: not the file that was published; get it again with: beckon models pull {}", broken,
         broken_model);
}

void convert(const std::string& model, const std::string& output, const std::string& dtype) {
  const DType floats = dtype == "f16" ? DType::f16 : dtype == "bf16" ? DType::bf16 : DType::f32;
  {
    const HoldInterrupts hold;
    Store().convert(model, output, floats);
  }
  stop_if_interrupted();
}

void add_list(CLI::App& models) {
  CLI::App* command = models.add_subcommand("list", "List the known models and which are here");
  command->footer("beckon models list\nbeckon models list --json");
  struct Options {
    bool json = false, names = false;
  };
  auto options = std::make_shared<Options>();
  command->add_flag("--json", options->json, "Print a JSON array");
  command->add_flag("--names", options->names, "Print the names only, one a line");
  command->callback([options] { list(options->json, options->names); });
}

void add_pull(CLI::App& models) {
  CLI::App* command =
      models.add_subcommand("pull", "Fetch models into the store; nothing is done for those here");
  command->footer("beckon models pull mobile-sam");
  auto names = std::make_shared<std::vector<std::string>>();
  command->add_option("MODEL", *names, "Names, as `beckon models list` shows them")->required();
  command->callback([names] { pull(*names); });
}

void add_show(CLI::App& models) {
  CLI::App* command =
      models.add_subcommand("show", "Show where a model is, what it is made of and its hash");
  command->footer("beckon models show mobile-sam\nbeckon models show sam_vit_b_01ec64.pth --json");
  struct Options {
    std::string model;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "A name, or the path of a checkpoint")->required();
  command->add_flag("--json", options->json, "Print one JSON object");
  command->callback([options] { show(options->model, options->json); });
}

void add_verify(CLI::App& models) {
  CLI::App* command =
      models.add_subcommand("verify", "Hash the files of models again; code 65 if one is broken");
  command->footer("beckon models verify\nbeckon models verify mobile-sam --json");
  struct Options {
    std::vector<std::string> models;
    bool json = false;
  };
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->models, "Names; without one, all models that are here");
  command->add_flag("--json", options->json, "Print a JSON array");
  command->callback([options] { verify(options->models, options->json); });
}

void add_model_convert(CLI::App& models) {
  CLI::App* command = models.add_subcommand(
      "convert", "Write a model as one safetensors file, under the official names");
  command->footer("beckon models convert mobile-sam -o mobile_sam.safetensors --dtype f16");
  struct Options {
    std::string model, output, dtype = "f32";
  };
  auto options = std::make_shared<Options>();
  command->add_option("MODEL", options->model, "A name, or the path of a checkpoint")->required();
  command->add_option("-o,--output", options->output, "The file to write")
      ->required()
      ->type_name("FILE");
  command->add_option("--dtype", options->dtype, "How to store floats; f32 if not given")
      ->type_name("TYPE")
      ->check(CLI::IsMember({"f32", "f16", "bf16"}));
  command->callback([options] { convert(options->model, options->output, options->dtype); });
}

}  // namespace

void add_models(CLI::App& program) {
  CLI::App* command = program.add_subcommand("models", "Fetch, list, check and convert models");
  command->footer("beckon models list\nbeckon models pull mobile-sam");
  command->require_subcommand(0, 1);
  add_list(*command);
  add_pull(*command);
  add_show(*command);
  add_verify(*command);
  add_model_convert(*command);
}

}  // namespace beckon::cli
