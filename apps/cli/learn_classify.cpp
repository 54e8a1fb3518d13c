// beckon learn --task classify
#include <chrono>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/version.h"
#include "interrupt.h"
#include "learn.h"
#include "learn_report.h"
#include "terminal.h"
#include "training_arguments.h"

namespace beckon::cli {

struct LearnClassify::Options {
  std::string backbone, method = "vpt-deep";
};

namespace {

Json json_of(const LearnClassifierProgress& p) {
  Json line = {
      {"epoch", p.epoch + 1}, {"step", p.done}, {"loss", p.loss}, {"accuracy", p.accuracy}};
  if (p.measured) {
    line["validation_loss"] = p.validation_loss;
    line["validation_accuracy"] = p.validation_accuracy < 0 ? Json() : Json(p.validation_accuracy);
    line["best"] = p.best;
  } else {
    line["learning_rate"] = p.learning_rate;
    line["pictures_per_second"] = p.pictures_per_second;
  }
  return line;
}

}  // namespace

LearnClassify::LearnClassify(CLI::App& command)
    : options_(std::make_shared<Options>()),
      training_(std::make_shared<TrainingArguments>(command)) {
  command
      .add_option(
          "--backbone", options_->backbone,
          "The network that stays as it is: a name of the store or the path of a checkpoint")
      ->type_name("MODEL")
      ->group("Task classify");
  command
      .add_option("--method", options_->method,
                  "linear, mlp-K, partial-K, full, bias, sidetune, adapter, lora, vpt-shallow, "
                  "vpt-deep, pixel-pad, pixel-patch, pixel-random or reprogram; vpt-deep if not "
                  "given")
      ->type_name("METHOD")
      ->group("Task classify");
}

void LearnClassify::run(const LearnArguments& arguments) const {
  if (options_->backbone.empty())
    fail(Kind::usage, "--backbone MODEL: which network is it to be learned on?");
  LearnClassifierOptions o = training_->options();
  o.method.name = options_->method;
  o.seed = arguments.seed;
  if (arguments.validation >= 0) o.validation = arguments.validation;
  o.skip_broken = arguments.skip_broken;
  o.checkpoint = arguments.checkpoint;
  o.resume = arguments.resume;
  if (!arguments.report.empty()) o.show_wrong = 24;

  LearnLog log(arguments.log, arguments.resume);
  std::optional<LearnedClassifier> learned;
  {
    const HoldInterrupts hold;
    LearnLine line;
    double best = -1;
    int64_t first = -1;
    o.progress = [&](const LearnClassifierProgress& p) {
      if (p.stage == LearnClassifierProgress::Stage::reading) {
        line.update("pictures", p.done, p.total, 0, "");
        return !interrupted();
      }
      if (first < 0) first = p.done - 1;
      if (p.best) best = p.validation_accuracy;
      std::string numbers = fmt::format("loss {:.3f}  right {:.1f}%", p.loss, 100 * p.accuracy);
      if (best >= 0) numbers += fmt::format("  best {:.1f}%", 100 * best);
      if (!p.measured) numbers += fmt::format("  {:.0f}/s", p.pictures_per_second);
      line.update("steps", p.done, p.total, first, numbers);
      log.write(json_of(p));
      return !interrupted();
    };
    learned = learn_classifier(options_->backbone, arguments.data, o);
    learned->prompt.save(arguments.output);
    if (!arguments.report.empty()) write_learn_report(arguments.report, *learned);
  }
  stop_if_interrupted();

  for (const std::string& reason : learned->skipped) say("left out: " + reason);
  const auto bytes = std::filesystem::file_size(arguments.output);
  const auto& best = learned->epochs[static_cast<size_t>(learned->best_epoch)];
  const auto known = [](double accuracy) { return accuracy < 0 ? Json() : Json(accuracy); };
  if (arguments.json) {
    Json about = Json::object();
    for (const auto& [key, value] : learned->prompt.about()) about[key] = value;
    print(text_of({{"version", version()},
                   {"prompt", arguments.output},
                   {"bytes", bytes},
                   {"method", o.method.name},
                   {"parameters", learned->learned_parameters},
                   {"backbone_parameters", learned->backbone_parameters},
                   {"best_epoch", learned->best_epoch + 1},
                   {"epochs", learned->epochs.size()},
                   {"accuracy",
                    {{"training", best.accuracy},
                     {"validation", known(best.validation_accuracy)},
                     {"test", known(learned->test_accuracy)}}},
                   {"pictures",
                    {{"training", learned->train_pictures},
                     {"validation", learned->validation_pictures},
                     {"test", learned->test_pictures}}},
                   {"labels", learned->prompt.labels()},
                   {"confusion", learned->confusion},
                   {"left_out", learned->skipped},
                   {"about", about},
                   {"seconds", learned->seconds}}));
    return;
  }
  std::string text = fmt::format("training: {:.1f}% right of {} pictures\n", 100 * best.accuracy,
                                 learned->train_pictures);
  if (best.validation_accuracy >= 0)
    text += fmt::format("validation: {:.1f}% of {}\n", 100 * best.validation_accuracy,
                        learned->validation_pictures);
  if (learned->test_accuracy >= 0)
    text +=
        fmt::format("test: {:.1f}% of {}{}\n", 100 * learned->test_accuracy, learned->test_pictures,
                    o.select_on_test ? ", which also chose what is kept" : "");
  if (!learned->skipped.empty())
    text += fmt::format("left out as broken: {}\n", learned->skipped.size());
  print(text + fmt::format("{}: {} parameters, {} in {:.1f} s\n", arguments.output,
                           learned->learned_parameters, human_bytes(bytes), learned->seconds));
}

}  // namespace beckon::cli
