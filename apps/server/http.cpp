#include "http.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <optional>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <unistd.h>

#include "base/fail.h"

namespace beckon::server {

namespace net = boost::asio;
namespace beast = boost::beast;
using tcp = net::ip::tcp;
using boost::system::error_code;
using std::chrono::milliseconds;

namespace {

constexpr uint64_t kAnyBody = uint64_t{1} << 60;
constexpr size_t kFilePiece = 256 << 10;
constexpr size_t kMostStreamBytes = 1 << 20;
// After a refusal the rest of what the client sends is read for a while: closing with unread bytes
// would take the answer away from it.
constexpr milliseconds kLingering{2000};
constexpr uint64_t kMostLingering = 8 << 20;
constexpr milliseconds kFarewell{2000};

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](unsigned char x, unsigned char y) {
           return std::tolower(x) == std::tolower(y);
         });
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Path and query of a request's target; false if it is malformed.
bool split_target(std::string_view target, Request& into) {
  if (target.empty() || target.front() != '/') return false;
  const size_t mark = target.find('?');
  if (!percent_decoded(target.substr(0, mark), false, into.path)) return false;
  if (mark == std::string_view::npos) return true;
  std::string_view rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view item = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (item.empty()) continue;
    const size_t equal = std::min(item.find('='), item.size());
    std::string name, value;
    if (!percent_decoded(item.substr(0, equal), true, name) ||
        !percent_decoded(item.substr(std::min(equal + 1, item.size())), true, value))
      return false;
    into.query.emplace_back(std::move(name), std::move(value));
  }
  return true;
}

}  // namespace

bool percent_decoded(std::string_view text, bool plus_is_space, std::string& into) {
  into.clear();
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return false;
      const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    if (c == '\0') return false;
    into += c;
  }
  return true;
}

std::string_view Request::header(std::string_view name) const {
  for (const auto& [key, value] : headers)
    if (same_name(key, name)) return value;
  return {};
}

bool Request::has_header(std::string_view name) const { return count_header(name) > 0; }

size_t Request::count_header(std::string_view name) const {
  return static_cast<size_t>(std::count_if(
      headers.begin(), headers.end(), [&](const auto& h) { return same_name(h.first, name); }));
}

const std::string* Request::parameter(std::string_view name) const {
  for (const auto& [key, value] : query)
    if (key == name) return &value;
  return nullptr;
}

FileBody::~FileBody() { ::close(fd_); }

