// SHA-256 at the speed of the hardware (OpenSSL).
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace beckon {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void update(std::span<const std::byte> bytes);
  // 64 lower-case hexadecimal digits; the object is then used up.
  std::string hex();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::span<const std::byte> bytes);

// The hash of a file, read in pieces; `progress` is told the bytes done after each. Throws
// Error(missing).
std::string sha256_of_file(const std::string& path,
                           const std::function<void(uint64_t done)>& progress = {});

}  // namespace beckon
