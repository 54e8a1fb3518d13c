#include <gtest/gtest.h>

#include "beckon/checkpoint.h"
#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/expect_refused.h"
#include "weights/file_makers.h"

namespace beckon::test {
namespace {

using namespace onnx;

std::string varints(const std::vector<int64_t>& values) {
  std::string out;
  for (int64_t value : values) out += varint(static_cast<uint64_t>(value));
  return out;
}

TEST(Onnx, ReadsInitialisersAndConstants) {
  const std::string graph =
      node("Conv", "/stem/Conv", {"input", "stem.weight"}, "x") +
      constant("/Constant_5", "/Constant_5_output_0",
               tensor("", {2}, 7, raw(bytes_of<int64_t>({4, -5})))) +
      constant("/text", "text_output", tensor("", {1}, 8, field(6, "words"))) +
      floats("stem.weight", {1, 2, 3}, counting(6));
  TempDir folder;
  const Checkpoint file = Checkpoint::open(folder.write("x", model(graph)));
  EXPECT_EQ(file.format(), "onnx");
  EXPECT_EQ(file.metadata().at("producer_name"), "pytorch");
  ASSERT_EQ(file.names().size(), 2u);  // a constant that is no number is nobody's weight
  EXPECT_EQ(file.info("stem.weight").shape, (Shape{1, 2, 3}));
  EXPECT_EQ(file.f32("stem.weight"), counting(6));
  EXPECT_EQ(file.i64("/Constant_5_output_0"), (std::vector<int64_t>{4, -5}));
}

TEST(Onnx, ReadsValuesInTypedFields) {
  struct Case {
    const char* what;
    int type;
    std::string values;
    DType offered;
    std::vector<float> expected;
  };
  const std::vector<Case> cases = {
      {"floats packed", 1, field(4, bytes_of<float>({1.5f, -2})), DType::f32, {1.5f, -2}},
      {"floats one by one",
       1,
       "\x25" + little(1.5f) + "\x25" + little(-2.0f),
       DType::f32,
       {1.5f, -2}},
      {"floats in two packs",
       1,
       field(4, little(1.5f)) + field(4, little(-2.0f)),
       DType::f32,
       {1.5f, -2}},
      {"doubles", 11, field(10, bytes_of<double>({0.5, 3})), DType::f64, {0.5f, 3}},
      {"i64", 7, field(7, varints({300, -1})), DType::i64, {300, -1}},
      {"i32", 6, field(5, varints({300, -1})), DType::i32, {300, -1}},
      {"i8 one by one", 3, field(5, int64_t{7}) + field(5, int64_t{-1}), DType::i32, {7, -1}},
      {"i16", 5, field(5, varints({300, -1})), DType::i32, {300, -1}},
      {"u16", 4, field(5, varints({300, 65535})), DType::i32, {300, 65535}},
      {"u8", 2, field(5, varints({3, 255})), DType::u8, {3, 255}},
      {"bool", 9, field(5, varints({1, 0})), DType::boolean, {1, 0}},
      {"half bits", 10, field(5, varints({0x3c00, 0xc000})), DType::f16, {1, -2}},
      {"bfloat bits", 16, field(5, varints({0x3f80, 0xc000})), DType::bf16, {1, -2}},
      {"u32", 12, field(11, varints({5, 6})), DType::i64, {5, 6}},
      {"u64", 13, field(11, varints({5, 6})), DType::i64, {5, 6}}};
  TempDir folder;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const Checkpoint file =
        Checkpoint::open(folder.write("x", model(field(5, tensor("t", {2}, c.type, c.values)))));
    EXPECT_EQ(file.info("t").dtype, c.offered);
    EXPECT_EQ(file.f32("t"), c.expected);
  }
}

TEST(Onnx, EveryTruncationInsideTheGraphIsAnError) {
  const std::string head = field(1, 7) + field(2, "pytorch");
  const std::string graph = floats("a", {3}, counting(3)) + node("Relu", "r", {"a"}, "b");
  expect_all_prefixes_refused(head + field(7, graph));
}

TEST(Onnx, BrokenModelsAreErrors) {
  const std::string four = raw(std::string(16, '\0'));
  const auto one = [](const std::string& t) { return model(field(5, t)); };
  struct Case {
    const char* what;
    std::string bytes;
    Kind kind;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"external", one(tensor("w", {4}, 1, field(14, int64_t{1}))), Kind::unsupported,
       "'w': its values are in another"},
      {"external key",
       one(tensor("w", {4}, 1, field(13, field(1, "location") + field(2, "/etc/passwd")))),
       Kind::unsupported, "in another file"},
      {"text", one(tensor("w", {1}, 8, field(6, "words"))), Kind::unsupported, "element type 8"},
      {"float8", one(tensor("w", {1}, 17, raw("1"))), Kind::unsupported, "element type 17"},
      {"no type", one(tensor("w", {1}, 0, raw("1"))), Kind::unsupported, "element type 0"},
      {"too few", one(tensor("w", {5}, 1, four)), Kind::model, "reaches element 4"},
      {"too many", one(tensor("w", {3}, 1, four)), Kind::model, "wants 12 bytes, the file has 16"},
      {"typed too few", one(tensor("w", {5}, 1, field(4, std::string(16, '\0')))), Kind::model,
       "reaches element 4"},
      {"typed not a multiple", one(tensor("w", {1}, 1, field(4, "12345"))), Kind::model, "cut off"},
      {"negative", one(tensor("w", {-4}, 1, four)), Kind::model, "negative"},
      {"overflow", one(tensor("w", {int64_t{1} << 40, int64_t{1} << 40}, 1, four)), Kind::model,
       "overflow"},
      {"nine dimensions", one(tensor("w", {1, 1, 1, 1, 1, 1, 1, 1, 4}, 1, four)), Kind::unsupported,
       "9 dimensions"},
      {"many dimensions", one(tensor("w", std::vector<int64_t>(1000, 1), 1, four)), Kind::model,
       "too many dimensions"},
      {"twice", model(floats("w", {1}, {1}) + floats("w", {1}, {2})), Kind::model,
       "'w' occurs twice"},
      {"two graphs", field(1, 7) + field(2, "x") + field(7, "") + field(7, ""), Kind::model,
       "a second graph"},
      {"no graph", field(1, 7) + field(2, "x"), Kind::model, "no graph"},
      {"graph is a number", field(1, 7) + field(2, "x") + field(7, int64_t{3}), Kind::model,
       "wrong type"},
      {"group", field(1, 7) + field(2, "x") + "\x3b", Kind::model, "wire type 3"},
      {"field 0", field(1, 7) + field(2, "x") + std::string("\x02\x00", 2), Kind::model,
       "field number 0"},
      {"endless number", field(1, 7) + field(2, "x") + std::string(20, '\xff'), Kind::model,
       "more than 64 bits"},
      {"length overflows", field(1, 7) + field(2, "x") + "\x3a" + varint(~0ull), Kind::model,
       "cut off"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    expect_refused(c.bytes, c.kind, c.part);
  }
  // A byte in the file is eight in memory: bounded like any other claim.
  expect_refused(one(tensor("w", {20'000'000}, 7, field(7, std::string(20'000'000, '\1')))),
                 Kind::resource, "more than twice the file");
}

}  // namespace
}  // namespace beckon::test
