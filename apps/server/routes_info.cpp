// Health, models, the page, metrics.
#include <fmt/format.h>

#include "app.h"
#include "beckon/store.h"
#include "beckon/version.h"
#include "fields.h"

namespace beckon::server {
namespace {

Response health(const App& app) {
  const std::string error = app.model_error();
  if (!error.empty()) return json_response(503, dumped({{"status", "failed"}, {"detail", error}}));
  try {
    const auto sam = app.model();
    return json_response(200, dumped({{"status", "ok"},
                                      {"version", version()},
                                      {"model", app.options.model},
                                      {"model_hash", sam->model_hash()}}));
  } catch (const HttpError&) {
    return json_response(503, R"({"status":"loading"})", {{"Retry-After", "1"}});
  }
}

// One model serves; the list has the form that several will take.
Response models(const App& app) {
  const auto sam = app.model();
  return json_response(200, dumped({{"models",
                                     {{{"name", app.options.model},
                                       {"title", "Segment Anything, " + sam->variant()},
                                       {"sha256", sam->model_hash()},
                                       {"parameters", sam->parameter_count()}}}},
                                    {"default", app.options.model}}));
}

// Prometheus' text form.
Response metrics(const App& app) {
  const Worker::Counts counts = app.worker.counts();
  const double up =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - app.started).count();
  Response response;
  response.headers = {{"Content-Type", "text/plain; version=0.0.4"}, {"Cache-Control", "no-store"}};
  const auto add = [&](const char* name, const char* type, const char* help, auto value) {
    response.body += fmt::format("# HELP beckon_{0} {1}\n# TYPE beckon_{0} {2}\nbeckon_{0} {3}\n",
                                 name, help, type, value);
  };
  add("uptime_seconds", "gauge", "Since the start", up);
  add("requests_total", "counter", "Requests that were read", app.requests.load());
  add("errors_total", "counter", "Requests that were refused or failed", app.errors.load());
  add("prompts_total", "counter", "Prompts that were decoded", counts.prompts);
  add("decoder_calls_total", "counter", "Calls of the decoder", counts.calls);
  add("replaced_total", "counter", "Prompts that a newer one of their view replaced",
      counts.replaced);
  add("waiting", "gauge", "Prompts and tasks that wait", counts.waiting);
  add("embeddings", "gauge", "Embeddings in memory", app.embeddings.size());
  add("photos", "gauge", "Photos that are known", app.photos.size());
  return response;
}

}  // namespace

void add_info_routes(App& app) {
  app.router.add(
      {"GET", "/v1/health", BodyKind::none, 0,
       [&app](Request&&, const auto&, const Responder& answer) { answer(health(app)); }});
  app.router.add(
      {"GET", "/v1/models", BodyKind::none, 0,
       [&app](Request&&, const auto&, const Responder& answer) { answer(models(app)); }});
  app.router.add({"GET", "/v1/openapi.json", BodyKind::none, 0,
                  [](Request&&, const auto&, const Responder& answer) {
                    answer(json_response(200, std::string(embedded_openapi())));
                  }});
  if (app.options.metrics)
    app.router.add(
        {"GET", "/v1/metrics", BodyKind::none, 0,
         [&app](Request&&, const auto&, const Responder& answer) { answer(metrics(app)); }});
}

void add_page_routes(App& app) {
  const auto serve = [&app](Request&& request, const auto&, const Responder& responder) {
    auto response = app.page.answer(request);
    responder(response ? std::move(*response)
                       : problem(404, "no-route", "there is nothing at this path"));
  };
  app.router.set_fallback({"GET", "/", BodyKind::none, 0, serve});
}

}  // namespace beckon::server
