#include "page.h"

#include <algorithm>

#include "base/sha256.h"

namespace beckon::server {
namespace {

constexpr uint64_t kMostPageFile = 16 << 20;

const char* type_of(std::string_view name) {
  struct Type {
    std::string_view end;
    const char* type;
  };
  static constexpr Type kTypes[] = {{".html", "text/html; charset=utf-8"},
                                    {".css", "text/css; charset=utf-8"},
                                    {".js", "text/javascript; charset=utf-8"},
                                    {".mjs", "text/javascript; charset=utf-8"},
                                    {".json", "application/json"},
                                    {".svg", "image/svg+xml"},
                                    {".png", "image/png"},
                                    {".webp", "image/webp"},
                                    {".ico", "image/x-icon"},
                                    {".woff2", "font/woff2"},
                                    {".webmanifest", "application/manifest+json"}};
  for (const Type& type : kTypes)
    if (name.ends_with(type.end)) return type.type;
  return "application/octet-stream";
}

// The page runs what the program brought and nothing else; nobody frames it.
constexpr const char* kPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: "
    "data:; connect-src 'self'; font-src 'self'; manifest-src 'self'; worker-src 'self' blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

}  // namespace

Page::Page(const std::string& folder) {
  if (!folder.empty()) folder_.emplace(folder);
}

std::optional<Response> Page::answer(const Request& request) const {
  const std::string name = request.path == "/" ? "index.html" : request.path.substr(1);
  std::string bytes;
  if (folder_) {
    const OpenFile file = folder_->open(name);
    if (!file) return std::nullopt;
    const std::vector<uint8_t> read = file.read(kMostPageFile);
    bytes.assign(read.begin(), read.end());
  } else {
    const auto files = embedded_files();
    const auto found =
        std::find_if(files.begin(), files.end(), [&](const auto& f) { return f.name == name; });
    if (found == files.end()) return std::nullopt;
    bytes = found->bytes;
  }
  const std::string tag = "\"" + sha256_hex(std::as_bytes(std::span(bytes))).substr(0, 20) + "\"";
  Response response;
  response.headers = {{"Content-Type", type_of(name)},
                      {"ETag", tag},
                      {"Cache-Control", "no-cache"},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cross-Origin-Resource-Policy", "same-origin"},
                      {"Cross-Origin-Opener-Policy", "same-origin"},
                      {"Content-Security-Policy", kPolicy}};
  if (request.header("If-None-Match") == tag)
    response.status = 304;
  else
    response.body = std::move(bytes);
  return response;
}

}  // namespace beckon::server
