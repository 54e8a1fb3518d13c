#include "models/clip/text_repair.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include "base/fail.h"

namespace beckon::clip {
namespace {

struct Reference {
  std::string_view name, text;
};
constexpr Reference kReferences[] = {
#include "models/clip/html_entities.inc"
};
constexpr size_t kLongestName = 33;

std::optional<Text> reference(std::string_view name) {
  const auto* at =
      std::lower_bound(std::begin(kReferences), std::end(kReferences), name,
                       [](const Reference& r, std::string_view n) { return r.name < n; });
  if (at == std::end(kReferences) || at->name != name) return std::nullopt;
  return from_utf8(at->text);
}

icu::UnicodeString to_icu(std::u32string_view text) {
  return icu::UnicodeString::fromUTF32(reinterpret_cast<const UChar32*>(text.data()),
                                       static_cast<int32_t>(text.size()));
}

Text from_icu(const icu::UnicodeString& text) {
  Text result;
  for (int32_t i = 0; i < text.length(); i = text.moveIndex32(i, 1))
    result += static_cast<char32_t>(text.char32At(i));
  return result;
}

Text composed(std::u32string_view text, bool compatible) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* normalizer = compatible ? icu::Normalizer2::getNFKCInstance(status)
                                                  : icu::Normalizer2::getNFCInstance(status);
  if (U_FAILURE(status)) fail(Kind::internal, "Unicode data: {}", u_errorName(status));
  icu::UnicodeString result = normalizer->normalize(to_icu(text), status);
  if (U_FAILURE(status)) fail(Kind::internal, "normalising a text: {}", u_errorName(status));
  return from_icu(result);
}

Text lower(const Text& text) { return from_icu(to_icu(text).toLower(icu::Locale::getRoot())); }
Text upper(const Text& text) { return from_icu(to_icu(text).toUpper(icu::Locale::getRoot())); }

// Bytes 0x80 to 0x9F of Windows-1252; 0 where there is none, then the byte stands for itself.
constexpr char32_t kWindows1252[32] = {
    0x20AC, 0,      0x201A, 0x0192, 0x201E, 0x2026, 0x2020, 0x2021, 0x02C6, 0x2030, 0x0160,
    0x2039, 0x0152, 0,      0x017D, 0,      0,      0x2018, 0x2019, 0x201C, 0x201D, 0x2022,
    0x2013, 0x2014, 0x02DC, 0x2122, 0x0161, 0x203A, 0x0153, 0,      0x017E, 0x0178};

std::optional<char> windows_1252(char32_t c) {
  if (c < 0x100) return static_cast<char>(c);
  for (size_t i = 0; i < 32; ++i)
    if (kWindows1252[i] == c) return static_cast<char>(0x80 + i);
  return std::nullopt;
}

bool is_utf8(std::string_view bytes) {
  const Text text = from_utf8(bytes);
  return std::find(text.begin(), text.end(), U'\uFFFD') == text.end();
}

// UTF-8 that somebody read as Windows-1252. A text that is valid UTF-8 when written so, with a
// sequence of several bytes in it, is hardly ever anything else.
Text decoded_twice(const Text& text) {
  std::string bytes;
  bool ascii = true;
  for (const char32_t c : text) {
    const auto byte = windows_1252(c);
    if (!byte) return text;
    ascii = ascii && c < 0x80;
    bytes += *byte;
  }
  return ascii || !is_utf8(bytes) ? text : from_utf8(bytes);
}

Text unescaped_with_semicolon(const Text& text) {
  Text result;
  for (size_t i = 0; i < text.size(); ++i) {
    const size_t end = text[i] == U'&' ? text.find(U';', i) : text.npos;
    if (end == text.npos || end - i > 26) {
      result += text[i];
      continue;
    }
    const Text whole = text.substr(i, end + 1 - i);
    Text read = without_references(whole);
    if (read == whole && whole.size() > 3) {  // &EACUTE; is read as &eacute; in capitals
      const Text small = lower(whole);
      if (small != whole && upper(small) == whole) read = upper(without_references(small));
      if (read == upper(small)) read = whole;
    }
    result += read;
    i = end;
  }
  return result;
}

std::u32string_view ligature(char32_t c) {
  switch (c) {
    case U'ﬀ':
      return U"ff";
    case U'ﬁ':
      return U"fi";
    case U'ﬂ':
      return U"fl";
    case U'ﬃ':
      return U"ffi";
    case U'ﬄ':
      return U"ffl";
    case U'ﬅ':
      return U"ſt";
    case U'ﬆ':
      return U"st";
    case U'Ĳ':
      return U"IJ";
    case U'ĳ':
      return U"ij";
    case U'ŉ':
      return U"ʼn";
    case U'Ǳ':
      return U"DZ";
    case U'ǲ':
      return U"Dz";
    case U'ǳ':
      return U"dz";
    case U'Ǆ':
      return U"DŽ";
    case U'ǅ':
      return U"Dž";
    case U'ǆ':
      return U"dž";
    case U'Ǉ':
      return U"LJ";
    case U'ǈ':
      return U"Lj";
    case U'ǉ':
      return U"lj";
    case U'Ǌ':
      return U"NJ";
    case U'ǋ':
      return U"Nj";
    case U'ǌ':
      return U"nj";
    default:
      return {};
  }
}

bool is_removed(char32_t c) {
  return c <= 0x08 || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
         (c >= 0x206A && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFC);
}

// One character where it needs no look at its neighbours.
void append_repaired(char32_t c, Text& to) {
  if (c >= 0x80 && c < 0xA0 && c != 0x85 && kWindows1252[c - 0x80] != 0) c = kWindows1252[c - 0x80];
  if (const auto letters = ligature(c); !letters.empty()) {
    for (const char32_t letter : letters) to += letter == U'ʼ' ? U'\'' : letter;
  } else if (c == 0x3000) {
    to += U' ';
  } else if (c >= 0xFF01 && c <= 0xFFEF) {
    to += composed(std::u32string_view(&c, 1), true);
  } else if (c == 0x02BC || (c >= 0x2018 && c <= 0x201B)) {
    to += U'\'';
  } else if (c >= 0x201C && c <= 0x201F) {
    to += U'"';
  } else if (c == 0x2028 || c == 0x2029 || c == 0x85) {
    to += U'\n';
  } else if (!is_removed(c)) {
    to += c;
  }
}

// ESC [ digits and semicolons, a letter: how long it is, 0 if there is none at `i`.
size_t terminal_escape(const Text& text, size_t i) {
  if (text[i] != 0x1B || i + 1 >= text.size() || text[i + 1] != U'[') return 0;
  size_t at = i + 2;
  while (at < text.size() && ((text[at] >= U'0' && text[at] <= U'9') || text[at] == U';')) ++at;
  const bool letter = at < text.size() && ((text[at] >= U'a' && text[at] <= U'z') ||
                                           (text[at] >= U'A' && text[at] <= U'Z'));
  return letter ? at + 1 - i : 0;
}

Text repaired_once(const Text& line, bool unescape) {
  const Text text = decoded_twice(unescape ? unescaped_with_semicolon(line) : line);
  Text result;
  for (size_t i = 0; i < text.size(); ++i) {
    if (const size_t length = terminal_escape(text, i); length > 0) {
      i += length - 1;
    } else if (text[i] == U'\r') {
      if (i + 1 == text.size() || text[i + 1] != U'\n') result += U'\n';
    } else {
      append_repaired(text[i], result);
    }
  }
  return composed(result, false);
}

// A numeric reference's character, as the HTML standard repairs bad ones.
Text character(uint32_t code) {
  if (code >= 0x80 && code < 0xA0)
    return Text(1, kWindows1252[code - 0x80] ? kWindows1252[code - 0x80] : code);
  if (code == 0 || (code >= 0xD800 && code < 0xE000) || code > 0x10FFFF) return U"\uFFFD";
  if (code == 0x0D) return U"\r";
  const bool invalid = (code >= 1 && code <= 8) || code == 0xB || (code >= 0xE && code <= 0x1F) ||
                       (code >= 0x7F && code < 0xA0) || (code >= 0xFDD0 && code <= 0xFDEF) ||
                       (code & 0xFFFE) == 0xFFFE;
  return invalid ? Text() : Text(1, code);
}

}  // namespace

