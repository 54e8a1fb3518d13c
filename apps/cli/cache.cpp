// beckon cache: what is kept of photos that were seen before.
#include <algorithm>
#include <ctime>
#include <map>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/fail.h"
#include "cached_encoding.h"
#include "json.h"
#include "program.h"
#include "terminal.h"

namespace beckon::cli {
namespace {

constexpr size_t kShortHash = 12;

// "2026-03-14 15:09", in the user's time zone.
std::string local_time(int64_t seconds) {
  return fmt::format("{:%Y-%m-%d %H:%M}", fmt::localtime(static_cast<std::time_t>(seconds)));
}

// ISO 8601, in UTC.
std::string utc_time(int64_t seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

// What the cache holds for one model.
struct Share {
  size_t f32 = 0, f16 = 0;
  uint64_t bytes = 0;
  int64_t oldest = 0, newest = 0;  // when entries were last used
};

std::map<std::string, Share> shares_of(const std::vector<CacheEntry>& entries) {
  std::map<std::string, Share> shares;
  for (const CacheEntry& entry : entries) {
    Share& share = shares[entry.model_hash];
    ++(entry.dtype == DType::f16 ? share.f16 : share.f32);
    share.bytes += entry.bytes;
    if (share.oldest == 0) share.oldest = entry.used;
    share.newest = entry.used;
  }
  return shares;
}

uint64_t bytes_of(const std::vector<CacheEntry>& entries) {
  uint64_t bytes = 0;
  for (const CacheEntry& entry : entries) bytes += entry.bytes;
  return bytes;
}

std::string photos(size_t count) { return fmt::format("{} photo{}", count, count == 1 ? "" : "s"); }

void show_cache(bool json) {
  const EmbeddingCache cache = open_cache();
  const std::vector<CacheEntry> entries = cache.entries();
  if (json) {
    Json models = Json::array();
    for (const auto& [hash, share] : shares_of(entries))
      models.push_back({{"hash", hash},
                        {"origin", cache.origin_of(hash)},
                        {"f32", share.f32},
                        {"f16", share.f16},
                        {"bytes", share.bytes},
                        {"oldest", utc_time(share.oldest)},
                        {"newest", utc_time(share.newest)}});
    print(text_of({{"folder", cache.folder()},
                   {"limit", cache.limit()},
                   {"bytes", bytes_of(entries)},
                   {"entries", entries.size()},
                   {"models", models}}));
    return;
  }
  std::string out = fmt::format("{}: {}, {} of {}\n", cache.folder(), photos(entries.size()),
                                human_bytes(bytes_of(entries)), human_bytes(cache.limit()));
  for (const auto& [hash, share] : shares_of(entries)) {
    const std::string origin = cache.origin_of(hash);
    out += fmt::format("{:.{}}  {:>6}  {:>9}  last used {}  {}\n", hash, kShortHash,
                       share.f32 + share.f16, human_bytes(share.bytes), local_time(share.newest),
                       origin);
  }
  print(out);
}

struct ClearOptions {
  double days = 0;
  std::string model;
  bool json = false;
};

void clear_cache(const ClearOptions& options) {
  if (options.model.find_first_not_of("0123456789abcdef") != std::string::npos)
    fail(Kind::usage, "--model: '{}' is no beginning of a hash as 'beckon cache show' prints it",
         options.model);
  constexpr double kDay = 86400;
  const EmbeddingCache cache = open_cache();
  const std::vector<CacheEntry> removed = cache.clear(options.days * kDay, options.model);
  if (options.json)
    print(text_of(
        {{"folder", cache.folder()}, {"removed", removed.size()}, {"bytes", bytes_of(removed)}}));
  else
    print(fmt::format("{}: {} removed, {}\n", cache.folder(), photos(removed.size()),
                      human_bytes(bytes_of(removed))));
}

}  // namespace

void add_cache(CLI::App& program) {
  CLI::App* cache = program.add_subcommand("cache", "What is kept of photos that were seen");
  cache->require_subcommand(0, 1);

  CLI::App* show = cache->add_subcommand("show", "How many embeddings of which models, how large");
  show->footer("beckon cache show\nBECKON_CACHE_SIZE=10G beckon cache show --json");
  auto json = std::make_shared<bool>(false);
  show->add_flag("--json", *json, "Print one JSON object");
  show->callback([json] { show_cache(*json); });

  CLI::App* clear = cache->add_subcommand("clear", "Remove embeddings; photos stay as they are");
  clear->footer("beckon cache clear\nbeckon cache clear --older-than 30");
  auto options = std::make_shared<ClearOptions>();
  clear->add_option("--older-than", options->days, "Only what was not used for so many days")
      ->type_name("DAYS")
      ->check(CLI::Range(0.0, 36500.0));
  clear->add_option("--model", options->model, "Only of the model whose hash begins so")
      ->type_name("HASH");
  clear->add_flag("--json", options->json, "Print one JSON object");
  clear->callback([options] { clear_cache(*options); });

  CLI::App* path = cache->add_subcommand("path", "Where it is");
  path->footer("du -sh \"$(beckon cache path)\"");
  path->callback([] { print(open_cache().folder() + "\n"); });
}

}  // namespace beckon::cli
