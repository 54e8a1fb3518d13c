// The real MobileSAM of the store, tensor by tensor, against hashes of what numpy extracted from
// the same files by hand.
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

#include "base/sha256.h"
#include "beckon/checkpoint.h"
#include "beckon/store.h"
#include "weights/names.h"

namespace beckon::test {
namespace {

TEST(MobileSam, EveryTensorHasItsOfficialNameShapeAndValues) {
  const Store store;
  const Checkpoint file = sam_names(Checkpoint::open(store.find("mobile-sam")));
  std::ifstream table(BECKON_SOURCE_DIR "/tests/weights/mobile_sam_tensors.tsv");
  std::string line;
  std::getline(table, line);
  size_t rows = 0;
  for (; std::getline(table, line); ++rows) {
    std::istringstream cells(line);
    std::string name, size, hash;
    std::getline(cells, name, '\t');
    std::getline(cells, size, '\t');
    std::getline(cells, hash, '\t');
    ASSERT_TRUE(file.contains(name)) << name;
    std::string shape = file.info(name).shape.str();
    for (char& c : shape)
      if (c == ',') c = 'x';
    EXPECT_EQ(shape, "[" + size + "]") << name;
    const std::vector<float> values = file.f32(name);
    EXPECT_EQ(sha256_hex(std::as_bytes(std::span(values))).substr(0, 16), hash) << name;
  }
  EXPECT_EQ(rows, 408u);
  EXPECT_EQ(file.names().size(), rows);
}

}  // namespace
}  // namespace beckon::test
