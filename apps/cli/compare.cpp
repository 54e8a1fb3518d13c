// beckon compare: methods side by side, in the table of the VPT paper.
#include <algorithm>
#include <cmath>
#include <set>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/version.h"
#include "files.h"
#include "interrupt.h"
#include "json.h"
#include "learn/methods/trainable.h"
#include "program.h"
#include "terminal.h"
#include "training_arguments.h"

namespace beckon::cli {
namespace {

struct CompareArguments {
  std::vector<std::string> methods, data;
  std::vector<double> rates;
  std::string backbone, output;
  int64_t seeds = 3;
  double validation = 0.2;
  bool skip_broken = false, json = false;
};

// One method on one data set.
struct Cell {
  std::vector<double> accuracy;  // a seed each, 0 to 1
  double rate = 0;               // 0: the method's own
  int64_t parameters = 0, backbone = 0;
  double seconds = 0;
  bool on_test = false;

  double mean() const {
    double sum = 0;
    for (const double a : accuracy) sum += a;
    return sum / static_cast<double>(accuracy.size());
  }
  // Of a sample: 0 for one.
  double spread() const {
    if (accuracy.size() < 2) return 0;
    double sum = 0;
    for (const double a : accuracy) sum += (a - mean()) * (a - mean());
    return std::sqrt(sum / static_cast<double>(accuracy.size() - 1));
  }
};

// Where a method's numbers are put: at the input, or in the network.
const char* scope_of(const std::string& method) {
  if (method == "linear" || method.starts_with("mlp-")) return "head";
  if (method.starts_with("vpt-") || method.starts_with("pixel-") || method == "reprogram")
    return "input";
  return method == "sidetune" ? "beside" : "backbone";
}

LearnedClassifier learned(const CompareArguments& a, const TrainingArguments& training,
                          const std::string& method, const std::string& data, uint64_t seed,
                          double rate, Progress& line) {
  LearnClassifierOptions o = training.options();
  o.method.name = method;
  o.seed = seed;
  o.validation = a.validation;
  o.skip_broken = a.skip_broken;
  if (rate > 0) o.learning_rate = rate;
  o.progress = [&](const LearnClassifierProgress& p) {
    if (p.stage == LearnClassifierProgress::Stage::learning)
      line.update(static_cast<uint64_t>(p.done), static_cast<uint64_t>(p.total));
    return !interrupted();
  };
  return learn_classifier(a.backbone, data, o);
}

double validation_of(const LearnedClassifier& l) {
  return l.epochs[static_cast<size_t>(l.best_epoch)].validation_accuracy;
}

Cell measured(const CompareArguments& a, const TrainingArguments& training,
              const std::string& method, const std::string& data) {
  Cell cell;
  const auto run = [&](uint64_t seed, double rate) {
    const std::string label = fmt::format("{} on {}, seed {}", method, data, seed);
    Progress line(label);
    return learned(a, training, method, data, seed, rate, line);
  };
  std::vector<LearnedClassifier> first;
  // The rate that does best on what was held out, with the first seed. Of equals the smaller one.
  for (const double rate : a.rates) {
    LearnedClassifier with = run(0, rate);
    if (first.empty() || validation_of(with) > validation_of(first.front())) {
      first.assign(1, std::move(with));
      cell.rate = rate;
    }
  }
  for (int64_t seed = 0; seed < a.seeds; ++seed) {
    const LearnedClassifier with =
        seed == 0 && !first.empty() ? first.front() : run(static_cast<uint64_t>(seed), cell.rate);
    cell.on_test = with.test_accuracy >= 0;
    cell.accuracy.push_back(cell.on_test ? with.test_accuracy : validation_of(with));
    cell.parameters = with.learned_parameters;
    cell.backbone = with.backbone_parameters;
    cell.seconds += with.seconds;
  }
  return cell;
}

void run_compare(CompareArguments a, const TrainingArguments& training) {
  std::sort(a.rates.begin(), a.rates.end());
  if (!a.output.empty()) expect_output(a.output);
  if (std::set<std::string>(a.methods.begin(), a.methods.end()).size() != a.methods.size())
    fail(Kind::usage, "--methods: one is named twice");
  std::vector<std::vector<Cell>> table;  // [method][data]
  {
    const HoldInterrupts hold;
    for (const std::string& method : a.methods) {
      auto& row = table.emplace_back();
      for (const std::string& data : a.data) row.push_back(measured(a, training, method, data));
    }
  }
  stop_if_interrupted();

  const auto full = std::find(a.methods.begin(), a.methods.end(), "full");
  const auto of_full = static_cast<size_t>(full - a.methods.begin());
  Json rows = Json::array();
  std::string text = "| method | total params | parameters a task | scope |";
  std::string rule = "|---|---|---|---|";
  bool all_tested = true;
  for (size_t d = 0; d < a.data.size(); ++d) {
    text += fmt::format(" {} |", on_one_line(a.data[d]));
    rule += "---|";
  }
  text += full == a.methods.end() ? "\n" : " wins against full |\n";
  text += rule + (full == a.methods.end() ? "\n" : "---|\n");
  for (size_t m = 0; m < a.methods.size(); ++m) {
    std::vector<int64_t> added;
    int64_t parameters = 0, wins = 0;
    std::string cells;
    Json json_cells = Json::array();
    for (size_t d = 0; d < a.data.size(); ++d) {
      const Cell& cell = table[m][d];
      all_tested = all_tested && cell.on_test;
      // Of "full" the backbone is counted by itself, so that only the head is added.
      const bool whole = a.methods[m] == "full";
      added.push_back(cell.parameters - (whole ? cell.backbone : 0));
      parameters += cell.parameters;
      if (full != a.methods.end()) wins += cell.mean() > table[of_full][d].mean();
      cells += a.seeds > 1
                   ? fmt::format(" {:.2f} ± {:.2f} |", 100 * cell.mean(), 100 * cell.spread())
                   : fmt::format(" {:.2f} |", 100 * cell.mean());
      json_cells.push_back({{"data", a.data[d]},
                            {"accuracy", cell.accuracy},
                            {"mean", cell.mean()},
                            {"spread", cell.spread()},
                            {"on", cell.on_test ? "test" : "validation"},
                            {"learning_rate", cell.rate > 0 ? Json(cell.rate) : Json()},
                            {"parameters", cell.parameters},
                            {"seconds", cell.seconds}});
    }
    const double total = learn::total_params(table[m][0].backbone, added, a.methods[m] == "full");
    const auto each = parameters / static_cast<int64_t>(a.data.size());
    text += fmt::format("| {} | {:.3f}x | {} | {} |{}", a.methods[m], total, each,
                        scope_of(a.methods[m]), cells);
    text += full == a.methods.end() ? "\n" : fmt::format(" {} of {} |\n", wins, a.data.size());
    Json row = {{"method", a.methods[m]},
                {"total_params", total},
                {"parameters", each},
                {"scope", scope_of(a.methods[m])},
                {"tasks", json_cells}};
    if (full != a.methods.end()) row["wins_against_full"] = wins;
    rows.push_back(row);
  }
  if (!all_tested)
    say("note: data without a test part are scored on the pictures that chose what is kept");
  const Json json = {{"version", version()},
                     {"backbone", a.backbone},
                     {"backbone_parameters", table[0][0].backbone},
                     {"seeds", a.seeds},
                     {"rows", rows}};
  if (!a.output.empty()) {
    const std::string& out = a.output.ends_with(".json") ? text_of(json) : text;
    write_output(a.output, {reinterpret_cast<const uint8_t*>(out.data()), out.size()});
  }
  print(a.json ? text_of(json) : text);
}

}  // namespace

void add_compare(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "compare", "Learn one task by several methods and print the table of the VPT paper");
  command->footer(
      "beckon compare --methods linear,vpt-deep,full --backbone vit-b16 --data flowers\n"
      "beckon compare --methods vpt-shallow,bias --backbone swin-b --data a --data b "
      "-o table.md");
  auto a = std::make_shared<CompareArguments>();
  const auto list = [](CLI::Option* option) {
    option->delimiter(',')->allow_extra_args(false)->multi_option_policy(
        CLI::MultiOptionPolicy::TakeAll);
    return option;
  };
  list(command->add_option("--methods", a->methods, "As of beckon learn"))
      ->type_name("A,B,...")
      ->required();
  command
      ->add_option("--data", a->data, "A data set, as of beckon learn; several times for several")
      ->type_name("DIR")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->required();
  command->add_option("--backbone", a->backbone, "A name of the store or the path of a checkpoint")
      ->type_name("MODEL")
      ->required();
  command->add_option("--seeds", a->seeds, "How often each is learned; 3 if not given")
      ->type_name("N")
      ->check(CLI::Range(1, 1000));
  list(command->add_option("--rates", a->rates,
                           "Learning rates to try with the first seed: what is held out chooses"))
      ->type_name("R,R,...");
  command
      ->add_option("--validation", a->validation,
                   "The share of pictures held out; 0.2 if not given")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 0.9));
  command->add_option("-o,--output", a->output, "Write the table here too: Markdown, or .json")
      ->type_name("FILE");
  command->add_flag("--skip-broken", a->skip_broken, "Leave pictures out that cannot be read");
  command->add_flag("--json", a->json, "Print one JSON object");
  const TrainingArguments training(*command);
  command->callback([a, training] { run_compare(*a, training); });
}

}  // namespace beckon::cli
