#include "compose/annotate/prompt_book.h"

#include <string>

#include <gtest/gtest.h>

#include "support/check.h"

namespace beckon::test {
namespace {

using compose::NamedObject;
using compose::PromptBook;

constexpr const char* kPoint = R"({"type": "point", "at": [1, 2]})";

PromptBook parse(const std::string& text) { return PromptBook::parse(text, "book.json"); }

void expect_refused(const std::string& text, const std::string& part, Kind kind = Kind::input) {
  SCOPED_TRACE(text.substr(0, 200));
  expect_error(kind, part, [&] { parse(text); });
}

TEST(PromptBook, OneListServesEveryPicture) {
  const PromptBook book = parse(std::string(R"({"beckon": 1, "prompts": [)") + kPoint + "]}");
  ASSERT_NE(book.find("any.jpg"), nullptr);
  EXPECT_EQ(book.find("any.jpg")->size(), 1u);
  EXPECT_TRUE(book.names().empty());
  const PromptBook common = parse(R"([{"type": "rectangle", "data": [0, 0, 5, 5]},
                                      {"type": "rectangle", "data": [5, 5, 9, 9]}])");
  EXPECT_EQ(common.find("any.jpg")->size(), 2u);  // two boxes, two objects
}

TEST(PromptBook, PicturesHaveTheirOwnAndAStarHasTheRest) {
  const std::string text = std::string(R"({"beckon": 1, "images": {
      "sub/a.jpg": {"prompts": [)") +
                           kPoint + R"(]},
      "b.jpg": {"objects": [{"label": "dog", "prompts": [)" +
                           kPoint + R"(]},
                            {"prompts": [{"type": "box", "xyxy": [0, 0, 5, 5]}]}]},
      "*": {"prompts": [{"type": "box", "xyxy": [1, 1, 2, 2]}]}}})";
  const PromptBook book = parse(text);
  EXPECT_EQ(std::get<Point>(book.find("sub/a.jpg")->front().prompts.front()), (Point{1, 2}));
  ASSERT_EQ(book.find("b.jpg")->size(), 2u);
  EXPECT_EQ(book.find("b.jpg")->front().label, "dog");
  EXPECT_EQ(book.find("b.jpg")->back().label, "");
  EXPECT_EQ(std::get<Box>(book.find("a.jpg")->front().prompts.front()), (Box{1, 1, 2, 2}));
  EXPECT_EQ(book.names(), (std::vector<std::string>{"b.jpg", "sub/a.jpg"}));
}

TEST(PromptBook, WithoutAStarOtherPicturesHaveNone) {
  const PromptBook book =
      parse(std::string(R"({"beckon": 1, "images": {"a.jpg": {"prompts": [)") + kPoint + "]}}}");
  EXPECT_EQ(book.find("b.jpg"), nullptr);
}

TEST(PromptBook, RecipesAreTheSameForTheSamePrompts) {
  const auto recipe = [](const char* page) {
    const PromptBook book = parse(std::string(R"({"beckon": 1, "images": {"a": )") + page + "}}");
    return compose::recipe_of(*book.find("a")).dump();
  };
  EXPECT_EQ(recipe(R"({"prompts": [{"type": "point", "at": [1, 2]}]})"),
            recipe(R"({"objects": [{"prompts": [{"at": [1.0, 2e0], "type": "point"}]}]})"));
  EXPECT_NE(recipe(R"({"prompts": [{"type": "point", "at": [1, 2]}]})"),
            recipe(R"({"prompts": [{"type": "point", "at": [1, 3]}]})"));
}

TEST(PromptBook, SaysWhereItIsWrong) {
  expect_refused("", "book.json: not valid JSON");
  expect_refused("{", "not valid JSON");
  expect_refused("{}", "book.json");
  expect_refused("17", "book.json");
  expect_refused(R"({"beckon": 2, "images": {"a": {}}})", "expected");
  expect_refused(R"({"images": {"a": {"prompts": []}}})", "expected");
  expect_refused(R"({"beckon": 1, "images": []})", "'images' must be an object");
  expect_refused(R"({"beckon": 1, "images": {}})", "empty");
  expect_refused(R"({"beckon": 1, "images": {}, "more": 1})", "unknown key 'more'");
  expect_refused(R"({"beckon": 1, "images": {"a": 1}})", "image 'a': expected an object");
  expect_refused(R"({"beckon": 1, "images": {"a": {}}})", "image 'a': expected 'prompts'");
  expect_refused(R"({"beckon": 1, "images": {"a": {"prompts": 3}}})", "expected a list");
  expect_refused(R"({"beckon": 1, "images": {"a": {"prompts": []}}})", "no prompts");
  expect_refused(R"({"beckon": 1, "prompts": []})", "no prompts");
  expect_refused(R"({"beckon": 1, "images": {"a": {"objects": []}}})", "0 objects");
  expect_refused(R"({"beckon": 1, "images": {"a": {"objects": [{}]}}})",
                 "object 1: 'prompts' is missing");
  expect_refused(R"({"beckon": 1, "images": {"a": {"objects": [{"label": 3, "prompts": []}]}}})",
                 "'label' must be a text");
  expect_refused(R"({"beckon": 1, "images": {"a": {"prompts": [{"type": "point"}]}}})",
                 "image 'a': prompt 1: 'at' is missing");
  expect_refused(R"({"beckon": 1, "images": {"a": {"objects": [{"prompts": [
      {"type": "box", "xyxy": [0,0,1,1]}, {"type": "box", "xyxy": [2,2,3,3]}]}]}}})",
                 "2 boxes");
  expect_refused(R"({"beckon": 1, "images": {"a\nb": 1}})", "image 'a?b'");
  expect_refused(R"({"beckon": 1, "prompts": [{"type": "text", "text": "a cat"}]})", "'text'",
                 Kind::unsupported);
  expect_refused(std::string(100'000, '['), "nested deeper");
  expect_refused(R"({"beckon": 1, "images": {"a": )" + std::string(100'000, '[') + "}}",
                 "nested deeper");
}

}  // namespace
}  // namespace beckon::test
