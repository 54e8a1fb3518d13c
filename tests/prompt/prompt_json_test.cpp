#include <ctime>
#include <string>

#include <gtest/gtest.h>

#include "beckon/prompt.h"
#include "support/check.h"

namespace beckon::test {
namespace {

// One prompt in Beckon's form.
std::string one(const std::string& object) {
  return R"({"beckon": 1, "prompts": [{"type": "point", "at": [0, 0]}, )" + object + "]}";
}

void expect_refused(const std::string& json, const std::string& part) {
  SCOPED_TRACE(json.substr(0, 200));
  expect_error(Kind::input, part, [&] { parse_prompts(json, "file.json"); });
}

TEST(PromptJson, ReadsEveryType) {
  const auto prompts = parse_prompts(R"({"beckon": 1, "prompts": [
      {"type": "point", "at": [500, 375.5], "label": "object"},
      {"type": "point", "at": [1, 2], "label": "background"},
      {"type": "box", "xyxy": [425, 600, 700, 875]},
      {"type": "scribble", "points": [[10, 12], [40, 50]], "label": "background"},
      {"type": "mask", "rle": {"size": [2, 3], "counts": [1, 2, 3]}},
      {"type": "text", "text": "a sofa"},
      {"type": "example", "input": "a.png", "output": "a_mask.png"},
      {"type": "ground", "xyxy": [0.1, 0.2, 0.5, 0.9], "text": "cat"},
      {"type": "learned", "file": "mine.safetensors"}]})");
  ASSERT_EQ(prompts.size(), 9u);
  EXPECT_EQ(std::get<Point>(prompts[0]), (Point{500, 375.5, Label::object}));
  EXPECT_EQ(std::get<Point>(prompts[1]), (Point{1, 2, Label::background}));
  EXPECT_EQ(std::get<Box>(prompts[2]), (Box{425, 600, 700, 875}));
  EXPECT_EQ(std::get<Scribble>(prompts[3]), (Scribble{{{10, 12}, {40, 50}}, Label::background}));
  EXPECT_EQ(std::get<MaskPrompt>(prompts[4]).rle, Rle({3, 2}, {1, 2, 3}));
  EXPECT_EQ(std::get<TextPrompt>(prompts[5]).text, "a sofa");
  EXPECT_EQ(std::get<ExamplePrompt>(prompts[6]), (ExamplePrompt{"a.png", "a_mask.png"}));
  EXPECT_EQ(std::get<GroundPrompt>(prompts[7]), (GroundPrompt{0.1, 0.2, 0.5, 0.9, "cat"}));
  EXPECT_EQ(std::get<LearnedPrompt>(prompts[8]).file, "mine.safetensors");

  const std::string json = to_json(prompts);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_EQ(parse_prompts(json), prompts);
}

TEST(PromptJson, ReadsTheCommonList) {
  const auto prompts = parse_prompts(R"([{"type": "point", "data": [575, 750], "label": 1},
      {"type": "point", "data": [5, 7], "label": 0},
      {"type": "rectangle", "data": [425, 600, 700, 875], "label": 1}])");
  ASSERT_EQ(prompts.size(), 3u);
  EXPECT_EQ(std::get<Point>(prompts[0]), (Point{575, 750, Label::object}));
  EXPECT_EQ(std::get<Point>(prompts[1]), (Point{5, 7, Label::background}));
  EXPECT_EQ(std::get<Box>(prompts[2]), (Box{425, 600, 700, 875}));
  EXPECT_TRUE(parse_prompts("[]").empty());
  EXPECT_TRUE(parse_prompts(R"({"beckon": 1, "prompts": []})").empty());
}

TEST(PromptJson, KeepsEveryDigit) {
  const std::vector<Prompt> prompts = {Point{0.1, 1.0 / 3}, Point{-12345.678901234567, 1e-9}};
  EXPECT_EQ(parse_prompts(to_json(prompts)), prompts);
}

TEST(PromptJson, RefusesWhatIsNoPromptFile) {
  expect_refused("", "file.json: not valid JSON at byte 1");
  expect_refused("[1, 2", "not valid JSON");
  expect_refused("{}", "expected {\"beckon\": 1");
  expect_refused("null", "expected {\"beckon\": 1");
  expect_refused(R"({"beckon": 2, "prompts": []})", "version 2 of the form");
  expect_refused(R"({"beckon": 1})", "'prompts' must be a list");
  expect_refused(R"({"beckon": 1, "prompts": {}})", "'prompts' must be a list");
  expect_refused(std::string(100, '[') + std::string(100, ']'), "nested deeper than 16");
  expect_refused(std::string(1'000'000, '['), "");
  expect_refused("[\"\xff\"]", "not valid JSON");
}

