// From the shards to the whole.
#include <algorithm>
#include <filesystem>
#include <set>

#include "base/fail.h"
#include "compose/annotate/products.h"
#include "compose/annotate/run.h"

namespace beckon::compose {
namespace {

namespace fs = std::filesystem;

constexpr size_t kNamedAtMost = 5;

// "2, 5, 7-11": numbers that rise.
std::string ranges(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size();) {
    size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", numbers[i]);
    if (last > i) text += fmt::format("{}{}", last == i + 1 ? ", " : "-", numbers[last]);
    i = last + 1;
  }
  return text;
}

std::string some_of(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < std::min(names.size(), kNamedAtMost); ++i)
    text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kNamedAtMost) text += fmt::format(" and {} more", names.size() - kNamedAtMost);
  return text;
}

// What the shards say, put together; or the whole, if it was put together before.
class Merge {
 public:
  Merge(const OutFolder& out, const AnnotateOptions& options)
      : out_(out), formats_(options.formats) {
    check_formats(formats_);
    const std::optional<std::string> recipe = out_.read(kRecipeFile);
    if (!recipe) fail(Kind::missing, "{}: not a folder of beckon annotate", out_.root());
    whole_.recipe = read_recipe(*recipe, out_.full(kRecipeFile));
  }

  AnnotateReport run() {
    if (const std::optional<std::string> listing = out_.read(kListingFile))
      take_shards(*listing);
    else
      take_whole();
    check_results();
    whole_.products = write_products(out_, whole_.pictures, formats_, notes_);
    out_.write(kManifestFile, manifest_text(whole_));
    out_.remove_working_files();
    return report();
  }

 private:
  void take_shards(const std::string& listing_bytes) {
    // A list that is not whole is written anew by any shard that runs.
    const Listing listing = [&] {
      try {
        return read_listing(listing_bytes, out_.full(kListingFile));
      } catch (const Error& error) {
        fail(Kind::temporary, "{}; run a shard again", error.what());
      }
    }();
    whole_.listing_sha256 = hash_of(
        listing.shards == 1 ? listing_bytes : listing_text({.shards = 1, .paths = listing.paths}));
    const std::string hash = hash_of(listing_bytes);
    std::vector<int> absent, stale;
    std::set<std::string> prompts;
    for (int i = 0; i < listing.shards; ++i) {
      const Shard shard = {i, listing.shards};
      const std::optional<Manifest> part = read_part(shard);
      if (!part) {
        absent.push_back(i);
      } else if (part->listing_sha256 != hash || part->recipe != whole_.recipe ||
                 part->shard != shard) {
        stale.push_back(i);
      } else {
        prompts.insert(part->prompts_sha256);
        whole_.prompts_sha256 = part->prompts_sha256;
        formats_.insert(formats_.end(), part->formats.begin(), part->formats.end());
        whole_.pictures.insert(whole_.pictures.end(), part->pictures.begin(), part->pictures.end());
      }
    }
    refuse_incomplete(listing, absent, stale);
    if (prompts.size() > 1)
      fail(Kind::temporary, "{}: shards were made with different prompts files; run all again",
           out_.root());
    std::sort(whole_.pictures.begin(), whole_.pictures.end(),
              [](const Entry& a, const Entry& b) { return a.path < b.path; });
    const bool same = std::equal(
        whole_.pictures.begin(), whole_.pictures.end(), listing.paths.begin(), listing.paths.end(),
        [](const Entry& entry, const std::string& path) { return entry.path == path; });
    if (!same)
      fail(Kind::temporary, "{}: the shards do not add up to the folder; run all again",
           out_.root());
  }

  std::optional<Manifest> read_part(Shard shard) const {
    const std::string file = shard_manifest_file(shard);
    const std::optional<std::string> text = out_.read(file);
    if (!text) return std::nullopt;
    try {
      return read_manifest(*text, out_.full(file));
    } catch (const Error&) {  // as good as none
      return std::nullopt;
    }
  }

  void refuse_incomplete(const Listing& listing, const std::vector<int>& absent,
                         const std::vector<int>& stale) const {
    if (!absent.empty())
      fail(Kind::temporary, "{}: {} of {} shards are missing: {}; run them and merge again",
           out_.root(), absent.size(), listing.shards, ranges(absent));
    if (!stale.empty())
      fail(Kind::temporary,
           "{}: {} of {} shards saw another folder or had another recipe: {}; run them and merge "
           "again",
           out_.root(), stale.size(), listing.shards, ranges(stale));
  }

  void take_whole() {
    const std::optional<std::string> text = out_.read(kManifestFile);
    if (!text)
      fail(Kind::temporary, "{}: no shard has finished yet; run them and merge again", out_.root());
    Manifest before;
    try {
      before = read_manifest(*text, out_.full(kManifestFile));
    } catch (const Error& error) {
      fail(Kind::temporary, "{}; run all shards and merge again", error.what());
    }
    if (before.recipe != whole_.recipe || before.shard)
      fail(Kind::temporary, "{}: of another recipe; run all shards and merge again",
           out_.full(kManifestFile));
    before.products.clear();
    whole_ = std::move(before);
  }

  // Every result is there, and is the one that its shard made.
  void check_results() const {
    std::vector<std::string> missing;
    for (const Entry& entry : whole_.pictures) {
      if (entry.failed()) continue;
      const std::optional<std::string> text = out_.read(result_path(entry.path));
      if (!text || hash_of(*text) != entry.result_sha256) missing.push_back(entry.path);
    }
    if (!missing.empty())
      fail(Kind::temporary, "{}: {} of {} results are missing or damaged: {}; run all shards again",
           out_.root(), missing.size(), whole_.pictures.size(), some_of(missing));
  }

  AnnotateReport report() const {
    AnnotateReport report;
    report.notes = notes_;
    report.pictures = static_cast<int64_t>(whole_.pictures.size());
    std::set<std::string> expected;
    for (const Entry& entry : whole_.pictures) {
      if (entry.failed()) {
        report.failures.push_back({entry.path, entry.kind, entry.message});
      } else {
        ++report.kept;
        expected.insert(out_.full(result_path(entry.path)));
      }
    }
    std::error_code error;
    for (auto file = fs::recursive_directory_iterator(out_.full("results"), error);
         !error && file != fs::recursive_directory_iterator(); file.increment(error)) {
      if (file->is_regular_file(error) && expected.count(file->path().string()) == 0)
        ++report.orphans;
    }
    report.manifest = out_.full(kManifestFile);
    return report;
  }

  const OutFolder& out_;
  std::vector<std::string> formats_, notes_;
  Manifest whole_;
};

}  // namespace

AnnotateReport merge(const OutFolder& out, const AnnotateOptions& options) {
  return Merge(out, options).run();
}

}  // namespace beckon::compose

namespace beckon {

AnnotateReport merge_annotations(const std::string& out, const AnnotateOptions& options) {
  return compose::merge(compose::OutFolder::existing(out, options.around_write), options);
}

}  // namespace beckon