const char* reason_of(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 411:
      return "Length Required";
    case 412:
      return "Precondition Failed";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 428:
      return "Precondition Required";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

struct HttpServer::Impl {
  class Session;

  // Sessions that io holds to the end count themselves in these.
  std::atomic<size_t> open{0};
  std::atomic<uint64_t> body_bytes{0};
  Handlers handlers;
  HttpLimits limits;
  net::io_context io{1};
  tcp::acceptor acceptor{io};
  net::steady_timer farewell{io};
  bool stopping = false;
  std::vector<std::weak_ptr<Session>> sessions;

  void accept();
  void begin_stop();
};

// One connection: a request is read, answered, and then the next.
class HttpServer::Impl::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Impl& server, tcp::socket socket) : server_(server), stream_(std::move(socket)) {
    ++server_.open;
  }
  ~Session() {
    give_back();
    --server_.open;
  }

  void start(bool crowded) {
    stream_.socket().set_option(tcp::no_delay(true), ignored_);
    if (crowded)
      refuse(503, "too many connections");
    else
      read_header();
  }

  // The response to the present request, from any thread.
  void post_answer(Response response, uint64_t turn) {
    net::post(server_.io, [self = shared_from_this(), turn,
                           response = std::make_shared<Response>(std::move(response))] {
      if (self->turn_ == turn && !self->answered_) self->answer(std::move(*response));
    });
  }

  // Between two requests there is nothing to lose.
  void stop() {
    keep_ = false;
    if (idle_ || events_) close();
  }

  // ---- a stream of events
  struct Events : EventStream {
    std::weak_ptr<Session> session;
    net::io_context* io = nullptr;
    std::atomic<bool> gone{false};
    void send(const std::string& text) override {
      if (gone) return;
      if (auto self = session.lock()) net::post(*io, [self, text] { self->queue_event(text); });
    }
    void close() override {
      if (auto self = session.lock())
        net::post(*io, [self] {
          self->ending_ = true;
          if (self->events_waiting_.empty() && !self->writing_) self->close();
        });
    }
    bool closed() const override { return gone; }
  };

  std::shared_ptr<EventStream> post_stream(Headers headers, uint64_t turn) {
    auto events = std::make_shared<Events>();
    events->session = weak_from_this();
    events->io = &server_.io;
    net::post(server_.io, [self = shared_from_this(), turn, events, headers = std::move(headers)] {
      if (self->turn_ != turn || self->answered_) {
        events->gone = true;
        return;
      }
      self->begin_stream(headers, events);
    });
    return events;
  }

  uint64_t turn() const { return turn_; }

 private:
  void give_back() {
    server_.body_bytes -= held_;
    held_ = 0;
  }

  void read_header() {
    if (server_.stopping) return close();
    ++turn_;
    answered_ = false;
    idle_ = true;
    parser_.emplace();
    parser_->header_limit(server_.limits.header_bytes);
    parser_->body_limit(kAnyBody);  // decided when the headers are there
    stream_.expires_after(server_.limits.header);
    beast::http::async_read_header(stream_, buffer_, *parser_,
                                   [self = shared_from_this()](error_code error, size_t) {
                                     self->idle_ = false;
                                     self->got_header(error);
                                   });
  }

  void got_header(error_code error) {
    namespace http = beast::http;
    if (error == http::error::end_of_stream) return close();
    if (error == http::error::header_limit)
      return refuse(431, "the headers are longer than what is read of them");
    if (error == beast::error::timeout || error == net::error::operation_aborted) return close();
    if (error && error.category() == make_error_code(http::error::bad_method).category())
      return refuse(400, "this is not HTTP/1.1: " + error.message());
    if (error) return close();

    const auto& message = parser_->get();
    request_ = {};
    request_.method = std::string(message.method_string());
    head_only_ = request_.method == "HEAD";
    keep_ = message.keep_alive() && !server_.stopping;
    for (const auto& field : message)
      request_.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
    if (!split_target({message.target().data(), message.target().size()}, request_))
      return refuse(400, "the request's target is malformed");
    if (parser_->chunked())
      return refuse(411, "a body needs a Content-Length, chunks are not read");
    request_.content_length = parser_->content_length().value_or(0);

    const Admission admission = server_.handlers.admit(request_);
    if (admission.refusal) return refuse(std::move(*admission.refusal));
    if (request_.content_length > admission.body_limit)
      return refuse(413, fmt::format("the body has {} bytes, at most {} are read",
                                     request_.content_length, admission.body_limit));
    if (request_.content_length == 0) return handle();
    if (server_.body_bytes + request_.content_length > server_.limits.bodies)
      return refuse(503, "too much is being uploaded at once");
    held_ = request_.content_length;
    server_.body_bytes += held_;
    if (same_name(request_.header("Expect"), "100-continue")) {
      static const std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n";
      net::async_write(stream_, net::buffer(go_on),
                       [self = shared_from_this()](error_code failed, size_t) {
                         failed ? self->close() : self->read_body();
                       });
    } else {
      read_body();
    }
  }

  milliseconds time_for(uint64_t bytes) const {
    return server_.limits.body + milliseconds(bytes * 1000 / server_.limits.slowest);
  }

  void read_body() {
    stream_.expires_after(time_for(request_.content_length));
    beast::http::async_read(stream_, buffer_, *parser_,
                            [self = shared_from_this()](error_code error, size_t) {
                              if (error) return self->close();
                              self->request_.body = std::move(self->parser_->get().body());
                              self->handle();
                            });
  }

  void handle() {
    stream_.expires_never();
    Request request = std::move(request_);
    request_ = {};
    server_.handlers.handle(std::move(request), make_responder());
  }

  Responder make_responder();

  void refuse(int status, const std::string& detail) {
    refuse(server_.handlers.refuse(status, detail));
  }
  // What the client still sends has no place to go: the connection ends with this answer.
  void refuse(Response response) {
    keep_ = keep_ && request_.content_length == 0 && parser_ && parser_->is_header_done() &&
            !parser_->chunked();
    lingering_ = !keep_;
    answer(std::move(response));
  }

  void answer(Response response) {
    answered_ = true;
    response_ = std::move(response);
    const std::string& body = response_.shared_body ? *response_.shared_body : response_.body;
    const uint64_t length = response_.file ? response_.file->size() : body.size();
    head_ = fmt::format("HTTP/1.1 {} {}\r\n", response_.status, reason_of(response_.status));
    for (const auto& [name, value] : response_.headers) head_ += name + ": " + value + "\r\n";
    if (response_.status != 204 && response_.status != 304)
      head_ += fmt::format("Content-Length: {}\r\n", length);
    head_ += keep_ ? "Connection: keep-alive\r\n\r\n" : "Connection: close\r\n\r\n";
    stream_.expires_after(time_for(length));
    std::array<net::const_buffer, 2> pieces{net::buffer(head_), net::const_buffer()};
    if (!head_only_ && !response_.file) pieces[1] = net::buffer(body);
    net::async_write(stream_, pieces, [self = shared_from_this()](error_code error, size_t) {
      if (error) return self->close();
      if (self->response_.file && !self->head_only_) return self->send_file(0);
      self->after_answer();
    });
  }

  void send_file(uint64_t at) {
    const uint64_t left = response_.file->size() - at;
    if (left == 0) return after_answer();
    piece_.resize(std::min<uint64_t>(left, kFilePiece));
    const ssize_t count =
        ::pread(response_.file->fd(), piece_.data(), piece_.size(), static_cast<off_t>(at));
    if (count <= 0) return close();  // cut off: the client sees that bytes are missing
    net::async_write(stream_, net::buffer(piece_.data(), static_cast<size_t>(count)),
                     [self = shared_from_this(), at](error_code error, size_t written) {
                       error ? self->close() : self->send_file(at + written);
                     });
  }

  void after_answer() {
    response_ = {};
    std::vector<char>().swap(piece_);
    give_back();
    if (keep_) {
      read_header();
    } else if (lingering_) {
      stream_.socket().shutdown(tcp::socket::shutdown_send, ignored_);
      stream_.expires_after(kLingering);
      linger(0);
    } else {
      close();
    }
  }

  void linger(uint64_t read) {
    piece_.resize(64 << 10);
    stream_.async_read_some(net::buffer(piece_),
                            [self = shared_from_this(), read](error_code error, size_t count) {
                              if (error || read + count > kMostLingering) return self->close();
                              self->linger(read + count);
                            });
  }

  void close() {
    if (events_) events_->gone = true;
    heartbeat_.reset();
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored_);
    stream_.close();
  }

  void begin_stream(const Headers& headers, const std::shared_ptr<Events>& events) {
    answered_ = true;
    give_back();
    events_ = events;
    std::string head = "HTTP/1.1 200 OK\r\n";
    for (const auto& [name, value] : headers) head += name + ": " + value + "\r\n";
    head += "Connection: close\r\n\r\n";
    heartbeat_.emplace(server_.io);
    queue_event(head);
    beat();
    watch();
  }

  // A client of a stream says nothing more; when reading ends, it is gone.
  void watch() {
    piece_.resize(1024);
    stream_.socket().async_read_some(net::buffer(piece_),
                                     [self = shared_from_this()](error_code error, size_t) {
                                       error ? self->close() : self->watch();
                                     });
  }

  void beat() {
    heartbeat_->expires_after(server_.limits.heartbeat);
    heartbeat_->async_wait([weak = weak_from_this()](error_code error) {
      const auto self = weak.lock();
      if (error || !self || !self->heartbeat_) return;
      self->queue_event(": still here\n\n");
      self->beat();
    });
  }

  void queue_event(const std::string& text) {
    if (!events_ || events_->gone) return;
    waiting_bytes_ += text.size();
    if (waiting_bytes_ > kMostStreamBytes) return close();
    events_waiting_.push_back(text);
    if (!writing_) write_events();
  }

  void write_events() {
    writing_ = true;
    net::async_write(stream_.socket(), net::buffer(events_waiting_.front()),
                     [self = shared_from_this()](error_code error, size_t) {
                       self->writing_ = false;
                       if (error) return self->close();
                       self->waiting_bytes_ -= self->events_waiting_.front().size();
                       self->events_waiting_.pop_front();
                       if (!self->events_waiting_.empty()) return self->write_events();
                       if (self->ending_) self->close();
                     });
  }

  Impl& server_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{64 << 10};
  std::optional<beast::http::request_parser<beast::http::string_body>> parser_;
  Request request_;
  Response response_;
  std::string head_;
  std::vector<char> piece_;
  uint64_t held_ = 0;  // of the server's budget for bodies
  uint64_t turn_ = 0;  // which request of this connection
  bool answered_ = false, keep_ = false, head_only_ = false, lingering_ = false, idle_ = false;

  std::shared_ptr<Events> events_;
  std::optional<net::steady_timer> heartbeat_;
  std::deque<std::string> events_waiting_;
  size_t waiting_bytes_ = 0;
  bool writing_ = false, ending_ = false;
  error_code ignored_;
};

