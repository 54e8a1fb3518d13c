#include "beckon/prompt.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/fail.h"
#include "prompt/limits.h"

namespace beckon {
namespace {

void check_number(double value, const char* what, const std::string& place) {
  if (!std::isfinite(value) || std::abs(value) > kLargestCoordinate)
    fail(Kind::usage, "{}: {}={} is not a number of at most {} either way", place, what, value,
         kLargestCoordinate);
}

void check_corners(double x0, double y0, double x1, double y1, const std::string& place) {
  check_number(x0, "x0", place);
  check_number(y0, "y0", place);
  check_number(x1, "x1", place);
  check_number(y1, "y1", place);
  if (x0 > x1) fail(Kind::usage, "{}: box x0={} is right of x1={}", place, x0, x1);
  if (y0 > y1) fail(Kind::usage, "{}: box y0={} is below y1={}", place, y0, y1);
}

void check_text(const std::string& text, const char* what, const std::string& place) {
  if (text.empty()) fail(Kind::usage, "{}: the {} is empty", place, what);
  if (text.size() > kLongestText)
    fail(Kind::usage, "{}: the {} has {} bytes, at most {} are read", place, what, text.size(),
         kLongestText);
  if (text.find('\0') != std::string::npos)
    fail(Kind::usage, "{}: the {} has a zero byte in it", place, what);
}

struct Checker {
  const std::string& place;

  void operator()(const Point& p) const {
    check_number(p.x, "x", place);
    check_number(p.y, "y", place);
  }
  void operator()(const Box& b) const { check_corners(b.x0, b.y0, b.x1, b.y1, place); }
  void operator()(const Scribble& s) const {
    if (s.points.empty()) fail(Kind::usage, "{}: the scribble has no points", place);
    if (s.points.size() > kMostPlaces)
      fail(Kind::usage, "{}: the scribble has {} points, at most {} are read", place,
           s.points.size(), kMostPlaces);
    for (const Scribble::Place& p : s.points) {
      check_number(p.x, "x", place);
      check_number(p.y, "y", place);
    }
  }
  void operator()(const MaskPrompt&) const {}  // Rle is valid by construction
  void operator()(const TextPrompt& t) const { check_text(t.text, "text", place); }
  void operator()(const ExamplePrompt& e) const {
    check_text(e.input, "input", place);
    check_text(e.output, "output", place);
  }
  void operator()(const GroundPrompt& g) const {
    check_corners(g.x0, g.y0, g.x1, g.y1, place);
    if (g.x0 < 0 || g.y0 < 0 || g.x1 > 1 || g.y1 > 1)
      fail(Kind::usage, "{}: a ground box is in fractions of the picture, 0 to 1", place);
    check_text(g.text, "text", place);
  }
  void operator()(const LearnedPrompt& l) const { check_text(l.file, "file", place); }
};

double distance(const Scribble::Place& a, const Scribble::Place& b) {
  return std::hypot(b.x - a.x, b.y - a.y);
}

// Where a prompt is, to find the box it belongs to.
std::optional<Scribble::Place> first_place(const Prompt& prompt) {
  if (const auto* point = std::get_if<Point>(&prompt)) return Scribble::Place{point->x, point->y};
  if (const auto* scribble = std::get_if<Scribble>(&prompt))
    if (!scribble->points.empty()) return scribble->points.front();
  return std::nullopt;
}

bool contains(const Box& box, const Scribble::Place& p) {
  return box.x0 <= p.x && p.x <= box.x1 && box.y0 <= p.y && p.y <= box.y1;
}

}  // namespace

const char* type_name(const Prompt& prompt) noexcept {
  constexpr std::array kNames = {"point", "box",     "scribble", "mask",
                                 "text",  "example", "ground",   "learned"};
  static_assert(kNames.size() == std::variant_size_v<Prompt>);
  return kNames[prompt.index()];
}

void check(const Prompt& prompt, const std::string& place) { std::visit(Checker{place}, prompt); }

std::vector<Point> points_along(const Scribble& scribble, int most) {
  check(Prompt(scribble), "scribble");
  if (most < 1) fail(Kind::usage, "points_along: at least 1 point, not {}", most);
  const auto& path = scribble.points;
  double length = 0;
  for (size_t i = 1; i < path.size(); ++i) length += distance(path[i - 1], path[i]);

  constexpr double kPixelsAPoint = 16;
  const int count = std::clamp(static_cast<int>(std::min(length / kPixelsAPoint, 1e6)), 1, most);
  std::vector<Point> result;
  size_t piece = 1;
  double before = 0;  // length of the path up to path[piece - 1]
  for (int i = 0; i < count; ++i) {
    const double at = length * (i + 0.5) / count;
    while (piece < path.size() && before + distance(path[piece - 1], path[piece]) < at) {
      before += distance(path[piece - 1], path[piece]);
      ++piece;
    }
    if (piece >= path.size()) {
      result.push_back({path.back().x, path.back().y, scribble.label});
      continue;
    }
    const Scribble::Place &a = path[piece - 1], &b = path[piece];
    const double step = distance(a, b), t = step > 0 ? (at - before) / step : 0;
    result.push_back({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y), scribble.label});
  }
  return result;
}

std::vector<std::vector<Prompt>> objects(std::span<const Prompt> prompts) {
  if (prompts.empty()) return {};
  std::vector<const Box*> boxes;
  size_t masks = 0;
  for (const Prompt& prompt : prompts) {
    if (const auto* box = std::get_if<Box>(&prompt)) boxes.push_back(box);
    masks += std::holds_alternative<MaskPrompt>(prompt);
  }
  if (masks > 1) fail(Kind::usage, "{} mask prompts; an object can have one", masks);
  if (boxes.size() <= 1) return {{prompts.begin(), prompts.end()}};

  std::vector<std::vector<Prompt>> result;
  for (const Box* box : boxes) result.push_back({*box});
  for (size_t i = 0; i < prompts.size(); ++i) {
    if (std::holds_alternative<Box>(prompts[i])) continue;
    const auto place = first_place(prompts[i]);
    if (!place)
      fail(Kind::usage, "prompt {}: with {} boxes it is not clear which object this {} is about",
           i + 1, boxes.size(), type_name(prompts[i]));
    std::optional<size_t> owner;
    for (size_t b = 0; b < boxes.size(); ++b) {
      if (!contains(*boxes[b], *place)) continue;
      if (owner)
        fail(Kind::usage, "prompt {}: this {} lies in two boxes; segment them one by one", i + 1,
             type_name(prompts[i]));
      owner = b;
    }
    if (!owner)
      fail(Kind::usage, "prompt {}: this {} lies in none of the {} boxes", i + 1,
           type_name(prompts[i]), boxes.size());
    result[*owner].push_back(prompts[i]);
  }
  return result;
}

}  // namespace beckon
