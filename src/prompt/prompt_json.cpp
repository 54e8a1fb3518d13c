// Prompts to JSON and back.
#include <initializer_list>
#include <limits>

#include <nlohmann/json.hpp>

#include "base/fail.h"
#include "beckon/prompt.h"
#include "prompt/bounded_json.h"
#include "prompt/limits.h"

namespace beckon {
namespace {

using nlohmann::json;

// One prompt of a list, and how to speak of it.
class Reader {
 public:
  Reader(const json& object, std::string place) : object_(object), place_(std::move(place)) {
    if (!object.is_object())
      fail(Kind::input, "{}: expected an object, found {}", place_, object.type_name());
  }

  const std::string& place() const { return place_; }

  void only(std::initializer_list<const char*> keys) const {
    for (const auto& [key, value] : object_.items()) {
      bool known = key == "type";
      for (const char* name : keys) known = known || key == name;
      if (!known) fail(Kind::input, "{}: unknown key '{}'", place_, shown(key));
    }
  }

  const json& at(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) fail(Kind::input, "{}: '{}' is missing", place_, key);
    return *found;
  }

  std::string text(const char* key) const {
    const json& value = at(key);
    if (!value.is_string())
      fail(Kind::input, "{}: '{}' is {}, expected a text", place_, key, value.type_name());
    return value.get<std::string>();
  }

  template <size_t count>
  std::array<double, count> numbers(const json& value, const char* key) const {
    if (!value.is_array() || value.size() != count)
      fail(Kind::input, "{}: '{}' must be a list of {} numbers", place_, key, count);
    std::array<double, count> result{};
    for (size_t i = 0; i < count; ++i) {
      if (!value[i].is_number())
        fail(Kind::input, "{}: '{}' holds {}, expected numbers", place_, key, value[i].type_name());
      result[i] = value[i].get<double>();
    }
    return result;
  }
  template <size_t count>
  std::array<double, count> numbers(const char* key) const {
    return numbers<count>(at(key), key);
  }

  Label label() const {
    const auto found = object_.find("label");
    if (found == object_.end()) return Label::object;
    if (*found == "object" || *found == 1) return Label::object;
    if (*found == "background" || *found == 0) return Label::background;
    fail(Kind::input, "{}: 'label' must be \"object\" (1) or \"background\" (0)", place_);
  }

  static std::string shown(const std::string& text) {
    std::string result = text.substr(0, 40);
    for (char& c : result)
      if (static_cast<unsigned char>(c) < 32) c = '?';
    return text.size() > 40 ? result + "..." : result;
  }

