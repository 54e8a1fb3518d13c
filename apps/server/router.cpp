#include "router.h"

#include <fmt/format.h>

#include "guard.h"
#include "problem.h"

namespace beckon::server {
namespace {

bool matches(std::string_view pattern, std::string_view path,
             std::vector<std::string>& parameters) {
  parameters.clear();
  for (;;) {
    const size_t brace = pattern.find('{');
    const std::string_view fixed = pattern.substr(0, brace);
    if (!path.starts_with(fixed)) return false;
    path.remove_prefix(fixed.size());
    if (brace == std::string_view::npos) return path.empty();
    pattern.remove_prefix(pattern.find('}') + 1);
    const size_t end = std::min(path.find('/'), path.size());
    if (end == 0) return false;
    parameters.emplace_back(path.substr(0, end));
    path.remove_prefix(end);
  }
}

}  // namespace

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  const std::string_view wanted = method == "HEAD" ? "GET" : method;
  for (const Route& route : routes_) {
    std::vector<std::string> parameters;
    if (!matches(route.pattern, path, parameters)) continue;
    if (route.method == wanted) {
      match.route = &route;
      match.parameters = std::move(parameters);
      return match;
    }
    match.allowed += (match.allowed.empty() ? "" : ", ") + route.method;
    if (route.method == "GET") match.allowed += ", HEAD";
  }
  if (wanted == "GET" && (match.allowed.empty() || path == "/") && fallback_.handle &&
      !path.starts_with("/v1/"))
    match.route = &fallback_;
  return match;
}

void check_body(const Route& route, const Request& request) {
  const std::string type = media_type(request.header("Content-Type"));
  const auto refuse = [&](const char* expected) {
    throw HttpError(415, "type",
                    fmt::format("Content-Type: expected {}, found '{:.60}'", expected, type));
  };
  switch (route.body) {
    case BodyKind::none:
      break;
    case BodyKind::json:
      if (type != "application/json") refuse("application/json");
      break;
    case BodyKind::json_patch:
      if (type != "application/json" && type != "application/merge-patch+json")
        refuse("application/merge-patch+json or application/json");
      break;
    case BodyKind::picture:
      if (type != "image/jpeg" && type != "image/png" && type != "image/webp")
        refuse("image/jpeg, image/png or image/webp");
      break;
    case BodyKind::form:
      if (type != "multipart/form-data") refuse("multipart/form-data");
      break;
  }
  if (request.content_length > route.body_limit)
    throw HttpError(413, "too-large",
                    fmt::format("the body has {} bytes, at most {} are read",
                                request.content_length, route.body_limit));
}

}  // namespace beckon::server
