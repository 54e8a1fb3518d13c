// Prompts learned for the real MobileSAM: pictures that were not learned from are segmented better
// than by the start.
#include "beckon/segment_prompt.h"

#include <gtest/gtest.h>

#include "mobile_sam.h"
#include "support/golden.h"
#include "support/scenes.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

TEST(LearnedSegmentPrompt, BeatsItsStartOnOtherPictures) {
  if (is_quick()) GTEST_SKIP() << "minutes under sanitizers";
  const auto sam = mobile_sam();
  if (!sam) return;
  const TempDir temp;
  std::vector<Image> photos;
  for (const char* name : {"astronaut", "chelsea", "coffee"})
    photos.push_back(
        Image::read(std::string(BECKON_SOURCE_DIR "/examples/photos/") + name + ".png"));
  SceneMaker(photos, 1).write(temp / "learn", 8);
  SceneMaker(photos, 2).write(temp / "others", 6);

  LearnSegmentOptions options;
  options.steps = 24;
  const LearnedSegmentPrompt learned = learn_segment_prompt(*sam, temp / "learn", options);
  EXPECT_EQ(learned.training.pictures, 6);
  EXPECT_EQ(learned.validation.pictures, 2);
  const auto on_others = [&](const SegmentPrompt& prompt) {
    return evaluate_segment_prompt(*sam, prompt, temp / "others").miou;
  };
  const double start = on_others(learned.start), end = on_others(learned.prompt);
  EXPECT_GT(end, start + 0.2) << "start " << start << ", learned " << end;
  EXPECT_GT(end, 0.45);
  learned.prompt.save(temp / "stars.safetensors");
  EXPECT_LT(std::filesystem::file_size(temp / "stars.safetensors"), 16'000u);
}

}  // namespace
}  // namespace beckon::test
