#include "annotation_requests.h"

#include <algorithm>
#include <charconv>

#include "annotation_state.h"
#include "fields.h"

namespace beckon::server {

void no_annotation() {
  throw HttpError(404, "no-annotation", "there is no annotation with this id");
}

StoredAnnotation annotation_of(App& app, const std::string& text) {
  int64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  AnnotationStore* store = app.store(false);
  if (error != std::errc() || end != text.data() + text.size() || store == nullptr) no_annotation();
  auto found = store->find(id);
  if (!found) no_annotation();
  return std::move(*found);
}

void stale() {
  throw HttpError(412, "stale", "the annotation was changed meanwhile: read it again");
}

void expect_match(const Request& request, const StoredAnnotation& annotation) {
  if (!request.has_header("If-Match"))
    throw HttpError(428, "no-if-match", "writes need If-Match with the annotation's ETag");
  std::string_view tags = request.header("If-Match");
  if (tags == "*") return;
  const std::string own = etag_of(annotation);
  while (!tags.empty()) {
    const size_t comma = std::min(tags.find(','), tags.size());
    std::string_view tag = tags.substr(0, comma);
    while (tag.starts_with(' ')) tag.remove_prefix(1);
    while (tag.ends_with(' ')) tag.remove_suffix(1);
    if (tag == own) return;
    tags.remove_prefix(std::min(comma + 1, tags.size()));
  }
  stale();
}

Response answer_with(int status, const StoredAnnotation& annotation, Headers headers) {
  headers.emplace_back("ETag", etag_of(annotation));
  return json_response(status, dumped(annotation_json(annotation)), std::move(headers));
}

ImageSize size_of(const StoredAnnotation& annotation) {
  const Json state = Json::parse(annotation.state);
  const Json& size = state.at("rle").at("size");
  return {size[1].get<int>(), size[0].get<int>()};
}

}  // namespace beckon::server
