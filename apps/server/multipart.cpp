#include "multipart.h"

#include <algorithm>

#include "problem.h"

namespace beckon::server {
namespace {

constexpr size_t kMostParts = 64, kLongestBoundary = 70, kLongestPartHeader = 4096;

[[noreturn]] void malformed(const char* what) { throw HttpError(400, "form", what); }

// The value of `name=` after a semicolon, quoted or not; empty if it is not there.
std::string parameter_of(std::string_view header, const std::string& name) {
  for (size_t at = header.find(';'); at != std::string_view::npos; at = header.find(';', at + 1)) {
    size_t from = at + 1;
    while (from < header.size() && header[from] == ' ') ++from;
    if (header.substr(from, name.size() + 1) != name + "=") continue;
    std::string_view value = header.substr(from + name.size() + 1);
    if (value.starts_with('"')) {
      value.remove_prefix(1);
      return std::string(value.substr(0, value.find('"')));
    }
    value = value.substr(0, value.find_first_of("; \r\n"));
    return std::string(value);
  }
  return "";
}

bool begins_with_name(std::string_view line, std::string_view name) {
  return line.size() > name.size() &&
         std::equal(name.begin(), name.end(), line.begin(), [](char a, char b) {
           return a == static_cast<char>(std::tolower(static_cast<unsigned char>(b)));
         });
}

}  // namespace

std::vector<FormPart> form_parts(std::string_view content_type, std::string_view body) {
  const std::string boundary = parameter_of(content_type, "boundary");
  if (boundary.empty() || boundary.size() > kLongestBoundary)
    malformed("multipart/form-data: expected a boundary of at most 70 characters");
  const std::string line = "--" + boundary, between = "\r\n" + line;
  if (!body.starts_with(line)) malformed("the form does not begin with its boundary");
  body.remove_prefix(line.size());
  std::vector<FormPart> parts;
  while (!body.starts_with("--")) {
    if (!body.starts_with("\r\n")) malformed("the form's boundary is broken");
    body.remove_prefix(2);
    const size_t head = body.substr(0, kLongestPartHeader).find("\r\n\r\n");
    if (head == std::string_view::npos) malformed("a part of the form has no end of its header");
    FormPart part;
    std::string_view headers = body.substr(0, head);
    body.remove_prefix(head + 4);
    while (!headers.empty()) {
      const size_t end = std::min(headers.find("\r\n"), headers.size());
      const std::string_view one = headers.substr(0, end);
      headers.remove_prefix(std::min(end + 2, headers.size()));
      if (!begins_with_name(one, "content-disposition:")) continue;
      part.name = parameter_of(one, "name");
      part.file = parameter_of(one, "filename");
    }
    const size_t end = body.find(between);
    if (end == std::string_view::npos) malformed("the form is cut off");
    part.bytes = body.substr(0, end);
    body.remove_prefix(end + between.size());
    if (parts.size() == kMostParts) malformed("the form has more than 64 parts");
    parts.push_back(std::move(part));
  }
  return parts;
}

}  // namespace beckon::server
