#include "prompt/bounded_json.h"

#include "base/fail.h"
#include "prompt/limits.h"

namespace beckon {
namespace {

// Whether lists and objects lie deeper in one another than `most`. Text that is no JSON is for the
// parser to refuse.
bool nested_deeper(std::string_view text, int most) {
  int depth = 0;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '\\')
      ++i;  // whatever is escaped does not end the text
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted && (c == '[' || c == '{') && ++depth > most)
      return true;
    else if (!quoted && (c == ']' || c == '}'))
      --depth;
  }
  return false;
}

}  // namespace

nlohmann::json parse_bounded_json(std::string_view text, const std::string& name, size_t longest,
                                  int deepest) {
  using nlohmann::json;
  if (text.size() > longest)
    fail(Kind::input, "{}: {} bytes of JSON, at most {} are read", name, text.size(), longest);
  // Looked at beforehand: with a callback the parser walks a whole list again for each of its
  // members.
  if (nested_deeper(text, deepest))
    fail(Kind::input, "{}: JSON nested deeper than {}", name, deepest);
  try {
    return json::parse(text.begin(), text.end());
  } catch (const json::parse_error& error) {
    fail(Kind::input, "{}: not valid JSON at byte {}", name, error.byte);
  } catch (const json::exception&) {  // a number too large for a double
    fail(Kind::input, "{}: not valid JSON, a number is out of range", name);
  }
}

}  // namespace beckon
