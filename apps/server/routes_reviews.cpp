// Reviews of what the model made alone: the queue, most doubtful first, and what people say of it.
#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "annotation_requests.h"
#include "annotation_state.h"
#include "app.h"
#include "engine_store.h"
#include "fields.h"

namespace beckon::server {
namespace {

// Where a page of the queue ended: "<doubt>:<id>".
std::optional<QueuePlace> place_of(const Request& request) {
  const std::string* text = request.parameter("after");
  if (text == nullptr || text->empty()) return std::nullopt;
  QueuePlace place;
  const char* const end = text->data() + text->size();
  const auto doubt = std::from_chars(text->data(), end, place.doubt);
  if (doubt.ec == std::errc() && doubt.ptr != end && *doubt.ptr == ':' &&
      std::isfinite(place.doubt)) {
    const auto id = std::from_chars(doubt.ptr + 1, end, place.id);
    if (id.ec == std::errc() && id.ptr == end) return place;
  }
  out_of_range("after: expected the `next` of an answer");
}

Response list_reviews(App& app, const Request& request) {
  const auto after = place_of(request);
  const int64_t limit = query_integer(request, "limit", 50, 1, 500);
  Json json{{"pending", 0}, {"reviews", Json::array()}, {"next", nullptr}};
  AnnotationStore* store = app.store(false);
  if (store == nullptr) return json_response(200, dumped(json));
  const EngineStore engine(*store);
  const std::vector<StoredAnnotation> list = engine.queue(after, limit);
  for (const StoredAnnotation& object : list) json["reviews"].push_back(annotation_json(object));
  json["pending"] = engine.pending();
  if (static_cast<int64_t>(list.size()) == limit) {
    const StoredAnnotation& last = list.back();
    const double doubt = engine_marks(last.state).doubt.value_or(0);
    json["next"] = fmt::format("{}:{}", doubt, last.id);  // fmt writes what reads back the same
  }
  return json_response(200, dumped(json));
}

// The object that a request reviews, in the version that it means.
StoredAnnotation reviewed(App& app, const std::string& id, const Request& request) {
  StoredAnnotation now = annotation_of(app, id);
  if (!is_automatic(Json::parse(now.state)))
    throw HttpError(409, "made-by-person", "a person made this object: there is nothing to review");
  expect_match(request, now);
  return now;
}

std::string reviewer_of(const Json& body) {
  Json person;
  person["origin"] = "human";
  return who_of(body, person);
}

Response accept(App& app, const std::string& id, const Request& request) {
  const StoredAnnotation now = reviewed(app, id, request);
  const Json body = json_of(request);
  Fields(body, "").only({"who", "seconds"});
  const auto changed =
      EngineStore(*app.store(true)).accept(now, reviewer_of(body), seconds_of(body));
  if (!changed) stale();
  return answer_with(200, *changed);
}

Response reject(App& app, const std::string& id, const Request& request) {
  const StoredAnnotation now = reviewed(app, id, request);
  const Json body = json_of(request);
  Fields(body, "").only({"who", "seconds"});
  if (!EngineStore(*app.store(true)).reject(now, reviewer_of(body), seconds_of(body))) stale();
  Response response;
  response.status = 204;
  return response;
}

Response fix(App& app, const std::string& id, const Request& request) {
  const StoredAnnotation now = reviewed(app, id, request);
  const Json body = json_of(request);
  Json state = patched_state(Json::parse(now.state), body, size_of(now));
  if (!body.contains("rle")) out_of_range("rle: expected the object's new mask");
  const auto changed =
      EngineStore(*app.store(true)).fix(now, std::move(state), reviewer_of(body), seconds_of(body));
  if (!changed) stale();
  return answer_with(200, *changed);
}

}  // namespace

void add_review_routes(App& app) {
  app.router.add({"GET", "/v1/reviews", BodyKind::none, 0,
                  [&app](Request&& request, const auto&, const Responder& answer) {
                    app.on_files(answer, [&app, request = std::move(request)] {
                      return list_reviews(app, request);
                    });
                  }});
  const auto add = [&app](const char* pattern,
                          Response (*work)(App&, const std::string&, const Request&)) {
    app.router.add({"POST", pattern, BodyKind::json, kMostJson,
                    [&app, work](Request&& request, const auto& parts, const Responder& answer) {
                      app.on_files(answer,
                                   [&app, work, id = parts[0], request = std::move(request)] {
                                     return work(app, id, request);
                                   });
                    }});
  };
  add("/v1/reviews/{annotation}/accept", accept);
  add("/v1/reviews/{annotation}/reject", reject);
  add("/v1/reviews/{annotation}/fix", fix);
}

}  // namespace beckon::server
