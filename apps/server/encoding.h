// Bytes as text.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace beckon::server {

std::string base64(std::span<const uint8_t> bytes);
// Nothing if it is malformed. Padding may be left out.
std::optional<std::vector<uint8_t>> base64_decoded(std::string_view text);

// A name as it may stand in Content-Disposition: filename*=UTF-8''a%20b.png
std::string disposition(const std::string& name, bool attachment);

// Whether the bytes are UTF-8.
bool is_utf8(std::string_view text);

}  // namespace beckon::server
