// The vocabulary of prompts: what a person shows, points at or says, as data.
//
//   auto prompts = beckon::parse_prompts(R"({"beckon": 1, "prompts": [
//       {"type": "point", "at": [500, 375]},
//       {"type": "box", "xyxy": [425, 600, 700, 875]}]})");
//
// Coordinates are pixels of the image as a viewer shows it: x to the right, y down, (0,0) the
// top-left corner of the top-left pixel; fractions of a pixel are fine and places outside the image
// are allowed. Every type below is understood by some model; a model says clearly which it cannot
// use.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "beckon/export.h"
#include "beckon/mask.h"
#include "beckon/rle.h"

namespace beckon {

// Whether a place belongs to the object that is meant, or must stay out of it.
enum class Label : uint8_t { background = 0, object = 1 };

// {"type": "point", "at": [x, y], "label": "object"|"background"}; without a label, the object.
struct Point {
  double x = 0, y = 0;
  Label label = Label::object;
  friend bool operator==(const Point&, const Point&) = default;
};

// {"type": "box", "xyxy": [x0, y0, x1, y1]}, x0 <= x1, y0 <= y1: the whole object.
struct Box {
  double x0 = 0, y0 = 0, x1 = 0, y1 = 0;
  friend bool operator==(const Box&, const Box&) = default;
};

// {"type": "scribble", "points": [[x, y], ...], "label": ...}: a stroke through these places.
struct Scribble {
  struct Place {
    double x = 0, y = 0;
    friend bool operator==(const Place&, const Place&) = default;
  };
  std::vector<Place> points;  // at least one
  Label label = Label::object;
  friend bool operator==(const Scribble&, const Scribble&) = default;
};

// {"type": "mask", "rle": {"size": [height, width], "counts": "..." or [...]}}: roughly this
// region, at the size of the image.
struct MaskPrompt {
  Rle rle;
  explicit MaskPrompt(Rle runs) : rle(std::move(runs)) {}
  explicit MaskPrompt(const Mask& mask) : rle(mask.rle()) {}
  friend bool operator==(const MaskPrompt&, const MaskPrompt&) = default;
};

// {"type": "text", "text": "a sofa"}
struct TextPrompt {
  std::string text;
  friend bool operator==(const TextPrompt&, const TextPrompt&) = default;
};

// {"type": "example", "input": "a.png", "output": "a_mask.png"}: this picture became that one.
struct ExamplePrompt {
  std::string input, output;
  friend bool operator==(const ExamplePrompt&, const ExamplePrompt&) = default;
};

// {"type": "ground", "xyxy": [x0, y0, x1, y1], "text": "cat"}: this is to appear there. The box is
// in fractions of the picture, 0 to 1.
struct GroundPrompt {
  double x0 = 0, y0 = 0, x1 = 1, y1 = 1;
  std::string text;
  friend bool operator==(const GroundPrompt&, const GroundPrompt&) = default;
};

// {"type": "learned", "file": "mine.safetensors"}: a prompt that was trained.
struct LearnedPrompt {
  std::string file;
  friend bool operator==(const LearnedPrompt&, const LearnedPrompt&) = default;
};

using Prompt = std::variant<Point, Box, Scribble, MaskPrompt, TextPrompt, ExamplePrompt,
                            GroundPrompt, LearnedPrompt>;

// "point", "box", "scribble", "mask", "text", "example", "ground", "learned".
BECKON_API const char* type_name(const Prompt& prompt) noexcept;

// Throws Error(usage) unless all numbers are finite and at most a million either way, boxes are not
// turned round and texts not empty. `place` begins the message: "prompt 3".
BECKON_API void check(const Prompt& prompt, const std::string& place = "prompt");

// Reads either form:
//   {"beckon": 1, "prompts": [...]} with the objects above;
//   the common list [{"type": "point"|"rectangle", "data": [...], "label": 1|0}, ...].
// Throws Error(input) that says which prompt is wrong, counted from 1: not JSON, an unknown type or
// key, a number that is missing, not finite or over a million, a box turned round, more than 10,000
// prompts, 10,000 places in a scribble or 64 KiB of text, nesting deeper than 16. `name` begins the
// message.
BECKON_API std::vector<Prompt> parse_prompts(std::string_view json,
                                             const std::string& name = "prompts");

// The first form, on one line; parse_prompts() of it gives the same prompts.
BECKON_API std::string to_json(std::span<const Prompt> prompts);

// Points along a scribble, for models that know points only: 1 to `most`, one for every 16 pixels
// of length, each in the middle of its piece of the stroke.
BECKON_API std::vector<Point> points_along(const Scribble& scribble, int most = 4);

// Prompts sorted into objects. With at most one box and one mask, all describe one object. Several
// boxes are an object each; a point or scribble then belongs to the one box that contains its first
// place, and Error(usage) is thrown if there is none or more than one. Other kinds of prompts among
// several boxes are an Error(usage) too, as is more than one mask. An empty list is no object.
BECKON_API std::vector<std::vector<Prompt>> objects(std::span<const Prompt> prompts);

}  // namespace beckon