Text from_utf8(std::string_view bytes) {
  return from_icu(icu::UnicodeString::fromUTF8(
      icu::StringPiece(bytes.data(), static_cast<int32_t>(bytes.size()))));
}

std::string to_utf8(std::u32string_view text) {
  std::string result;
  return to_icu(text).toUTF8String(result);
}

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

Text without_references(const Text& text) {
  Text result;
  for (size_t i = 0; i < text.size();) {
    if (text[i] != U'&') {
      result += text[i++];
      continue;
    }
    size_t at = i + 1;
    if (at < text.size() && text[at] == U'#') {
      const bool hexadecimal = ++at < text.size() && (text[at] == U'x' || text[at] == U'X');
      if (hexadecimal) ++at;
      const size_t first = at;
      uint32_t code = 0;
      for (; at < text.size(); ++at) {
        const char32_t c = text[at];
        const bool digit = c >= U'0' && c <= U'9';
        const char32_t small = c | 0x20;
        const bool letter = hexadecimal && small >= U'a' && small <= U'f';
        if (!digit && !letter) break;
        const uint32_t value = static_cast<uint32_t>(digit ? c - U'0' : small - U'a' + 10);
        code = std::min<uint32_t>(code * (hexadecimal ? 16 : 10) + value, 0x110000);
      }
      if (at == first) {
        result += text[i++];
        continue;
      }
      if (at < text.size() && text[at] == U';') ++at;
      result += character(code);
      i = at;
      continue;
    }
    // The longest name that is known; what ends in no semicolon may be the start of a longer word.
    std::string name;
    while (at < text.size() && name.size() < kLongestName && text[at] < 0x80 &&
           u_isalnum(static_cast<UChar32>(text[at])))
      name += static_cast<char>(text[at++]);
    if (at < text.size() && text[at] == U';') name += ';';
    std::optional<Text> found;
    for (; name.size() > 1 && !(found = reference(name));) name.pop_back();
    if (found) {
      result += *found;
      i += 1 + name.size();
    } else {
      result += text[i++];
    }
  }
  return result;
}

Text repaired(const Text& text) {
  Text result;
  bool unescape = true;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(U'\n', begin), text.size() - 1) + 1;
    Text line = text.substr(begin, end - begin);
    unescape = unescape && line.find(U'<') == line.npos;
    // Every step but the first few leaves the text as it is; the bound is for texts made to hurt.
    for (int round = 0; round < 16; ++round) {
      Text next = repaired_once(line, unescape);
      const bool stable = next == line;
      line = std::move(next);
      if (stable) break;
    }
    result += line;
    begin = end;
  }
  return result;
}

Text cleaned(const Text& text) {
  const Text plain = without_references(without_references(repaired(text)));
  Text result;
  for (const char32_t c : plain) {
    if (!is_space(c)) {
      result += c;
    } else if (!result.empty() && result.back() != U' ') {
      result += U' ';
    }
  }
  if (!result.empty() && result.back() == U' ') result.pop_back();
  return lower(result);
}

}  // namespace beckon::clip
