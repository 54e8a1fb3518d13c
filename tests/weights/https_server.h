// A web server for tests: one file over HTTPS on the loopback address, with the faults of real
// ones.
#pragma once

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace beckon::test {

// What the server does; a test changes it between requests.
struct ServerManners {
  int status = 0;        // answer with this status and no file; 0: with the file
  int failures = 0;      // that many requests get `status`, later ones the file; 0: all of them
  std::string location;  // of a redirection
  bool ranges = true;    // whether a part can be asked for
  size_t cut_after = SIZE_MAX;  // bytes of the file, then the connection is gone
};

class HttpsServer {
 public:
  // `certificate_path`: where its own certificate is written, for clients that are to trust it.
  HttpsServer(std::string content, const std::string& certificate_path)
      : content_(std::move(content)), context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
    std::signal(SIGPIPE, SIG_IGN);  // a client may go at any time
    certify(certificate_path);
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof(address);
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    require(bind(listener_, plain, length) == 0 && listen(listener_, 8) == 0 &&
                getsockname(listener_, plain, &length) == 0,
            "listen");
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~HttpsServer() {
    stopped_ = true;
    thread_.join();
    close(listener_);
  }
  HttpsServer(const HttpsServer&) = delete;
  HttpsServer& operator=(const HttpsServer&) = delete;

  std::string address(const std::string& name) const {
    return "https://127.0.0.1:" + std::to_string(port_) + "/" + name;
  }
  int port() const { return port_; }

  void behave(const ServerManners& manners) {
    const std::lock_guard lock(mutex_);
    manners_ = manners;
  }
  // The heads of all requests so far.
  std::vector<std::string> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  static void require(bool good, const char* what) {
    if (!good) throw std::runtime_error(std::string("HttpsServer: ") + what);
  }

  // A key and a certificate for 127.0.0.1, signed by itself.
  void certify(const std::string& path) {
    const std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    const std::unique_ptr<X509, void (*)(X509*)> x(X509_new(), X509_free);
    X509_set_version(x.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(x.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(x.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x.get()), 3600);
    X509_set_pubkey(x.get(), key.get());
    X509_NAME* name = X509_get_subject_name(x.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("beckon test"), -1, -1, 0);
    X509_set_issuer_name(x.get(), name);
    const std::unique_ptr<X509_EXTENSION, void (*)(X509_EXTENSION*)> names(
        X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1"),
        X509_EXTENSION_free);
    X509_add_ext(x.get(), names.get(), -1);
    require(X509_sign(x.get(), key.get(), EVP_sha256()) > 0, "sign");
    require(SSL_CTX_use_certificate(context_.get(), x.get()) == 1 &&
                SSL_CTX_use_PrivateKey(context_.get(), key.get()) == 1,
            "certificate");
    FILE* file = std::fopen(path.c_str(), "w");
    require(file != nullptr && PEM_write_X509(file, x.get()) == 1 && std::fclose(file) == 0,
            "write");
  }

  void serve() {
    while (!stopped_) {
      pollfd waiting = {listener_, POLLIN, 0};
      if (poll(&waiting, 1, 20) <= 0) continue;
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) continue;
      const timeval patience = {5, 0};  // a test must not hang
      setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
      setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
      const std::unique_ptr<SSL, void (*)(SSL*)> ssl(SSL_new(context_.get()), SSL_free);
      SSL_set_fd(ssl.get(), client);
      if (SSL_accept(ssl.get()) == 1) answer(ssl.get());
      close(client);
    }
  }

  void answer(SSL* ssl) {
    std::string head;
    for (char buffer[1024]; head.find("\r\n\r\n") == std::string::npos;) {
      const int count = SSL_read(ssl, buffer, sizeof(buffer));
      if (count <= 0) return;
      head.append(buffer, static_cast<size_t>(count));
    }
    ServerManners manners;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(head);
      manners = manners_;
      if (manners_.failures > 0 && --manners_.failures == 0) manners_.status = 0;
    }
    if (manners.status != 0) {
      const std::string where =
          manners.location.empty() ? "" : "Location: " + manners.location + "\r\n";
      return write(ssl, "HTTP/1.1 " + std::to_string(manners.status) + " No\r\n" + where +
                            "Content-Length: 0\r\nConnection: close\r\n\r\n");
    }
    size_t from = 0;
    const size_t range = head.find("Range: bytes=");
    const bool part = range != std::string::npos && manners.ranges;
    if (part) from = std::strtoull(head.c_str() + range + 13, nullptr, 10);
    const std::string total = std::to_string(content_.size());
    if (part && from >= content_.size())
      return write(ssl, "HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */" + total +
                            "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    std::string reply = part ? "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes " +
                                   std::to_string(from) + "-" +
                                   std::to_string(content_.size() - 1) + "/" + total + "\r\n"
                             : "HTTP/1.1 200 OK\r\n";
    reply += "Content-Length: " + std::to_string(content_.size() - from) +
             "\r\nConnection: close\r\n\r\n";
    reply += content_.substr(from, std::min(manners.cut_after, content_.size()));
    write(ssl, reply);
    if (manners.cut_after >= content_.size() - from) SSL_shutdown(ssl);
  }

  static void write(SSL* ssl, const std::string& text) {
    for (size_t done = 0; done < text.size();) {
      const int piece = static_cast<int>(std::min<size_t>(text.size() - done, 1 << 14));
      const int count = SSL_write(ssl, text.data() + done, piece);
      if (count <= 0) return;
      done += static_cast<size_t>(count);
    }
  }

  const std::string content_;
  const std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> context_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
  mutable std::mutex mutex_;
  ServerManners manners_;
  std::vector<std::string> requests_;
};

}  // namespace beckon::test
