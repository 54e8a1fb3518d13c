// beckon classify: what a picture shows, out of words that are given or of a model's own classes.
#include <algorithm>
#include <fstream>
#include <memory>
#include <numeric>
#include <optional>
#include <sstream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/classifier_prompt.h"
#include "beckon/ops.h"
#include "beckon/version.h"
#include "beckon/zero_shot.h"
#include "files.h"
#include "json.h"
#include "models/ssd/ssd.h"
#include "picture_progress.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

struct ClassifyArguments {
  std::vector<std::string> pictures;
  std::string model;   // empty: clip-vit-b32, or the network of the prompt
  std::string prompt;  // a file that beckon learn wrote
  std::vector<std::string> labels, templates;
  std::string labels_file;
  int64_t top = 5;
  int64_t max_pixels = ReadOptions{}.max_pixels;
  bool json = false;
};

std::vector<std::string> trimmed(const std::vector<std::string>& words) {
  std::vector<std::string> result;
  for (const std::string& word : words) {
    const size_t begin = word.find_first_not_of(" \t\r");
    if (begin == word.npos) continue;
    result.push_back(word.substr(begin, word.find_last_not_of(" \t\r") + 1 - begin));
  }
  return result;
}

std::vector<std::string> labels_of(const ClassifyArguments& options) {
  std::vector<std::string> labels = trimmed(options.labels);
  if (!options.labels_file.empty()) {
    const std::vector<uint8_t> bytes = read_input(options.labels_file);
    std::istringstream lines(std::string(bytes.begin(), bytes.end()));
    std::vector<std::string> more;
    for (std::string line; std::getline(lines, line);) more.push_back(line);
    more = trimmed(more);
    if (more.empty())
      fail(Kind::input, "{}: no labels, one a line are expected",
           name_of_input(options.labels_file));
    labels.insert(labels.end(), more.begin(), more.end());
  }
  std::vector<std::string> sorted = labels;
  std::sort(sorted.begin(), sorted.end());
  const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
  if (twice != sorted.end()) fail(Kind::usage, "the label '{}' is given twice", *twice);
  return labels;
}

// The labels of a model's own head, as far as they have names.
class Judge {
 public:
  explicit Judge(const ClassifyArguments& options) : net_(network(options)) {
    if (prompt_) {
      if (!options.labels.empty() || !options.labels_file.empty() || !options.templates.empty())
        fail(Kind::usage,
             "a prompt has its own labels: --labels, --labels-file and --template are "
             "for classifying without one");
      labels_ = prompt_->labels();
      return;
    }
    labels_ = labels_of(options);
    if (net_.family() == "clip") {
      if (labels_.empty())
        fail(Kind::usage, "CLIP chooses among words: give them with --labels or --labels-file");
      ZeroShotOptions zero_shot;
      if (!options.templates.empty()) zero_shot.templates = options.templates;
      zero_shot_.emplace(net_, labels_, zero_shot);
      return;
    }
    if (!options.templates.empty()) fail(Kind::usage, "--template is for CLIP");
    if (net_.classes() == 0)
      fail(Kind::usage, "{}: this {} has no classes; words need a CLIP", net_.path(), net_.name());
    if (!labels_.empty() && static_cast<int64_t>(labels_.size()) != net_.classes())
      fail(Kind::usage, "{} labels for the {} classes of {}", labels_.size(), net_.classes(),
           net_.path());
    for (int64_t i = static_cast<int64_t>(labels_.size()); i < net_.classes(); ++i)
      labels_.push_back(net_.family() == "ssd" ? ssd::class_name(i, net_.classes())
                                               : fmt::format("class {}", i));
  }

  std::vector<float> operator()(const Image& image) const {
    if (prompt_) return prompt_->classify(image);
    if (zero_shot_) return zero_shot_->classify(image);
    const NoGrad no_grad;
    const Tensor chances = softmax(net_.logits(net_.features(net_.input(image))), 1).contiguous();
    return {chances.values().begin(), chances.values().end()};
  }
  const Backbone& net() const { return net_; }
  const std::optional<ClassifierPrompt>& prompt() const { return prompt_; }
  const std::vector<std::string>& labels() const { return labels_; }

 private:
  Backbone network(const ClassifyArguments& options) {
    if (options.prompt.empty())
      return Backbone::load(options.model.empty() ? "clip-vit-b32" : options.model);
    prompt_.emplace(ClassifierPrompt::load(options.prompt, options.model));
    return prompt_->backbone();
  }

