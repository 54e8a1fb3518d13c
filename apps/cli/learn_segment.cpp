// beckon learn --task segment
#include <chrono>
#include <filesystem>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "beckon/segment_prompt.h"
#include "beckon/store.h"
#include "beckon/version.h"
#include "cached_encoding.h"
#include "interrupt.h"
#include "learn.h"
#include "terminal.h"

namespace beckon::cli {

struct LearnSegment::Options {
  std::string model = "mobile-sam";
  std::string masks = "auto";
  LearnSegmentOptions learn;
  bool without_dense = false, without_prior = false, without_cache = false;
};

namespace {

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Json json_of(const SegmentPromptQuality& q) {
  return {{"iou", q.pictures > 0 ? Json(q.iou) : Json()}, {"pictures", q.pictures}};
}

Json json_of(const LearnSegmentProgress& p) {
  Json line = {{"step", p.done},
               {"loss", p.loss},
               {"dice", p.dice},
               {"focal", p.focal},
               {"bce", p.bce},
               {"iou", p.iou},
               {"learning_rate", p.learning_rate}};
  if (p.measured) {
    line["measured_iou"] = p.measured_iou;
    line["best"] = p.best;
  }
  return line;
}

std::string readable_quality(const char* name, const SegmentPromptQuality& start,
                             const SegmentPromptQuality& end) {
  if (end.pictures == 0) return "";
  return fmt::format("{}: IoU {:.3f} on {} picture{}, from {:.3f} at the start\n", name, end.iou,
                     end.pictures, end.pictures == 1 ? "" : "s", start.iou);
}

}  // namespace

LearnSegment::LearnSegment(CLI::App& command) : options_(std::make_shared<Options>()) {
  Options& o = *options_;
  const auto add = [&](const char* name, auto& value, const char* shape, const char* summary) {
    return command.add_option(name, value, summary)->type_name(shape)->group("Task segment");
  };
  const auto flag = [&](const char* name, bool& value, const char* summary) {
    command.add_flag(name, value, summary)->group("Task segment");
  };
  add("--model", o.model, "MODEL",
      "A name of the store or the path of a checkpoint; mobile-sam if not given");
  add("--annotations", o.learn.examples.annotations, "FILE",
      "The COCO file, where the folder has several");
  add("--label", o.learn.examples.label, "NAME",
      "The category that is meant; without it every object is");
  add("--masks", o.masks, "KIND",
      "Whether mask pictures hold one object, or one for each value; auto looks at each")
      ->check(CLI::IsMember({"auto", "binary", "objects"}));
  add("--pictures", o.learn.examples.most_pictures, "N", "Only the first N pictures")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  add("--max-pixels", o.learn.examples.max_pixels, "N",
      "The largest picture to read, width times height; 100000000 if not given");
  add("--tokens", o.learn.tokens, "K", "How many tokens to learn; 4 if not given")
      ->check(CLI::Range(0, SegmentPrompt::kMostTokens));
  flag("--no-dense", o.without_dense, "Learn no dense vector");
  flag("--no-prior", o.without_prior, "Learn no prior of where things are");
  add("--steps", o.learn.steps, "N", "Steps by gradient; 150 if not given")
      ->check(CLI::Range(0, 1'000'000));
  add("--batch", o.learn.batch, "N", "Pictures a step; 1 if not given")->check(CLI::Range(1, 1000));
  add("--lr", o.learn.learning_rate, "RATE", "The highest learning rate; 0.002 if not given");
  add("--weight-decay", o.learn.weight_decay, "W", "0 if not given");
  add("--warmup", o.learn.warmup, "N", "Steps in which the rate rises; 10 if not given");
  add("--patience", o.learn.patience, "N",
      "Stop if nothing was better for N measurements in a row");
  flag("--no-cache", o.without_cache, "Neither look into the embedding cache nor keep anything");
}

void LearnSegment::run(const LearnArguments& arguments) const {
  const auto start = std::chrono::steady_clock::now();
  LearnSegmentOptions o = options_->learn;
  o.dense = !options_->without_dense;
  o.prior = !options_->without_prior;
  o.examples.masks = options_->masks == "binary"    ? MaskKind::binary
                     : options_->masks == "objects" ? MaskKind::objects
                                                    : MaskKind::automatic;
  o.examples.skip_broken = arguments.skip_broken;
  o.validation = arguments.validation;
  o.seed = arguments.seed;
  o.checkpoint = arguments.checkpoint;
  o.resume = arguments.resume;
  const CacheArguments cache{.off = options_->without_cache};
  o.examples.encode = [&](const Sam& sam, const Image& image) {
    return encode(sam, image, cache).embedding;
  };

  const Sam sam = Sam::load(options_->model);
  LearnLog log(arguments.log, arguments.resume);
  double reading = 0;
  std::optional<LearnedSegmentPrompt> learned;
  {
    const HoldInterrupts hold;
    LearnLine line;
    double best = 0;
    int64_t first = -1;
    o.progress = [&](const LearnSegmentProgress& p) {
      if (p.stage == LearnSegmentProgress::Stage::reading) {
        line.update("pictures", p.done, p.total, 0, "");
        if (p.done == p.total) reading = seconds_since(start);
        return !interrupted();
      }
      if (first < 0) first = p.done - 1;
      if (p.best) best = p.measured_iou;
      std::string numbers = fmt::format("loss {:.3f}  IoU {:.3f}", p.loss, p.iou);
      if (best > 0) numbers += fmt::format("  best {:.3f}", best);
      line.update("steps", p.done, p.total, first, numbers);
      log.write(json_of(p));
      return !interrupted();
    };
    learned = learn_segment_prompt(sam, arguments.data, o);
    learned->prompt.save(arguments.output);
  }
  stop_if_interrupted();

  for (const PictureFailure& failure : learned->failures) say("left out: " + failure.message);
  const auto bytes = std::filesystem::file_size(arguments.output);
  if (arguments.json) {
    Json about = Json::object();
    for (const auto& [key, value] : learned->prompt.about()) about[key] = value;
    Json left_out = Json::array();
    for (const PictureFailure& failure : learned->failures)
      left_out.push_back({{"picture", failure.picture}, {"message", failure.message}});
    print(text_of(
        {{"version", version()},
         {"prompt", arguments.output},
         {"bytes", bytes},
         {"parameters", learned->prompt.parameter_count()},
         {"model", {{"name", options_->model}, {"sha256", Store().sha256(options_->model)}}},
         {"best_step", learned->best_step},
         {"start",
          {{"training", json_of(learned->start_training)},
           {"validation", json_of(learned->start_validation)}}},
         {"training", json_of(learned->training)},
         {"validation", json_of(learned->validation)},
         {"validation_pictures", learned->validation_pictures},
         {"left_out", left_out},
         {"about", about},
         {"seconds", {{"reading", reading}, {"total", seconds_since(start)}}}}));
    return;
  }
  print(readable_quality("training", learned->start_training, learned->training) +
        readable_quality("validation", learned->start_validation, learned->validation) +
        fmt::format("{}: {} parameters, {} in {:.1f} s\n", arguments.output,
                    learned->prompt.parameter_count(), human_bytes(bytes), seconds_since(start)));
}

}  // namespace beckon::cli
