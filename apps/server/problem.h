// Errors as answers: RFC 9457's application/problem+json.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

#include "http.h"

namespace beckon::server {

// Thrown by whatever handles a request. `code` is a short word for programs ("stale", "range").
class HttpError : public std::runtime_error {
 public:
  HttpError(int status, std::string code, const std::string& detail, Headers headers = {})
      : std::runtime_error(detail),
        status_(status),
        code_(std::move(code)),
        headers_(std::move(headers)) {}
  int status() const { return status_; }
  const std::string& code() const { return code_; }
  const Headers& headers() const { return headers_; }

 private:
  int status_;
  std::string code_;
  Headers headers_;
};

// {"type":"about:blank","title":"Not Found","status":404,"code":"...","detail":"..."}
Response problem(int status, const std::string& code, const std::string& detail,
                 Headers headers = {});
// What an exception means to a client: HttpError as it says, beckon::Error by its kind, anything
// else 500.
Response problem_of(const std::exception_ptr& error);
// The text of it, for jobs.
struct Failure {
  int status = 500;
  std::string code, detail;
};
Failure failure_of(const std::exception_ptr& error);

// An answer of JSON that is not to be kept by caches.
Response json_response(int status, std::string json, Headers headers = {});

}  // namespace beckon::server
