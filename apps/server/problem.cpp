#include "problem.h"

#include <nlohmann/json.hpp>

#include "beckon/error.h"

namespace beckon::server {
namespace {

int status_of(Kind kind) {
  switch (kind) {
    case Kind::usage:
    case Kind::input:
    case Kind::unsupported:
      return 422;
    case Kind::missing:
      return 404;
    case Kind::resource:
      return 413;
    case Kind::unavailable:
    case Kind::interrupted:
    case Kind::temporary:
      return 503;
    case Kind::output:
      return 507;
    case Kind::model:
    case Kind::internal:
      return 500;
  }
  return 500;
}

}  // namespace

Failure failure_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const HttpError& e) {
    return {e.status(), e.code(), e.what()};
  } catch (const Error& e) {
    return {status_of(e.kind()), kind_name(e.kind()), e.what()};
  } catch (const std::bad_alloc&) {
    return {503, "resource", "out of memory"};
  } catch (const std::exception& e) {
    return {500, "internal", e.what()};
  } catch (...) {
    return {500, "internal", "an error of an unknown kind"};
  }
}

Response problem(int status, const std::string& code, const std::string& detail, Headers headers) {
  nlohmann::ordered_json body{{"type", "about:blank"},
                              {"title", reason_of(status)},
                              {"status", status},
                              {"code", code},
                              {"detail", detail}};
  Response response;
  response.status = status;
  response.headers = std::move(headers);
  response.headers.emplace_back("Content-Type", "application/problem+json");
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  if (status == 503) response.headers.emplace_back("Retry-After", "1");
  response.body = body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  return response;
}

Response problem_of(const std::exception_ptr& error) {
  const Failure failure = failure_of(error);
  Headers headers;
  try {
    std::rethrow_exception(error);
  } catch (const HttpError& e) {
    headers = e.headers();
  } catch (...) {  // others have no headers of their own
  }
  return problem(failure.status, failure.code, failure.detail, std::move(headers));
}

Response json_response(int status, std::string json, Headers headers) {
  Response response;
  response.status = status;
  response.headers = std::move(headers);
  response.headers.emplace_back("Content-Type", "application/json");
  response.headers.emplace_back("Cache-Control", "no-store");
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  response.body = std::move(json);
  return response;
}

}  // namespace beckon::server
