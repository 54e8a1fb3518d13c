#include <filesystem>

#include <gtest/gtest.h>

#include "beckon/checkpoint.h"
#include "beckon/store.h"
#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/expect_refused.h"
#include "weights/file_makers.h"

namespace beckon::test {
namespace {

std::string weight(const std::string& name, const std::string& shape,
                   const std::string& dtype = "float32", const std::string& more = "") {
  return R"({"name":")" + name + R"(","shape":)" + shape + R"(,"dtype":")" + dtype + "\"" + more +
         "}";
}

std::string quantised(const std::string& dtype, const std::string& scale = "0.5",
                      const std::string& min = "-3") {
  return R"(,"quantization":{"dtype":")" + dtype + R"(","scale":)" + scale + R"(,"min":)" + min +
         "}";
}

std::string group(const std::string& paths, const std::string& weights) {
  return R"({"paths":[)" + paths + R"(],"weights":[)" + weights + "]}";
}

std::string model(const std::string& groups) {
  return R"({"modelTopology":{"node":[{"name":"a","op":"Const","attr":{"value":{"tensor":{}}}}],)"
         R"("versions":{"producer":38}},"format":"graph-model","convertedBy":"a converter",)"
         R"("weightsManifest":[)" +
         groups + "]}";
}

TEST(Tfjs, WeightsRunOnFromShardToShard) {
  const std::string bytes =
      bytes_of(counting(6)) + bytes_of<int32_t>({7, -8}) + std::string("\x01\x00", 2);
  TempDir folder;
  folder.write("s1", bytes.substr(0, 10));  // the first weight ends in the second shard
  folder.write("s2", bytes.substr(10));
  folder.write("s3", std::string("\x05\xff", 2));
  const std::string path = folder.write(
      "model.json",
      model(group(R"("s1","s2")", weight("a/b", "[2,3]") + "," + weight("n", "[2]", "int32") + "," +
                                      weight("flag", "[2]", "bool")) +
            "," + group(R"("s3")", weight("u", "[1,2]", "uint8"))));
  for (const std::string& way : {path, folder.path().string()}) {
    const Checkpoint file = Checkpoint::open(way);
    EXPECT_EQ(file.format(), "tfjs");
    EXPECT_EQ(file.metadata().at("format"), "graph-model");
    ASSERT_EQ(file.names().size(), 4u);
    EXPECT_EQ(file.info("a/b").shape, (Shape{2, 3}));
    EXPECT_EQ(file.f32("a/b"), counting(6));
    EXPECT_EQ(file.i64("n"), (std::vector<int64_t>{7, -8}));
    EXPECT_EQ(file.i64("flag"), (std::vector<int64_t>{1, 0}));
    EXPECT_EQ(file.i64("u"), (std::vector<int64_t>{5, 255}));
    EXPECT_FALSE(file.raw("a/b"));  // it lies in two files
    EXPECT_TRUE(file.raw("u"));
    EXPECT_EQ(file.files().size(), 4u);
  }
}

TEST(Tfjs, QuantisedWeightsAreTheNumbersTheyStandFor) {
  // 1.0 and -2.0 as halves; 0 and 255, 0 and 65535 as steps of 0.5 from -3.
  const std::string bytes = std::string("\x00\x3c\x00\xc0", 4) + std::string("\x00\xff", 2) +
                            std::string("\x00\x00\xff\xff", 4) + std::string("\x01\x02", 2);
  TempDir folder;
  folder.write("s", bytes);
  const Checkpoint file = Checkpoint::open(folder.write(
      "m", model(group(R"("s")",
                       weight("half", "[2]", "float32", R"(,"quantization":{"dtype":"float16"})") +
                           "," + weight("byte", "[2]", "float32", quantised("uint8")) + "," +
                           weight("word", "[2]", "float32", quantised("uint16")) + "," +
                           weight("whole", "[2]", "int32", quantised("uint8"))))));
  EXPECT_EQ(file.f32("half"), (std::vector<float>{1, -2}));
  EXPECT_EQ(file.f32("byte"), (std::vector<float>{-3, 124.5f}));
  EXPECT_EQ(file.f32("word"), (std::vector<float>{-3, 32764.5f}));
  EXPECT_EQ(file.i64("whole"), (std::vector<int64_t>{-2, -2}));  // -2.5 goes up, -2 stays
  EXPECT_EQ(file.info("byte").dtype, DType::f32);
  EXPECT_EQ(file.info("whole").dtype, DType::i32);
}

TEST(Tfjs, ConvertsToSafetensors) {
  TempDir folder;
  folder.write("s", std::string("\x00\xff", 2));
  const std::string path = folder.write(
      "m", model(group(R"("s")", weight("byte", "[2]", "float32", quantised("uint8")))));
  const Store store(folder / "store");
  store.convert(path, folder / "out.safetensors", DType::f32);
  EXPECT_EQ(Checkpoint::open(folder / "out.safetensors").f32("byte"),
            (std::vector<float>{-3, 124.5f}));
}

TEST(Tfjs, TheIdentityOfAModelIsThatOfItsShardsToo) {
  TempDir folder;
  folder.write("s", bytes_of(counting(2)));
  const std::string path = folder.write("m", model(group(R"("s")", weight("a", "[2]"))));
  const Store store(folder / "store");
  const std::string before = store.sha256(path);
  folder.write("s", bytes_of<float>({3, 4}));
  EXPECT_NE(store.sha256(path), before);
}

TEST(Tfjs, BrokenManifestsAreErrors) {
  struct Case {
    const char* what;
    std::string json;
    Kind kind;
    const char* part;
  };
  const auto one = [](const std::string& weights, const std::string& paths = "") {
    return model(group(paths, weights));
  };
  const std::vector<Case> cases = {
      {"no shard", one(weight("a", "[2]")), Kind::model, "wants 8 bytes, 0 are left"},
      {"climbs", one("", R"("../s")"), Kind::model, "'../s' is not a plain file name"},
      {"absolute", one("", R"("/etc/passwd")"), Kind::model, "not a plain file name"},
      {"hidden", one("", R"("..")"), Kind::model, "not a plain file name"},
      {"backslash", one("", R"("a\\b")"), Kind::model, "not a plain file name"},
      {"NUL", one("", R"("a\u0000b")"), Kind::model, "'a?b' is not a plain"},
      {"empty path", one("", R"("")"), Kind::model, "not a plain file name"},
      {"path is a number", one("", "1"), Kind::model, "the name of a file is no text"},
      {"path is a list", one("", R"([["a"]])"), Kind::model, "a list where none belongs"},
      {"sizes overflow", one(weight("a", "[1099511627776,1099511627776]")), Kind::model,
       "overflow"},
      {"size overflows", one(weight("a", "[18446744073709551615]")), Kind::model,
       "size 18446744073709551615"},
      {"empty and overflowing", one(weight("a", "[4611686018427387904,0,4611686018427387904]")),
       Kind::model, "overflow"},
      {"size is more than 64 bits", one(weight("a", "[99999999999999999999]")), Kind::model,
       "a size is no whole number"},
      {"negative", one(weight("a", "[-1]")), Kind::model, "a size is no whole number"},
      {"fraction", one(weight("a", "[1.5]")), Kind::model, "a size is no whole number"},
      {"size is a text", one(weight("a", R"(["1"])")), Kind::model, "a size is no whole number"},
      {"shape is a number", one(weight("a", "1")), Kind::model, "'shape' has the wrong type"},
      {"nested shape", one(weight("a", "[[1]]")), Kind::model, "a list where none belongs"},
      {"nine dimensions", one(weight("a", "[1,1,1,1,1,1,1,1,1]")), Kind::unsupported,
       "more than 8"},
      {"text", one(weight("a", "[0]", "string")), Kind::unsupported, "'string'"},
      {"complex", one(weight("a", "[0]", "complex64")), Kind::unsupported, "'complex64'"},
      {"quantised as text", one(weight("a", "[0]", "float32", quantised("int4"))),
       Kind::unsupported, "quantised as 'int4'"},
      {"bool quantised", one(weight("a", "[0]", "bool", quantised("uint8"))), Kind::unsupported,
       "'bool' quantised as"},
      {"scale is a text", one(weight("a", "[0]", "float32", quantised("uint8", R"("1")"))),
       Kind::model, "'scale' has the wrong type"},
      {"quantization is a text", one(weight("a", "[0]", "float32", R"(,"quantization":"uint8")")),
       Kind::model, "'quantization' has the wrong type"},
      {"no name", one(R"({"shape":[0],"dtype":"float32"})"), Kind::model, "has no name"},
      {"no dtype", one(R"({"name":"a","shape":[0]})"), Kind::model, "has no dtype"},
      {"no shape", one(R"({"name":"a","dtype":"float32"})"), Kind::model, "has no shape"},
      {"weight is a number", one("1"), Kind::model, "in place of an object"},
      {"same name", one(weight("a", "[0]") + "," + weight("a", "[0]")), Kind::model,
       "'a' occurs twice"},
      {"manifest is a number", R"({"weightsManifest":1})", Kind::model, "the wrong type"},
      {"manifest twice", R"({"weightsManifest":[],"weightsManifest":[]})", Kind::model, "twice"},
      {"not closed", R"({"weightsManifest":[)", Kind::model, "not valid JSON"},
      {"deep", R"({"weightsManifest":[],"modelTopology":)" + std::string(100'000, '['), Kind::model,
       "nested more than 64 deep"},
      {"endless text", R"({"weightsManifest":[],"format":")" + std::string(5 << 20, 'x') + R"("})",
       Kind::resource, "more than 4 MiB"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    expect_refused(c.json, c.kind, c.part);
  }
  std::string many;
  for (int i = 0; i < 20'001; ++i) many += (i ? "," : "") + weight(std::to_string(i), "[0]");
  expect_refused(one(many), Kind::resource, "more than 20000");
  std::string shards;
  for (int i = 0; i < 4097; ++i) shards += (i ? ",\"" : "\"") + std::to_string(i) + "\"";
  expect_refused(one("", shards), Kind::resource, "more than 4096 shards");
}

// The message names the shard or the manifest; nothing opens.
void expect_shards_refused(const TempDir& folder, const std::string& json, Kind kind,
                           const std::string& part) {
  try {
    Checkpoint::open(folder.write("model.json", json));
    ADD_FAILURE() << "opened; expected an error about " << part;
  } catch (const Error& error) {
    EXPECT_EQ(kind_name(error.kind()), std::string(kind_name(kind))) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(Tfjs, ShardsThatAreMissingShortOrLongAreErrors) {
  TempDir folder;
  const std::string good =
      model(group(R"("s1","s2")", weight("a", "[4]") + "," + weight("b", "[]")));
  folder.write("s1", bytes_of(counting(3)));
  expect_shards_refused(folder, good, Kind::missing, "s2: cannot open");
  folder.write("s2", bytes_of(counting(1)));
  expect_shards_refused(folder, good, Kind::model, "'b' of shape [] wants 4 bytes, 0 are left");
  folder.write("s2", bytes_of(counting(2)) + "x");
  expect_shards_refused(folder, good, Kind::model, "have 21 bytes, its weights take 20");
  folder.write("s2", bytes_of(counting(2)));
  EXPECT_EQ(Checkpoint::open(folder / "model.json").f32("b"), std::vector<float>{1});
  expect_shards_refused(folder, model(group(R"("s1","s1")", weight("a", "[6]"))), Kind::model,
                        "'s1' occurs twice");
  std::filesystem::create_directory(folder / "s3");
  expect_shards_refused(folder, model(group(R"("s3")", weight("a", "[6]"))), Kind::missing, "s3");
}

TEST(Tfjs, EveryTruncationIsAnError) {
  expect_all_prefixes_refused(model(group("", weight("a", "[0,3]"))));
}

TEST(Tfjs, OtherJsonIsNoCheckpoint) {
  expect_refused(R"({"images":[],"annotations":[]})", Kind::model, "not a checkpoint");
  expect_refused(R"({"x":"weightsManifest","y":["weightsManifest"]})", Kind::model,
                 "no weightsManifest");
}

}  // namespace
}  // namespace beckon::test
