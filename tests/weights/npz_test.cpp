#include <gtest/gtest.h>

#include "beckon/checkpoint.h"
#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/expect_refused.h"
#include "weights/file_makers.h"

namespace beckon::test {
namespace {

const std::string kSix = bytes_of(counting(6));

std::string archive_of(const std::string& array, const std::string& name = "a.npy") {
  ZipMaker zip;
  zip.store(name, array);
  return zip.text();
}

TEST(Npz, ReadsStoredAndDeflatedMembersInBothOrders) {
  ZipMaker zip;
  zip.store("Transformer/encoder_norm/scale.npy", npy("<f4", "(6,)", kSix));
  zip.deflate("c.npy", npy("<f4", "(2, 3)", kSix));
  zip.deflate("f.npy", npy("<f4", "(2, 3)", kSix, true));
  zip.store("scalar.npy", npy("<i8", "()", little<int64_t>(-3)));
  zip.store("big.npy", npy(">f4", "(1,)", std::string("\x3f\x80\x00\x00", 4)));
  zip.store("notes.txt", "not an array");
  TempDir folder;
  const Checkpoint file = Checkpoint::open(folder.write("ViT-B_16", zip.text()));
  EXPECT_EQ(file.format(), "npz");
  ASSERT_EQ(file.names().size(), 5u);
  EXPECT_EQ(file.f32("Transformer/encoder_norm/scale"), counting(6));
  EXPECT_EQ(file.f32("c"), counting(6));
  EXPECT_EQ(file.f32("f"),
            (std::vector<float>{0, 2, 4, 1, 3, 5}));  // columns were stored one after the other
  EXPECT_EQ(file.info("f").shape, (Shape{2, 3}));
  EXPECT_EQ(file.i64("scalar"), std::vector<int64_t>{-3});
  EXPECT_EQ(file.f32("big"), std::vector<float>{1});
  EXPECT_FALSE(file.raw("c"));  // deflated
}

TEST(Npz, Zip64ArchivesAreRead) {
  ZipMaker zip;
  zip.zip64 = true;
  zip.store("a.npy", npy("<f4", "(6,)", kSix));
  TempDir folder;
  EXPECT_EQ(Checkpoint::open(folder.write("x", zip.text())).f32("a"), counting(6));
}

TEST(Npy, ASingleArrayOfAnyVersionIsRead) {
  TempDir folder;
  const Checkpoint file = Checkpoint::open(folder.write("x", npy("<f4", "(3, 2)", kSix, true)));
  EXPECT_EQ(file.format(), "npy");
  EXPECT_EQ(file.f32("array"), (std::vector<float>{0, 3, 1, 4, 2, 5}));

  const std::string header = "{\"shape\": (6,), 'fortran_order': False, 'descr': '<f4'}\n";
  for (char version : {'\2', '\3'}) {
    const std::string bytes = std::string("\x93NUMPY") + version + std::string(1, '\0') +
                              little(static_cast<uint32_t>(header.size())) + header + kSix;
    EXPECT_EQ(Checkpoint::open(folder.write("y", bytes)).f32("array"), counting(6));
  }
}

TEST(Npz, EveryTruncationIsAnError) {
  ZipMaker zip;
  zip.deflate("a.npy", npy("<f4", "(2, 3)", kSix));
  zip.store("b.npy", npy("<f4", "(6,)", kSix));
  expect_all_prefixes_refused(zip.text());
  zip.zip64 = true;
  expect_all_prefixes_refused(zip.text());
  expect_all_prefixes_refused(npy("<f4", "(6,)", kSix));
}

TEST(Npy, BrokenHeadersAreErrors) {
  struct Case {
    const char* what;
    std::string array;
    Kind kind;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"objects", npy("|O", "(1,)", kSix), Kind::unsupported, "Python objects"},
      {"text", npy("<U4", "(1,)", kSix), Kind::unsupported, "'<U4'"},
      {"complex", npy("<c8", "(3,)", kSix), Kind::unsupported, "'<c8'"},
      {"no byte order", npy("f4", "(6,)", kSix), Kind::unsupported, "'f4'"},
      {"negative", npy("<f4", "(-6,)", kSix), Kind::model, "expected a size"},
      {"overflow", npy("<f4", "(99999999999999999999,)", kSix), Kind::model, "a size overflows"},
      {"product overflows", npy("<f4", "(4294967296, 4294967296)", kSix), Kind::model, "overflow"},
      {"too few values", npy("<f4", "(7,)", kSix), Kind::model, "reaches element 6"},
      {"too many values", npy("<f4", "(5,)", kSix), Kind::model, "wants 20 bytes"},
      {"no values", npy("<f4", "(0,)", kSix), Kind::model, "wants 0 bytes"},
      {"not closed", npy("<f4", "(6,", kSix), Kind::model, "character"},
      {"nine dimensions", npy("<f4", "(1,1,1,1,1,1,1,1,6)", kSix), Kind::unsupported,
       "more than 8"},
      {"nested", npy("<f4", "((((6", kSix), Kind::model, "expected a size"},
      {"shape twice", npy("<f4", "(6,), 'shape': (6,)", kSix), Kind::model, "repeated key 'shape'"},
      {"version 4", "\x93NUMPY\x04" + std::string(1, '\0') + kSix, Kind::unsupported,
       "version 4.0"},
      {"long header", std::string("\x93NUMPY\x02\x00\xff\xff\xff\x7f", 12) + kSix, Kind::resource,
       "2147483647"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    expect_refused(c.array, c.kind, c.part);
    expect_refused(archive_of(c.array), c.kind, c.part);
  }
}

// Takes a fresh archive of two arrays and spoils one thing.
std::string spoilt(const std::function<void(ZipMaker&)>& spoil) {
  ZipMaker zip;
  zip.store("a.npy", npy("<f4", "(6,)", kSix));
  zip.store("b.npy", npy("<f4", "(6,)", kSix));
  spoil(zip);
  return zip.text();
}

TEST(Zip, LiesOfTheDirectoryAreErrors) {
  struct Case {
    const char* what;
    std::function<void(ZipMaker&)> spoil;
    Kind kind;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"encrypted", [](ZipMaker& z) { z.members[0].flags = 1; }, Kind::unsupported, "encrypted"},
      {"method", [](ZipMaker& z) { z.members[0].method = 12; }, Kind::unsupported, "method 12"},
      {"same name", [](ZipMaker& z) { z.members[1].name = "a.npy"; }, Kind::model,
       "'a.npy' occurs twice"},
      {"climbs", [](ZipMaker& z) { z.members[0].name = "../a.npy"; }, Kind::model,
       "plain relative path"},
      {"climbs inside", [](ZipMaker& z) { z.members[0].name = "x/../../a.npy"; }, Kind::model,
       "plain relative"},
      {"absolute", [](ZipMaker& z) { z.members[0].name = "/a.npy"; }, Kind::model,
       "plain relative path"},
      {"empty name", [](ZipMaker& z) { z.members[0].name = ""; }, Kind::model,
       "plain relative path"},
      {"NUL", [](ZipMaker& z) { z.members[0].name = std::string("a\0.npy", 6); }, Kind::model,
       "'a?.npy'"},
      {"other name", [](ZipMaker& z) { z.members[0].local_name = "z.npy"; }, Kind::model,
       "another name"},
      {"other size", [](ZipMaker& z) { z.members[0].size = 5; }, Kind::model, "5 bytes in 152"},
      {"offset", [](ZipMaker& z) { z.members[0].offset = 1; }, Kind::model, "no header at 1"},
      {"offset past the end", [](ZipMaker& z) { z.members[0].offset = 1 << 30; }, Kind::model,
       "past the data"},
      {"overlap", [](ZipMaker& z) { z.members[1].offset = 0; }, Kind::model, "overlaps"},
      {"zip64 offset", [](ZipMaker& z) { z.zip64 = true, z.zip64_lie = 7; }, Kind::model,
       "contradict"},
      {"zip64 field is cut off",
       [](ZipMaker& z) {
         z.members[0].offset = 0xffffffff;
         z.members[0].extra = little<uint16_t>(1) + little<uint16_t>(4) + "1234";
       },
       Kind::model, "cut off"},
      {"zip64 size is a lie",
       [](ZipMaker& z) {
         z.members[1].offset = 0xffffffff;
         z.members[1].extra = little<uint16_t>(1) + little<uint16_t>(8) + little<uint64_t>(~0ull);
       },
       Kind::model, "past the data"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    expect_refused(spoilt(c.spoil), c.kind, c.part);
  }
  const std::string good = spoilt([](ZipMaker&) {});
  expect_refused(good.substr(0, good.size() - 2) + "\x07" + std::string(1, '\0'), Kind::model,
                 "directory at the end");
  expect_refused("PK\x03\x04" + std::string(100'000, 'x'), Kind::model, "without its directory");
  std::string count = good;
  count[count.size() - 12] = 1;  // entries, where there are two
  count[count.size() - 14] = 1;
  expect_refused(count, Kind::model, "after its 1 entries");
  ZipMaker other;
  other.store("readme.txt", "hello");
  expect_refused(other.text(), Kind::model, "neither data.pkl");
  expect_refused(ZipMaker().text(), Kind::model, "neither data.pkl");
}

TEST(Zip, BombsAreRefusedBeforeTheyInflate) {
  // 200 MB of zeros in 200 kB: an honest declaration of too much.
  ZipMaker bomb;
  bomb.deflate("a.npy", npy("<f4", "(50000000,)", std::string(200'000'000, '\0')));
  expect_refused(bomb.text(), Kind::resource, "refused as a bomb");

  ZipMaker ratio;
  ratio.deflate("a.npy", npy("<f4", "(6,)", kSix)).size = 60'000'000;
  expect_refused(ratio.text(), Kind::resource, "more than deflate can do");

  // It inflates to more than it declares, and to less.
  for (int change : {-4, 4}) {
    ZipMaker zip;
    ZipMaker::Member& member = zip.deflate("a.npy", npy("<f4", "(6,)", kSix));
    std::string array = npy("<f4", change < 0 ? "(5,)" : "(7,)", change < 0 ? kSix : kSix);
    member = ZipMaker().deflate("a.npy", array);
    member.size = static_cast<uint32_t>(static_cast<int>(member.size) + change);
    expect_refused(zip.text(), Kind::model, "does not inflate to the");
  }

  ZipMaker checksum;
  checksum.deflate("a.npy", npy("<f4", "(6,)", kSix)).crc ^= 1;
  expect_refused(checksum.text(), Kind::model, "checksum");
  ZipMaker garbage;
  ZipMaker::Member& member = garbage.store("a.npy", std::string(100, '\xff'));
  member.method = 8;
  expect_refused(garbage.text(), Kind::model, "deflated data is broken");
}

}  // namespace
}  // namespace beckon::test
