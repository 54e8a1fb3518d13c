#include "beckon/checkpoint.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/expect_refused.h"
#include "weights/file_makers.h"

namespace beckon::test {
namespace {

std::string one_tensor(const std::string& name, float value) {
  return safetensors("{\"" + name + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                     little(value));
}

TEST(Checkpoint, WhatIsNoCheckpointSaysWhatItLooksLike) {
  const std::string zeros(8, '\0');
  expect_refused("", Kind::model, "the file is empty");
  expect_refused("x", Kind::model, "neither safetensors");
  expect_refused(zeros, Kind::model, "neither safetensors");
  expect_refused(std::string(8, '\xff'), Kind::model, "neither safetensors");
  expect_refused("<!DOCTYPE html><html>", Kind::model, "a web page");
  expect_refused("version https://git-lfs.github.com/spec/v1\noid sha256:00", Kind::model,
                 "Git LFS pointer");
}

TEST(Checkpoint, WhatCannotBeOpenedIsMissing) {
  TempDir folder;
  expect_error(Kind::missing, "no_such_file", [&] { Checkpoint::open(folder / "no_such_file"); });
  expect_error(Kind::missing, "0 checkpoint files",
               [&] { Checkpoint::open(folder.path().string()); });
  const std::string pipe = folder / "pipe";
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  expect_error(Kind::missing, "not a regular file", [&] { Checkpoint::open(pipe); });
}

TEST(Checkpoint, AMissingNameSuggestsTheMostSimilar) {
  TempDir folder;
  const Checkpoint file =
      Checkpoint::open(folder.write("x", one_tensor("blocks.0.attn.qkv.weight", 1)));
  expect_error(Kind::model, "did you mean 'blocks.0.attn.qkv.weight'?",
               [&] { file.info("blocks.0.atn.qkv.weight"); });
  expect_error(Kind::model, "no tensor 'z' among 1", [&] { file.f32("z"); });
  EXPECT_FALSE(file.contains("z"));
}

TEST(Checkpoint, ReadingIntoTheWrongSizeIsAUsageError) {
  TempDir folder;
  const Checkpoint file = Checkpoint::open(folder.write("x", one_tensor("a", 1)));
  std::vector<float> two(2);
  expect_error(Kind::usage, "shape [1] read into 2 values", [&] { file.read_f32("a", two); });
}

TEST(Checkpoint, UnderKeepsOnePart) {
  TempDir folder;
  const std::string header = R"({"a.x":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                             R"("ab.x":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})";
  const Checkpoint file =
      Checkpoint::open(folder.write("x", safetensors(header, "\5\6"))).under("a.");
  ASSERT_EQ(file.names().size(), 1u);
  EXPECT_EQ(file.i64("x"), std::vector<int64_t>{5});
}

TEST(Checkpoint, TransposesOfOddSizesAreExact) {
  // 70 x 45: neither side a multiple of the tile. Three dimensions, permuted.
  const size_t rows = 70, columns = 45;
  using namespace pickled;
  const std::string object =
      ordered_dict({{"t", tensor({"FloatStorage", "0", 3150, 0, {45, 70}, {1, 45}})},
                    {"p", tensor({"FloatStorage", "0", 3150, 0, {45, 7, 10}, {1, 450, 45}})},
                    {"last", tensor({"FloatStorage", "0", 3150, 0, {7, 45, 10}, {450, 1, 45}})}});
  TempDir folder;
  const Checkpoint file =
      Checkpoint::open(folder.write("x", torch_zip(object, {{"0", bytes_of(counting(3150))}})));
  const std::vector<float> t = file.f32("t"), p = file.f32("p"), last = file.f32("last");
  EXPECT_EQ(t, p);  // 7 x 10 is 70 in the same order
  for (size_t r = 0; r < rows; ++r)
    for (size_t c = 0; c < columns; ++c) {
      ASSERT_EQ(t[c * rows + r], static_cast<float>(r * columns + c));
      ASSERT_EQ(last[r / 10 * 450 + c * 10 + r % 10], static_cast<float>(r * columns + c));
    }
}

TEST(Checkpoint, FoldersOfHuggingFaceAreRead) {
  TempDir folder;
  folder.write("model.safetensors", one_tensor("whole", 1));
  folder.write("config.json", "{}");
  EXPECT_TRUE(Checkpoint::open(folder.path().string()).contains("whole"));

  folder.write("model-00001-of-00002.safetensors", one_tensor("a", 2));
  folder.write("model-00002-of-00002.safetensors", one_tensor("b", 3));
  folder.write(
      "model.safetensors.index.json",
      R"({"metadata":{"total_size":8},"weight_map":{"a":"model-00001-of-00002.safetensors",)"
      R"("b":"model-00002-of-00002.safetensors"}})");
  const Checkpoint shards = Checkpoint::open(folder.path().string());
  EXPECT_EQ(shards.f32("a")[0], 2);
  EXPECT_EQ(shards.f32("b")[0], 3);
  EXPECT_EQ(shards.files().size(), 2u);
}

TEST(Checkpoint, ShardIndexesMayNotLeaveTheirFolder) {
  const auto refused = [](const std::string& index, Kind kind, const std::string& part) {
    TempDir folder;
    folder.write("s.safetensors", one_tensor("a", 1));
    folder.write("model.safetensors.index.json", index);
    expect_error(kind, part, [&] { Checkpoint::open(folder.path().string()); });
  };
  refused(R"({"weight_map":{"a":"../s.safetensors"}})", Kind::model, "not a plain file name");
  refused(R"({"weight_map":{"a":"/etc/passwd"}})", Kind::model, "not a plain file name");
  refused(R"({"weight_map":{"a":".hidden"}})", Kind::model, "not a plain file name");
  refused(R"({"weight_map":{"b":"s.safetensors"}})", Kind::model, "'b' is not in 's.safetensors'");
  refused(R"({"weight_map":{"a":"t.safetensors"}})", Kind::missing, "t.safetensors");
  refused(R"({"weight_map":{}})", Kind::model, "no weight_map");
  refused(R"({"weight_map":)", Kind::model, "not valid JSON");
  refused(std::string(100'000, '['), Kind::model, "nested more than 8 deep");
}

TEST(Checkpoint, AFolderWithOneFileIsThatFile) {
  TempDir folder;
  folder.write("mobile_sam.pt", one_tensor("a", 1));
  folder.write("beckon.json", "{}");
  EXPECT_TRUE(Checkpoint::open(folder.path().string()).contains("a"));
  folder.write("other.pt", one_tensor("a", 1));
  expect_error(Kind::missing, "2 checkpoint files",
               [&] { Checkpoint::open(folder.path().string()); });
}

}  // namespace
}  // namespace beckon::test
