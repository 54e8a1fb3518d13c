// How a text is cleaned before it is cut into tokens: as ftfy's fix_text and Python's html.unescape
// do it for CLIP's tokenizer. UTF-8 in and out; what is not UTF-8 counts as U+FFFD.
#pragma once

#include <string>
#include <string_view>

namespace beckon::clip {

using Text = std::u32string;

Text from_utf8(std::string_view bytes);
std::string to_utf8(std::u32string_view text);

// Repairs each line until nothing changes: character references, UTF-8 that was read as
// Windows-1252, its C1 controls, ligatures, full and half widths, curly quotes, line ends, terminal
// escapes, control characters; NFC at the end. References are left alone from the first line on
// that holds a '<'.
Text repaired(const Text& text);

// &amp; &eacute &#233; &#xe9; as browsers read them.
Text without_references(const Text& text);

// repaired(), references twice, whitespace collapsed and cut off at the ends, lower case.
Text cleaned(const Text& text);

// White space as Python's str.split() sees it.
bool is_space(char32_t c);

}  // namespace beckon::clip
