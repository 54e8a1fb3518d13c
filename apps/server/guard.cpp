#include "guard.h"

#include <algorithm>
#include <cctype>

#include <openssl/crypto.h>
#include <sys/stat.h>

#include "base/fail.h"
#include "base/files.h"
#include "base/sha256.h"
#include "encoding.h"
#include "problem.h"

namespace beckon::server {
namespace {

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

// "[::1]:8080" -> "::1", "localhost:8080" -> "localhost"; empty if it is malformed.
std::string host_of(std::string_view authority) {
  std::string_view name = authority, port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) return "";
    name = authority.substr(1, end - 1);
    port = authority.substr(end + 1);
  } else if (const size_t colon = authority.find(':'); colon != std::string_view::npos) {
    name = authority.substr(0, colon);
    port = authority.substr(colon);
  }
  if (!port.empty()) {
    if (port.front() != ':' || port.size() > 6) return "";
    for (const char c : port.substr(1))
      if (c < '0' || c > '9') return "";
  }
  return lower(name);
}

constexpr std::string_view kBearer = "bearer ", kBasic = "basic ";

// "Bearer T", or T as the password of basic authentication, which is all that some tools can send.
std::string token_of(std::string_view authorization) {
  const std::string scheme = lower(authorization.substr(0, kBearer.size()));
  if (scheme == kBearer) return std::string(authorization.substr(kBearer.size()));
  if (!scheme.starts_with(kBasic)) return "";
  const auto plain = base64_decoded(authorization.substr(kBasic.size()));
  if (!plain) return "";
  const std::string text(plain->begin(), plain->end());
  const size_t colon = text.find(':');
  return colon == std::string::npos ? "" : text.substr(colon + 1);
}

}  // namespace

Guard::Guard(GuardOptions options) : options_(std::move(options)) {
  for (std::string& host : options_.hosts) host = lower(host);
}

bool Guard::knows_host(std::string_view host) const {
  const std::string name = host_of(host);
  if (name.empty()) return false;
  if (name == "localhost" || name == "127.0.0.1" || name == "::1") return true;
  return name == lower(options_.listen) ||
         std::find(options_.hosts.begin(), options_.hosts.end(), name) != options_.hosts.end();
}

std::optional<Response> Guard::refuse(const Request& request, bool needs_token) const {
  if (request.count_header("Host") != 1 || !knows_host(request.header("Host")))
    return problem(421, "host",
                   "this server does not answer under the name of the Host header (see "
                   "--allow-host)");
  const std::string_view host = request.header("Host");
  if (request.has_header("Origin")) {
    const std::string origin = lower(request.header("Origin")), own = lower(host);
    if (request.count_header("Origin") != 1 ||
        (origin != "http://" + own && origin != "https://" + own))
      return problem(403, "origin", "pages of other origins are not answered");
  }
  // Without an Origin, as in an <img> of another site: browsers say where a request comes from.
  const std::string site = lower(request.header("Sec-Fetch-Site"));
  const bool navigation = lower(request.header("Sec-Fetch-Mode")) == "navigate" &&
                          request.method == "GET" && !request.path.starts_with("/v1/");
  if ((site == "cross-site" || site == "same-site") && !navigation)
    return problem(403, "origin", "pages of other sites are not answered");
  if (needs_token && !options_.token.empty() &&
      !equal_in_constant_time(token_of(request.header("Authorization")), options_.token))
    return problem(401, "token", "a token is needed: Authorization: Bearer TOKEN",
                   {{"WWW-Authenticate", "Bearer realm=\"beckon\""}});
  return std::nullopt;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  // Digests of one length: neither the place of a difference nor a length shows in the time.
  const std::string x = sha256_hex(std::as_bytes(std::span(a)));
  const std::string y = sha256_hex(std::as_bytes(std::span(b)));
  return CRYPTO_memcmp(x.data(), y.data(), x.size()) == 0;
}

bool is_loopback(const std::string& address) {
  return address == "::1" || address.starts_with("127.");
}

std::string read_token(const std::string& path) {
  constexpr int64_t kLongest = 4096;
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && (info.st_mode & 077) != 0)
    fail(Kind::input, "{}: others may read the token; chmod 600 it", path);
  const std::vector<uint8_t> bytes = read_file(path, kLongest);
  std::string token(bytes.begin(), bytes.end());
  while (!token.empty() && (token.back() == '\n' || token.back() == '\r')) token.pop_back();
  if (token.size() < 16 || token.size() > 512 ||
      !std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > 32 && c < 127; }))
    fail(Kind::input, "{}: expected one line with a token of 16 to 512 characters, no spaces",
         path);
  return token;
}

std::string media_type(std::string_view content_type) {
  std::string type = lower(content_type.substr(0, content_type.find(';')));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.pop_back();
  return type;
}

}  // namespace beckon::server
