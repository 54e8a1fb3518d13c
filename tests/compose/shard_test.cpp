#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "beckon/annotate.h"
#include "support/check.h"

namespace beckon::test {
namespace {

using Variables = std::map<std::string, std::string>;

ScheduledShard shard_with(const Variables& variables) {
  return scheduled_shard([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

Variables slurm(const char* id, const char* first, const char* last, const char* count,
                const char* step = "1") {
  return {{"SLURM_ARRAY_TASK_ID", id},
          {"SLURM_ARRAY_TASK_MIN", first},
          {"SLURM_ARRAY_TASK_MAX", last},
          {"SLURM_ARRAY_TASK_COUNT", count},
          {"SLURM_ARRAY_TASK_STEP", step}};
}

TEST(Shard, IsReadFromText) {
  EXPECT_EQ(parse_shard("0/1"), (Shard{0, 1}));
  EXPECT_EQ(parse_shard("15/16"), (Shard{15, 16}));
  for (const char* text : {"16/16", "-1/4", "1", "1/", "/4", "a/b", "1/4x", " 1/4", "0/0", "1/-4",
                           "0/1000001", "1/99999999999999999999", ""}) {
    SCOPED_TRACE(text);
    expect_error(Kind::usage, "expected INDEX/COUNT", [&] { parse_shard(text); });
  }
}

TEST(Shard, EveryPictureIsInOneAndAllGetSome) {
  std::vector<int> sizes(16);
  for (int i = 0; i < 1600; ++i)
    ++sizes.at(static_cast<size_t>(shard_of("photos/" + std::to_string(i) + ".jpg", 16)));
  for (const int size : sizes) {
    EXPECT_GT(size, 50);
    EXPECT_LT(size, 150);
  }
  // The SHA-256 of "a.jpg" begins with 509b0d4641a7c3ba. Shards that are at work know each other by
  // this: it must not change.
  EXPECT_EQ(shard_of("a.jpg", 1), 0);
  EXPECT_EQ(shard_of("a.jpg", 16), 10);
  EXPECT_EQ(shard_of("a.jpg", 1000), 26);
}

TEST(Shard, NothingIsScheduledWithoutVariables) {
  EXPECT_EQ(shard_with({}).source, "");
  EXPECT_EQ(shard_with({}).shard, (Shard{0, 1}));
  EXPECT_EQ(shard_with({{"SLURM_ARRAY_TASK_ID", ""}}).source, "");
}

TEST(Shard, ComesFromSlurmArraysThatBeginAt0Or1) {
  EXPECT_EQ(shard_with(slurm("3", "0", "15", "16")).shard, (Shard{3, 16}));
  EXPECT_EQ(shard_with(slurm("1", "1", "16", "16")).shard, (Shard{0, 16}));
  EXPECT_EQ(shard_with(slurm("16", "1", "16", "16")).shard, (Shard{15, 16}));
  EXPECT_EQ(shard_with(slurm("4", "0", "30", "16", "2")).shard, (Shard{2, 16}));
  EXPECT_EQ(shard_with(slurm("3", "0", "15", "16")).source, "SLURM_ARRAY_TASK_ID");
}

// Some tasks of an array that are run again must not take themselves for an array of that size.
TEST(Shard, SlurmArraysWithHolesNeedACount) {
  for (const Variables& variables : {slurm("3", "3", "3", "1"), slurm("7", "3", "7", "2", "1"),
                                     slurm("5", "0", "15", "3"), slurm("9", "8", "15", "8")}) {
    expect_error(Kind::usage, "BECKON_SHARDS", [&] { shard_with(variables); });
    Variables counted = variables;
    counted["BECKON_SHARDS"] = "16";
    EXPECT_EQ(shard_with(counted).shard,
              (Shard{std::stoi(variables.at("SLURM_ARRAY_TASK_ID")), 16}));
  }
}

TEST(Shard, ComesFromKubernetesIndexedJobs) {
  EXPECT_EQ(shard_with({{"JOB_COMPLETION_INDEX", "3"}, {"JOB_COMPLETIONS", "8"}}).shard,
            (Shard{3, 8}));
  EXPECT_EQ(shard_with({{"JOB_COMPLETION_INDEX", "3"}, {"BECKON_SHARDS", "8"}}).shard,
            (Shard{3, 8}));
  expect_error(Kind::usage, "JOB_COMPLETIONS", [] { shard_with({{"JOB_COMPLETION_INDEX", "3"}}); });
  expect_error(Kind::usage, "index 8 of 8", [] {
    shard_with({{"JOB_COMPLETION_INDEX", "8"}, {"JOB_COMPLETIONS", "8"}});
  });
}

TEST(Shard, ComesFromMpi) {
  EXPECT_EQ(shard_with({{"OMPI_COMM_WORLD_RANK", "2"}, {"OMPI_COMM_WORLD_SIZE", "4"}}).shard,
            (Shard{2, 4}));
  EXPECT_EQ(shard_with({{"PMI_RANK", "0"}, {"PMI_SIZE", "4"}}).shard, (Shard{0, 4}));
}

TEST(Shard, RanksInsideAnArrayDivideItsShards) {
  std::set<int> seen;
  for (const char* id : {"0", "1", "2"}) {
    for (const char* rank : {"0", "1"}) {
      Variables variables = slurm(id, "0", "2", "3");
      variables["PMI_RANK"] = rank;
      variables["PMI_SIZE"] = "2";
      const ScheduledShard scheduled = shard_with(variables);
      EXPECT_EQ(scheduled.shard.count, 6);
      seen.insert(scheduled.shard.index);
    }
  }
  EXPECT_EQ(seen.size(), 6u);
}

TEST(Shard, NonsenseInVariablesIsNamed) {
  expect_error(Kind::usage, "JOB_COMPLETION_INDEX=x", [] {
    shard_with({{"JOB_COMPLETION_INDEX", "x"}, {"JOB_COMPLETIONS", "8"}});
  });
  expect_error(Kind::usage, "PMI_SIZE=-1", [] {
    shard_with({{"PMI_RANK", "0"}, {"PMI_SIZE", "-1"}});
  });
  expect_error(Kind::usage, "PMI_RANK", [] { shard_with({{"PMI_RANK", "0"}, {"PMI_SIZE", "0"}}); });
  expect_error(Kind::usage, "more than", [] {
    shard_with({{"PMI_RANK", "0"}, {"PMI_SIZE", "2000000000"}});
  });
}

}  // namespace
}  // namespace beckon::test
