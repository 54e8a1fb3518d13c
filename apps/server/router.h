// Which function answers which request.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "http.h"

namespace beckon::server {

// What a body must be, checked before it is read.
enum class BodyKind : uint8_t {
  none,        // it is not read: more than nothing is 413
  json,        // application/json
  json_patch,  // that, or application/merge-patch+json
  picture,     // image/jpeg, image/png, image/webp
  form,        // multipart/form-data
};

struct Route {
  std::string method;
  std::string pattern;  // "/v1/images/{id}/content"
  BodyKind body = BodyKind::none;
  uint64_t body_limit = 0;
  // `parameters` are the parts in braces, in their order. May throw: what HttpError says is the
  // answer.
  std::function<void(Request&& request, const std::vector<std::string>& parameters, Responder)>
      handle;
};

class Router {
 public:
  void add(Route route) { routes_.push_back(std::move(route)); }
  // Answers GET for paths that nothing else has, outside of /v1/.
  void set_fallback(Route route) { fallback_ = std::move(route); }
  const std::vector<Route>& routes() const { return routes_; }

  struct Match {
    const Route* route = nullptr;  // nullptr: see `allowed`
    std::vector<std::string> parameters;
    std::string allowed;  // the methods of this path; empty if there is no such path
  };
  // HEAD is answered by GET.
  Match find(std::string_view method, std::string_view path) const;

 private:
  std::vector<Route> routes_;
  Route fallback_;
};

// 415 unless the Content-Type is what the route reads, 413 if it is too long; thrown as HttpError.
void check_body(const Route& route, const Request& request);

}  // namespace beckon::server
