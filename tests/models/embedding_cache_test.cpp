// Embeddings kept on disk: the same answers, and nothing believed that does not prove itself.
#include "beckon/embedding_cache.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "small_sam.h"
#include "support/check.h"
#include "support/environment.h"
#include "support/pictures.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

namespace fs = std::filesystem;

Image picture(uint32_t seed, int width = 40, int height = 30) {
  Random random(seed);
  std::vector<uint8_t> pixels(static_cast<size_t>(width * height * 3));
  for (uint8_t& value : pixels) value = static_cast<uint8_t>(random.below(256));
  return Image(width, height, 3, pixels);
}

class Cached : public testing::Test {
 protected:
  EmbeddingCache cache(DType dtype = DType::f32, std::optional<uint64_t> limit = {}) const {
    return EmbeddingCache({.folder = dir / "cache", .limit = limit, .dtype = dtype});
  }
  std::string only_entry() const {
    const auto entries = cache().entries();
    EXPECT_EQ(entries.size(), 1u);
    return entries.at(0).path;
  }

  TempDir dir;
  Sam sam{small_model()};
  Image photo = picture(1);
};

TEST_F(Cached, AnEmbeddingIsComputedOnceAndComesBackBitForBit) {
  const auto fresh = sam.encode(photo).values();
  EXPECT_FALSE(cache().find(sam, photo));
  const CachedEmbedding first = cache().encode(sam, photo);
  EXPECT_FALSE(first.cached);
  EXPECT_EQ(first.warning, "");
  const CachedEmbedding second = cache().encode(sam, photo);
  EXPECT_TRUE(second.cached);
  EXPECT_EQ(first.embedding.values(), fresh);
  EXPECT_EQ(second.embedding.values(), fresh);
  EXPECT_EQ(second.embedding.image_size(), photo.size());
  EXPECT_EQ(second.embedding.pixels(), pixel_hash(photo));
  const Point click{12, 9};
  EXPECT_EQ(second.embedding.segment(click).best().rle(),
            sam.encode(photo).segment(click).best().rle());
}

TEST_F(Cached, PixelsDecideAndNothingElse) {
  EXPECT_EQ(pixel_hash(photo), pixel_hash(Image::decode(photo.encode_png())));
  Image other = photo;
  other.mutable_row(29)[119] ^= 1;
  EXPECT_NE(pixel_hash(photo), pixel_hash(other));
  // The same bytes in another shape.
  EXPECT_NE(pixel_hash(Image(2, 3, 3)), pixel_hash(Image(3, 2, 3)));
  cache().encode(sam, photo);
  EXPECT_FALSE(cache().encode(sam, other).cached);
  EXPECT_FALSE(cache().encode(Sam(small_model(true)), photo).cached) << "another model";
}

TEST_F(Cached, EveryKindOfDamageIsNoticedAndMended) {
  const auto fresh = cache().encode(sam, photo).embedding.values();
  const std::string path = only_entry();
  const std::vector<uint8_t> good = read_bytes(path);
  const auto rewrite = [&](std::vector<uint8_t> bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  };
  const auto expect_mended = [&](const std::string& what) {
    EXPECT_FALSE(cache().find(sam, photo)) << what;
    const CachedEmbedding again = cache().encode(sam, photo);
    EXPECT_FALSE(again.cached) << what;
    EXPECT_EQ(again.warning, "") << what;
    EXPECT_EQ(again.embedding.values(), fresh) << what;
    EXPECT_EQ(read_bytes(path), good) << what;
    EXPECT_TRUE(cache().find(sam, photo)) << what;
  };
  // Magic, version, hashes, sizes, type, values, digest.
  for (const size_t at :
       {size_t{0}, size_t{17}, size_t{30}, size_t{110}, size_t{170}, size_t{182}, size_t{190},
        size_t{1000}, good.size() - 65, good.size() - 64, good.size() - 1}) {
    std::vector<uint8_t> bad = good;
    bad[at] ^= 4;
    rewrite(bad);
    expect_mended("a bit at " + std::to_string(at));
  }
  for (const size_t size : {size_t{0}, size_t{8}, size_t{100}, good.size() - 1}) {
    rewrite({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)});
    expect_mended("cut to " + std::to_string(size));
  }
  std::vector<uint8_t> longer = good;
  longer.push_back('0');
  rewrite(longer);
  expect_mended("a byte more");
}

