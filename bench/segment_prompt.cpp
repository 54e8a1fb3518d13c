// How good a prompt for a segmenter gets that is learned from few pictures, and how long that
// takes: stars among other shapes over photos, learned from 1, 5 and 20 pictures, measured on 20
// others.
//
//   bench_segment_prompt [MODEL] [STEPS] [LEARNING_RATE] [TOKENS]
#include "beckon/segment_prompt.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include <unistd.h>

#include "beckon/embedding_cache.h"
#include "support/scenes.h"

int main(int argc, char** argv) {
  using namespace beckon;
  namespace fs = std::filesystem;
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  };

  const fs::path folder =
      fs::temp_directory_path() / ("beckon-bench-" + std::to_string(::getpid()));
  std::vector<Image> photos;
  for (const char* name : {"astronaut", "chelsea", "coffee"})
    photos.push_back(
        Image::read(std::string(BECKON_SOURCE_DIR "/examples/photos/") + name + ".png"));
  test::SceneMaker(photos, 1).write(folder / "learn", 20);
  test::SceneMaker(photos, 2).write(folder / "test", 20);

  const Sam sam = Sam::load(argc > 1 ? argv[1] : "mobile-sam");
  const EmbeddingCache cache({.folder = (folder / "cache").string()});
  ExampleSelection test;
  test.encode = [&](const Sam& model, const Image& image) {
    return cache.encode(model, image).embedding;
  };
  std::printf("%8s  %14s  %14s  %14s  %10s  %9s\n", "pictures", "start: others", "learned",
              "others", "encoding", "learning");
  for (const int pictures : {1, 5, 20}) {
    LearnSegmentOptions options;
    options.examples.encode = test.encode;
    options.examples.most_pictures = pictures;
    if (argc > 2) options.steps = std::atoi(argv[2]);
    if (argc > 3) options.learning_rate = std::atof(argv[3]);
    if (argc > 4) options.tokens = std::atoi(argv[4]);
    const Clock::time_point start = Clock::now();
    double encoding = 0;
    options.progress = [&](const LearnSegmentProgress& p) {
      if (p.stage == LearnSegmentProgress::Stage::reading) encoding = seconds(start);
      if (p.measured && std::getenv("BECKON_BENCH_TRACE") != nullptr)
        std::printf("  step %3d  loss %.4f  IoU %.3f  measured %.3f%s\n", static_cast<int>(p.done),
                    p.loss, p.iou, p.measured_iou, p.best ? " best" : "");
      return true;
    };
    const LearnedSegmentPrompt learned =
        learn_segment_prompt(sam, (folder / "learn").string(), options);
    const double all = seconds(start);
    const auto on_others = [&](const SegmentPrompt& prompt) {
      return evaluate_segment_prompt(sam, prompt, (folder / "test").string(), test).miou;
    };
    std::printf("%8d  %14.3f  %14.3f  %14.3f  %8.1f s  %7.1f s\n", pictures,
                on_others(learned.start), learned.training.iou, on_others(learned.prompt), encoding,
                all - encoding);
    std::printf(
        "%8s  start: training %.3f, validation %.3f; learned: validation %.3f; kept step "
        "%d of %d\n",
        "", learned.start_training.iou, learned.start_validation.iou, learned.validation.iou,
        static_cast<int>(learned.best_step), argc > 2 ? std::atoi(argv[2]) : 150);
    std::fflush(stdout);
  }
  fs::remove_all(folder);
}
