// What takes its time: to be asked, listened to, cancelled.
#include "app.h"

namespace beckon::server {
namespace {

std::shared_ptr<Job> job_of(const App& app, const std::string& id) {
  auto job = app.jobs.find(id);
  if (!job) throw HttpError(404, "no-job", "there is no such job, or it ended long ago");
  return job;
}

}  // namespace

void add_job_routes(App& app) {
  app.router.add({"GET", "/v1/jobs/{job}", BodyKind::none, 0,
                  [&app](Request&&, const auto& parts, const Responder& answer) {
                    answer(json_response(200, job_of(app, parts[0])->json()));
                  }});
  app.router.add({"GET", "/v1/jobs/{job}/events", BodyKind::none, 0,
                  [&app](Request&& request, const auto& parts, const Responder& answer) {
                    const auto job = job_of(app, parts[0]);
                    const Headers headers{{"Content-Type", "text/event-stream"},
                                          {"Cache-Control", "no-store"},
                                          {"X-Content-Type-Options", "nosniff"}};
                    if (request.method == "HEAD") return answer({200, headers, "", {}, {}});
                    job->listen(answer.stream(headers));
                  }});
  app.router.add({"DELETE", "/v1/jobs/{job}", BodyKind::none, 0,
                  [&app](Request&&, const auto& parts, const Responder& answer) {
                    const auto job = job_of(app, parts[0]);
                    job->cancel();
                    answer(json_response(200, job->json(false)));
                  }});
}

}  // namespace beckon::server
