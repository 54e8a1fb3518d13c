#include "prompt_arguments.h"

#include <array>
#include <charconv>
#include <initializer_list>
#include <iterator>
#include <string_view>

#include <fmt/format.h>

#include "base/fail.h"
#include "base/files.h"
#include "beckon/mask.h"
#include "files.h"
#include "json.h"
#include "prompt/bounded_json.h"
#include "prompt/limits.h"

namespace beckon::cli {
namespace {

// "1,2.5" as numbers; `shape` is what the option expects, for the message.
template <size_t Count>
std::array<double, Count> numbers(const char* option, const std::string& text, const char* shape) {
  std::array<double, Count> values = {};
  const char* at = text.data();
  const char* const end = at + text.size();
  for (size_t i = 0; i < Count; ++i) {
    const auto [after, error] = std::from_chars(at, end, values[i]);
    const bool separated = i + 1 < Count ? after != end && *after == ',' : after == end;
    if (error != std::errc() || !separated)
      fail(Kind::usage, "{} '{}': expected {}, numbers without spaces", option, text, shape);
    at = after + 1;
  }
  return values;
}

void add_points(const char* option, const std::vector<std::string>& texts, Label label,
                std::vector<Prompt>& prompts) {
  for (const std::string& text : texts) {
    const auto [x, y] = numbers<2>(option, text, "X,Y");
    prompts.emplace_back(Point{x, y, label});
    check(prompts.back(), fmt::format("{} {}", option, text));
  }
}

// The text at `keys`, one inside the other; empty if there is none.
std::string text_at(const Json& document, std::initializer_list<const char*> keys,
                    const std::string& file) {
  const Json* value = &document;
  for (const char* key : keys) {
    if (value != &document && !value->is_object())
      fail(Kind::input, "{}: recipe: '{}' is {}, expected an object", file, *keys.begin(),
           value->type_name());
    const auto found = value->find(key);
    if (found == value->end()) return "";
    value = &*found;
  }
  if (!value->is_string())
    fail(Kind::input, "{}: recipe: '{}' is {}, expected a text", file, *std::prev(keys.end()),
         value->type_name());
  return value->get<std::string>();
}

// The text itself, or the recipe in a report that --json printed.
std::string recipe_in(std::string_view text, const std::string& name) {
  try {
    const Json document = parse_bounded_json(text, name, kLongestJson);
    if (document.is_object() && !document.contains("beckon") && document.contains("recipe") &&
        document.at("recipe").is_object())
      return document.at("recipe").dump(-1, ' ', false, Json::error_handler_t::replace);
  } catch (const Error&) {  // for the reader of prompts to say
  }
  return std::string(text);
}

Request read_file_of_prompts(const std::string& path) {
  const std::vector<uint8_t> bytes = read_input(path);
  const std::string name = name_of_input(path);
  const std::string text =
      recipe_in(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()), name);
  Request request;
  request.prompts = parse_prompts(text, name);
  request.from_file = request.prompts.size();
  const Json document = Json::parse(text);  // sound, or the line above had refused it
  request.model = text_at(document, {"model", "name"}, name);
  request.sha256 = text_at(document, {"model", "sha256"}, name);
  request.multimask = text_at(document, {"options", "multimask"}, name);
  if (const auto options = document.find("options");
      options != document.end() && options->is_object() && options->contains("everything"))
    request.everything = options->at("everything").dump();
  return request;
}

}  // namespace

Request read_request(const PromptArguments& arguments) {
  Request request;
  if (!arguments.file.empty()) request = read_file_of_prompts(arguments.file);
  std::vector<Prompt>& prompts = request.prompts;
  add_points("--point", arguments.points, Label::object, prompts);
  add_points("--background", arguments.backgrounds, Label::background, prompts);
  for (const std::string& text : arguments.boxes) {
    const auto [x0, y0, x1, y1] = numbers<4>("--box", text, "X0,Y0,X1,Y1");
    prompts.emplace_back(Box{x0, y0, x1, y1});
    check(prompts.back(), "--box " + text);
  }
  if (!arguments.mask.empty()) prompts.emplace_back(MaskPrompt(Mask::read(arguments.mask)));
  if (prompts.empty() && !request.everything.empty()) return request;
  if (prompts.empty() && !arguments.file.empty())
    fail(Kind::input, "{}: there is no prompt in it", name_of_input(arguments.file));
  if (prompts.empty())
    fail(Kind::usage, "nothing says what to segment; give --point, --box, --mask or --prompt");
  return request;
}

std::vector<ObjectQuery> queries_of(const Request& request, const PromptArguments& arguments) {
  const std::span<const Prompt> of_file = std::span(request.prompts).first(request.from_file);
  const std::string file = name_of_input(arguments.file);
  for (size_t i = 0; i < of_file.size(); ++i) {
    const Prompt& prompt = of_file[i];
    if (std::holds_alternative<Point>(prompt) || std::holds_alternative<Box>(prompt) ||
        std::holds_alternative<Scribble>(prompt) || std::holds_alternative<MaskPrompt>(prompt))
      continue;
    fail(Kind::unsupported,
         "{}: prompt {}: SAM cannot use a prompt of type '{}'; it takes points, boxes, scribbles "
         "and masks",
         file, i + 1, type_name(prompt));
  }
  std::vector<std::vector<Prompt>> sorted;
  try {
    sorted = objects(request.prompts);
  } catch (const Error&) {
    // Whose fault is it? What the file says by itself may make no sense already.
    try {
      objects(of_file);
    } catch (const Error& error) {
      fail(Kind::input, "{}: {}", file, error.what());
    }
    throw;
  }
  std::vector<ObjectQuery> queries;
  for (std::vector<Prompt>& object : sorted) queries.push_back({std::move(object), {}});
  return queries;
}

void check_masks(const Request& request, ImageSize photo, const PromptArguments& arguments) {
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    const auto* mask = std::get_if<MaskPrompt>(&request.prompts[i]);
    if (mask == nullptr || mask->rle.size() == photo) continue;
    const std::string what = fmt::format("the mask is {}x{}, the photo {}x{}", mask->rle.width(),
                                         mask->rle.height(), photo.width, photo.height);
    if (i < request.from_file)
      fail(Kind::input, "{}: prompt {}: {}", name_of_input(arguments.file), i + 1, what);
    fail(Kind::usage, "{}: {}", arguments.mask, what);
  }
}

std::vector<std::string> doubts(std::span<const Prompt> prompts, ImageSize photo) {
  std::vector<std::string> lines;
  for (const Prompt& prompt : prompts) {
    const auto* point = std::get_if<Point>(&prompt);
    if (point == nullptr) continue;
    if (point->x < 0 || point->y < 0 || point->x > photo.width || point->y > photo.height)
      lines.push_back(fmt::format("note: the point {},{} is outside of the photo, which is {} x {}",
                                  point->x, point->y, photo.width, photo.height));
  }
  return lines;
}

}  // namespace beckon::cli