struct Responder::Impl {
  std::shared_ptr<HttpServer::Impl::Session> session;
  uint64_t turn = 0;
  std::function<Response(int, const std::string&)> refuse;
  std::atomic<bool> used{false};

  ~Impl() {
    if (!used) session->post_answer(refuse(500, "the request was not answered"), turn);
  }
};

Responder HttpServer::Impl::Session::make_responder() {
  auto impl = std::make_shared<Responder::Impl>();
  impl->session = shared_from_this();
  impl->turn = turn_;
  impl->refuse = server_.handlers.refuse;
  return Responder(std::move(impl));
}

void Responder::operator()(Response response) const {
  if (impl_->used.exchange(true)) return;
  impl_->session->post_answer(std::move(response), impl_->turn);
}

std::shared_ptr<EventStream> Responder::stream(Headers headers) const {
  impl_->used = true;
  return impl_->session->post_stream(std::move(headers), impl_->turn);
}

void HttpServer::Impl::accept() {
  acceptor.async_accept([this](error_code error, tcp::socket socket) {
    if (stopping) return;
    if (error) {
      // Out of descriptors: trying again at once would only heat the room.
      farewell.expires_after(milliseconds(100));
      farewell.async_wait([this](error_code stopped) {
        if (!stopped && !stopping) accept();
      });
      return;
    }
    // Some more than the limit are told so; beyond that they are closed without a word.
    if (open < limits.connections + 32) {
      const bool crowded = open >= limits.connections;
      auto session = std::make_shared<Session>(*this, std::move(socket));
      std::erase_if(sessions, [](const auto& s) { return s.expired(); });
      sessions.push_back(session);
      session->start(crowded);
    }
    accept();
  });
}