 private:
  const json& object_;
  std::string place_;
};

Rle read_rle(const Reader& r) {
  const json& rle = r.at("rle");
  if (!rle.is_object() || !rle.contains("size") || !rle.contains("counts"))
    fail(Kind::input, "{}: 'rle' must be an object with 'size' and 'counts'", r.place());
  const auto side = [&](size_t i) {
    const json& size = rle["size"];
    if (!size.is_array() || size.size() != 2 || !size[i].is_number_integer())
      fail(Kind::input, "{}: 'size' must be [height, width]", r.place());
    const auto value = size[i].get<double>();
    if (value < 1 || value > kLargestCoordinate)
      fail(Kind::input, "{}: a side of {} pixels, expected 1 to {}", r.place(), value,
           kLargestCoordinate);
    return static_cast<int>(value);
  };
  const ImageSize size{side(1), side(0)};
  const json& counts = rle["counts"];
  try {
    if (counts.is_string()) return Rle::from_string(size, counts.get_ref<const std::string&>());
    if (!counts.is_array()) fail(Kind::input, "'counts' must be a text or a list of whole numbers");
    std::vector<int64_t> lengths;
    lengths.reserve(counts.size());
    for (const json& count : counts) {
      if (!count.is_number_integer())
        fail(Kind::input, "'counts' holds {}, expected whole numbers", count.type_name());
      // Unsigned numbers over 2^63 would turn negative, which is refused as well.
      lengths.push_back(count.get<int64_t>());
    }
    return Rle::from_counts(size, lengths);
  } catch (const Error& error) {
    fail(Kind::input, "{}: {}", r.place(), error.what());
  }
}

Prompt read_own(const Reader& r) {
  const std::string type = r.text("type");
  if (type == "point") {
    r.only({"at", "label"});
    const auto [x, y] = r.numbers<2>("at");
    return Point{x, y, r.label()};
  }
  if (type == "box") {
    r.only({"xyxy"});
    const auto [x0, y0, x1, y1] = r.numbers<4>("xyxy");
    return Box{x0, y0, x1, y1};
  }
  if (type == "scribble") {
    r.only({"points", "label"});
    const json& points = r.at("points");
    if (!points.is_array()) fail(Kind::input, "{}: 'points' must be a list", r.place());
    if (points.size() > kMostPlaces)
      fail(Kind::input, "{}: {} points, at most {} are read", r.place(), points.size(),
           kMostPlaces);
    Scribble scribble{{}, r.label()};
    for (const json& point : points) {
      const auto [x, y] = r.numbers<2>(point, "points");
      scribble.points.push_back({x, y});
    }
    return scribble;
  }
  if (type == "mask") {
    r.only({"rle"});
    return MaskPrompt(read_rle(r));
  }
  if (type == "text") {
    r.only({"text"});
    return TextPrompt{r.text("text")};
  }
  if (type == "example") {
    r.only({"input", "output"});
    return ExamplePrompt{r.text("input"), r.text("output")};
  }
  if (type == "ground") {
    r.only({"xyxy", "text"});
    const auto [x0, y0, x1, y1] = r.numbers<4>("xyxy");
    return GroundPrompt{x0, y0, x1, y1, r.text("text")};
  }
  if (type == "learned") {
    r.only({"file"});
    return LearnedPrompt{r.text("file")};
  }
  fail(Kind::input,
       "{}: unknown type '{}'; there are point, box, scribble, mask, text, example, ground and "
       "learned",
       r.place(), Reader::shown(type));
}

// The list form of annotation tools.
Prompt read_common(const Reader& r) {
  const std::string type = r.text("type");
  if (type == "point") {
    const auto [x, y] = r.numbers<2>("data");
    return Point{x, y, r.label()};
  }
  if (type == "rectangle") {  // they give it a label too, which no model uses
    const auto [x0, y0, x1, y1] = r.numbers<4>("data");
    return Box{x0, y0, x1, y1};
  }
  fail(Kind::input, "{}: unknown type '{}'; in this form there are point and rectangle", r.place(),
       Reader::shown(type));
}

json rle_json(const Rle& rle) {
  return {{"size", {rle.height(), rle.width()}}, {"counts", rle.string()}};
}

const char* label_name(Label label) { return label == Label::object ? "object" : "background"; }

struct Writer {
  json operator()(const Point& p) const {
    return {{"type", "point"}, {"at", {p.x, p.y}}, {"label", label_name(p.label)}};
  }
  json operator()(const Box& b) const {
    return {{"type", "box"}, {"xyxy", {b.x0, b.y0, b.x1, b.y1}}};
  }
  json operator()(const Scribble& s) const {
    json points = json::array();
    for (const auto& p : s.points) points.push_back({p.x, p.y});
    return {{"type", "scribble"}, {"points", points}, {"label", label_name(s.label)}};
  }
  json operator()(const MaskPrompt& m) const {
    return {{"type", "mask"}, {"rle", rle_json(m.rle)}};
  }
  json operator()(const TextPrompt& t) const { return {{"type", "text"}, {"text", t.text}}; }
  json operator()(const ExamplePrompt& e) const {
    return {{"type", "example"}, {"input", e.input}, {"output", e.output}};
  }
  json operator()(const GroundPrompt& g) const {
    return {{"type", "ground"}, {"xyxy", {g.x0, g.y0, g.x1, g.y1}}, {"text", g.text}};
  }
  json operator()(const LearnedPrompt& l) const { return {{"type", "learned"}, {"file", l.file}}; }
};

}  // namespace

std::vector<Prompt> parse_prompts(std::string_view text, const std::string& name) {
  const json document = parse_bounded_json(text, name, kLongestJson);
  const bool common = document.is_array();
  const json* list = &document;
  if (!common) {
    if (!document.is_object() || !document.contains("beckon"))
      fail(Kind::input,
           "{}: expected {{\"beckon\": 1, \"prompts\": [...]}} or a list of points and rectangles",
           name);
    if (document["beckon"] != 1)
      fail(Kind::input, "{}: version {} of the form is not known, 1 is", name,
           Reader::shown(document["beckon"].dump(-1, ' ', true)));
    const auto found = document.find("prompts");
    if (found == document.end() || !found->is_array())
      fail(Kind::input, "{}: 'prompts' must be a list", name);
    list = &*found;
  }
  if (list->size() > kMostPrompts)
    fail(Kind::input, "{}: {} prompts, at most {} are read", name, list->size(), kMostPrompts);

  std::vector<Prompt> prompts;
  prompts.reserve(list->size());
  for (size_t i = 0; i < list->size(); ++i) {
    const std::string place = fmt::format("{}: prompt {}", name, i + 1);
    const Reader reader((*list)[i], place);
    prompts.push_back(common ? read_common(reader) : read_own(reader));
    try {
      check(prompts.back(), place);
    } catch (const Error& error) {
      throw Error(Kind::input, error.what());
    }
  }
  return prompts;
}

std::string to_json(std::span<const Prompt> prompts) {
  json list = json::array();
  for (size_t i = 0; i < prompts.size(); ++i) {
    check(prompts[i], fmt::format("prompt {}", i + 1));
    list.push_back(std::visit(Writer{}, prompts[i]));
  }
  const nlohmann::ordered_json document = {{"beckon", 1}, {"prompts", list}};
  return document.dump(-1, ' ', false, json::error_handler_t::replace);
}

}  // namespace beckon
