#include "compose/annotate/manifest.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "compose/annotate/out_folder.h"
#include "support/check.h"

namespace beckon::test {
namespace {

using namespace compose;

Manifest some_manifest() {
  Manifest manifest;
  manifest.recipe = {{"version", "1"}, {"options", {{"b", 1}, {"a", 0.1}}}};
  manifest.shard = Shard{3, 16};
  manifest.listing_sha256 = hash_of("listing");
  manifest.prompts_sha256 = hash_of("prompts");
  manifest.pictures.push_back({"a.jpg", {hash_of("a"), hash_of("r")}, {7, 5}, 2, hash_of("x")});
  Entry failed;
  failed.path = "caf\xe9\n.jpg";
  failed.kind = Kind::unsupported;
  failed.message = "caf\xe9\n.jpg: is a GIF";
  manifest.pictures.push_back(failed);
  return manifest;
}

TEST(Manifest, ComesBackFromItsText) {
  const std::string text = manifest_text(some_manifest());
  const Manifest read = read_manifest(text, "file");
  EXPECT_EQ(read.recipe, some_manifest().recipe);
  EXPECT_EQ(read.shard, (Shard{3, 16}));
  ASSERT_EQ(read.pictures.size(), 2u);
  EXPECT_EQ(read.pictures[0].proof, some_manifest().pictures[0].proof);
  EXPECT_EQ(read.pictures[0].size, (ImageSize{7, 5}));
  EXPECT_EQ(read.pictures[0].objects, 2);
  EXPECT_EQ(read.pictures[1].path, "caf\xe9\n.jpg");
  EXPECT_TRUE(read.pictures[1].failed());
  EXPECT_EQ(read.pictures[1].kind, Kind::unsupported);
  // Through its text once more: the shards' words and the whole's are the same.
  EXPECT_EQ(manifest_text(read), manifest_text(read_manifest(manifest_text(read), "file")));
  EXPECT_TRUE(nlohmann::json::accept(text));
}

TEST(Manifest, CutOffOrEditedIsRefused) {
  const std::string text = manifest_text(some_manifest());
  for (size_t length = 0; length < text.size(); length += 7)
    expect_error(Kind::input, "file: damaged",
                 [&] { read_manifest(text.substr(0, length), "file"); });
  for (size_t i = 0; i < text.size(); i += 3) {
    std::string edited = text;
    edited[i] = static_cast<char>(edited[i] ^ 1);
    expect_error(Kind::input, "file: damaged", [&] { read_manifest(edited, "file"); });
  }
  expect_error(Kind::input, "damaged", [&] { read_manifest(text + " ", "file"); });
}

// Sealed by somebody who knows how.
TEST(Manifest, SealedNonsenseIsRefusedToo) {
  for (
      const char* body :
      {"", "{", "[", "{\"beckon\":1", R"({"beckon":1,"kind":"manifest")",
       R"({"beckon":2,"kind":"manifest")", R"({"beckon":1,"kind":"listing")",
       R"({"beckon":1,"kind":"manifest","recipe":{},"listing_sha256":"","pictures":[1])",
       R"({"beckon":1,"kind":"manifest","recipe":{},"listing_sha256":"","pictures":[{"path":"../x"}])",
       R"({"beckon":1,"kind":"manifest","recipe":{},"listing_sha256":3,"pictures":[])"}) {
    SCOPED_TRACE(body);
    expect_error(Kind::input, "file", [&] { read_manifest(sealed(body), "file"); });
  }
  expect_error(Kind::input, "deeper",
               [] { read_manifest(sealed("{\"beckon\":" + std::string(100'000, '[')), "file"); });
}

TEST(Listing, ComesBackFromItsText) {
  const Listing listing = {16, {"a.jpg", "sub/\xe9"}};
  const Listing read = read_listing(listing_text(listing), "file");
  EXPECT_EQ(read.shards, 16);
  EXPECT_EQ(read.paths, listing.paths);
  EXPECT_TRUE(read_listing(listing_text({1, {}}), "file").paths.empty());
}

TEST(Result, ProvesWhatItWasMadeFrom) {
  std::vector<Found> found;
  found.push_back({Rle({7, 5}, {3, 4, 28}),
                   PixelBox{0, 0, 2, 5},
                   0.5f,
                   std::numeric_limits<double>::quiet_NaN(),
                   {{1.5, 2}},
                   {0, 0, 7, 5},
                   "a\nlabel"});
  const Proof proof = {hash_of("picture"), hash_of("recipe")};
  const std::string text = result_text("sub/a.jpg", {7, 5}, found, proof, {{"x", 1}});
  const std::optional<ResultHead> head = read_head(text);
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->proof, proof);
  EXPECT_EQ(head->size, (ImageSize{7, 5}));
  EXPECT_EQ(head->objects, 1);

  const auto document = nlohmann::json::parse(text);
  EXPECT_EQ(document["image"]["file_name"], "sub/a.jpg");
  const auto& object = document["annotations"][0];
  EXPECT_EQ(object["area"], 4);
  EXPECT_EQ(object["bbox"],
            (std::vector<int>{0, 0, 2, 5}));  // the end of a column and the next one's beginning
  EXPECT_EQ(object["label"], "a\nlabel");
  EXPECT_TRUE(object["stability_score"].is_null());
  EXPECT_EQ(document["beckon"]["recipe"]["x"], 1);

  for (size_t i = 0; i < text.size(); i += 5) {
    std::string edited = text;
    edited[i] = static_cast<char>(edited[i] ^ 1);
    EXPECT_FALSE(read_head(edited).has_value());
    EXPECT_FALSE(read_head(text.substr(0, i)).has_value());
  }
  EXPECT_FALSE(read_head(sealed("{}")).has_value());
  EXPECT_FALSE(read_head(sealed("{\"a\":1,\n\"beckon\":[1]")).has_value());
}

}  // namespace
}  // namespace beckon::test