TEST_F(Cached, AnEntryOfAnotherPictureOrModelInItsPlaceIsNotBelieved) {
  cache().encode(sam, photo);
  const std::string path = only_entry();
  const auto good = read_bytes(path);
  fs::remove(path);
  cache().encode(sam, picture(2));
  fs::rename(only_entry(), path);
  EXPECT_FALSE(cache().find(sam, photo));
  fs::remove_all(dir / "cache");
  cache().encode(Sam(small_model(true)), photo);
  const std::string other = only_entry();
  fs::create_directories(fs::path(path).parent_path());
  fs::rename(other, path);
  EXPECT_FALSE(cache().find(sam, photo));
  EXPECT_FALSE(cache().encode(sam, photo).cached);
  EXPECT_EQ(read_bytes(path), good);
}

TEST_F(Cached, FoldersAndPipesInPlaceOfEntriesCostTimeOnly) {
  const auto fresh = cache().encode(sam, photo).embedding.values();
  const std::string path = only_entry();
  fs::remove(path);
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_FALSE(cache().find(sam, photo)) << "and does not wait for a writer";
  EXPECT_EQ(cache().encode(sam, photo).embedding.values(), fresh);
  fs::remove(path);
  fs::create_directory(path);
  const CachedEmbedding answer = cache().encode(sam, photo);
  EXPECT_EQ(answer.embedding.values(), fresh);
  EXPECT_NE(answer.warning, "");
}

TEST_F(Cached, AFolderThatCannotBeIsAWarning) {
  dir.write("file", "not a folder");
  const EmbeddingCache nowhere({.folder = dir / "file/cache"});
  const CachedEmbedding answer = nowhere.encode(sam, photo);
  EXPECT_FALSE(answer.cached);
  EXPECT_NE(answer.warning.find("not kept"), std::string::npos);
  EXPECT_EQ(answer.embedding.values(), sam.encode(photo).values());
  EXPECT_TRUE(nowhere.entries().empty());
}

TEST_F(Cached, WhatWasNotUsedForLongestGoesFirst) {
  cache().encode(sam, photo);
  const uint64_t one = cache().entries().at(0).bytes;
  const EmbeddingCache small = cache(DType::f32, 2 * one + one / 2);
  const auto pause = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  pause();
  small.encode(sam, picture(2));
  pause();
  EXPECT_TRUE(small.encode(sam, photo).cached);  // now used later than the second
  pause();
  small.encode(sam, picture(3));
  EXPECT_EQ(small.entries().size(), 2u);
  EXPECT_TRUE(small.find(sam, photo));
  EXPECT_FALSE(small.find(sam, picture(2)));
  EXPECT_TRUE(small.find(sam, picture(3)));
  // One that is larger than all of the cache is not kept.
  const EmbeddingCache tiny({.folder = dir / "tiny", .limit = one - 1});
  EXPECT_EQ(tiny.encode(sam, photo).warning, "");
  EXPECT_TRUE(tiny.entries().empty());
}

TEST_F(Cached, HalvesAnswerTheSameWhetherKeptOrNot) {
  const CachedEmbedding first = cache(DType::f16).encode(sam, photo);
  const CachedEmbedding second = cache(DType::f16).encode(sam, photo);
  EXPECT_TRUE(second.cached);
  EXPECT_EQ(second.dtype, DType::f16);
  EXPECT_EQ(first.embedding.values(), second.embedding.values());
  EXPECT_LT(max_difference(first.embedding.values(), sam.encode(photo).values()), 0.01);
  EXPECT_EQ(cache().find(sam, photo)->dtype, DType::f16) << "better than nothing";
  EXPECT_FALSE(EmbeddingCache({.folder = dir / "cache", .accept_f16 = false}).find(sam, photo));
  // Of both the exact one is taken, and rounded for who wants halves.
  EmbeddingCache({.folder = dir / "cache", .accept_f16 = false}).encode(sam, photo);
  EXPECT_EQ(cache().encode(sam, photo).embedding.values(), sam.encode(photo).values());
  EXPECT_EQ(cache(DType::f16).encode(sam, photo).embedding.values(), first.embedding.values());
  expect_error(Kind::usage, "f32 or f16", [&] { cache(DType::bf16); });
}