void HttpServer::Impl::begin_stop() {
  if (stopping) return;
  stopping = true;
  error_code ignored;
  acceptor.close(ignored);
  for (const auto& weak : sessions)
    if (const auto session = weak.lock()) session->stop();
  farewell.expires_after(kFarewell);
  farewell.async_wait([this](error_code) { io.stop(); });
  const auto poll = std::make_shared<std::function<void()>>();
  const auto timer = std::make_shared<net::steady_timer>(io);
  *poll = [this, weak = std::weak_ptr(poll), timer] {
    if (open == 0) return io.stop();
    timer->expires_after(milliseconds(20));
    timer->async_wait([again = weak.lock()](error_code) { (*again)(); });
  };
  (*poll)();
}

HttpServer::HttpServer(const std::string& address, uint16_t port, Handlers handlers,
                       HttpLimits limits)
    : impl_(std::make_unique<Impl>()) {
  impl_->handlers = std::move(handlers);
  impl_->limits = limits;
  error_code error;
  const auto ip = net::ip::make_address(address, error);
  if (error) fail(Kind::usage, "--listen: '{}' is no IP address", address);
  const tcp::endpoint endpoint(ip, port);
  auto& acceptor = impl_->acceptor;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(128, error);
  if (error)
    fail(Kind::unavailable, "cannot listen on {} port {}: {}", address, port, error.message());
  impl_->accept();
}

HttpServer::~HttpServer() = default;

uint16_t HttpServer::port() const { return impl_->acceptor.local_endpoint().port(); }

void HttpServer::run() { impl_->io.run(); }

void HttpServer::stop() {
  net::post(impl_->io, [impl = impl_.get()] { impl->begin_stop(); });
}

size_t HttpServer::connections() const { return impl_->open; }

}  // namespace beckon::server
