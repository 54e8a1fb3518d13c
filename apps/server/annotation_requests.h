// What requests about one annotation share: finding it, the version they mean, the answer.
#pragma once

#include <string>

#include "app.h"

namespace beckon::server {

[[noreturn]] void no_annotation();  // HttpError 404
[[noreturn]] void stale();          // HttpError 412

// By the id of a path. HttpError 404.
StoredAnnotation annotation_of(App& app, const std::string& text);

// If-Match must name the present version: 428 without it, 412 if it is another one.
void expect_match(const Request& request, const StoredAnnotation& annotation);

// The annotation with its ETag.
Response answer_with(int status, const StoredAnnotation& annotation, Headers headers = {});

// The size that an annotation's mask has.
ImageSize size_of(const StoredAnnotation& annotation);

}  // namespace beckon::server
