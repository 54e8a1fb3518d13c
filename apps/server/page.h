// The page's files, built into the program or read from a folder while the page is worked on.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "http.h"
#include "safe_folder.h"

namespace beckon::server {

// Made by the build from apps/server/web.
struct EmbeddedFile {
  std::string_view name;  // "index.html", "js/app.js"
  std::string_view bytes;
};
std::span<const EmbeddedFile> embedded_files();
// apps/server/openapi.json
std::string_view embedded_openapi();

class Page {
 public:
  // Error(missing) if the folder is none; empty: what is built in.
  explicit Page(const std::string& folder);

  // "/" is index.html. Nothing if there is no such file.
  std::optional<Response> answer(const Request& request) const;

 private:
  std::optional<SafeFolder> folder_;
};

}  // namespace beckon::server
