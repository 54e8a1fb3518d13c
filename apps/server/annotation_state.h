// What is known of one object, as JSON in requests, in the store and in answers.
#pragma once

#include <optional>
#include <string>

#include "annotation_store.h"
#include "fields.h"

namespace beckon::server {

// A whole state from a request's members; what is missing gets its default, box and area are worked
// out. HttpError 422 with the place.
Json read_state(const Json& body, ImageSize size);
// The same where `patch` (RFC 7396: null removes) changes a state that is there.
Json patched_state(const Json& state, const Json& patch, ImageSize size);
// "who" of a request, else the state's origin.
std::string who_of(const Json& body, const Json& state);
// "seconds" of a request: how long a person worked for it. HttpError 422 unless 0 to a day.
std::optional<double> seconds_of(const Json& body);

// The state with id, image, version, created, modified.
Json annotation_json(const StoredAnnotation& annotation);
std::string etag_of(const StoredAnnotation& annotation);

// "2026-03-14T15:09:26.535Z"
std::string utc_text(int64_t ms);

}  // namespace beckon::server
