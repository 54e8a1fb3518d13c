// Photos: listed, taken in, looked at.
#include <fmt/format.h>

#include "app.h"
#include "beckon/resize.h"
#include "encoding.h"
#include "fields.h"

namespace beckon::server {
namespace {

constexpr uint64_t kMostUpload = uint64_t{64} << 20;

Json image_json(App& app, const Photo& photo) {
  return {{"id", photo.id},
          {"name", photo.name},
          {"type", photo.type},
          {"width", photo.size.width},
          {"height", photo.size.height},
          {"bytes", photo.bytes},
          {"embedded", app.embeddings.contains(photo.id)},
          {"objects", app.objects_of(photo.id)}};
}

Response list_images(App& app, const Request& request) {
  const int64_t limit = query_integer(request, "limit", 100, 1, 1000);
  const std::string* after = request.parameter("after");
  bool more = false;
  const std::vector<Photo> photos =
      app.photos.list(after == nullptr ? "" : *after, static_cast<size_t>(limit), more);
  Json images = Json::array();
  for (const Photo& photo : photos) images.push_back(image_json(app, photo));
  return json_response(
      200, dumped({{"images", std::move(images)},
                   {"next", more && !photos.empty() ? Json(photos.back().id) : Json(nullptr)},
                   {"total", app.photos.size()},
                   {"scanning", !app.photos.scanned()}}));
}

// Whatever it is, a browser shows it as a picture or not at all.
Headers picture_headers(const Photo& photo, const std::string& type, const std::string& tag) {
  return {{"Content-Type", type},
          {"ETag", tag},
          {"Cache-Control", "private, max-age=31536000, immutable"},
          {"X-Content-Type-Options", "nosniff"},
          {"Content-Security-Policy", "default-src 'none'; sandbox"},
          {"Cross-Origin-Resource-Policy", "same-origin"},
          {"Content-Disposition", disposition(photo.name.substr(photo.name.rfind('/') + 1), true)}};
}

Response content(const App& app, const Photo& photo, bool known) {
  OpenFile file = app.photos.open(photo);
  Response response;
  response.headers = picture_headers(photo, photo.type, "\"" + photo.id + "\"");
  if (known) {
    response.status = 304;
    return response;
  }
  const uint64_t size = file.state().bytes;
  response.file = std::make_shared<FileBody>(file.release(), size);
  return response;
}

Response thumbnail(const App& app, const Photo& photo, int side) {
  Image image = app.photos.read(photo, app.options.max_pixels).rgb();
  if (std::max(image.width(), image.height()) > side) {
    const ImageSize size = long_side_size(image.width(), image.height(), side);
    image = resize(image, size.width, size.height);
  }
  constexpr int kQuality = 82;
  const std::vector<uint8_t> bytes = image.encode_jpeg({.quality = kQuality});
  Response response;
  response.headers = picture_headers(photo, "image/jpeg", fmt::format("\"{}-{}\"", photo.id, side));
  response.body.assign(bytes.begin(), bytes.end());
  return response;
}

}  // namespace

void add_image_routes(App& app) {
  app.router.add({"GET", "/v1/images", BodyKind::none, 0,
                  [&app](Request&& request, const auto&, const Responder& answer) {
                    answer(list_images(app, request));
                  }});
  app.router.add(
      {"POST", "/v1/images", BodyKind::picture, kMostUpload,
       [&app](Request&& request, const auto&, const Responder& answer) {
         const std::string* name = request.parameter("name");
         app.on_files(
             answer, [&app, name = name == nullptr ? "" : *name, body = std::move(request.body)] {
               const std::span bytes(reinterpret_cast<const uint8_t*>(body.data()), body.size());
               const auto [photo, is_new] = app.photos.add(name, bytes, app.options.max_pixels);
               return json_response(is_new ? 201 : 200, dumped(image_json(app, photo)),
                                    {{"Location", "/v1/images/" + photo.id}});
             });
       }});
  app.router.add({"GET", "/v1/images/{image}", BodyKind::none, 0,
                  [&app](Request&&, const auto& parts, const Responder& answer) {
                    answer(json_response(200, dumped(image_json(app, app.photo(parts[0])))));
                  }});
  app.router.add({"GET", "/v1/images/{image}/content", BodyKind::none, 0,
                  [&app](Request&& request, const auto& parts, const Responder& answer) {
                    const Photo photo = app.photo(parts[0]);
                    const bool known = request.header("If-None-Match") == "\"" + photo.id + "\"";
                    app.on_files(answer,
                                 [&app, photo, known] { return content(app, photo, known); });
                  }});
  app.router.add(
      {"GET", "/v1/images/{image}/thumbnail", BodyKind::none, 0,
       [&app](Request&& request, const auto& parts, const Responder& answer) {
         const Photo photo = app.photo(parts[0]);
         const auto side = static_cast<int>(query_integer(request, "size", 256, 64, 512));
         app.on_files(answer, [&app, photo, side] { return thumbnail(app, photo, side); });
       }});
}

}  // namespace beckon::server
