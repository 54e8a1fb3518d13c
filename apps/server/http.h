// HTTP/1.1 over TCP, with bounds on everything that a client decides: headers, bodies, connections
// and time. What the requests mean is none of its business.
//
// Boost.Beast does the parsing and is seen by http.cpp alone: it takes longer to compile than all
// the rest of the server.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace beckon::server {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method;  // as it was sent: "GET"
  std::string path;    // percent-decoded, without the query: "/v1/images"
  std::vector<std::pair<std::string, std::string>> query;  // decoded
  Headers headers;
  std::string body;
  uint64_t content_length = 0;  // known before the body is here

  // The value of a header, of any case; empty if it is not there.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
  // How many there are of a header that must be there once.
  size_t count_header(std::string_view name) const;
  // The value of a parameter, nullptr if it is not there.
  const std::string* parameter(std::string_view name) const;
};

// An open file to be sent, closed when nobody needs it any more.
class FileBody {
 public:
  FileBody(int fd, uint64_t size) : fd_(fd), size_(size) {}
  ~FileBody();
  FileBody(const FileBody&) = delete;
  FileBody& operator=(const FileBody&) = delete;
  int fd() const { return fd_; }
  uint64_t size() const { return size_; }

 private:
  int fd_;
  uint64_t size_;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
  std::shared_ptr<const std::string> shared_body;  // instead of body, for what is sent often
  std::shared_ptr<FileBody> file;                  // instead of body
};

// A response that goes on and on: server-sent events. Calls may come from any thread; all of them
// do nothing once the client is gone.
class EventStream {
 public:
  virtual ~EventStream() = default;
  // One event. A client that does not read loses its connection when a megabyte waits for it.
  virtual void send(const std::string& text) = 0;
  virtual void close() = 0;
  virtual bool closed() const = 0;
};

// Answers one request, once, from any thread, now or later. If the last copy goes away without an
// answer, the client is told of an internal error.
class Responder {
 public:
  struct Impl;
  explicit Responder(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  void operator()(Response response) const;
  // Status 200 with these headers, and what the stream is given from now on.
  std::shared_ptr<EventStream> stream(Headers headers) const;

 private:
  std::shared_ptr<Impl> impl_;
};

// What is decided when the headers are there and the body is not: how long it may be, or that it is
// not wanted at all.
struct Admission {
  uint64_t body_limit = 0;
  std::shared_ptr<Response> refusal;
};

// Called on the server's thread: neither may take long, nor throw.
struct Handlers {
  std::function<Admission(const Request&)> admit;
  std::function<void(Request&&, Responder)> handle;
  // An answer in the house style for what goes wrong before a request is understood (400, 408, 413,
  // 431, 503).
  std::function<Response(int status, const std::string& detail)> refuse;
};

struct HttpLimits {
  uint32_t header_bytes = 16 << 10;
  size_t connections = 256;
  uint64_t bodies = uint64_t{256} << 20;        // of all requests that are being read or answered
  std::chrono::milliseconds header{20'000};     // for the next request's headers to be complete
  std::chrono::milliseconds body{10'000};       // for a body, and what its length takes at
  uint64_t slowest = 64 << 10;                  // so many bytes a second
  std::chrono::milliseconds heartbeat{15'000};  // of streams, which find out so who is gone
};

class HttpServer {
 public:
  // Listens at once, on `port` or a free one for 0. Throws Error(unavailable) if that cannot be.
  HttpServer(const std::string& address, uint16_t port, Handlers handlers, HttpLimits limits = {});
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;
  // Serves on the calling thread until stop().
  void run();
  // From any thread. Answers under way have two seconds.
  void stop();
  size_t connections() const;

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

// Percent-decoding; false if a sequence is broken or gives a zero byte.
bool percent_decoded(std::string_view text, bool plus_is_space, std::string& into);

// "Not Found".
const char* reason_of(int status);

}  // namespace beckon::server
