// XML from files that are not to be trusted. pugixml expands no entities of the file's own and
// reads no other files, so that a small file stays small.
#pragma once

#include <string>
#include <string_view>

#include <pugixml.hpp>

#include "annotation/format.h"
#include "base/fail.h"

namespace beckon::annotation {

inline void parse_xml(pugi::xml_document& document, std::string_view text,
                      const std::string& name) {
  if (text.find("<!ENTITY") != text.npos)
    fail(Kind::input, "{}: XML with entities of its own is not read", name);
  const auto result = document.load_buffer(text.data(), text.size(),
                                           pugi::parse_default | pugi::parse_ws_pcdata_single);
  if (!result)
    fail(Kind::input, "{}: not valid XML at byte {}: {}", name, result.offset,
         result.description());
}

inline std::string xml_text(const pugi::xml_document& document) {
  struct Text : pugi::xml_writer {
    std::string text;
    void write(const void* bytes, size_t size) override {
      text.append(static_cast<const char*>(bytes), size);
    }
  } writer;
  document.save(writer, " ", pugi::format_indent | pugi::format_no_empty_element_tags * 0,
                pugi::encoding_utf8);
  return std::move(writer.text);
}

// XML has no way to write most control characters.
inline std::string xml_safe(const std::string& text) {
  std::string safe = valid_utf8(text);
  for (char& c : safe)
    if (static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t' && c != '\r') c = ' ';
  return safe;
}

inline double xml_number(const char* value, const std::string& place) {
  return checked(parse_number(value, place), place);
}

inline int xml_side(const char* value, const std::string& place) {
  const double side = parse_number(value, place);
  if (!(side >= 0 && side <= kLongestSide) || side != static_cast<int>(side))
    fail(Kind::input, "{}: a side of {} pixels, expected 1 to {}", place, side, kLongestSide);
  return static_cast<int>(side);
}

}  // namespace beckon::annotation