TEST_F(Cached, ClearTakesWhatIsItsOwn) {
  cache().encode(sam, photo);
  cache().encode(Sam(small_model(true)), photo);
  std::ofstream(dir / "cache/notes.txt") << "mine";
  const std::string first = cache().entries().at(0).model_hash;
  EXPECT_EQ(cache().clear(0, first.substr(0, 12)).size(), 1u);
  EXPECT_TRUE(cache().clear(3600).empty()) << "all were used just now";
  EXPECT_EQ(cache().clear().size(), 1u);
  EXPECT_TRUE(cache().entries().empty());
  EXPECT_TRUE(fs::exists(dir / "cache/notes.txt"));
}

TEST_F(Cached, ThreadsShareAFolder) {
  const EmbeddingCache small = cache(DType::f32, 40000);
  std::vector<std::vector<float>> expected;
  for (uint32_t i = 0; i < 3; ++i) expected.push_back(sam.encode(picture(i)).values());
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (uint32_t i = 0; i < 12; ++i) {
        const uint32_t which = (i * (t + 1)) % 3;
        EXPECT_EQ(small.encode(sam, picture(which)).embedding.values(), expected[which]);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

// Named so that the thread sanitizer leaves it out: it does not know children with threads.
TEST_F(Cached, ForkedProcessesShareAFolder) {
  std::vector<std::vector<float>> expected;
  for (uint32_t i = 0; i < 3; ++i) expected.push_back(sam.encode(picture(i)).values());
  std::vector<pid_t> children;
  for (uint32_t t = 0; t < 4; ++t) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      bool right = true;
      const EmbeddingCache small = cache(DType::f32, 40000);
      for (uint32_t i = 0; i < 20 && right; ++i) {
        const uint32_t which = (i * (t + 1)) % 3;
        right = small.encode(sam, picture(which)).embedding.values() == expected[which];
        if (i % 7 == t) small.clear();
      }
      _exit(right ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  for (const fs::path& path : fs::recursive_directory_iterator(dir / "cache"))
    EXPECT_FALSE(path.filename().string().ends_with(".tmp")) << path;
}

TEST(CacheFolder, FollowsTheEnvironment) {
  const Environment none("BECKON_CACHE", ""), home("BECKON_HOME", ""), xdg("XDG_CACHE_HOME", "/x");
  EXPECT_EQ(EmbeddingCache::default_folder(), "/x/beckon/embeddings");
  {
    const Environment relative("XDG_CACHE_HOME", "x"), person("HOME", "/home/anna");
    EXPECT_EQ(EmbeddingCache::default_folder(), "/home/anna/.cache/beckon/embeddings");
  }
  {
    const Environment ours("BECKON_HOME", "/b");
    EXPECT_EQ(EmbeddingCache::default_folder(), "/b/cache/embeddings");
  }
  const Environment direct("BECKON_CACHE", "/c");
  EXPECT_EQ(EmbeddingCache::default_folder(), "/c");
  const Environment size("BECKON_CACHE_SIZE", "3G");
  EXPECT_EQ(EmbeddingCache().limit(), 3'000'000'000u);
  const Environment bad("BECKON_CACHE_SIZE", "lots");
  expect_error(Kind::usage, "BECKON_CACHE_SIZE: 'lots'", [] { EmbeddingCache(); });
}

TEST(ParseBytes, TakesUnitsAndRefusesTheRest) {
  EXPECT_EQ(parse_bytes("0", "x"), 0u);
  EXPECT_EQ(parse_bytes("1000000", "x"), 1'000'000u);
  EXPECT_EQ(parse_bytes("64k", "x"), 64'000u);
  EXPECT_EQ(parse_bytes("500MB", "x"), 500'000'000u);
  EXPECT_EQ(parse_bytes("2T", "x"), 2'000'000'000'000u);
  for (const char* bad :
       {"", "-1", "1.5G", "2GG", "2 G", "G", "18446744073709551616", "99999999T", "0x10"})
    expect_error(Kind::usage, "is no size", [&] { parse_bytes(bad, "x"); });
}

}  // namespace
}  // namespace beckon::test
