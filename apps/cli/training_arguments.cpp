#include "training_arguments.h"

#include <CLI/CLI.hpp>

#include "base/fail.h"
#include "files.h"
#include "json.h"

namespace beckon::cli {

struct TrainingArguments::State {
  // Put what was given into the options.
  std::vector<std::function<void(LearnClassifierOptions&)>> takes;
};

namespace {

// {"label map": [[0], [5, 7]]} or the list by itself.
std::vector<std::vector<int64_t>> label_map_of(const std::string& path) {
  const std::vector<uint8_t> bytes = read_input(path);
  const Json list = Json::parse(bytes.begin(), bytes.end(), nullptr, false);
  std::vector<std::vector<int64_t>> map;
  bool fine = list.is_array();
  for (size_t c = 0; fine && c < list.size(); ++c) {
    auto& labels = map.emplace_back();
    const Json one = list[c].is_array() ? list[c] : Json::array({list[c]});
    for (const Json& label : one) {
      fine = fine && label.is_number_integer();
      if (fine) labels.push_back(label.get<int64_t>());
    }
  }
  if (!fine)
    fail(Kind::input, "{}: expected a list with the network's labels of each class: [[0],[5,7]]",
         name_of_input(path));
  return map;
}

}  // namespace

TrainingArguments::TrainingArguments(CLI::App& command) : state_(std::make_shared<State>()) {
  const char* group = "";
  const auto add = [&](const char* name, auto member, const char* shape, const char* summary) {
    CLI::Option* option = command.get_option_no_throw(name);
    if (option == nullptr)
      option = command.add_option(name)->description(summary)->type_name(shape)->group(group);
    state_->takes.push_back([option, member](LearnClassifierOptions& o) {
      if (option->count() > 0) option->results(member(o));
    });
    return option;
  };
  const auto flag = [&](const char* name, auto member, const char* summary) {
    CLI::Option* option = command.get_option_no_throw(name);
    if (option == nullptr) option = command.add_flag(name)->description(summary)->group(group);
    state_->takes.push_back([option, member](LearnClassifierOptions& o) {
      if (option->count() > 0) member(o) = true;
    });
  };
  using O = LearnClassifierOptions;

  group = "Training";
  add(
      "--epochs", [](O & o) -> auto& { return o.epochs; }, "N",
      "Times that all pictures are seen; 30 if not given");
  add(
      "--batch", [](O & o) -> auto& { return o.batch; }, "N", "Pictures a step; 32 if not given");
  add(
      "--accumulate", [](O & o) -> auto& { return o.accumulate; }, "N",
      "Compute a batch in N parts, in less memory");
  CLI::Option* optimizer = command.get_option_no_throw("--optimizer");
  if (optimizer == nullptr)
    optimizer = command.add_option("--optimizer", "sgd, adam or adamw; adam if not given")
                    ->type_name("NAME")
                    ->group(group)
                    ->check(CLI::IsMember({"sgd", "adam", "adamw"}));
  state_->takes.push_back([optimizer](O& o) {
    if (optimizer->count() > 0) o.optimizer = optimizer_kind(optimizer->as<std::string>());
  });
  add(
      "--lr", [](O & o) -> auto& { return o.learning_rate; }, "RATE",
      "The highest learning rate; the method's own if not given");
  add(
      "--weight-decay", [](O & o) -> auto& { return o.weight_decay; }, "W", "0 if not given");
  add(
      "--momentum", [](O & o) -> auto& { return o.momentum; }, "M", "Of sgd; 0.9 if not given");
  add(
      "--schedule", [](O & o) -> auto& { return o.schedule; }, "NAME",
      "step: warm-up, then half a cosine; epoch: the same by epochs; constant; step if not given")
      ->check(CLI::IsMember({"step", "epoch", "constant"}));
  add(
      "--warmup-share", [](O & o) -> auto& { return o.warmup; }, "SHARE",
      "Share of the steps in which the rate rises; 0.05 if not given");
  add(
      "--patience", [](O & o) -> auto& { return o.patience; }, "N",
      "Stop after N epochs in which not more of the held out pictures were right");
  flag(
      "--select-on-test", [](O & o) -> auto& { return o.select_on_test; },
      "Let the test part decide what is kept, as some papers' code does: its accuracy then "
      "flatters");

  group = "Pictures";
  flag(
      "--flip", [](O & o) -> auto& { return o.flip; }, "Mirror half of the pictures, by chance");
  flag(
      "--random-crop", [](O & o) -> auto& { return o.random_crop; },
      "Cut out another part of a picture each time");
  flag(
      "--stretch", [](O & o) -> auto& { return o.stretch; },
      "Stretch pictures to the input, as VTAB-1k has it, instead of cutting out the middle");
  add(
      "--input", [](O & o) -> auto& { return o.backbone.input; }, "N",
      "Pixels a side that the network sees; as it was trained if not given");
  add(
      "--most-per-class", [](O & o) -> auto& { return o.most_per_class; }, "N",
      "Only the first N pictures of each class and part");
  add(
      "--max-pixels", [](O & o) -> auto& { return o.max_pixels; }, "N",
      "The largest picture to read, width times height; 100000000 if not given");
  add(
      "--cache-bytes", [](O & o) -> auto& { return o.cache_bytes; }, "N",
      "Memory for what is computed once; 2147483648 if not given");

  group = "Methods";
  add(
      "--tokens", [](O & o) -> auto& { return o.method.tokens; }, "P",
      "vpt: prompt tokens, or pixels of the border with --location pad; 10 if not given");
  add(
      "--location", [](O & o) -> auto& { return o.method.location; }, "NAME",
      "vpt: prepend, add, add-1 or pad; prepend if not given");
  add(
      "--pool", [](O & o) -> auto& { return o.method.pool; }, "NAME",
      "vpt: what the head sees: original, imgprompt_pool, img_pool or prompt_pool");
  add(
      "--project", [](O & o) -> auto& { return o.method.project; }, "D",
      "vpt: width of the prompts before a projection");
  add(
      "--dropout", [](O & o) -> auto& { return o.method.dropout; }, "P",
      "vpt: share of the prompts' numbers that is dropped; 0 if not given");
  flag(
      "--reference-batch-mixing", [](O & o) -> auto& { return o.method.reference_batch_mixing; },
      "vpt on Swin: mix the pictures of a batch as the reference's code does");
  add(
      "--reduction", [](O & o) -> auto& { return o.method.reduction; }, "R",
      "adapter: 1/R of the network's width; 8 if not given");
  flag(
      "--adapter-zeros", [](O & o) -> auto& { return o.method.adapter_zeros; },
      "adapter: start from zeros only, as the reference does: little then learns");
  add(
      "--rank", [](O & o) -> auto& { return o.method.rank; }, "R", "lora: rank; 4 if not given");
  add(
      "--lora-alpha", [](O & o) -> auto& { return o.method.lora_alpha; }, "A",
      "lora: the product is scaled by A / R; by 1 if not given");
  add(
      "--prompt-size", [](O & o) -> auto& { return o.method.prompt_size; }, "P",
      "pixel-*: width of the frame or side of the patch; 30 if not given");
  flag(
      "--colours", [](O & o) -> auto& { return o.method.colours; },
      "pixel-*: in units of colours, cut off where they end, instead of the network's input");
  add(
      "--sentence", [](O & o) -> auto& { return o.method.sentence; }, "TEXT",
      "pixel-* on CLIP: what is said of a label; \"This is a photo of a {}\" if not given");
  add(
      "--small", [](O & o) -> auto& { return o.method.small; }, "N",
      "reprogram: side of the small pictures; 36 if not given");
  add(
      "--lambda", [](O & o) -> auto& { return o.method.lambda; }, "L",
      "reprogram: weight of the penalty on the program; 0.01 if not given");
  add(
      "--labels-per-class", [](O & o) -> auto& { return o.method.labels_per_class; }, "N",
      "pixel-*, reprogram: labels of the network for each class; 1 if not given");
  CLI::Option* map = command.get_option_no_throw("--label-map");
  if (map == nullptr)
    map = command
              .add_option("--label-map",
                          "pixel-*, reprogram: first, frequent, or a JSON file [[0],[5,7]]; first "
                          "if not given")
              ->type_name("MAP")
              ->group(group);
  state_->takes.push_back([map](O& o) {
    if (map->count() == 0) return;
    const auto given = map->as<std::string>();
    o.method.labels_from = given == "first" || given == "frequent" ? given : "given";
    if (o.method.labels_from == "given") o.method.label_map = label_map_of(given);
  });
  add(
      "--alexnet", [](O & o) -> auto& { return o.method.side_weights; }, "FILE",
      "sidetune: torchvision's AlexNet to start from; chance if not given");
}

LearnClassifierOptions TrainingArguments::options() const {
  LearnClassifierOptions o;
  for (const auto& take : state_->takes) take(o);
  return o;
}

}  // namespace beckon::cli