TEST(PromptJson, SaysWhichPromptIsWrong) {
  expect_refused(one("7"), "file.json: prompt 2: expected an object, found number");
  expect_refused(one("{}"), "prompt 2: 'type' is missing");
  expect_refused(one(R"({"type": "pont", "at": [1, 2]})"), "prompt 2: unknown type 'pont'");
  expect_refused(one(R"({"type": "point", "at": [1]})"), "'at' must be a list of 2 numbers");
  expect_refused(one(R"({"type": "point", "at": [1, "2"]})"), "'at' holds string");
  expect_refused(one(R"({"type": "point", "at": [1, 1e999]})"), "out of range");
  expect_refused(one(R"({"type": "point", "at": [1, NaN]})"), "not valid JSON");
  expect_refused(one(R"({"type": "point", "at": [1, 1e9]})"), "prompt 2: y=1");
  expect_refused(one(R"({"type": "point", "at": [1, 2], "label": 2})"), "'label' must be");
  expect_refused(one(R"({"type": "point", "at": [1, 2], "lable": 1})"), "unknown key 'lable'");
  expect_refused(one(R"({"type": "box", "xyxy": [5, 0, 1, 1]})"), "prompt 2: box x0=5");
  expect_refused(one(R"({"type": "scribble", "points": []})"), "no points");
  expect_refused(one(R"({"type": "scribble", "points": [[1]]})"), "'points' must be a list of 2");
  expect_refused(one(R"({"type": "text", "text": 3})"), "'text' is number, expected a text");
  expect_refused(one(R"({"type": "text"})"), "'text' is missing");
  expect_refused(R"([{"type": "circle", "data": [1, 2]}])", "prompt 1: unknown type 'circle'");
  expect_refused(R"([{"type": "rectangle", "data": [1, 2]}])", "'data' must be a list of 4");
}

TEST(PromptJson, RefusesBadRunLengths) {
  const auto rle = [](const std::string& size, const std::string& counts) {
    return one(R"({"type": "mask", "rle": {"size": )" + size + R"(, "counts": )" + counts + "}}");
  };
  expect_refused(one(R"({"type": "mask", "rle": 1})"), "prompt 2: 'rle' must be an object");
  expect_refused(rle("[2]", "[4]"), "'size' must be [height, width]");
  expect_refused(rle("[2.5, 2]", "[4]"), "'size' must be [height, width]");
  expect_refused(rle("[-1, 4]", "[4]"), "a side of -1 pixels");
  expect_refused(rle("[1e30, 4]", "[4]"), "'size' must be");
  expect_refused(rle("[99999999999, 4]", "[4]"), "a side of");
  expect_refused(rle("[2, 2]", "[-4, 8]"), "prompt 2:");
  expect_refused(rle("[2, 2]", "[18446744073709551615]"), "prompt 2:");
  expect_refused(rle("[2, 2]", "[3]"), "prompt 2:");
  expect_refused(rle("[2, 2]", "[\"4\"]"), "'counts' holds string");
  expect_refused(rle("[2, 2]", "{}"), "'counts' must be");
  expect_refused(rle("[2, 2]", "\"~~~\""), "prompt 2:");
}

TEST(PromptJson, CountsTheDepthOfListsAndObjectsOnly) {
  const std::string brackets(20, '[');
  expect_refused(one(R"({"type": "pont \\\"[[[[[[[[[[[[[[[[[[[[\"\\", "at": [1, 2]})"),
                 "unknown type");
  EXPECT_EQ(parse_prompts(one(R"({"type": "text", "text": "\")" + brackets + R"(\\"})")).back(),
            Prompt(TextPrompt{"\"" + brackets + "\\"}));
}

TEST(PromptJson, RefusesALongListInTimeThatGrowsWithItsLength) {
  std::string list = "[{}";
  for (int i = 0; i < 500'000; ++i) list += ",{}";
  const std::clock_t start = std::clock();
  expect_refused(list + "]", "500001 prompts, at most 10000");
  // Half a minute of processor time if the list is walked again for each member.
  EXPECT_LT((std::clock() - start) / CLOCKS_PER_SEC, 10);
}

TEST(PromptJson, BoundsCounts) {
  std::string many = "[", scribble = R"({"type": "scribble", "points": [)";
  for (int i = 0; i < 10'001; ++i) {
    many += std::string(i ? "," : "") + R"({"type":"point","data":[1,2],"label":1})";
    scribble += std::string(i ? "," : "") + "[1,2]";
  }
  expect_refused(many + "]", "10001 prompts, at most 10000");
  expect_refused(one(scribble + "]}"), "10001 points, at most 10000");
}

}  // namespace
}  // namespace beckon::test
