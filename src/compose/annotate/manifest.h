// What a shard, or the whole, consists of and was made from.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "beckon/annotate.h"
#include "compose/annotate/names.h"
#include "compose/annotate/result.h"

namespace beckon::compose {

// One picture: its result, or why there is none.
struct Entry {
  std::string path;
  Proof proof;  // without a result: as far as it is known
  ImageSize size;
  int64_t objects = 0;
  std::string result_sha256;  // empty: it failed
  Kind kind = Kind::input;    // of the failure
  std::string message;

  bool failed() const { return result_sha256.empty(); }
};

// A file that was made from all results together.
struct Product {
  std::string path;  // relative to OUT
  std::string sha256;
};

struct Manifest {
  Recipe recipe;                     // without the prompts of single pictures
  std::optional<Shard> shard;        // nothing: the whole
  std::string listing_sha256;        // of the list of all pictures
  std::string prompts_sha256;        // of the prompts file, empty if there was none
  std::vector<Entry> pictures;       // sorted by path
  std::vector<std::string> formats;  // a shard's: what the whole is to be written as too
  std::vector<Product> products;     // the whole's
};

std::string manifest_text(const Manifest& manifest);
// Throws Error(input) that begins with `name` if it is not whole or not one.
Manifest read_manifest(std::string_view text, const std::string& name);

// All pictures of the folder, as every shard sees them.
struct Listing {
  int shards = 1;  // in how many parts they are done
  std::vector<std::string> paths;
};
std::string listing_text(const Listing& listing);
Listing read_listing(std::string_view text, const std::string& name);

// The recipe that all results of a folder share: OUT/annotate.json.
std::string recipe_text(const Recipe& recipe);
Recipe read_recipe(std::string_view text, const std::string& name);

// Names relative to OUT.
inline constexpr const char* kRecipeFile = "annotate.json";
inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kListingFile = "shards/listing.json";
std::string shard_name(Shard shard);           // "3-of-16"
std::string shard_manifest_file(Shard shard);  // "shards/3-of-16.json"

}  // namespace beckon::compose
