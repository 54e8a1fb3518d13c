// Which part of a folder this process is to do.
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/fail.h"
#include "base/sha256.h"
#include "beckon/annotate.h"

namespace beckon {
namespace {

constexpr int64_t kMostShards = 1'000'000;

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The environment, with complaints that name the variable.
class Variables {
 public:
  explicit Variables(const std::function<const char*(const char*)>& get) : get_(get) {}

  // Nothing if it is not set or empty.
  std::optional<int64_t> number(const std::string& name) const {
    const char* text = get_(name.c_str());
    if (text == nullptr || *text == '\0') return std::nullopt;
    const std::optional<int64_t> value = whole_number(text);
    if (!value || *value < 0 || *value > INT32_MAX)
      fail(Kind::usage, "{}={}: expected a whole number (--shard i/n says it instead)", name, text);
    return value;
  }
  int64_t number(const std::string& name, int64_t otherwise) const {
    return number(name).value_or(otherwise);
  }

 private:
  const std::function<const char*(const char*)>& get_;
};

struct Part {
  int64_t index = 0, count = 1;
  std::string source;
};

void check_index(const Part& part) {
  if (part.count < 1 || part.index >= part.count)
    fail(Kind::usage, "{}: index {} of {} shards; expected 0 to {} (--shard i/n says it instead)",
         part.source, part.index, part.count, part.count - 1);
}

// A Slurm array numbers its tasks as its user likes: 0-15, 1-16 and 0-30:2 are 16 shards. A lone 3,
// or 3,7, is most likely the part of a larger array that is run again: taking it for a whole one
// would do other shards than those that are missing.
std::optional<Part> from_slurm(const Variables& variables) {
  const std::optional<int64_t> id = variables.number("SLURM_ARRAY_TASK_ID");
  if (!id) return std::nullopt;
  Part part{*id, 0, "SLURM_ARRAY_TASK_ID"};
  if (const auto total = variables.number("BECKON_SHARDS")) {
    part.count = *total;
    part.source += " and BECKON_SHARDS";
    check_index(part);
    return part;
  }
  const int64_t first = variables.number("SLURM_ARRAY_TASK_MIN", 0);
  const int64_t last = variables.number("SLURM_ARRAY_TASK_MAX", *id);
  const int64_t step = std::max<int64_t>(1, variables.number("SLURM_ARRAY_TASK_STEP", 1));
  const int64_t regular = last < first ? 0 : (last - first) / step + 1;
  const int64_t count = variables.number("SLURM_ARRAY_TASK_COUNT", regular);
  if (first > 1 || count != regular || *id < first || (*id - first) % step != 0)
    fail(Kind::usage,
         "the Slurm array is not 0-N or 1-N, so that the number of shards is not known: set "
         "BECKON_SHARDS to it, or give --shard {}/COUNT",
         *id);
  part.index = (*id - first) / step;
  part.count = count;
  check_index(part);
  return part;
}

std::optional<Part> from_kubernetes(const Variables& variables) {
  const std::optional<int64_t> index = variables.number("JOB_COMPLETION_INDEX");
  if (!index) return std::nullopt;
  for (const char* name : {"JOB_COMPLETIONS", "BECKON_SHARDS"}) {
    const std::optional<int64_t> count = variables.number(name);
    if (!count) continue;
    const Part part{*index, *count, fmt::format("JOB_COMPLETION_INDEX and {}", name)};
    check_index(part);
    return part;
  }
  fail(Kind::usage,
       "JOB_COMPLETION_INDEX={} without JOB_COMPLETIONS: set it in the manifest to the job's "
       "completions, or give --shard {}/COUNT",
       *index, *index);
}

std::optional<Part> from_mpi(const Variables& variables) {
  for (const std::string prefix : {"OMPI_COMM_WORLD_", "PMI_", "MV2_COMM_WORLD_"}) {
    const std::optional<int64_t> rank = variables.number(prefix + "RANK");
    const std::optional<int64_t> size = variables.number(prefix + "SIZE");
    if (!rank || !size) continue;
    const Part part{*rank, *size, prefix + "RANK"};
    check_index(part);
    return part;
  }
  return std::nullopt;
}

}  // namespace

Shard parse_shard(const std::string& text) {
  const size_t slash = text.find('/');
  if (slash != std::string::npos) {
    const std::optional<int64_t> index = whole_number(std::string_view(text).substr(0, slash));
    const std::optional<int64_t> count = whole_number(std::string_view(text).substr(slash + 1));
    if (index && count && *index >= 0 && *index < *count && *count <= kMostShards)
      return {static_cast<int>(*index), static_cast<int>(*count)};
  }
  fail(Kind::usage, "shard '{}': expected INDEX/COUNT, the first is 0 and the last COUNT-1", text);
}

int shard_of(const std::string& path, int count) {
  const std::string digits = sha256_hex(std::as_bytes(std::span(path.data(), path.size())));
  uint64_t number = 0;
  std::from_chars(digits.data(), digits.data() + 16, number, 16);
  return static_cast<int>(number % static_cast<uint64_t>(count));
}

ScheduledShard scheduled_shard(const std::function<const char*(const char*)>& variable) {
  const Variables variables(variable);
  ScheduledShard result;
  int64_t index = 0, count = 1;
  const std::array<std::optional<Part>, 3> parts = {
      from_slurm(variables), from_kubernetes(variables), from_mpi(variables)};
  for (const std::optional<Part>& part : parts) {
    if (!part) continue;
    index = index * part->count + part->index;
    count *= part->count;
    if (count > kMostShards)
      fail(Kind::usage, "{}: more than {} shards", part->source, kMostShards);
    result.source += (result.source.empty() ? "" : " and ") + part->source;
  }
  result.shard = {static_cast<int>(index), static_cast<int>(count)};
  return result;
}

}  // namespace beckon
