#include "base/sha256.h"

#include <gtest/gtest.h>

#include "beckon/error.h"
#include "support/check.h"
#include "support/temp_dir.h"

namespace beckon::test {
namespace {

// The examples of FIPS 180-2.
TEST(Sha256, KnownAnswers) {
  const std::string abc = "abc";
  EXPECT_EQ(sha256_hex(std::as_bytes(std::span(abc))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Sha256, AFileHashesAsItsBytes) {
  TempDir folder;
  const std::string million(1'000'000, 'a');
  uint64_t last = 0;
  EXPECT_EQ(sha256_of_file(folder.write("x", million), [&](uint64_t done) { last = done; }),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  EXPECT_EQ(last, million.size());
  expect_error(Kind::missing, "cannot open", [&] { sha256_of_file(folder / "nothing"); });
}

}  // namespace
}  // namespace beckon::test
