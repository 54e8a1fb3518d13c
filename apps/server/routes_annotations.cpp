// Objects that are kept: made, changed, deleted, undone, looked back upon.
#include <charconv>

#include <fmt/format.h>

#include "annotation_requests.h"
#include "annotation_state.h"
#include "app.h"
#include "beckon/mask.h"
#include "encoding.h"
#include "engine_state.h"
#include "engine_store.h"
#include "fields.h"
#include "prompts.h"

namespace beckon::server {
namespace {

Response list_annotations(App& app, const Photo& photo, std::string_view known) {
  AnnotationStore* store = app.store(false);
  const std::string tag =
      fmt::format("\"{}.{}\"", photo.id, store == nullptr ? 0 : store->revision(photo.id));
  Response response;
  if (!known.empty() && known == tag) {
    response.status = 304;
    response.headers = {{"ETag", tag}};
    return response;
  }
  Json list = Json::array();
  Steps steps;
  if (store != nullptr) {
    for (const StoredAnnotation& one : store->list(photo.id)) list.push_back(annotation_json(one));
    steps = store->steps(photo.id);
  }
  return json_response(
      200,
      dumped(
          {{"annotations", std::move(list)}, {"can_undo", steps.undo}, {"can_redo", steps.redo}}),
      {{"ETag", tag}});
}

Response create(App& app, const Photo& photo, const Request& request) {
  const Json body = json_of(request);
  Json state = read_state(body, photo.size);
  const std::optional<double> seconds = seconds_of(body);
  constexpr size_t kLongestKey = 64;
  const std::string key(request.header("Idempotency-Key"));
  if (key.size() > kLongestKey) out_of_range("Idempotency-Key: at most 64 characters");
  AnnotationStore& store = *app.store(true);
  const std::string who = who_of(body, state);
  StoredAnnotation made;
  store.together([&] {
    EngineStore engine(store);
    const int stage = engine.stage_of_person(photo.id);
    if (state.at("origin") != "import") state["engine"] = {{"stage", stage}};
    made = store.create({photo.id, photo.name, photo.size}, dumped(state), who, key);
    if (seconds && made.version == 1) engine.log(made, stage, "create", *seconds, who);
  });
  return answer_with(201, made, {{"Location", "/v1/annotations/" + std::to_string(made.id)}});
}

Response change(App& app, const std::string& id, const Request& request, bool patch) {
  const StoredAnnotation now = annotation_of(app, id);
  expect_match(request, now);
  const Json body = json_of(request);
  const ImageSize size = size_of(now);
  const Json before = Json::parse(now.state);
  Json state = patch ? patched_state(before, body, size) : read_state(body, size);
  carry_engine(before, state);
  const std::optional<double> seconds = seconds_of(body);
  const std::string who = who_of(body, state);
  AnnotationStore& store = *app.store(true);
  std::optional<StoredAnnotation> changed;
  store.together([&] {
    changed = store.change(now.id, now.version, dumped(state), who);
    if (!changed || !seconds) return;
    const char* action =
        is_automatic(state) && before.at("rle") != state.at("rle") ? "fix" : "change";
    EngineStore(store).log(*changed, stage_of_state(state), action, *seconds, who);
  });
  if (!changed) stale();
  return answer_with(200, *changed);
}

Response remove(App& app, const std::string& id, const Request& request) {
  const StoredAnnotation now = annotation_of(app, id);
  expect_match(request, now);
  if (!app.store(true)->remove(now.id, now.version, "human")) stale();
  Response response;
  response.status = 204;
  return response;
}

Response step(App& app, const Photo& photo, bool undo) {
  AnnotationStore* store = app.store(false);
  const bool done =
      store != nullptr && (undo ? store->undo(photo.id, "human") : store->redo(photo.id, "human"));
  if (!done)
    throw HttpError(409, undo ? "nothing-to-undo" : "nothing-to-redo",
                    undo ? "there is nothing to undo" : "there is nothing to make again");
  return list_annotations(app, photo, "");
}

Response history(App& app, const std::string& text, const Request& request) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  const int64_t after = query_integer(request, "after", 0, 0, INT64_MAX);
  const int64_t limit = query_integer(request, "limit", 100, 1, 1000);
  AnnotationStore* store = app.store(false);
  if (error != std::errc() || end != text.data() + text.size() || store == nullptr) no_annotation();
  const std::vector<Edit> edits = store->history(id, after, limit);
  if (edits.empty() && after == 0) no_annotation();  // one that was deleted has its history still
  Json list = Json::array();
  for (const Edit& edit : edits)
    list.push_back({{"version", edit.version},
                    {"action", edit.action},
                    {"who", edit.who},
                    {"at", utc_text(edit.at_ms)},
                    {"state", edit.state ? Json::parse(*edit.state) : Json(nullptr)}});
  return json_response(200, dumped({{"history", std::move(list)}}));
}

Response mask(App& app, const std::string& id, const Request& request) {
  const StoredAnnotation annotation = annotation_of(app, id);
  const std::string* wanted = request.parameter("format");
  const std::string format = wanted == nullptr ? "png" : *wanted;
  const Json state = Json::parse(annotation.state);
  const Rle rle = read_rle(state.at("rle"), "rle", size_of(annotation));
  if (format == "rle")
    return json_response(200, dumped(rle_json(rle)), {{"ETag", etag_of(annotation)}});
  if (format == "polygon")
    return json_response(200, dumped({{"polygons", polygons_json(Mask::from_rle(rle))}}),
                         {{"ETag", etag_of(annotation)}});
  if (format != "png") out_of_range("format: expected png, rle, polygon");
  const std::vector<uint8_t> bytes = Mask::from_rle(rle).image().encode_png();
  Response response;
  response.headers = {{"Content-Type", "image/png"},
                      {"ETag", etag_of(annotation)},
                      {"Cache-Control", "private, no-cache"},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Content-Disposition", disposition(id + ".png", true)}};
  response.body.assign(bytes.begin(), bytes.end());
  return response;
}

}  // namespace

void add_annotation_routes(App& app) {
  // All of them work on the disk.
  const auto add = [&app](const char* method, const char* pattern, BodyKind body,
                          Response (*work)(App&, const std::string&, const Request&)) {
    app.router.add({method, pattern, body, body == BodyKind::none ? 0 : kMostJson,
                    [&app, work](Request&& request, const auto& parts, const Responder& answer) {
                      app.on_files(answer,
                                   [&app, work, id = parts[0], request = std::move(request)] {
                                     return work(app, id, request);
                                   });
                    }});
  };
  using Text = const std::string&;
  add("GET", "/v1/images/{image}/annotations", BodyKind::none,
      [](App& a, Text id, const Request& r) {
        return list_annotations(a, a.photo(id), r.header("If-None-Match"));
      });
  add("POST", "/v1/images/{image}/annotations", BodyKind::json,
      [](App& a, Text id, const Request& r) { return create(a, a.photo(id), r); });
  add("POST", "/v1/images/{image}/undo", BodyKind::json,
      [](App& a, Text id, const Request&) { return step(a, a.photo(id), true); });
  add("POST", "/v1/images/{image}/redo", BodyKind::json,
      [](App& a, Text id, const Request&) { return step(a, a.photo(id), false); });
  add("GET", "/v1/annotations/{annotation}", BodyKind::none,
      [](App& a, Text id, const Request&) { return answer_with(200, annotation_of(a, id)); });
  add("PUT", "/v1/annotations/{annotation}", BodyKind::json,
      [](App& a, Text id, const Request& r) { return change(a, id, r, false); });
  add("PATCH", "/v1/annotations/{annotation}", BodyKind::json_patch,
      [](App& a, Text id, const Request& r) { return change(a, id, r, true); });
  add("DELETE", "/v1/annotations/{annotation}", BodyKind::none,
      [](App& a, Text id, const Request& r) { return remove(a, id, r); });
  add("GET", "/v1/annotations/{annotation}/history", BodyKind::none, history);
  add("GET", "/v1/annotations/{annotation}/mask", BodyKind::none, mask);
}

}  // namespace beckon::server
