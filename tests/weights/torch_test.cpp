#include <gtest/gtest.h>

#include "beckon/checkpoint.h"
#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/expect_refused.h"
#include "weights/file_makers.h"

namespace beckon::test {
namespace {

using namespace pickled;

// A storage of six floats seen as a matrix, its transpose, a slice and an expanded column.
std::string views(bool legacy) {
  return ordered_dict({{"matrix", tensor({"FloatStorage", "0", 6, 0, {2, 3}, {3, 1}}, legacy)},
                       {"transposed", tensor({"FloatStorage", "0", 6, 0, {3, 2}, {1, 3}}, legacy)},
                       {"slice", tensor({"FloatStorage", "0", 6, 1, {2, 2}, {3, 1}}, legacy)},
                       {"expanded", tensor({"FloatStorage", "0", 6, 0, {2, 2}, {3, 0}}, legacy)},
                       {"one", tensor({"FloatStorage", "0", 6, 4, {}, {}}, legacy)},
                       {"empty", tensor({"FloatStorage", "0", 6, 0, {0, 3}, {3, 1}}, legacy)}});
}
const Storages kSixStored = {{"0", bytes_of(counting(6))}};

void expect_views(const Checkpoint& file) {
  EXPECT_EQ(file.format(), "pytorch");
  ASSERT_EQ(file.names().size(), 6u);
  EXPECT_EQ(file.names()[1], "transposed");
  EXPECT_EQ(file.f32("matrix"), counting(6));
  EXPECT_EQ(file.f32("transposed"), (std::vector<float>{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(file.f32("slice"), (std::vector<float>{1, 2, 4, 5}));
  EXPECT_EQ(file.f32("expanded"), (std::vector<float>{0, 0, 3, 3}));
  EXPECT_EQ(file.f32("one"), std::vector<float>{4});
  EXPECT_EQ(file.info("empty").shape, (Shape{0, 3}));
  EXPECT_FALSE(file.raw("transposed"));
}

TEST(Torch, ZipFilesShareStoragesBetweenViews) {
  TempDir folder;
  const Checkpoint file = Checkpoint::open(
      folder.write("x.pth", torch_zip(views(false), kSixStored, "sam_vit_b_01ec64")));
  expect_views(file);
  EXPECT_TRUE(file.raw("matrix"));
}

TEST(Torch, LegacyFilesShareStoragesBetweenViews) {
  TempDir folder;
  expect_views(Checkpoint::open(folder.write("x.pt", torch_legacy(views(true), kSixStored))));
}

TEST(Torch, ElementTypes) {
  struct Case {
    const char* type;
    std::string bytes;
    DType offered;
    std::vector<float> values;
  };
  const std::vector<Case> cases = {
      {"DoubleStorage", bytes_of<double>({-0.5, 2}), DType::f64, {-0.5f, 2}},
      {"HalfStorage", bytes_of<uint16_t>({0x3c00, 0xc000}), DType::f16, {1, -2}},
      {"BFloat16Storage", bytes_of<uint16_t>({0x3f80, 0xc000}), DType::bf16, {1, -2}},
      {"LongStorage", bytes_of<int64_t>({-1, 2}), DType::i64, {-1, 2}},
      {"IntStorage", bytes_of<int32_t>({-1, 2}), DType::i32, {-1, 2}},
      {"ShortStorage", bytes_of<int16_t>({-1, 2}), DType::i32, {-1, 2}},
      {"CharStorage", bytes_of<int8_t>({-1, 2}), DType::i32, {-1, 2}},
      {"ByteStorage", bytes_of<uint8_t>({255, 2}), DType::u8, {255, 2}},
      {"BoolStorage", bytes_of<uint8_t>({1, 0}), DType::boolean, {1, 0}}};
  TempDir folder;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.type);
    const Checkpoint file = Checkpoint::open(folder.write(
        "x",
        torch_zip(ordered_dict({{"t", tensor({c.type, "0", 2, 0, {2}, {1}})}}), {{"0", c.bytes}})));
    EXPECT_EQ(file.info("t").dtype, c.offered);
    EXPECT_EQ(file.f32("t"), c.values);
  }
}

TEST(Torch, NestedDictionariesAreFlattenedAndUnwrapped) {
  const std::string parameter = global("torch._utils", "_rebuild_parameter") + "(" +
                                tensor({"FloatStorage", "0", 6, 0, {6}, {1}}) + "\x88" +
                                global("collections", "OrderedDict") + ")RtR";
  const std::string object = dict(
      {{"epoch", integer(7)},
       {"args", global("argparse", "Namespace") + ")\x81" +
                    dict({{"lr", "G" + std::string(8, '\0')}}) + "b"},
       {"state_dict", ordered_dict({{"module.w", parameter}}) + dict({{"_metadata", "}"}}) + "b"},
       {"optimizer",
        dict({{"steps", "](" + tensor({"FloatStorage", "0", 6, 2, {1}, {1}}) + "Ne"}})},
       {"best", global("numpy.core.multiarray", "scalar") + "(NU\x01xtR"}});
  TempDir folder;
  const Checkpoint file = Checkpoint::open(folder.write("x", torch_zip(object, kSixStored)));
  ASSERT_EQ(file.names().size(), 2u);
  EXPECT_EQ(file.names()[0], "state_dict.module.w");
  EXPECT_EQ(file.f32("optimizer.steps.0"), std::vector<float>{2});
  const Checkpoint inner = file.unwrapped();
  ASSERT_EQ(inner.names().size(), 1u);
  EXPECT_EQ(inner.f32("w"), counting(6));
}

TEST(Torch, DeflatedArchivesAndBigEndianValuesAreRead) {
  const auto pkl = pickle(ordered_dict({{"t", tensor({"FloatStorage", "0", 2, 0, {2}, {1}})}}));
  TempDir folder;
  ZipMaker zip;
  zip.deflate("a/data.pkl", pkl);
  zip.deflate("a/data/0", bytes_of<float>({1, 2}));
  EXPECT_EQ(Checkpoint::open(folder.write("x", zip.text())).f32("t"), (std::vector<float>{1, 2}));

  ZipMaker big;
  big.store("a/data.pkl", pkl);
  big.store("a/byteorder", "big");
  big.store("a/data/0", std::string("\x3f\x80\x00\x00\x40\x00\x00\x00", 8));
  const Checkpoint file = Checkpoint::open(folder.write("y", big.text(true)));
  EXPECT_EQ(file.f32("t"), (std::vector<float>{1, 2}));
  EXPECT_FALSE(file.raw("t"));
}

TEST(Torch, EveryTruncationIsAnError) {
  expect_all_prefixes_refused(torch_zip(views(false), kSixStored));
  expect_all_prefixes_refused(torch_legacy(views(true), kSixStored));
}

TEST(Torch, ACallIsAnErrorThatNamesIt) {
  const std::string call = global("os", "system") + text("true") + "\x85R";
  struct Case {
    const char* what;
    std::string object;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"os.system", dict({{"a", call}}), "'os.system'"},
      {"eval", global("builtins", "eval") + text("1") + "\x85R", "'builtins.eval'"},
      {"getattr", global("__builtin__", "getattr"), "'__builtin__.getattr'"},
      {"by the stack", text("posix") + text("system") + "\x93", "'posix.system'"},
      {"a dotted name", text("torch") + text("_utils._rebuild_tensor_v2") + "\x93",
       "'torch._utils._rebuild"},
      {"numpy object", global("numpy.core.multiarray", "_reconstruct2"), "_reconstruct2"},
      {"a class of the user", global("__main__", "Net") + ")\x81", "'__main__.Net'"},
      {"quantised", global("torch", "QInt8Storage"), "element type that is not read"},
      {"extension registry", "\x82\x01", "opcode 0x82"},
      {"INST", "(ios\nsystem\n", "opcode 0x69"},
      {"line break", "cos\x01\nsystem\n", "'os?.system'"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    const Kind kind = std::string(c.part).starts_with("opcode") ? Kind::unsupported : Kind::model;
    expect_refused(torch_zip(c.object, kSixStored), kind, c.part);
    expect_refused(torch_legacy(c.object, kSixStored), kind, c.part);
    expect_refused(pickle(c.object), kind, c.part);
  }
  expect_refused("cos\nsystem\n(S'true'\ntR.", Kind::model, "'os.system'");  // protocol 0
}

// torch.jit.save: objects of classes whose code lies beside them in the archive. Their attributes
// are the state dict; nothing of the code is looked at.
TEST(Torch, ReadsTorchScriptModules) {
  const auto module = [](const std::string& name, const std::string& attributes) {
    return global("__torch__.net.___torch_mangle_7", name) + ")\x81" + attributes + "b";
  };
  const std::string w = tensor({"FloatStorage", "0", 6, 0, {2, 3}, {3, 1}});
  const std::string inner =
      module("Linear", dict({{"training", "\x89"}, {"weight", w}, {"in_features", "K\x03"}}));
  const std::string sizes = global("torch.jit._pickle", "build_intlist") +
                            "](K\x01K\x02"
                            "e\x85R";
  const std::string root =
      module("Net", dict({{"training", "\x89"}, {"visual", inner}, {"sizes", sizes}}));
  TempDir folder;
  const auto file = Checkpoint::open(folder.write("model.pt", torch_zip(root, kSixStored)));
  ASSERT_EQ(file.names().size(), 1u);
  EXPECT_EQ(file.names()[0], "visual.weight");
  EXPECT_EQ(file.info("visual.weight").shape, Shape({2, 3}));
  // Attributes of other objects stay unread, and a module of nothing is no checkpoint.
  expect_refused(torch_zip(module("Net", "}"), kSixStored), Kind::model, "without a tensor");
}

TEST(Torch, BrokenPicklesAreErrorsWithAPlace) {
  const auto t = [](std::vector<int64_t> shape, std::vector<int64_t> strides, int64_t offset = 0,
                    int64_t held = 6) {
    return ordered_dict({{"t", tensor({"FloatStorage", "0", held, offset, shape, strides})}});
  };
  std::string deep;
  for (int i = 0; i < 30; ++i) deep += "}" + text("k");
  const std::string deepest = deep + "N" + std::string(30, 's');
  std::string many = "(";  // a list of lists of lists, each ten times the one before, by reference
  std::string level = "]";
  for (int i = 0; i < 12; ++i) {
    level += "q" + little(static_cast<uint8_t>(i)) + "0](";
    for (int k = 0; k < 10; ++k) level += "h" + little(static_cast<uint8_t>(i));
    level += "e";
  }
  const int64_t huge = int64_t{1} << 40;
  struct Case {
    const char* what;
    std::string object;
    Kind kind;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"past the storage", t({3, 3}, {3, 1}), Kind::model, "reaches element 8, its storage has 6"},
      {"offset past the storage", t({1}, {1}, 6), Kind::model, "reaches element 6"},
      {"negative offset", t({1}, {1}, -1), Kind::model, "begins before"},
      {"negative size", t({-2}, {1}), Kind::model, "a size of -2"},
      {"negative stride", t({2}, {-1}), Kind::model, "a stride of -1"},
      {"sizes overflow", t({huge, huge}, {0, 0}), Kind::model, "overflow"},
      {"strides overflow", t({3, 3}, {INT64_MAX, 1}), Kind::model, "overflow"},
      {"expanded without end", t({huge}, {0}), Kind::resource, "more than twice the file"},
      {"ranks differ", t({2}, {1, 1}), Kind::model, "1 sizes and 2 strides"},
      {"nine dimensions", t({1, 1, 1, 1, 1, 1, 1, 1, 1}, {1, 1, 1, 1, 1, 1, 1, 1, 1}),
       Kind::unsupported, "9 dim"},
      {"storage larger than it is", t({2}, {1}, 0, 7), Kind::model, "has 24 bytes, 7 elements"},
      {"storage of negative size", t({2}, {1}, 0, -7), Kind::model, "negative size"},
      {"no such storage", ordered_dict({{"t", tensor({"FloatStorage", "9", 1, 0, {1}, {1}})}}),
       Kind::model, "'9'"},
      {"no tensor", ordered_dict({{"a", integer(1)}}), Kind::model, "without a tensor"},
      {"same name twice",
       "](" +
           ordered_dict({{"a", tensor({"FloatStorage", "0", 6, 0, {1}, {1}})},
                         {"a", tensor({"FloatStorage", "0", 6, 0, {1}, {1}})}}) +
           "e",
       Kind::model, "'0.a' occurs twice"},
      {"empty stack", "R", Kind::model, "pickle byte 2: takes a value from an empty stack"},
      {"no mark", "t", Kind::model, "no mark"},
      {"memo", "h\x05", Kind::model, "memo entry 5 was never written"},
      {"memo far away", std::string("]r\xff\xff\xff\xff", 6), Kind::resource,
       "memo entry 4294967295"},
      {"text past the end", "X\xff\xff\xff\x7f", Kind::model, "cut off"},
      {"call of a text", text("os.system") + ")R", Kind::model, "wrong kind"},
      {"call of a type", global("torch", "FloatStorage") + ")R", Kind::model, "which is a type"},
      {"key without a value", "}(" + text("k") + "u", Kind::model, "without a value"},
      {"not a dictionary", "](" + text("k") + "Nu", Kind::model, "wrong kind"},
      {"deep", deepest, Kind::model, "nested more than 16 deep"},
      {"holds itself", "}q\x01" + text("k") + "h\x01s", Kind::model, "nested more than 16 deep"},
      {"exponential", level, Kind::resource, "a million items"},
      {"a whole network", "(" + text("module") + "NNNtQ", Kind::unsupported,
       "whole pickled network"},
      {"protocol 7", "\x80\x07", Kind::unsupported, "protocol 7"}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    expect_refused(torch_zip(c.object, kSixStored), c.kind, c.part);
  }
  expect_refused(torch_zip(std::string(600'000, 'N'), kSixStored), Kind::resource,
                 "more than 500000 values");
  expect_refused(torch_zip(std::string(600'000, '('), kSixStored), Kind::resource, "marks");
  std::string loop;
  for (int i = 0; i < 4'100'000; ++i) loop += "(1";
  expect_refused(torch_zip(loop, kSixStored), Kind::resource, "steps");
}

TEST(Torch, BrokenLegacyFilesAreErrors) {
  const std::string object =
      ordered_dict({{"t", tensor({"FloatStorage", "0", 6, 0, {6}, {1}}, true)}});
  const std::string good = torch_legacy(object, kSixStored);
  expect_refused(good + "more", Kind::model, "4 bytes after the last storage");
  expect_refused(torch_legacy(object, {{"1", bytes_of(counting(6))}}), Kind::model,
                 "'1' belongs to no tensor");
  expect_refused(torch_legacy(object, {}), Kind::model, "'0' is not in the file");
  std::string lie = good;
  lie.replace(lie.size() - 24 - 8, 8,
              little<uint64_t>(~0ull / 4 + 2));  // times 4 is 4, if it may wrap around
  expect_refused(lie, Kind::model, "4611686018427387905 elements");
  expect_refused(pickle("}"), Kind::model, "not one that torch.save wrote");
  expect_refused(std::string("\x80\x02N.\x80\x02.", 6), Kind::model,
                 "not one that torch.save wrote");
}

}  // namespace
}  // namespace beckon::test
