// beckon learn: a prompt of kilobytes from a folder of one's own.
#include "learn.h"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/fail.h"
#include "files.h"
#include "picture_progress.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

void check_learn(const LearnArguments& a) {
  if (a.output == "-") fail(Kind::usage, "-o: expected a file name, a prompt is no text");
  if (a.resume && a.checkpoint.empty()) fail(Kind::usage, "--resume needs --checkpoint FILE");
  expect_output(a.output);
  expect_output(a.checkpoint);
  if (a.report == "-") fail(Kind::usage, "--report: expected a file name");
  if (!a.report.empty() && a.task != "classify")
    fail(Kind::usage, "--report goes with --task classify");
  expect_output(a.report);
  for (const std::string& other : {a.log, a.checkpoint, a.report})
    if (!other.empty() && other == a.output)
      fail(Kind::usage, "{}: -o and another option name the same file", other);
  if (!a.report.empty() && (a.report == a.log || a.report == a.checkpoint))
    fail(Kind::usage, "{}: --report and another option name the same file", a.report);
}

}  // namespace

LearnLog::LearnLog(const std::string& path, bool append) : path_(path) {
  if (path_.empty()) return;
  file_.open(path_, append ? std::ios::app : std::ios::trunc);
  if (!file_) fail(Kind::output, "{}: cannot be written", path_);
}

void LearnLog::write(const Json& line) {
  if (path_.empty()) return;
  file_ << line.dump(-1, ' ', false, Json::error_handler_t::replace) << std::endl;
  if (!file_) fail(Kind::output, "{}: cannot be written", path_);
}

LearnLine::~LearnLine() {
  if (drawn_) show("\r\x1b[K");
}

void LearnLine::update(const std::string& unit, int64_t done, int64_t total, int64_t first,
                       const std::string& numbers) {
  const Clock::time_point now = Clock::now();
  if (unit != unit_) {
    unit_ = unit;
    start_ = now;
  }
  if (!stderr_is_terminal() || total == 0 || (now < next_draw_ && done < total)) return;
  next_draw_ = now + std::chrono::milliseconds(100);
  constexpr int kWidth = 24;
  const int filled =
      static_cast<int>(static_cast<double>(done) / static_cast<double>(total) * kWidth);
  std::string line = fmt::format("\r\x1b[K[{:=<{}}{: <{}}]  {} of {} {}", "", filled, "",
                                 kWidth - filled, done, total, unit);
  if (!numbers.empty()) line += "  " + numbers;
  if (done > first) {
    const double each =
        std::chrono::duration<double>(now - start_).count() / static_cast<double>(done - first);
    line += fmt::format("  {} to go",
                        clock_time(static_cast<int64_t>(each * static_cast<double>(total - done))));
  }
  show(line);
  drawn_ = true;
}

void add_learn(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("learn", "Learn a prompt from your own pictures, the model as it is");
  command->footer(
      "beckon learn --method vpt-deep --backbone vit-b16 --data flowers -o flowers.safetensors\n"
      "beckon learn --method linear --backbone mobile-sam --input 224 --data fashion-mnist -o "
      "f.st\n"
      "beckon classify new.jpg --prompt flowers.safetensors\n"
      "beckon learn --task segment --data mine -o mine.safetensors\n"
      "beckon segment new.jpg --prompt mine.safetensors -o mask.png");
  auto a = std::make_shared<LearnArguments>();
  command
      ->add_option(
          "--task", a->task,
          "What is to be learned: classify, telling your classes of pictures apart (if not "
          "given), or segment, things like those in a few photos with masks")
      ->type_name("TASK")
      ->check(CLI::IsMember({"classify", "segment"}));
  command
      ->add_option(
          "--data", a->data,
          "classify: a folder for each class, MNIST, CIFAR, lists, tables; segment: a folder "
          "with images and masks, or COCO's JSON")
      ->type_name("DIR")
      ->required();
  command->add_option("-o,--output", a->output, "Write the prompt here")
      ->type_name("FILE")
      ->required();
  command->add_option("--seed", a->seed, "Of everything random; 0 if not given")->type_name("N");
  command
      ->add_option("--validation", a->validation,
                   "The share of pictures that is held out and decides which prompt is kept")
      ->type_name("SHARE")
      ->check(CLI::Range(0.0, 0.9));
  command->add_option("--log", a->log, "Write every step here, a JSON object a line")
      ->type_name("FILE");
  command
      ->add_option("--report", a->report,
                   "classify: write a page here with curves, the confusion matrix, the prompt and "
                   "pictures that were classified wrongly")
      ->type_name("FILE");
  command
      ->add_option("--checkpoint", a->checkpoint, "Keep here what is needed to go on after a crash")
      ->type_name("FILE");
  command->add_flag("--resume", a->resume, "Go on from the checkpoint, if it is there");
  command->add_flag("--skip-broken", a->skip_broken,
                    "Leave pictures out that cannot be read, and say which");
  command->add_flag("--json", a->json, "Print one JSON object: scores, options, times");
  const LearnSegment segment(*command);
  const LearnClassify classify(*command);
  command->callback([a, segment, classify] {
    check_learn(*a);
    if (a->task == "segment")
      segment.run(*a);
    else
      classify.run(*a);
  });
}

}  // namespace beckon::cli
