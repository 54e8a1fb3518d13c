#include "beckon/prompt.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "support/check.h"

namespace beckon::test {
namespace {

std::vector<Prompt> list(std::initializer_list<Prompt> prompts) { return prompts; }

void expect_usage(const Prompt& prompt, const std::string& part) {
  expect_error(Kind::usage, part, [&] { check(prompt, "prompt 3"); });
}

TEST(Prompt, ChecksNumbers) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  EXPECT_NO_THROW(check(Point{-5, 1e6}));
  expect_usage(Point{nan, 0}, "prompt 3: x=nan");
  expect_usage(Point{0, infinity}, "y=inf");
  expect_usage(Point{0, -1e7}, "y=-10000000 is not");
  expect_usage(Box{10, 0, 5, 5}, "box x0=10 is right of x1=5");
  expect_usage(Box{0, 10, 5, 5}, "box y0=10 is below y1=5");
  expect_usage(Box{0, 0, nan, 5}, "x1=nan");
  expect_usage(Scribble{}, "no points");
  expect_usage(Scribble{{{1, 2}, {nan, 3}}}, "x=nan");
  expect_usage(TextPrompt{""}, "the text is empty");
  expect_usage(TextPrompt{std::string(100'000, 'a')}, "100000 bytes");
  expect_usage(LearnedPrompt{std::string("a\0b", 3)}, "zero byte");
  expect_usage(GroundPrompt{0, 0, 2, 1, "cat"}, "fractions");
  expect_usage(ExamplePrompt{"a.png", ""}, "the output is empty");
}

TEST(Prompt, PointsAlongAShortScribbleAreItsMiddle) {
  const auto points = points_along({{{0, 0}, {10, 0}}, Label::background});
  ASSERT_EQ(points.size(), 1u);
  EXPECT_EQ(points[0], (Point{5, 0, Label::background}));
  EXPECT_EQ(points_along({{{7, 8}}})[0], (Point{7, 8}));
  EXPECT_EQ(points_along({{{7, 8}, {7, 8}}})[0], (Point{7, 8}));
}

// A path of 40 + 40: four pieces of 20, whose middles are 10, 30, 50 and 70 along.
TEST(Prompt, PointsAlongAScribbleFollowItsCorners) {
  const auto points = points_along({{{0, 0}, {40, 0}, {40, 40}}}, 4);
  ASSERT_EQ(points.size(), 4u);
  EXPECT_EQ(points[0], (Point{10, 0}));
  EXPECT_EQ(points[1], (Point{30, 0}));
  EXPECT_EQ(points[2], (Point{40, 10}));
  EXPECT_EQ(points[3], (Point{40, 30}));
  EXPECT_EQ(points_along({{{0, 0}, {40, 0}, {40, 40}}}, 2).size(), 2u);
}

TEST(Prompt, ObjectsKeepsEverythingOfOneBoxTogether) {
  EXPECT_TRUE(objects({}).empty());
  const auto prompts = list({Point{1, 1}, Box{0, 0, 5, 5}, Point{90, 90, Label::background}});
  const auto sorted = objects(prompts);
  ASSERT_EQ(sorted.size(), 1u);
  EXPECT_EQ(sorted[0], prompts);
}

TEST(Prompt, ObjectsMakesAnObjectOfEachBox) {
  const auto prompts =
      list({Point{12, 12}, Box{0, 0, 5, 5}, Box{10, 10, 15, 15}, Scribble{{{1, 1}, {2, 2}}}});
  const auto sorted = objects(prompts);
  ASSERT_EQ(sorted.size(), 2u);
  EXPECT_EQ(sorted[0], list({prompts[1], prompts[3]}));
  EXPECT_EQ(sorted[1], list({prompts[2], prompts[0]}));
}

TEST(Prompt, ObjectsRefusesWhatIsUnclear) {
  const auto refuse = [](std::initializer_list<Prompt> prompts, const std::string& part) {
    expect_error(Kind::usage, part, [&] { objects(list(prompts)); });
  };
  const Box a{0, 0, 10, 10}, b{5, 5, 15, 15};
  refuse({a, b, Point{7, 7}}, "prompt 3: this point lies in two boxes");
  refuse({a, b, Point{70, 7}}, "prompt 3: this point lies in none of the 2 boxes");
  refuse({a, b, TextPrompt{"cat"}}, "not clear");
  const MaskPrompt mask(Mask(4, 4));
  refuse({mask, mask}, "2 mask prompts");
}

}  // namespace
}  // namespace beckon::test
