#include <gtest/gtest.h>

#include "beckon/checkpoint.h"
#include "support/check.h"
#include "support/temp_dir.h"
#include "weights/expect_refused.h"
#include "weights/file_makers.h"

namespace beckon::test {
namespace {

const char* const kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},)"
    R"("a":{"dtype":"I64","shape":[],"data_offsets":[16,24]}})";

std::string two_tensors() {
  return safetensors(kTwo, bytes_of<float>({1.5f, -2, 3, 4}) + little<int64_t>(-7));
}

TEST(Safetensors, ReadsNamesShapesTypesAndValues) {
  TempDir folder;
  const Checkpoint file = Checkpoint::open(folder.write("no_ending", two_tensors()));
  EXPECT_EQ(file.format(), "safetensors");
  ASSERT_EQ(file.names().size(), 2u);
  EXPECT_EQ(file.names()[0], "b");  // the order of the header
  EXPECT_EQ(file.info("b").shape, (Shape{2, 2}));
  EXPECT_EQ(file.info("a").dtype, DType::i64);
  EXPECT_EQ(file.info("a").shape, Shape{});
  EXPECT_EQ(file.f32("b"), (std::vector<float>{1.5f, -2, 3, 4}));
  EXPECT_EQ(file.i64("a"), std::vector<int64_t>{-7});
  EXPECT_EQ(file.metadata().at("format"), "pt");
}

TEST(Safetensors, EveryElementTypeIsConverted) {
  const std::string data = bytes_of<double>({-0.5, 2}) + bytes_of<uint64_t>({1, 2}) +
                           bytes_of<uint32_t>({3, 4}) + bytes_of<int32_t>({-3, 4}) +
                           bytes_of<uint16_t>({0x3c00, 0xc000}) +
                           bytes_of<uint16_t>({0x3f80, 0xc000}) + bytes_of<int16_t>({-5, 6}) +
                           bytes_of<uint16_t>({65535, 6}) + bytes_of<int8_t>({-7, 8}) +
                           bytes_of<uint8_t>({200, 1}) + bytes_of<uint8_t>({0, 3});
  struct Case {
    const char* name;
    size_t width;
    DType offered;
    std::vector<float> values;
  };
  const std::vector<Case> cases = {
      {"F64", 8, DType::f64, {-0.5f, 2}}, {"U64", 8, DType::i64, {1, 2}},
      {"U32", 4, DType::i64, {3, 4}},     {"I32", 4, DType::i32, {-3, 4}},
      {"F16", 2, DType::f16, {1, -2}},    {"BF16", 2, DType::bf16, {1, -2}},
      {"I16", 2, DType::i32, {-5, 6}},    {"U16", 2, DType::i32, {65535, 6}},
      {"I8", 1, DType::i32, {-7, 8}},     {"U8", 1, DType::u8, {200, 1}},
      {"BOOL", 1, DType::boolean, {0, 1}}};
  std::string header = "{";
  size_t offset = 0;
  for (const Case& c : cases) {
    header += std::string(offset ? "," : "") + "\"" + c.name + "\":{\"dtype\":\"" + c.name +
              "\",\"shape\":[2],\"data_offsets\":[" + std::to_string(offset) + "," +
              std::to_string(offset + 2 * c.width) + "]}";
    offset += 2 * c.width;
  }
  TempDir folder;
  const Checkpoint file = Checkpoint::open(folder.write("x", safetensors(header + "}", data)));
  for (const Case& c : cases) {
    EXPECT_EQ(file.info(c.name).dtype, c.offered) << c.name;
    EXPECT_EQ(file.f32(c.name), c.values) << c.name;
    std::vector<int64_t> integers(c.values.begin(), c.values.end());  // truncates
    EXPECT_EQ(file.i64(c.name), integers) << c.name;
  }
}

TEST(Safetensors, AlignedFloatsAreReadInPlace) {
  TempDir folder;
  std::optional<Checkpoint::Raw> raw;
  {
    const Checkpoint file = Checkpoint::open(folder.write("x", two_tensors()));
    raw = file.raw("b");
  }
  ASSERT_TRUE(raw);  // and outlives the checkpoint
  EXPECT_EQ(raw->bytes, 16u);
  EXPECT_EQ(reinterpret_cast<const float*>(raw->data)[1], -2.0f);

  // The same values at an odd place are not offered: a float pointer there would be undefined.
  std::string header = kTwo;
  while ((header.size() + 8) % 4 != 1) header += ' ';
  const Checkpoint odd = Checkpoint::open(folder.write(
      "y", safetensors(header, bytes_of<float>({1, 2, 3, 4}) + little<int64_t>(0), false)));
  EXPECT_FALSE(odd.raw("b"));
  EXPECT_EQ(odd.f32("b"), (std::vector<float>{1, 2, 3, 4}));
}

