#include "compose/annotate/manifest.h"

#include <algorithm>
#include <array>

#include "base/fail.h"
#include "beckon/version.h"
#include "compose/annotate/out_folder.h"
#include "prompt/bounded_json.h"

namespace beckon::compose {
namespace {

constexpr size_t kLongestManifest = size_t{4} << 30;
constexpr int kForm = 1;
constexpr int kMostShards = 1'000'000;  // as parse_shard()

using nlohmann::json;

// Kinds as they are written, and read again.
Kind kind_named(const std::string& name) {
  constexpr std::array kKinds = {Kind::usage,       Kind::input,    Kind::missing,
                                 Kind::model,       Kind::output,   Kind::unavailable,
                                 Kind::unsupported, Kind::resource, Kind::internal};
  const auto found = std::find_if(kKinds.begin(), kKinds.end(),
                                  [&](Kind kind) { return name == kind_name(kind); });
  return found == kKinds.end() ? Kind::input : *found;
}

// A path or message can hold bytes that are no UTF-8.
std::string dumped(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json json_of(const Entry& entry) {
  Json object;
  put_path(object, entry.path);
  if (!entry.proof.input_sha256.empty()) object["sha256"] = entry.proof.input_sha256;
  if (entry.failed()) {
    object["error"] = {{"kind", kind_name(entry.kind)}, {"message", entry.message}};
    return object;
  }
  object["recipe_sha256"] = entry.proof.recipe_sha256;
  object["width"] = entry.size.width;
  object["height"] = entry.size.height;
  object["objects"] = entry.objects;
  Json result;
  put_path(result, result_path(entry.path));
  object[result.begin().key() == "path" ? "result" : "result_percent"] = result.front();
  object["result_sha256"] = entry.result_sha256;
  return object;
}

Entry entry_of(const json& object, const std::string& name) {
  Entry entry;
  entry.path = path_of(object, name);
  entry.proof.input_sha256 = object.value("sha256", "");
  if (const auto error = object.find("error"); error != object.end()) {
    entry.kind = kind_named(error->at("kind"));
    entry.message = error->at("message");
    return entry;
  }
  entry.proof.recipe_sha256 = object.at("recipe_sha256");
  entry.size = {object.at("width"), object.at("height")};
  entry.objects = object.at("objects");
  entry.result_sha256 = object.at("result_sha256");
  if (entry.result_sha256.empty()) fail(Kind::input, "{}: an empty hash", name);
  return entry;
}

// A list with a line for each, so that versions are easy to compare.
template <typename List, typename ToText>
std::string lines(const List& list, ToText to_text) {
  std::string text = "[";
  for (const auto& item : list) text += (text.size() == 1 ? "\n" : ",\n") + to_text(item);
  return text + "]";
}

// Reads one of our files: whole, of a version that is known, of the kind that is expected.
template <typename Read>
auto read_own(std::string_view text, const std::string& name, const char* what, Read read) {
  if (!is_sealed(text)) fail(Kind::input, "{}: damaged: cut off or edited", name);
  const json document = parse_bounded_json(text, name, kLongestManifest);
  try {
    if (document.at("beckon") != kForm)
      fail(Kind::input, "{}: of a version that is not known", name);
    if (document.at("kind") != what)
      fail(Kind::input, "{}: expected a file of the kind '{}'", name, what);
    return read(document);
  } catch (const json::exception&) {
    fail(Kind::input, "{}: not what this program writes", name);
  }
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  std::string text = fmt::format("{{\"beckon\":{},\n\"kind\":\"manifest\"", kForm);
  text += ",\n\"recipe\":" + manifest.recipe.dump();
  if (manifest.shard)
    text += fmt::format(",\n\"shard\":{{\"index\":{},\"count\":{}}}", manifest.shard->index,
                        manifest.shard->count);
  text += fmt::format(",\n\"listing_sha256\":\"{}\"", manifest.listing_sha256);
  if (!manifest.prompts_sha256.empty())
    text += fmt::format(",\n\"prompts_sha256\":\"{}\"", manifest.prompts_sha256);
  if (!manifest.formats.empty()) text += ",\n\"formats\":" + Json(manifest.formats).dump();
  const auto failed = std::count_if(manifest.pictures.begin(), manifest.pictures.end(),
                                    [](const Entry& entry) { return entry.failed(); });
  text += fmt::format(",\n\"counts\":{{\"pictures\":{},\"failed\":{}}}", manifest.pictures.size(),
                      failed);
  text += ",\n\"pictures\":" +
          lines(manifest.pictures, [](const Entry& entry) { return dumped(json_of(entry)); });
  if (!manifest.products.empty())
    text += ",\n\"products\":" + lines(manifest.products, [](const Product& product) {
              return dumped({{"path", product.path}, {"sha256", product.sha256}});
            });
  return sealed(std::move(text));
}

Manifest read_manifest(std::string_view text, const std::string& name) {
  return read_own(text, name, "manifest", [&](const json& document) {
    Manifest manifest;
    manifest.recipe = document.at("recipe");
    if (const auto shard = document.find("shard"); shard != document.end())
      manifest.shard = {shard->at("index"), shard->at("count")};
    manifest.listing_sha256 = document.at("listing_sha256");
    manifest.prompts_sha256 = document.value("prompts_sha256", "");
    manifest.formats = document.value("formats", std::vector<std::string>());
    for (const json& picture : document.at("pictures"))
      manifest.pictures.push_back(entry_of(picture, name));
    return manifest;
  });
}

std::string listing_text(const Listing& listing) {
  return sealed(
      fmt::format("{{\"beckon\":{},\n\"kind\":\"listing\",\n\"shards\":{},\n"
                  "\"pictures\":{}",
                  kForm, listing.shards, lines(listing.paths, [](const auto& path) {
                    Json object;
                    put_path(object, path);
                    return object.dump();
                  })));
}

Listing read_listing(std::string_view text, const std::string& name) {
  return read_own(text, name, "listing", [&](const json& document) {
    Listing listing;
    listing.shards = document.at("shards");
    if (listing.shards < 1 || listing.shards > kMostShards)
      fail(Kind::input, "{}: {} shards", name, listing.shards);
    for (const json& picture : document.at("pictures"))
      listing.paths.push_back(path_of(picture, name));
    return listing;
  });
}

std::string recipe_text(const Recipe& recipe) {
  return sealed(
      fmt::format("{{\"beckon\":{},\n\"kind\":\"recipe\",\n\"recipe\":{}", kForm, recipe.dump()));
}

Recipe read_recipe(std::string_view text, const std::string& name) {
  return read_own(text, name, "recipe",
                  [](const json& document) { return Recipe(document.at("recipe")); });
}

std::string shard_name(Shard shard) { return fmt::format("{}-of-{}", shard.index, shard.count); }

std::string shard_manifest_file(Shard shard) {
  return fmt::format("{}/{}.json", kShardsFolder, shard_name(shard));
}

}  // namespace beckon::compose
