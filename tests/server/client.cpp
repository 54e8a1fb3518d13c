#include "client.h"

#include <algorithm>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace beckon::test {
namespace {

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool has(const Fields& headers, const std::string& name) {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& h) { return lower(h.first) == lower(name); });
}

}  // namespace

std::string Reply::header(const std::string& name) const {
  for (const auto& [key, value] : headers)
    if (lower(key) == lower(name)) return value;
  return "";
}

Json Reply::json() const {
  Json value = Json::parse(body, nullptr, false);
  return value.is_discarded() ? Json() : value;
}

Connection::Connection(uint16_t port, std::chrono::milliseconds patience)
    : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const timeval limit{patience.count() / 1000, (patience.count() % 1000) * 1000};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  if (::connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot connect");
}

Connection::~Connection() { ::close(fd_); }

bool Connection::send(const std::string& bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t count = ::send(fd_, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (count <= 0) return false;
    at += static_cast<size_t>(count);
  }
  return true;
}

bool Connection::fill() {
  char buffer[1 << 16];
  const ssize_t count = ::recv(fd_, buffer, sizeof buffer, 0);
  if (count > 0) read_.append(buffer, static_cast<size_t>(count));
  return count > 0;
}

std::string Connection::read_until(const std::string& end) {
  size_t at;
  while ((at = read_.find(end)) == std::string::npos)
    if (!fill()) return std::exchange(read_, {});
  std::string text = read_.substr(0, at + end.size());
  read_.erase(0, at + end.size());
  return text;
}

bool Connection::closes() {
  for (;;) {
    char buffer[4096];
    const ssize_t count = ::recv(fd_, buffer, sizeof buffer, 0);
    if (count == 0) return true;
    if (count < 0) return errno == ECONNRESET;
  }
}

Reply Connection::receive(bool head_only) {
  Reply reply;
  std::string head = read_until("\r\n\r\n");
  if (!head.starts_with("HTTP/1.1 ")) return reply;
  reply.status = std::stoi(head.substr(9, 3));
  for (size_t at = head.find("\r\n") + 2; at + 2 < head.size();) {
    const size_t end = head.find("\r\n", at);
    const std::string line = head.substr(at, end - at);
    const size_t colon = line.find(": ");
    if (colon != std::string::npos)
      reply.headers.emplace_back(line.substr(0, colon), line.substr(colon + 2));
    at = end + 2;
  }
  const std::string length = reply.header("Content-Length");
  if (length.empty() || head_only) return reply;
  const size_t size = std::stoul(length);
  while (read_.size() < size)
    if (!fill()) break;
  reply.body = read_.substr(0, size);
  read_.erase(0, size);
  return reply;
}

std::string request_text(const std::string& method, const std::string& path,
                         const std::string& body, const Fields& headers) {
  std::string text = method + " " + path + " HTTP/1.1\r\n";
  if (!has(headers, "Host")) text += "Host: localhost\r\n";
  const bool writes = method == "POST" || method == "PUT" || method == "PATCH";
  if (writes && !has(headers, "Content-Type")) text += "Content-Type: application/json\r\n";
  if ((writes || !body.empty()) && !has(headers, "Content-Length"))
    text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  for (const auto& [name, value] : headers)
    if (!value.empty()) text += name + ": " + value + "\r\n";
  return text + "\r\n" + body;
}

Reply ask(uint16_t port, const std::string& method, const std::string& path,
          const std::string& body, const Fields& headers) {
  Connection connection(port);
  connection.send(request_text(method, path, body, headers));
  return connection.receive(method == "HEAD");
}

}  // namespace beckon::test