TEST(Safetensors, WrittenFilesReadTheSameAndAreAligned) {
  TempDir folder;
  const std::vector<uint8_t> bytes = {1, 2, 3};
  const std::vector<float> floats = {0.25f, -1};
  const std::vector<int64_t> integers = {int64_t{1} << 40};
  write_safetensors(
      folder / "x",
      std::vector<TensorBytes>{{"small", DType::u8, {3}, std::as_bytes(std::span(bytes))},
                               {"f/\"\n", DType::f32, {2, 1}, std::as_bytes(std::span(floats))},
                               {"i", DType::i64, {}, std::as_bytes(std::span(integers))},
                               {"none", DType::f32, {0, 7}, {}}},
      {{"who", "me"}});
  const Checkpoint file = Checkpoint::open(folder / "x");
  EXPECT_EQ(file.f32("f/\"\n"), floats);
  EXPECT_EQ(file.i64("i"), integers);
  EXPECT_EQ(file.i64("small"), (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(file.info("none").shape, (Shape{0, 7}));
  EXPECT_EQ(file.metadata().at("who"), "me");
  for (const char* name : {"f/\"\n", "i", "small"}) EXPECT_TRUE(file.raw(name)) << name;
  // The second reader of this project, which shares no code with the first.
  const Arrays arrays = read_safetensors(folder / "x");
  EXPECT_EQ(arrays.at("i").as_ints(), integers);
}

TEST(Safetensors, ConvertsACheckpointToHalf) {
  TempDir folder;
  const Checkpoint file = Checkpoint::open(folder.write("x", two_tensors()));
  write_safetensors(folder / "half", file, DType::f16);
  const Checkpoint half = Checkpoint::open(folder / "half");
  EXPECT_EQ(half.info("b").dtype, DType::f16);
  EXPECT_EQ(half.f32("b"), (std::vector<float>{1.5f, -2, 3, 4}));
  EXPECT_EQ(half.info("a").dtype, DType::i64);
}

TEST(Safetensors, WritingRefusesWhatDoesNotFit) {
  TempDir folder;
  const std::vector<float> one = {1};
  const auto bytes = std::as_bytes(std::span(one));
  expect_error(Kind::usage, "wants 8 bytes", [&] {
    write_safetensors(folder / "x", std::vector<TensorBytes>{{"a", DType::f32, {2}, bytes}});
  });
  expect_error(Kind::usage, "'a'", [&] {
    write_safetensors(folder / "x", std::vector<TensorBytes>{{"a", DType::f32, {1}, bytes},
                                                             {"a", DType::f32, {1}, bytes}});
  });
  expect_error(Kind::output, "nowhere",
               [&] { write_safetensors(folder / "nowhere/x", std::vector<TensorBytes>{}); });
  EXPECT_FALSE(std::filesystem::exists(folder / "x"));
}

TEST(Safetensors, EveryTruncationIsAnError) { expect_all_prefixes_refused(two_tensors()); }

TEST(Safetensors, HostileHeadersAreErrorsWithAPlace) {
  const std::string data(24, '\0');
  const auto tensor = [](const std::string& shape, const std::string& offsets,
                         const char* dtype = "F32") {
    return R"({"dtype":")" + std::string(dtype) + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}";
  };
  const auto with = [&](const std::string& a, const std::string& b = "") {
    return safetensors(R"({"a":)" + a + (b.empty() ? "" : R"(,"b":)" + b) + "}", data);
  };
  struct Case {
    const char* what;
    std::string bytes;
    Kind kind;
    const char* part;
  };
  const std::vector<Case> cases = {
      {"header longer than the file", little<uint64_t>(1000) + "{\"a\":1}", Kind::model,
       "header of 1000 bytes"},
      {"header length overflows", little<uint64_t>(~0ull) + "{\"a\":1}", Kind::model, "checkpoint"},
      {"not JSON", safetensors("{\"a\":}", data), Kind::model, "not valid JSON at byte"},
      {"text after the object", safetensors("{} x", ""), Kind::model, "not valid JSON"},
      {"overlap", with(tensor("[3]", "[0,12]"), tensor("[4]", "[8,24]")), Kind::model, "overlap"},
      {"gap", with(tensor("[2]", "[0,8]"), tensor("[2]", "[16,24]")), Kind::model, "a gap"},
      {"values left over", with(tensor("[2]", "[0,8]")), Kind::model, "the tensors hold 8"},
      {"past the end", with(tensor("[10]", "[0,40]")), Kind::model, "not within the 24 bytes"},
      {"backwards", with(tensor("[6]", "[24,0]")), Kind::model, "not within"},
      {"wrong size", with(tensor("[5]", "[0,24]")), Kind::model, "shape [5] wants 20"},
      {"sizes overflow", with(tensor("[4294967296,4294967296,4]", "[0,24]")), Kind::model,
       "overflow"},
      {"sizes overflow with a zero", with(tensor("[0,4294967296,4294967296]", "[0,0]")),
       Kind::model, "overflow"},
      {"size over 63 bits", with(tensor("[18446744073709551615]", "[0,24]")), Kind::model,
       "size 18446744073709551615"},
      {"size over 64 bits", with(tensor("[99999999999999999999]", "[0,24]")), Kind::model, "'a'"},
      {"negative size", with(tensor("[-6]", "[0,24]")), Kind::model, "found -6"},
      {"fraction", with(tensor("[1.5]", "[0,24]")), Kind::model, "found 1.5"},
      {"nine dimensions", with(tensor("[1,1,1,1,1,1,1,1,6]", "[0,24]")), Kind::unsupported,
       "more than 8 dimensions"},
      {"one offset", with(tensor("[6]", "[24]")), Kind::model, "two data_offsets"},
      {"three offsets", with(tensor("[6]", "[0,12,24]")), Kind::model, "more than two"},
      {"float8", with(tensor("[24]", "[0,24]", "F8_E4M3")), Kind::unsupported, "'F8_E4M3'"},
      {"type is a number", safetensors(R"({"a":{"dtype":3}})", data), Kind::model, "found 3"},
      {"no shape", safetensors(R"({"a":{"dtype":"U8","data_offsets":[0,24]}})", data), Kind::model,
       "not all of"},
      {"twice",
       with(tensor("[3]", "[0,12]"),
            tensor("[3]", "[12,24]") + R"(,"a":)" + tensor("[0]", "[24,24]")),
       Kind::model, "'a' occurs twice"},
      {"key twice", safetensors(R"({"a":{"dtype":"U8","dtype":"U8"}})", data), Kind::model,
       "repeated key 'dtype'"},
      {"unknown key", safetensors(R"({"a":{"colour":"U8"}})", data), Kind::model,
       "unknown or repeated key 'colour'"},
      {"deep", safetensors("{\"a\":" + std::string(100'000, '['), ""), Kind::model, "found a list"},
      {"deep objects", safetensors("{\"a\":{\"dtype\":{\"x\":{}}}}", ""), Kind::model,
       "found an object"},
      {"metadata of numbers", safetensors(R"({"__metadata__":{"a":1}})", ""), Kind::model,
       "found 1"},
      {"metadata twice", safetensors(R"({"__metadata__":{},"__metadata__":{}})", ""), Kind::model,
       "twice"},
      {"line break in a name", safetensors("{\"a\\nb\":1}", ""), Kind::model, "'a?b'"},
      {"endless string", safetensors("{\"a\\\"" + std::string(5 << 20, 'x'), ""), Kind::resource,
       "more than 4 MiB at byte 1"},
      {"endless number", safetensors("{\"a\":" + std::string(5 << 20, '1'), ""), Kind::resource,
       "at byte 4"},
      {"name too long",
       safetensors("{\"" + std::string(2000, 'n') + "\":" + tensor("[0]", "[0,0]") + "}", ""),
       Kind::resource, "2000 characters"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    expect_refused(c.bytes, c.kind, c.part);
  }
}

TEST(Safetensors, MoreTensorsThanTheLimitAreRefused) {
  std::string header = "{\"first\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
  for (int i = 0; i < 20'000; ++i)
    header +=
        ",\"" + std::to_string(i) + "\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}";
  TempDir folder;
  const std::string path = folder.write("x", safetensors(header + "}", ""));
  expect_error(Kind::resource, "more than 20000 tensors", [&] { Checkpoint::open(path); });
}

}  // namespace
}  // namespace beckon::test