  std::optional<ClassifierPrompt> prompt_;  // before net_, which comes from it
  Backbone net_;
  std::vector<std::string> labels_;
  std::optional<ZeroShot> zero_shot_;
};

void run_classify(const ClassifyArguments& options) {
  const Judge judge(options);
  Json answers = Json::array();
  std::string text;
  size_t failed = 0;
  std::vector<std::string> failures;
  std::optional<Kind> kind;
  {
    PictureProgress progress;
    int64_t done = 0;
    for (const std::string& path : options.pictures) {
      std::vector<float> chances;
      try {
        chances = judge(Image::decode(read_input(path), name_of_input(path),
                                      {.max_pixels = options.max_pixels}));
      } catch (const Error& error) {
        if (options.pictures.size() == 1) throw;
        failures.push_back(error.what());
        if (!kind) kind = error.kind();
        ++failed;
        continue;
      }
      std::vector<size_t> order(chances.size());
      std::iota(order.begin(), order.end(), size_t{0});
      std::stable_sort(order.begin(), order.end(),
                       [&](size_t a, size_t b) { return chances[a] > chances[b]; });
      order.resize(std::min(order.size(), static_cast<size_t>(options.top)));
      Json labels = Json::array();
      if (options.pictures.size() > 1) text += on_one_line(path) + "\n";
      for (const size_t i : order) {
        labels.push_back({{"label", judge.labels()[i]}, {"index", i}, {"probability", chances[i]}});
        text += fmt::format("{:6.2f}%  {}\n", 100 * chances[i], on_one_line(judge.labels()[i]));
      }
      answers.push_back({{"picture", path}, {"labels", labels}});
      ++done;
      progress.update(done, static_cast<int64_t>(options.pictures.size()), done);
    }
  }
  for (const std::string& message : failures) say("failed: " + message);
  if (options.json) {
    Json json;
    json["version"] = version();
    json["model"] = {{"name", judge.net().name()},
                     {"family", judge.net().family()},
                     {"sha256", judge.net().sha256()}};
    if (judge.prompt())
      json["prompt"] = {{"file", options.prompt}, {"method", judge.prompt()->about().at("method")}};
    else if (judge.net().family() == "clip")
      json["templates"] =
          options.templates.empty() ? ZeroShotOptions{}.templates : options.templates;
    json["pictures"] = answers;
    text = text_of(json);
  }
  print(text);
  if (failed > 0) fail(*kind, "{} of {} pictures failed", failed, options.pictures.size());
}

}  // namespace

void add_classify(CLI::App& program) {
  CLI::App* command = program.add_subcommand(
      "classify",
      "Say what pictures show, out of words of yours, a model's classes or what was learned");
  command->footer(
      "beckon classify photo.jpg --labels \"a cat,a dog,a diagram\"\n"
      "beckon classify *.jpg --labels-file flowers.txt --template \"a photo of a {}, a flower.\" "
      "--json\n"
      "beckon classify photo.jpg --model resnet50-19c8e357.pth --top 3\n"
      "beckon classify photo.jpg --prompt flowers.safetensors");
  auto options = std::make_shared<ClassifyArguments>();
  command->add_option("pictures", options->pictures, "JPEG, PNG or WebP; - is standard input")
      ->type_name("PICTURE...")
      ->required();
  command
      ->add_option(
          "--model", options->model,
          "A name of the store or the path of a checkpoint; clip-vit-b32, or the network of "
          "the prompt, if not given")
      ->type_name("MODEL");
  command->add_option("--prompt", options->prompt, "A file that beckon learn wrote")
      ->type_name("FILE");
  command->add_option("--labels", options->labels, "Words to choose from")
      ->type_name("A,B,...")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--labels-file", options->labels_file, "The same, one a line")
      ->type_name("FILE");
  command
      ->add_option(
          "--template", options->templates,
          "What is said of a label, {} stands for it; several are averaged; \"a photo of a "
          "{}.\" if not given")
      ->type_name("TEXT")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command->add_option("--top", options->top, "How many labels to print; 5 if not given")
      ->type_name("N")
      ->check(CLI::Range(1, 1'000'000));
  command->add_flag("--json", options->json, "Print one JSON object");
  command
      ->add_option("--max-pixels", options->max_pixels,
                   "The largest picture to read, width times height; 100000000 if not given")
      ->type_name("N");
  command->callback([options] { run_classify(*options); });
}

}  // namespace beckon::cli
