#include "serve.h"

#include <fmt/format.h>

#include "app.h"
#include "base/fail.h"
#include "guard.h"
#include "problem.h"

namespace beckon::server {

struct Server::Impl {
  explicit Impl(ServeOptions options)
      : guard({options.listen, options.hosts, options.token}),
        app(std::move(options)),
        http(app.options.listen, app.options.port,
             {[this](const Request& r) { return admit(r); },
              [this](Request&& r, Responder responder) { handle(std::move(r), responder); },
              [this](int status, const std::string& detail) {
                ++app.errors;
                return problem(status, "http", detail);
              }},
             app.options.limits) {}
  // Whoever still wants to answer must be gone before the connections are.
  ~Impl() { app.stop(); }

  // The API's paths need the token; the page's files and the question whether the server is there
  // do not, since a browser asks for them before it can show one.
  static bool needs_token(const std::string& path) {
    return path.starts_with("/v1/") ? path != "/v1/health"
                                    : path.starts_with("/api/") || path == "/setup" ||
                                          path == "/predict" || path == "/webhook";
  }

  Admission admit(const Request& request) {
    ++app.requests;
    Admission admission;
    const auto refuse = [&](Response response) {
      ++app.errors;
      admission.refusal = std::make_shared<Response>(std::move(response));
      return admission;
    };
    try {
      const Router::Match match = app.router.find(request.method, request.path);
      const bool protects =
          needs_token(request.path) || (match.route != nullptr && match.route->method != "GET");
      if (auto refusal = guard.refuse(request, protects)) return refuse(std::move(*refusal));
      if (match.route == nullptr) {
        if (match.allowed.empty())
          return refuse(problem(404, "no-route", "there is nothing at this path"));
        return refuse(problem(405, "method",
                              fmt::format("{:.20} is not a method of this path", request.method),
                              {{"Allow", match.allowed}}));
      }
      check_body(*match.route, request);
      admission.body_limit = match.route->body_limit;
      return admission;
    } catch (...) {
      return refuse(problem_of(std::current_exception()));
    }
  }

  void handle(Request&& request, const Responder& responder) {
    try {
      const Router::Match match = app.router.find(request.method, request.path);
      match.route->handle(std::move(request), match.parameters, responder);
    } catch (...) {
      ++app.errors;
      responder(problem_of(std::current_exception()));
    }
  }

  Guard guard;
  App app;
  HttpServer http;
};

Server::Server(ServeOptions options) {
  if (!is_loopback(options.listen) && options.token.empty())
    fail(Kind::usage, "--listen {}: others reach this address, so a token is needed (--token-file)",
         options.listen);
  impl_ = std::make_unique<Impl>(std::move(options));
  // Without its model there is nothing to serve: run() ends and says why.
  impl_->app.load([impl = impl_.get()] { impl->http.stop(); });
}

Server::~Server() = default;

uint16_t Server::port() const { return impl_->http.port(); }

std::string Server::url() const {
  const std::string& address = impl_->app.options.listen;
  const bool six = address.find(':') != std::string::npos;
  return fmt::format("http://{}{}{}:{}/", six ? "[" : "", address, six ? "]" : "", port());
}

const std::vector<Route>& Server::routes() const { return impl_->app.router.routes(); }

void Server::run() {
  impl_->http.run();
  impl_->app.stop();
  const std::string error = impl_->app.model_error();
  if (!error.empty()) fail(Kind::unavailable, "{}", error);
}

void Server::stop() {
  impl_->app.stopping = true;
  impl_->app.jobs.cancel_all();
  impl_->http.stop();
}

}  // namespace beckon::server
