// multipart/form-data: the parts of a form, bounded.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace beckon::server {

struct FormPart {
  std::string name, file;
  std::string_view bytes;  // of the body that was given
};

// HttpError 400 if the body is none or has more than 64 parts. `content_type` is the whole header,
// with its boundary.
std::vector<FormPart> form_parts(std::string_view content_type, std::string_view body);

}  // namespace beckon::server
