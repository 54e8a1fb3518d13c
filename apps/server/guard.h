// Who may ask: names of this host, pages of this server, holders of the token.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "http.h"

namespace beckon::server {

struct GuardOptions {
  std::string listen = "127.0.0.1";
  std::vector<std::string> hosts;  // allowed besides localhost and `listen`: "photos.lan"
  std::string token;               // empty: none is asked for
};

class Guard {
 public:
  explicit Guard(GuardOptions options);

  // The refusal, if there is one:
  //   421  a Host that is none of ours: a name that someone else's DNS points here
  //   403  an Origin that is not this very server, or a browser that says the page is of another
  //        site
  //   401  no token or a wrong one, for what lies under `guarded` paths
  std::optional<Response> refuse(const Request& request, bool needs_token) const;

 private:
  bool knows_host(std::string_view host) const;
  GuardOptions options_;
};

// Takes as long whether the texts differ in the first byte or in the last.
bool equal_in_constant_time(std::string_view a, std::string_view b);

// Whether nobody but this machine reaches an address: 127.0.0.0/8 and ::1.
bool is_loopback(const std::string& address);

// The token in a file: its only line, 16 to 512 characters. Error(input) otherwise, also if others
// may read the file.
std::string read_token(const std::string& path);

// "application/json" of "Application/JSON; charset=utf-8".
std::string media_type(std::string_view content_type);

}  // namespace beckon::server
